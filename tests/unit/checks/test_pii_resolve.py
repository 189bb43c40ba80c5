"""Overlaps between many spans are settled with stop points in between."""

from __future__ import annotations

from guardproxy.checks._shared.pii.engine import Span
from guardproxy.checks.pii import resolve
from guardproxy.concurrency import stoppable


def test_many_spans_are_settled_in_slices() -> None:
    spans = [Span(at, at + 10, "IP_ADDRESS", 0.6, proven=False) for at in range(10_000)]
    stops: list[int] = []
    with stoppable(lambda: stops.append(1)):
        kept = resolve(spans)
    assert len(kept) == 1000
    assert len(stops) >= len(spans) // 600
