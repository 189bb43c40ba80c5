"""Operations on spans of a text. Comparing each pair of spans would take quadratic time.

In: spans as start and end, end exclusive. Out: places and answers.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence


def untorn(spans: Sequence[tuple[int, int]], place: int) -> int:
    """Returns the last place up to `place` that is not inside of any of `spans`."""
    low = high = 0
    for start, end in sorted(spans):
        if start >= place:
            break
        if start < high:
            high = max(high, end)
        else:
            low, high = start, end
        if high > place:  # later spans cannot move the place below `low`
            return low
    return place


class SpanSet:
    """A set of spans that do not overlap. Each operation costs the logarithm of the number of spans.

    A Fenwick tree holds, for the starts in order, the largest start in the set so far. Spans in the set do not
    overlap, so only the last span that starts before the end of a new span can overlap it.
    """

    def __init__(self, starts: Iterable[int]) -> None:
        self._starts = sorted(set(starts))
        self._tree = [-1] * (len(self._starts) + 1)
        self._ends: dict[int, int] = {}

    def add(self, start: int, end: int) -> bool:
        """Adds a span, whose start was announced, if it overlaps no span of the set. Returns whether it was added."""
        at = bisect_left(self._starts, end)
        last = -1
        while at > 0:
            last = max(last, self._tree[at])
            at &= at - 1
        if last >= 0 and self._ends[last] > start:
            return False
        self._ends[start] = max(end, self._ends.get(start, end))
        at = bisect_left(self._starts, start) + 1
        while at < len(self._tree):
            self._tree[at] = max(start, self._tree[at])
            at += at & -at
        return True
