"""Verdicts that are remembered: bounded, the oldest first to go, nothing readable kept."""

from __future__ import annotations

import pickle

from hypothesis import given
from hypothesis import strategies as st

from guardproxy.inference.running.cache import Cache, Verdicts


def judged(cache: Cache, text: str, pieces: int) -> Verdicts:
    """The verdicts of a text, cut as a job cuts them."""
    verdicts = cache.get(text)
    if not verdicts.spans:
        verdicts.spans = [(at, at + 1) for at in range(pieces)]
        cache.count_pieces(text, verdicts)
    return verdicts


def test_the_same_text_has_the_same_verdicts() -> None:
    cache = Cache(10)
    assert judged(cache, "one", 1) is judged(cache, "one", 1)
    assert judged(cache, "one", 1) is not judged(cache, "two", 1)
    assert judged(cache, "\ud800", 1) is judged(cache, "\ud800", 1)


def test_what_was_used_longest_ago_goes_first() -> None:
    cache = Cache(5)
    one, two = judged(cache, "one", 2), judged(cache, "two", 2)
    assert judged(cache, "one", 2) is one
    judged(cache, "three", 3)
    assert cache.pieces == 5
    assert judged(cache, "one", 2) is one
    assert judged(cache, "two", 2) is not two


def test_a_text_of_more_pieces_than_are_remembered_is_not() -> None:
    cache = Cache(3)
    big = judged(cache, "big", 4)
    assert cache.pieces == 0
    assert judged(cache, "big", 4) is not big


def test_none_are_remembered_where_none_may_be() -> None:
    cache = Cache(0)
    assert judged(cache, "one", 1) is not judged(cache, "one", 1)
    assert cache.pieces == 0


def test_verdicts_that_went_meanwhile_are_not_counted() -> None:
    cache = Cache(1)
    one = cache.get("one")
    cache.get("two")
    one.spans = [(0, 1)] * 5
    cache.count_pieces("one", one)
    assert cache.pieces == 1


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(1, 6)), max_size=60))
def test_its_size_is_what_it_holds_and_never_above_its_limit(uses: list[tuple[str, int]]) -> None:
    cache = Cache(8)
    sizes: dict[str, int] = {}
    for text, pieces in uses:
        sizes.setdefault(text, pieces)
        judged(cache, text, sizes[text])
        held = [verdicts for verdicts, _ in cache._known.values()]
        assert cache.pieces == sum(len(verdicts.spans) for verdicts in held) <= 8


def test_nothing_readable_is_kept_and_nobody_else_can_look_it_up() -> None:
    text = "my secret question"
    cache, other = Cache(10), Cache(10)
    judged(cache, text, 1)
    judged(other, text, 1)
    assert b"secret" not in pickle.dumps([*cache._known])
    assert set(cache._known) != set(other._known)


def test_each_channel_has_verdicts_of_its_own() -> None:
    cache = Cache(10)
    channels = ((), (1,), (2,))
    assert len({id(cache.get("one", channel)) for channel in channels}) == 3
    assert all(cache.get("one", channel) is cache.get("one", channel) for channel in channels)
    one = cache.get("one", (1,))
    one.spans = [(0, 1)] * 4
    cache.count_pieces("one", one, (1,))
    assert cache.pieces == 6
