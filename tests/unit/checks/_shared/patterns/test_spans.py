"""Questions about spans are answered as if each pair were compared, at less cost."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.checks._shared.patterns.spans import SpanSet, untorn
from tests.kit.check_cost import steps

_SPANS = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 12)).map(lambda span: (span[0], span[0] + span[1])), max_size=12
)
MOST = 2.3


def _moved(spans: list[tuple[int, int]], place: int) -> int:
    """What `untorn` is defined as: out of each span that the place lies in, until there is none."""
    while inside := [start for start, end in spans if start < place < end]:
        place = min(inside)
    return place


@pytest.mark.parametrize(
    ("spans", "place", "expected"),
    [
        ([], 3, 3),
        ([(0, 3)], 3, 3),
        ([(3, 9)], 3, 3),
        ([(0, 4)], 3, 0),
        ([(5, 9), (2, 6), (0, 2)], 8, 2),
        ([(2, 6), (6, 9)], 8, 6),
        ([(4, 4), (1, 3)], 4, 4),
        ([(0, 9), (1, 2)], 5, 0),
    ],
)
def test_a_place_is_moved_out_of_what_it_tears(spans: list[tuple[int, int]], place: int, expected: int) -> None:
    assert untorn(spans, place) == expected == _moved(spans, place)


@given(_SPANS, st.integers(0, 60))
def test_a_place_is_moved_as_if_span_after_span_were_looked_at(spans: list[tuple[int, int]], place: int) -> None:
    assert untorn(spans, place) == _moved(spans, place)


def test_spans_are_taken_that_overlap_none_taken_before() -> None:
    taken = SpanSet([0, 2, 5, 4])
    assert taken.add(2, 5)
    assert not taken.add(0, 3), "its end is taken"
    assert not taken.add(4, 9), "its start is taken"
    assert taken.add(5, 9), "it begins where another ends"
    assert taken.add(0, 2), "it ends where another begins"


@given(_SPANS)
def test_spans_are_taken_as_if_each_pair_were_compared(spans: list[tuple[int, int]]) -> None:
    taken = SpanSet(start for start, _ in spans)
    kept: list[tuple[int, int]] = []
    for start, end in spans:
        free = all(end <= low or high <= start for low, high in kept)
        assert taken.add(start, end) == free
        if free:
            kept.append((start, end))


def _chain(count: int) -> list[tuple[int, int]]:
    """Spans of which each overlaps the next, in any order."""
    spans = [(3 * at, 3 * at + 4) for at in range(count)]
    Random(1).shuffle(spans)
    return spans


def _take(spans: list[tuple[int, int]]) -> None:
    taken = SpanSet(start for start, _ in spans)
    for start, end in spans:
        taken.add(start, end)


def test_questions_cost_what_the_number_of_spans_says() -> None:
    chains = [_chain(count) for count in (1000, 2000, 4000)]
    moved = [steps(lambda chain=chain: untorn(chain, 3 * len(chain))) for chain in chains]  # type: ignore[misc]
    took = [steps(lambda chain=chain: _take(chain)) for chain in chains]  # type: ignore[misc]
    for costs in (moved, took):
        assert all(after < MOST * before for before, after in pairwise(costs))
