"""A moderation endpoint: what it reads, and its results."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.adapters import AdapterVerdict, FiredRule
from guardproxy.adapters.moderations import Moderations
from guardproxy.adapters.moderations.adapter import ROUTE
from guardproxy.errors import DownstreamError

MODERATIONS = Moderations()
IMAGE = {"type": "image_url", "image_url": {"url": "u"}}


def read(given: Any, **more: Any) -> Any:
    return MODERATIONS.read(ROUTE, {"input": given, **more}, {})


def fired(rule: str, path: str, score: float = 1.0, *, acts: bool = True) -> FiredRule:
    return FiredRule("p", rule, "L", "request", path, score, acts)


@pytest.mark.parametrize(
    ("given", "contents"),
    [
        ("a", ["a"]),
        (["a", "b"], ["a", "b"]),
        ([{"type": "text", "text": "a"}, IMAGE], [[{"type": "text", "text": "a"}, IMAGE]]),
    ],
)
def test_each_text_is_a_message_and_all_parts_are_one(given: Any, contents: list[Any]) -> None:
    call = read(given, model="m")
    assert [message["content"] for message in call.request["messages"]] == contents
    assert call.request["model"] == "m"
    assert call.given == len(contents)


@pytest.mark.parametrize("given", [[], None, 1, ["a", IMAGE], [1]])
def test_another_input_is_refused(given: Any) -> None:
    with pytest.raises(DownstreamError, match="`input` must"):
        read(given)


def test_an_unknown_field_is_judged() -> None:
    assert read("a", new="secret").request["moderation_unknown"] == {"new": "secret"}


def test_each_text_has_its_own_result() -> None:
    rules = (
        fired("pii", "messages[1].content", 0.4),
        fired("pii", "messages[1].content", 0.9),
        fired("note", "messages[11].content", 0.5, acts=False),
    )
    answer = MODERATIONS.write(
        read([str(number) for number in range(12)]), AdapterVerdict(id="x", rules=rules, names=("pii", "attack"))
    )
    assert (answer["id"], answer["model"], len(answer["results"])) == ("modr-x", "guardproxy", 12)
    first, second, last = answer["results"][0], answer["results"][1], answer["results"][11]
    assert first["flagged"] is False
    assert first["categories"] == {"pii": False, "attack": False}
    assert second["flagged"] is True
    assert second["category_scores"] == {"pii": 0.9, "attack": 0.0}
    assert second["category_applied_input_types"] == {"pii": ["text"], "attack": ["text"]}
    assert last["flagged"] is False
    assert last["categories"]["note"] is True


def test_a_rule_about_the_whole_request_holds_for_each_text() -> None:
    answer = MODERATIONS.write(read(["a", "b"]), AdapterVerdict(rules=(fired("r", "moderation_unknown.new"),)))
    assert [result["flagged"] for result in answer["results"]] == [True, True]


def test_what_is_refused_without_a_rule_flags_with_its_code() -> None:
    verdict = AdapterVerdict(is_blocked=True, code="opaque_content", names=("r",))
    (result,) = MODERATIONS.write(read([IMAGE]), verdict)["results"]
    assert result["flagged"] is True
    assert result["categories"] == {"r": False, "opaque_content": True}
    assert result["category_applied_input_types"] == {"r": ["text"], "opaque_content": ["image"]}
    (blocked,) = MODERATIONS.write(
        read("a"), AdapterVerdict(is_blocked=True, code="content_filter", rules=(fired("r", "messages[0].content"),))
    )["results"]
    assert blocked["categories"] == {"r": True}


def test_what_its_user_gets() -> None:
    assert MODERATIONS.answering("a", "id") is None
    assert MODERATIONS.told({"results": [{"flagged": False}]}, "a") == "a"
    assert MODERATIONS.told({"results": [{"flagged": True}]}, "a") is None
