"""Operators put there what Presidio's of the same name would; the strictest of several shows least."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.redaction.operators import HASH_TYPES, KINDS, MASK_ALL, Operator, Operators, strictest

VALUES = st.text(min_size=1, max_size=30)
OPERATORS = st.builds(
    Operator,
    st.sampled_from(KINDS),
    st.sampled_from(["", "GONE", "X"]),
    st.sampled_from(["*", "#"]),
    st.none() | st.integers(1, 40),
    st.booleans(),
    st.sampled_from(HASH_TYPES),
)


def hashed(kind: str, value: str) -> str:
    return f"{kind} of {value}"


def put(operator: Operator, value: str = "4111 1111") -> str:
    return operator.apply(value, "[CARD_x]", hashed)


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        (Operator(), "[CARD_x]"),
        (Operator("redact"), ""),
        (Operator("replace", new_value="GONE"), "GONE"),
        (Operator("hash"), "sha256 of 4111 1111"),
        (Operator("hash", hash_type="sha512"), "sha512 of 4111 1111"),
        (Operator("neutralise"), "[CARD_x]"),
        (Operator("mask"), "*********"),
        (Operator("mask", chars_to_mask=4), "**** 1111"),
        (Operator("mask", masking_char="#", chars_to_mask=4, from_end=True), "4111 ####"),
        (Operator("mask", chars_to_mask=99), "*********"),
        (Operator("mask", chars_to_mask=99, from_end=True), "*********"),
    ],
)
def test_what_each_puts_there(operator: Operator, expected: str) -> None:
    assert put(operator) == expected


def test_a_neutral_text_stays_readable() -> None:
    assert put(Operator("neutralise"), "https://evil.example") == "https[:]//evil[.]example"


@given(value=VALUES, count=st.integers(1, 40), from_end=st.booleans())
def test_a_mask_hides_as_many_as_it_says(value: str, count: int, from_end: bool) -> None:
    shown = put(Operator("mask", masking_char="\x00", chars_to_mask=count, from_end=from_end), value)
    hidden = min(count, len(value))
    assert len(shown) == len(value)
    assert shown == (value[:-hidden] + "\x00" * hidden if from_end else "\x00" * hidden + value[hidden:])


def test_only_a_mask_of_some_characters_and_a_neutral_text_show_any() -> None:
    assert Operator("mask", chars_to_mask=3).shows
    assert Operator("neutralise").shows
    assert not any(one.shows for one in (MASK_ALL, *(Operator(kind) for kind in KINDS if kind != "neutralise")))


def test_only_a_neutral_text_joins_what_overlaps() -> None:
    assert [kind for kind in KINDS if Operator(kind).joins] == ["neutralise"]


def test_operators_by_label() -> None:
    operators = Operators(Operator("hash"), {"CARD": MASK_ALL})
    assert operators.of("CARD") == MASK_ALL
    assert operators.of("MAIL") == Operator("hash")
    assert Operators().of("MAIL") == Operator()


@given(several=st.lists(OPERATORS, min_size=1, max_size=4))
def test_the_strictest_does_not_depend_on_the_order(several: list[Operator]) -> None:
    first = strictest(several)
    assert all(strictest(list(other)) == first for other in permutations(several))
    assert KINDS.index(first.type) == min(KINDS.index(one.type) for one in several)
    if first.type == "mask":
        assert first in (MASK_ALL, several[0]), "masks that differ could each show what the other hides"
