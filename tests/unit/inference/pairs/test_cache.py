"""Scores of pairs that are remembered: bounded, the oldest first to go, nothing readable kept."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guardproxy.checks import PairScores, TextPair
from guardproxy.inference.pairs.cache import PairCache

SCORES = PairScores(0.5, 0.25, 0.25)


@given(st.text(max_size=8), st.text(max_size=8), st.text(max_size=8), st.text(max_size=8))
def test_a_pair_is_known_by_both_texts(first: str, second: str, third: str, fourth: str) -> None:
    cache = PairCache(4)
    cache.put(TextPair(first, second), SCORES)
    assert cache.get(TextPair(first, second)) == SCORES
    assert (cache.get(TextPair(third, fourth)) is not None) == ((first, second) == (third, fourth))


def test_where_a_text_ends_matters() -> None:
    cache = PairCache(4)
    cache.put(TextPair("a b", "c"), SCORES)
    cache.put(TextPair("\ud800", ""), SCORES)
    assert cache.get(TextPair("a ", "bc")) is None
    assert cache.get(TextPair("", "\ud800")) is None


def test_what_was_used_longest_ago_goes_first() -> None:
    cache = PairCache(2)
    one, two, three = (TextPair(name, "") for name in ("one", "two", "three"))
    cache.put(one, SCORES)
    cache.put(two, SCORES)
    cache.get(one)
    cache.put(three, SCORES)
    assert [cache.get(pair) for pair in (one, two, three)] == [SCORES, None, SCORES]
    assert len(cache) == 2


def test_a_cache_of_no_size_keeps_nothing() -> None:
    cache = PairCache(0)
    cache.put(TextPair("a", "b"), SCORES)
    assert (len(cache), cache.get(TextPair("a", "b"))) == (0, None)


def test_no_text_is_kept() -> None:
    cache = PairCache(2)
    cache.put(TextPair("a secret", "another secret"), SCORES)
    assert "secret" not in repr(vars(cache))
