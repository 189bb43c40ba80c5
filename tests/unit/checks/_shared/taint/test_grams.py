"""The index of grams: finds each run of characters at its first place, whatever the hashes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.checks._shared.taint import grams
from guardproxy.checks._shared.taint.grams import STEP_CHARS, codes_of, counted, first_places, index_of


def places(text: str, indexed: str, width: int = 4) -> list[int]:
    codes, _ = codes_of([indexed])
    return list(map(int, first_places(codes_of([text])[0], width, index_of(codes, width), codes)))


@given(st.text("abc1", max_size=60), st.text("abc1", max_size=60), st.integers(2, 6))
def test_each_gram_is_found_at_its_first_place(text: str, indexed: str, width: int) -> None:
    alike = str.maketrans("ab", "48")  # `a` is written for 4, and `b` for 8
    text, indexed = text.translate(alike), indexed.translate(alike)
    want = [indexed.find(text[at : at + width]) for at in range(len(text) - width + 1)]
    assert places(text, indexed, width) == want


def test_letters_that_are_written_for_digits_are_these_digits() -> None:
    codes, digits = codes_of(["leet", "", "1337", "\u043e\ud800"])
    assert codes.tolist() == [*map(ord, "1337"), *map(ord, "1337"), 0x43E, 0xD800]
    assert digits.tolist() == [False] * 4 + [True] * 4 + [False] * 2
    assert codes_of([])[0].tolist() == []


def test_a_gram_that_spans_two_steps_is_found() -> None:
    long = "x" * (STEP_CHARS - 2) + "abcd" + "y" * 9
    assert places("abcd", long) == [STEP_CHARS - 2]
    assert [at for at, place in enumerate(places(long, "abcd")) if place >= 0] == [STEP_CHARS - 2]


def test_only_the_grams_that_count_are_in_an_index() -> None:
    codes, digits = codes_of(["ab12cd3456"])
    index = index_of(codes, 4, counted(digits, 4) >= 3)
    assert first_places(codes, 4, index, codes).tolist() == [-1, -1, -1, -1, -1, 5, 6]
    assert counted(digits, 11).tolist() == []


def test_grams_with_the_same_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grams, "_HASH", np.uint64(0))  # every gram has the same hash
    assert places("efgh", "abcdefgh") == [4]
    assert places("zzzz", "abcdefgh") == [-1]


def test_too_many_grams_with_the_same_hash_count_as_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grams, "_HASH", np.uint64(0))
    monkeypatch.setattr(grams, "_ROUNDS", 3)
    assert places("zzzz", "abcdefgh") == [3]
