"""Words with a slip."""

from __future__ import annotations

import pytest
import re2
from hypothesis import assume, given
from hypothesis import strategies as st

from guardproxy.checks._shared.patterns.tolerant import any_of, tolerant
from tests.kit.checks import promise

WORD = "disregard"


def _is_match(pattern: str, text: str) -> bool:
    return re2.compile(pattern).fullmatch(text) is not None


@pytest.mark.parametrize(
    ("word", "slips"),
    [
        (
            "forget",
            ["forget", "foget", "forgte", "frget", "forrget", "forgett", "fo4get", "forge", "ofrget", "for_get"],
        ),
        ("rules", ["rules", "ruels", "rulse", "ruless", "ruls"]),
        ("rule", ["rule"]),
        ("set aside", ["set aside", "set-aside", "setaside"]),
    ],
)
def test_a_word_with_one_slip_is_found(word: str, slips: list[str]) -> None:
    pattern = tolerant(word)
    assert [slip for slip in slips if not _is_match(pattern, slip)] == []


@pytest.mark.parametrize("other", ["forgets", "forgetting", "orget", "gorget", "frgte", "foorgeet", "fo  rget", ""])
def test_a_word_with_two_slips_or_another_ending_is_not(other: str) -> None:
    assert not _is_match(tolerant("forget"), other)


def test_a_short_word_has_no_slip() -> None:
    assert not _is_match(tolerant("rule"), "ruel")


@promise
@given(st.integers(1, len(WORD) - 1), st.sampled_from("abcxyz7"))
def test_a_slip_at_any_place_is_found(place: int, letter: str) -> None:
    pattern = tolerant(WORD)
    before, after = WORD[:place], WORD[place:]
    assert _is_match(pattern, before + after[1:])
    assert _is_match(pattern, before + letter + after)
    assert _is_match(pattern, before[:-1] + after[0] + before[-1] + after[1:])
    if place < len(WORD) - 1:
        assert _is_match(pattern, before + letter + after[1:])


@promise
@given(st.integers(1, len(WORD) - 3), st.integers(2, len(WORD) - 2), st.sampled_from("xyz"))
def test_two_wrong_letters_are_not_found(first: int, second: int, letter: str) -> None:
    assume(second - first > 1)
    text = WORD[:first] + letter + WORD[first + 1 : second] + letter + WORD[second + 1 :]
    assert not _is_match(tolerant(WORD), text)


def test_some_words_may_be_misspelled_and_others_not() -> None:
    pattern = any_of(["forget"], ["discard"])
    assert [text for text in ("forget", "foget", "discard", "dicard") if _is_match(pattern, text)] == [
        "forget", "foget", "discard",
    ]  # fmt: skip
