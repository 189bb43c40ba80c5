"""Token data stays where it provably says what the text says, and goes where it could say more."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.wire.formats.openai_chat.derived_fields import trim, withhold


def entry(token: str, **more: Any) -> dict[str, Any]:
    return {"token": token, "logprob": -0.5, "bytes": list(token.encode()), **more}


def answer(content: Any, logprobs: Any, **more: Any) -> dict[str, Any]:
    return {"id": "c", "choices": [{"index": 0, "message": {"content": content}, "logprobs": logprobs, **more}]}


def kept(tree: dict[str, Any]) -> bool:
    before = deepcopy(tree)
    gone = withhold(tree)
    assert (gone == []) == (tree == before), "what changed is said"
    return gone == []


@given(parts=st.lists(st.text(st.characters(codec="utf-8"), max_size=4), max_size=6), told=st.booleans())
def test_what_says_the_text_stays(parts: list[str], told: bool) -> None:
    entries = [entry(part) if told else {"token": part, "logprob": -1} for part in parts]
    assert kept(answer("".join(parts), {"content": entries, "refusal": None}))
    assert kept({"choices": [{"delta": {"content": "".join(parts)}, "logprobs": {"content": entries}}]})
    assert kept({"choices": [{"delta": {"reasoning": "".join(parts)}, "logprobs": {"content": entries}}]})


def test_a_character_in_parts() -> None:
    first, second = b"\xc3", b"\xa9"
    for low, high in (("\\xc3", "\\xa9"), ("bytes:\\xc3", "bytes:\\xa9"), ("\ufffd", "\ufffd")):
        entries = [entry(low, bytes=list(first)), entry(high, bytes=list(second))]
        assert kept(answer("é", {"content": entries}))
    assert not kept(answer("é", {"content": [entry("\\xc3", bytes=[0xC3])]}))
    assert not kept(answer("é", {"content": [entry("A", bytes=[0xC3]), entry("B", bytes=[0xA9])]}))


@pytest.mark.parametrize(
    "logprobs",
    [
        {"content": [entry("secret")]},
        {"content": [entry("he")]},
        {"content": [entry("hello"), entry("!")]},
        {"content": [entry("hello", bytes=[104])]},
        {"content": [entry("hello", bytes="x")]},
        {"content": [entry("hello", bytes=[999])]},
        {"content": [entry("hello", bytes=[True])]},
        {"content": [entry("hello", logprob="x")]},
        {"content": [entry("hello", logprob=4111222233334444)]},
        {"content": [{"logprob": 1}]},
        {"content": ["hello"]},
        {"content": "hello"},
        {"content": [entry("hello")], "more": [entry("hello")]},
        {"tokens": ["secret"]},
        ["hello"],
        "hello",
    ],
)
def test_what_says_anything_else_goes(logprobs: Any) -> None:
    tree = answer("hello", logprobs)
    assert "logprobs" in withhold(tree)
    assert tree["choices"][0]["logprobs"] is None


def test_alternatives_and_what_is_beside_a_token_go() -> None:
    tree = answer("hello", {"content": [entry("hello", top_logprobs=[entry("secret")], id=17)], "refusal": []})
    assert withhold(tree) == ["top_logprobs", "logprobs"]
    assert tree["choices"][0]["logprobs"] == {
        "content": [entry("hello", top_logprobs=[{"token": "", "bytes": [], "logprob": -0.5}])],
        "refusal": [],
    }
    assert kept(tree), "once is enough"


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"token_ids": [1]}, "token_ids"),
        ({"message": {"content": "hello", "tokens": ["sec", "ret"]}}, "tokens"),
        ({"new": {"deep": [{"numbers": [115, 101, 99, 114]}]}}, "numbers"),
        ({"new": [[115, 101, 99, 114], "x"]}, "numbers"),
        ({"new": [0.5, 1, 2, 3]}, "numbers"),
    ],
)
def test_ids_and_rows_of_numbers_go(more: dict[str, Any], named: str) -> None:
    tree = answer("hello", None, **more)
    assert withhold(tree) == [named]
    assert kept(tree)
    whole = {**answer("hello", None), "prompt_logprobs": [{"17": {"decoded_token": "sec"}}], "prompt_token_ids": [5]}
    assert withhold(whole) == ["prompt_logprobs", "prompt_token_ids"]


@pytest.mark.parametrize(
    "tree",
    [
        {},
        {"choices": None},
        {"choices": "x"},
        {"choices": ["x", {"index": 0}]},
        {"choices": [], "usage": {"tokens": [1, 2, 3, 4, 5]}},
        {"new": [1, 2, 3]},
        {"new": [1, 2, 3, "x"]},
        {"new": [True, True, True, True]},
        {"token_ids": None, "tokens": []},
        answer("hello", {}),
        answer("hello", {"content": None}),
        answer(None, {"content": []}),
    ],
)
def test_what_holds_none_stays_as_it_is(tree: dict[str, Any]) -> None:
    assert kept(tree)


def test_of_another_alternative_than_the_token_the_number_stays() -> None:
    chosen = {"token": "a", "bytes": [97], "logprob": -0.5}
    others: list[Any] = [{"token": "b", "logprob": -1.5}, {"token": "c", "logprob": 1e300}, {"token": "d"}, "e"]
    tree = answer("a", {"content": [entry("a", top_logprobs=[chosen, *others])]})
    assert withhold(tree)
    (kept_entry,) = tree["choices"][0]["logprobs"]["content"]
    assert kept_entry["top_logprobs"] == [chosen, {"token": "", "bytes": [], "logprob": -1.5}]


def trimmed(logprobs: Any, **edits: tuple[str, str]) -> Any:
    choice = {"logprobs": logprobs}
    trim(choice, edits)
    return choice["logprobs"]


def test_the_entries_of_an_edited_part_go_and_those_around_it_stay() -> None:
    entries = [entry(token) for token in ("I am ", "jo@", "ab.io", ", hi")]
    left = trimmed({"content": entries, "refusal": None}, content=("I am jo@ab.io, hi", "I am [MAIL], hi"))
    assert [one["token"] for one in left["content"]] == ["I am ", ", hi"]
    assert left["refusal"] is None


def test_an_edit_inside_a_character_takes_its_parts() -> None:
    """The two texts share the first byte of a character."""
    entries = [entry("a"), entry("\\xc3", bytes=[0xC3]), entry("\\xa9", bytes=[0xA9]), entry("b")]
    left = trimmed({"content": entries}, content=("a\u00e9b", "a\u00e8b"))
    assert [one["token"] for one in left["content"]] == ["a", "\\xc3", "b"]


@pytest.mark.parametrize(
    ("logprobs", "edits"),
    [
        (["what nobody knows"], {"content": ("a", "b")}),
        ({"content": [entry("other")]}, {"content": ("a", "b")}),
        ({"new": [entry("a")]}, {"content": ("a", "b")}),
        ({"refusal": [entry("a")]}, {"content": ("a", "b"), "reasoning": ("a", "c")}),
    ],
)
def test_entries_that_match_no_edited_text_go_whole(logprobs: Any, edits: dict[str, tuple[str, str]]) -> None:
    assert trimmed(logprobs, **edits) is None


def test_a_choice_without_entries_stays_as_it_is() -> None:
    assert trimmed(None, content=("a", "b")) is None
    assert trimmed({"content": []}, content=("a", "b")) == {"content": []}
