"""Known values are found as the plain search at every place finds them, few or many, and in linear work."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.redaction.masking import merge
from guardproxy.redaction.values import SOUGHT_CHARS, ValueMatcher

VALUES = st.lists(st.text("ab.", min_size=1, max_size=6), min_size=1, max_size=40)


def plainly(values: list[str], text: str) -> list[tuple[int, int, str]]:
    """One alternation of all values, the longest first, tried at every place."""
    pattern = re.compile(f"(?=({'|'.join(map(re.escape, sorted(values, key=len, reverse=True)))}))")
    return merge((match.start(), match.end(1), match[1]) for match in pattern.finditer(text))


def found(values: list[str], text: str) -> list[tuple[int, int, str]]:
    return merge((start, end, text[start:end]) for start, end in ValueMatcher(values).find(text))


@given(VALUES, st.text("ab.", max_size=60), st.integers(0, 20))
def test_what_is_found_is_what_a_search_at_every_place_finds(values: list[str], text: str, more: int) -> None:
    many = [*values, *(f"zz{number}" for number in range(more))]
    assert found(many, text) == plainly(many, text)


@given(VALUES, st.text("ab.", max_size=60))
def test_values_too_long_to_be_sought_one_by_one_are_found_alike(values: list[str], text: str) -> None:
    assert found([*values, "z" * SOUGHT_CHARS], text) == plainly(values, text)


@given(VALUES, st.text("ab.", max_size=60))
def test_few_and_many_values_are_found_alike(values: list[str], text: str) -> None:
    many = [*values, *(f"zz{number}" for number in range(13))]
    assert found(many, text) == plainly(values, text)


def test_no_values_are_nowhere() -> None:
    assert list(ValueMatcher([]).find("abc")) == []


@pytest.mark.parametrize("most", [3, 60])
@pytest.mark.parametrize("size", [500, 1000])
def test_values_that_hold_each_other_do_not_multiply(size: int, most: int) -> None:
    values = ["a" * length for length in range(1, most)]
    assert len(list(ValueMatcher(values).find("a" * size))) == size, "one at each end"


def test_characters_beyond_the_basic_plane() -> None:
    values = ["🙂🙃", "é", *(f"zz{number}" for number in range(13))]
    assert found(values, "a🙂🙃é🙂") == [(1, 3, "🙂🙃"), (3, 4, "é")]
