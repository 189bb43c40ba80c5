"""Token data of a completion stays where it provably says the text, and goes where it could say more."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.wire.formats.openai_completions.derived_fields import trim, withhold

PARTS = st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=4), max_size=6)


def lists(tokens: list[str], begin: int = 0, **more: Any) -> dict[str, Any]:
    offsets = [begin + sum(map(len, tokens[:at])) for at in range(len(tokens))]
    numbers = [-0.5 for _ in tokens]
    top = [{token: -0.5} for token in tokens]
    return {"tokens": tokens, "token_logprobs": numbers, "top_logprobs": top, "text_offset": offsets, **more}


def answer(text: str, logprobs: Any, **more: Any) -> dict[str, Any]:
    return {"id": "c", "choices": [{"index": 0, "text": text, "logprobs": logprobs, **more}]}


def kept(tree: dict[str, Any]) -> bool:
    before = deepcopy(tree)
    gone = withhold(tree)
    assert (gone == []) == (tree == before), "what changed is said"
    return gone == []


@given(parts=PARTS, begin=st.integers(0, 10**8 - 1))
def test_data_that_says_the_text_stays(parts: list[str], begin: int) -> None:
    text = "".join(parts)
    assert kept(answer(text, lists(parts, begin)))
    assert kept(answer(text, lists(parts, top_logprobs=None, text_offset=None, token_logprobs=None)))
    assert kept(answer(text, lists(parts, top_logprobs=[None for _ in parts])))
    assert kept(answer(text, lists(parts, token_logprobs=[None for _ in parts])))
    assert kept(answer(text, None))


@pytest.mark.parametrize(
    "logprobs",
    [
        lists(["secret"]),
        lists(["he"]),
        lists(["hello", "!"]),
        {"text_offset": [0], "token_logprobs": [-1]},
        lists(["hello"], token_logprobs=["x"]),
        lists(["hello"], token_logprobs=[4111222233334444]),
        lists(["hello"], token_logprobs=[-0.5, -0.5]),
        lists(["hello"], token_logprobs=[True]),
        lists(["hello"], token_logprobs="x"),
        {**lists([]), "tokens": [7]},
        {"content": [{"token": "hello"}]},
        ["hello"],
        "hello",
    ],
)
def test_data_that_says_anything_else_goes(logprobs: Any) -> None:
    tree = answer("hello", logprobs)
    assert withhold(tree) == ["logprobs"]
    assert tree["choices"][0]["logprobs"] is None


@pytest.mark.parametrize(
    ("top", "left"),
    [
        ([{"hello": -0.5, "secret": -1.5}], [{"hello": -0.5}]),
        ([{"secret": -1.5}], [{}]),
        ([{"hello": 4111222233334444}], [{}]),
        ([{"hello": "secret"}], [{}]),
        (["secret"], [{}]),
        ([{"hello": -0.5}, {"secret": -0.5}], []),
        ("secret", []),
    ],
)
def test_alternatives_go(top: Any, left: Any) -> None:
    tree = answer("hello", lists(["hello"], top_logprobs=top))
    assert withhold(tree) == ["top_logprobs"]
    assert tree["choices"][0]["logprobs"] == lists(["hello"], top_logprobs=left)
    assert kept(tree), "once is enough"


@pytest.mark.parametrize(
    "offsets", [[0, 4], [0], [5, 3], [-1, 4], [4111222233334444, 4111222233334449], ["0", "5"], [False, 5], 7]
)
def test_offsets_that_do_not_follow_from_the_tokens_go(offsets: Any) -> None:
    tree = answer("hello!", lists(["hello", "!"], text_offset=offsets))
    assert withhold(tree) == ["text_offset"]
    assert tree["choices"][0]["logprobs"] == lists(["hello", "!"], text_offset=[])


def test_other_lists_and_token_ids_go() -> None:
    tree = answer("hello", lists(["hello"], new=["secret"]), token_ids=[1, 2])
    assert withhold(tree) == ["token_ids", "logprobs"]
    assert tree == answer("hello", lists(["hello"]))
    assert withhold({"prompt_logprobs": [{}], "choices": [{"index": 0, "text": "", "tokens": ["a"]}]}) == [
        "prompt_logprobs",
        "tokens",
    ]


@pytest.mark.parametrize("tree", [{}, {"choices": None}, {"choices": "x"}, {"choices": ["x", {"index": 0}]}])
def test_a_tree_without_token_data_stays_as_it_is(tree: dict[str, Any]) -> None:
    assert kept(tree)


@given(before=PARTS, old=PARTS, new=st.text(max_size=4), after=PARTS)
def test_an_edit_takes_the_entries_of_the_text_that_it_replaced(
    before: list[str], old: list[str], new: str, after: list[str]
) -> None:
    tokens = [*before, *old, *after]
    text, edited = "".join(tokens), "".join([*before, new, *after])
    choice = {"text": edited, "logprobs": lists(tokens, 7)}
    trim(choice, text, edited)
    left = choice["logprobs"]
    assert isinstance(left, dict)
    assert {name: len(row) for name, row in left.items()} == dict.fromkeys(left, len(left["tokens"]))
    count = len(left["tokens"])
    assert count >= len(before) + len(after)
    said = left["tokens"]
    borders = (number for number in range(count + 1) if edited.startswith("".join(said[:number])))
    assert any(edited.endswith("".join(said[number:])) for number in borders)
    assert left["top_logprobs"] == [{token: -0.5} for token in left["tokens"]]


def test_an_edit_of_unproven_data_takes_all_of_it() -> None:
    unproven: list[Any] = [[1], "x", lists(["other"]), {"content": []}]
    for data in unproven:
        choice: dict[str, Any] = {"text": "b", "logprobs": data}
        trim(choice, "a", "b")
        assert choice["logprobs"] is None
    choice = {"text": "b", "logprobs": None}
    trim(choice, "a", "b")
    assert choice == {"text": "b", "logprobs": None}
    choice = {"text": "ax", "logprobs": lists(["a", "b"], new=[1], top_logprobs=None, text_offset=[0])}
    trim(choice, "ab", "ax")
    assert choice["logprobs"] == {
        "tokens": ["a"],
        "token_logprobs": [-0.5],
        "top_logprobs": None,
        "text_offset": [],
    }
