"""Questions about spans of a text that would cost the square of their number if each pair were compared.

Spans come in as start and end, end exclusive; places and answers go out.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence


def untorn(spans: Sequence[tuple[int, int]], place: int) -> int:
    """The last place up to `place` that lies inside of none of `spans`."""
    low = high = 0
    for start, end in sorted(spans):
        if start >= place:
            break
        if start < high:
            high = max(high, end)
        else:
            low, high = start, end
        if high > place:  # what begins later cannot move the place below `low`
            return low
    return place


class SpanSet:
    """Spans of which none overlaps another. Each question costs the logarithm of the number of spans.

    A Fenwick tree holds, for the starts in order, the largest start taken so far. No two spans that are taken overlap, so
    only the last one that starts before the end of a new span can overlap that one.
    """

    def __init__(self, starts: Iterable[int]) -> None:
        self._starts = sorted(set(starts))
        self._tree = [-1] * (len(self._starts) + 1)
        self._ends: dict[int, int] = {}

    def add(self, start: int, end: int) -> bool:
        """Takes a span whose start was announced if it overlaps none taken before. Returns whether it did."""
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
