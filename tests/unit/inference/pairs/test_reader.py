"""Rows of pairs: two texts and their special tokens, bounded; and scores that are probabilities."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.checks import TextPair
from guardproxy.inference.pairs.reader import CHARS_PER_TOKEN, MATCHES, PairReader, kinds
from tests.kit.pair_models import CONFIG, pair_model

MOST = CONFIG["max_tokens"]
LONG = "word " * MOST


@cache
def reader() -> PairReader:
    return PairReader(pair_model())


def parts(first: str, second: str) -> tuple[list[int], list[int]]:
    """The tokens of both texts of a row, without the special ones."""
    ids = list(reader().row(TextPair(first, second)).ids)
    end = ids.index(reader().last)
    assert ids[-1] == reader().last
    return ids[1:end], ids[end + 1 : -1]


def test_each_text_has_its_place() -> None:
    cat, dog = (parts(text, "")[0] for text in ("a cat", "the dog"))
    assert len(cat) == len(dog) == 2
    assert cat != dog
    assert parts("a cat", "the dog") == (cat, dog)
    assert parts("", "") == ([], [])


def test_a_text_cannot_write_the_tokens_that_end_it() -> None:
    first, second = parts("a [SEP] b [CLS]", "[SEP]")
    assert reader().last not in [*first, *second]


def test_the_first_text_is_cut() -> None:
    row = reader().row(TextPair(LONG, "a cat"))
    assert len(row.ids) == MOST
    assert row.is_whole
    first, second = parts(LONG, "a cat")
    assert (len(first), len(second)) == (MOST - 5, 2)


@pytest.mark.parametrize(
    ("second", "is_whole"),
    [
        ("word " * (MOST // 2), True),
        ("word " * (MOST // 2 + 1), False),
        (" " * CHARS_PER_TOKEN * MOST, True),
        (" " * CHARS_PER_TOKEN * MOST + "x", False),
    ],
)
def test_a_second_text_is_whole_or_does_not_follow(second: str, is_whole: bool) -> None:
    row = reader().row(TextPair(LONG, second))
    assert row.is_whole == is_whole
    assert len(row.ids) <= MOST
    scores = reader().scores([9.0, 1.0, 0.0], row.is_whole)
    assert (scores.entails > 0) == is_whole
    assert scores.contradicts == reader().scores([9.0, 1.0, 0.0], True).contradicts


def test_long_texts_are_never_the_same_both_ways() -> None:
    ways = [reader().row(TextPair(first, second)).is_whole for first, second in ((LONG, "a cat"), ("a cat", LONG))]
    assert ways == [True, False]


@given(st.lists(st.floats(-300, 300), min_size=3, max_size=3), st.booleans())
def test_scores_are_probabilities(logits: list[float], is_whole: bool) -> None:
    scores = reader().scores(logits, is_whole)
    assert all(0 <= score <= 1 for score in scores)
    assert abs(sum(scores) - 1) < 2e-6
    if is_whole:
        ordered = sorted(zip(logits, scores, strict=True))
        assert all(low <= high + 2e-6 for (_, low), (_, high) in pairwise(ordered))


def test_the_temperature_makes_scores_less_certain() -> None:
    scores = reader().scores([2.0, 0.0, 0.0], True)  # the temperature is 2: as of 1.0, 0.0, 0.0
    assert scores == (0.576117, 0.211942, 0.211941)


@pytest.mark.parametrize("wrong", [nan, inf, -inf])
def test_logits_that_are_no_numbers_are_no_scores(wrong: float) -> None:
    with pytest.raises(ValueError, match="no numbers"):
        reader().scores([0.0, wrong, 0.0], True)


TOKENS = st.lists(st.integers(1, 5), max_size=8)


@given(TOKENS, TOKENS)
def test_kinds_say_what_both_texts_share(first: list[int], second: list[int]) -> None:
    row = [101, *first, 102, *second, 102]
    plain, told = kinds(row, 102, False), kinds(row, 102, True)
    assert plain == [0] * (len(first) + 2) + [1] * (len(second) + 1)
    assert [kind // MATCHES for kind in told] == plain
    shared = [kind % MATCHES for kind in told]
    assert shared[0] == shared[len(first) + 1] == shared[-1] == 0
    assert [bool(kind) for kind in shared[1 : len(first) + 1]] == [token in second for token in first]
    assert [bool(kind) for kind in shared[len(first) + 2 : -1]] == [token in first for token in second]
    if first == second:
        assert all(kind == MATCHES - 1 for kind in shared[1 : len(first) + 1])


def test_kinds_say_which_neighbours_are_shared() -> None:
    """`5 6` is in both, `7` is elsewhere, and the first text begins with what the second has in the middle."""
    assert kinds([101, 5, 6, 7, 102, 7, 5, 6, 9, 102], 102, True) == [0, 2, 2, 1, 0, 5, 6, 6, 4, 4]


def test_a_lone_surrogate_is_read() -> None:
    assert len(reader().row(TextPair("\ud800", "\ud800")).ids) >= 3
