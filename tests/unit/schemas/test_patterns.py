"""Patterns of schemas: what is found, what is refused, and that no pattern and no text takes long."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.schemas.patterns import LIMIT_CHARS, PatternError, search_steps, searcher


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("^a+$", ["a", "aaa"], ["", "b", "aab", "a\n"]),
        ("b", ["abc"], ["ac"]),
        (r"^\d$", ["7"], ["٣"]),
        (r"^\u00e9$", ["é"], ["e"]),
        (r"^\\u00e9$", ["\\u00e9"], ["é"]),
        (r"a\Z", ["a"], ["ab"]),
        (r"^\p{Letter}+$", ["é"], ["1"]),
        ("^(?!x-)[a-z-]+$", ["y-a"], ["x-a", "Y"]),
        ("^(?=.*[0-9])(?!0)[a-z0-9]+$", ["a1", "1a"], ["ab", "0a"]),
        (r"^(?!(a|[)]|\)))b", ["b"], ["a", "ab"]),
        ("^(?!a)b|^(c)", None, None),
    ],
)
def test_a_pattern_finds_what_it_means(pattern: str, yes: list[str] | None, no: list[str] | None) -> None:
    if yes is None or no is None:
        with pytest.raises(PatternError):
            searcher(pattern)
        return
    search = searcher(pattern)
    assert [text for text in yes if not search(text)] == []
    assert [text for text in no if search(text)] == []


@pytest.mark.parametrize(
    "pattern", ["(?<=a)b", r"(a)\1", "a(?!b)", "(", "^(?!a", "^(?!(a)", "\ud800", "a" * (LIMIT_CHARS + 1)]
)
def test_what_cannot_be_searched_for_in_linear_time_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError):
        searcher(pattern)


def test_half_of_a_surrogate_pair_matches_nothing() -> None:
    assert not searcher(".")("\ud800")


@pytest.mark.parametrize(
    ("pattern", "found"),
    [("(a+)+$", False), ("(a|a)*$", True), ("^(a|aa)+$", False), ("(.*)*b", False), ("([a-zA-Z]+)*$", True)],
)
def test_a_search_for_a_catastrophic_pattern_ends(pattern: str, found: bool) -> None:
    """By backtracking it would take longer than the age of the world."""
    assert searcher(pattern)("a" * 20_000 + "!") is found


@given(st.from_regex(r"\A[ab.]{0,4}[*+?]?[ab]{0,2}\$?\Z"), st.text("ab\n", max_size=8))
def test_plain_patterns_find_what_the_standard_library_finds(pattern: str, text: str) -> None:
    if text.endswith("\n") and pattern.endswith(
        "$"
    ):  # Python's `$` is also before a last line end, ECMAScript's is not
        return
    try:
        expected = re.search(pattern, text) is not None
    except re.error:
        return
    assert searcher(pattern)(text) == expected


def test_a_search_costs_a_step_for_each_character_of_a_key_and_more_for_a_large_pattern() -> None:
    assert [search_steps("^x-", chars) for chars in (0, 10, 60)] == [1, 11, 61]
    assert search_steps("^x-", 100_000) < 10_000, "no states that could not be kept"
    small, large = search_steps("a{10}b", 10_000), search_steps("(a{0,100}){0,9}b", 10_000)
    assert large > 20 * small
    assert search_steps("^(?!a{100}b)c", 10_000) > search_steps("^c", 10_000), "what must not follow is searched too"
