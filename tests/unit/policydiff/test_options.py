"""Options of two checks: in words, and whether more or less is found."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.policy.values.document import CheckSpec
from guardproxy.policydiff.options import Difference, Effect, options, show


def said(old: Any, new: Any, key: str = "threshold", use: str = "supervisor") -> list[Difference]:
    before, after = ({} if value is None else {key: value} for value in (old, new))
    return list(options("c", CheckSpec(use, before), CheckSpec(use, after)))


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
        ("first_stage", None, False, "(default) -> false", "tightens"),
        ("first_stage", False, True, "false -> true", "loosens"),
        ("label", "a", "", "a -> (nothing)", "either"),
        ("label", None, "injection", "(default) -> injection", "neutral"),
        ("labels", None, ["A", "B"], "(default) -> [A, B]", "either"),
        ("unknown", {"b": 1, "a": 2}, {"b": 1}, '{"a": 2, "b": 1} -> {"b": 1}', "either"),
    ],
)
def test_a_value(key: str, old: Any, new: Any, words: str, effect: Effect) -> None:
    assert said(old, new, key) == [Difference(f"`c` {key} {words}", effect)]


@pytest.mark.parametrize(
    ("use", "key", "old", "new", "words", "effect"),
    [
        ("json_schema", "invented", None, "allow", "(default) -> allow", "loosens"),
        ("json_schema", "invented", "allow", "refuse", "allow -> refuse", "tightens"),
        ("http", "sensitive", None, False, "(default) -> false", "loosens"),
        ("http", "sensitive", False, True, "false -> true", "tightens"),
        ("pii", "parity", "strict", None, "strict -> (default)", "tightens"),
        ("pii", "entities", None, ["A", "B"], "(default) -> [A, B]", "either"),
        ("pii", "language", "en", ["en", "de"], "en -> [en, de]", "tightens"),
        ("json_schema", "schema", {"file": "a"}, "from_request", '{"file": "a"} -> from_request', "either"),
    ],
)
def test_an_option_is_compared_as_its_check_declares_it(
    use: str, key: str, old: Any, new: Any, words: str, effect: Effect
) -> None:
    assert said(old, new, key, use) == [Difference(f"`c` {key} {words}", effect)]


def test_items_of_a_list_come_and_go() -> None:
    assert said(["a", "b"], ["c", "b"], "words", "pattern") == [
        Difference("`c` words gained c", "tightens"),
        Difference("`c` words lost a", "loosens"),
    ]
    assert said(["a"], ["a", "b"], "skip", "secrets") == [Difference("`c` skip gained b", "loosens")]
    assert said(["a", "b"], ["a"], "skip", "secrets") == [Difference("`c` skip lost b", "tightens")]
    assert said(None, ["a", "b"], "allow", "pii") == [Difference("`c` allow gained a, b", "loosens")]
    assert said(["a"], None, "allow_patterns", "pii") == [Difference("`c` allow_patterns lost a", "tightens")]
    assert said(["a"], ["b"], "unknown", "secrets") == [
        Difference("`c` unknown gained b", "either"),
        Difference("`c` unknown lost a", "either"),
    ]


def test_thresholds_by_label() -> None:
    assert said({"hate": 0.8, "violence": 0.5}, {"hate": 0.6, "violence": 0.5, "sexual": "1%"}) == [
        Difference("`c` threshold of hate 0.8 -> 0.6", "tightens"),
        Difference("`c` threshold of sexual (default) -> 1%", "either"),
    ]


def test_another_check_is_not_compared() -> None:
    old, new = CheckSpec("pii", {"a": 1}), CheckSpec("secrets", {"b": 2})
    assert list(options("c", old, new)) == [Difference("`c` uses pii -> secrets", "either")]


def test_values_are_shown_as_a_file_writes_them() -> None:
    assert show(False) == "false"


ITEMS = st.lists(st.sampled_from("abcde"), max_size=5, unique=True)


@given(ITEMS, ITEMS)
def test_order_is_no_change_and_a_way_back_is_the_reverse(old: list[str], new: list[str]) -> None:
    assert said(old, old[::-1], "words", "pattern") == []
    there, back = said(old, new, "words", "pattern"), said(new, old, "words", "pattern")
    assert len(there) == len(back)
    assert {one.effect for one in there} == {"tightens" if one.effect == "loosens" else "loosens" for one in back}
