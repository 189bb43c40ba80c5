"""Options of two checks: in words, and whether more or less is found."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.policy.document import CheckSpec
from guardproxy.policydiff.options import Changed, options, same, shown


def said(old: Any, new: Any, key: str = "threshold") -> list[Changed]:
    before, after = ({} if value is None else {key: value} for value in (old, new))
    return list(options("c", CheckSpec("pii", before), CheckSpec("pii", after)))


@pytest.mark.parametrize(
    ("key", "old", "new", "words", "effect"),
    [
        ("threshold", 0.8, 0.6, "0.8 -> 0.6", "tightens"),
        ("threshold", 0.6, 0.8, "0.6 -> 0.8", "loosens"),
        ("threshold", "1%", "5%", "1% -> 5%", "tightens"),
        ("threshold", "1%", "0.1 %", "1% -> 0.1 %", "loosens"),
        ("threshold", 0.8, "1%", "0.8 -> 1%", "either"),
        ("threshold", None, 0.8, "(default) -> 0.8", "either"),
        ("threshold", True, 0.8, "true -> 0.8", "either"),
        ("evasions", None, "strict", "(default) -> strict", "tightens"),
        ("evasions", "standard", "off", "standard -> off", "loosens"),
        ("evasions", "standard", "other", "standard -> other", "either"),
        ("label", "a", "", "a -> (nothing)", "either"),
        ("schema", {"b": 1, "a": 2}, {"b": 1}, '{"a": 2, "b": 1} -> {"b": 1}', "either"),
        ("entities", None, ["A", "B"], "(default) -> [A, B]", "either"),
    ],
)
def test_a_value(key: str, old: Any, new: Any, words: str, effect: str) -> None:
    assert said(old, new, key) == [Changed(f"`c` {key} {words}", effect)]  # type: ignore[arg-type]


def test_items_of_a_list_come_and_go() -> None:
    assert said(["a", "b"], ["c", "b"], "words") == [
        Changed("`c` words gained c", "tightens"),
        Changed("`c` words lost a", "loosens"),
    ]
    assert said(["a"], ["a", "b"], "skip") == [Changed("`c` skip gained b", "loosens")]
    assert said(["a", "b"], ["a"], "skip") == [Changed("`c` skip lost b", "tightens")]


def test_thresholds_by_label() -> None:
    assert said({"hate": 0.8, "violence": 0.5}, {"hate": 0.6, "violence": 0.5, "sexual": "1%"}) == [
        Changed("`c` threshold of hate 0.8 -> 0.6", "tightens"),
        Changed("`c` threshold of sexual (default) -> 1%", "either"),
    ]


def test_another_check_is_not_compared() -> None:
    old, new = CheckSpec("pii", {"a": 1}), CheckSpec("secrets", {"b": 2})
    assert list(options("c", old, new)) == [Changed("`c` uses pii -> secrets", "either")]


def test_types_are_told_apart() -> None:
    assert not same(1, True)
    assert not same(1, "1")
    assert same([1, "a"], ["a", 1])
    assert shown(False) == "false"


ITEMS = st.lists(st.sampled_from("abcde"), max_size=5, unique=True)


@given(ITEMS, ITEMS)
def test_order_is_no_change_and_a_way_back_is_the_reverse(old: list[str], new: list[str]) -> None:
    assert said(old, old[::-1], "words") == []
    there, back = said(old, new, "words"), said(new, old, "words")
    assert len(there) == len(back)
    assert {one.effect for one in there} == {"tightens" if one.effect == "loosens" else "loosens" for one in back}
