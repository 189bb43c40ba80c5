"""Where the arguments of a call came from, member by member."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.checks._shared.taint.conversation import Conversation
from guardproxy.checks._shared.taint.origins import KEY, CallOrigins, TaintedMember, members_of, shown_place
from guardproxy.findings import Passage

MAIL = "mallory.quist@drop-zone.example"
PAGES = [
    Passage("tool_result", "a", f"From {MAIL}, card 4111 1111 1111 1111."),
    Passage("document", "b", "The code is XK-9921-QQ."),
]


def origins(arguments: Any) -> CallOrigins:
    return CallOrigins(Conversation(PAGES), arguments)


def places(found: dict[Any, TaintedMember]) -> list[tuple[Any, int, int | None, str]]:
    return [(member.place, member.low, member.high, member.taint.path) for member in found.values()]


def test_a_member_is_asked_by_its_value() -> None:
    its = origins({"to": MAIL, "cc": ["me", f"<{MAIL}>"], "code": "XK-9921-QQ", "n": 1, "b": True, "z": None})
    assert its.came_from(MAIL, "tool_result")
    assert not its.came_from(MAIL, "document")
    assert its.came_from(["me", f"<{MAIL}>"], "tool_result")
    assert its.came_from("XK-9921-QQ", "document")
    assert not its.came_from("me", "tool_result")
    assert not its.came_from(None, "tool_result")
    assert not its.came_from(True, "tool_result")
    assert places(its.found) == [
        (("to",), 0, len(MAIL), "a"), (("cc", 1), 1, 1 + len(MAIL), "a"), (("code",), 0, 10, "b")
    ]  # fmt: skip


def test_a_value_is_compared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0
    taints = Conversation.taints

    def counting(self: Conversation, *about: Any) -> Any:
        nonlocal asked
        asked += 1
        return taints(self, *about)

    monkeypatch.setattr(Conversation, "taints", counting)
    its = origins({"to": MAIL})
    assert [its.came_from(MAIL, "tool_result") for _ in range(3)] == [True] * 3
    assert asked == 1


def test_a_value_that_is_split_has_a_span_in_each_member() -> None:
    arguments = {"a": MAIL[:8], "b": {"c": [MAIL[8:16], MAIL[16:]]}}
    its = origins(arguments)
    assert its.came_from(arguments, "tool_result")
    assert places(its.found) == [(("a",), 0, 8, "a"), (("b", "c", 0), 0, 8, "a"), (("b", "c", 1), 0, 15, "a")]


@pytest.mark.parametrize("number", [4111111111111111, 4111111111111111.0])
def test_a_number_is_tainted_as_a_whole(number: float) -> None:
    its = origins({"card": number})
    assert its.came_from(number, "tool_result")
    assert places(its.found) == [(("card",), 0, None, "a")]


def test_numbers_without_digits_that_people_write() -> None:
    assert [member.text for member in members_of([0.5, 1e400, 10**5000, float("nan"), -3])] == ["0.5", "", "", "", "-3"]


def test_a_key_that_is_text_is_a_member() -> None:
    its = origins({MAIL: 1, "subject_of_the_mail": "x"})
    assert its.came_from({MAIL: 1}, "tool_result")
    assert places(its.found) == [((MAIL, KEY), 0, len(MAIL), "a")]
    assert [member.text for member in members_of({"subject_of_the_mail": "x"})] == ["x"]


def test_a_place_is_shown_without_words_that_may_be_text() -> None:
    assert shown_place(("to", 0, "name")) == "to[0].name"
    assert shown_place((MAIL, KEY)) == "*"
    assert shown_place((0, "x")) == "[0].x"
    assert shown_place(()) == ""


def test_plain_text_is_one_member() -> None:
    its = origins(f"send {MAIL}")
    assert its.came_from(f"send {MAIL}", "tool_result")
    assert places(its.found) == [((), 5, 5 + len(MAIL), "a")]


def test_a_deep_value_is_read() -> None:
    deep: Any = MAIL
    for _ in range(5000):
        deep = [deep]
    assert origins(deep).came_from(MAIL, "tool_result")
