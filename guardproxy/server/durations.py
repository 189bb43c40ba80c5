"""A histogram of durations that costs little to observe: the metrics of the client library lock twice for each observation.

In: durations in seconds, from one thread. Out: samples for the registry, in any thread. Kept: the number of observations in
each bucket, and their sum.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_LABELS = (*(str(float(bound_s)) for bound_s in BOUNDS_S), "+Inf")


class DurationBuckets:
    """The observations of one combination of labels."""

    __slots__ = ("counts", "sum_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.sum_s = 0.0

    def observe(self, duration_s: float) -> None:
        """Counts one duration."""
        self.counts[bisect_left(BOUNDS_S, duration_s)] += 1
        self.sum_s += duration_s

    def cumulative(self) -> list[tuple[str, float]]:
        """The upper bound of each bucket, and the number of observations up to it."""
        total, buckets = 0, []
        for bound, count in zip(_LABELS, self.counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        return buckets


class Durations(Collector):
    """A histogram with labels. `name`: its name in the registry; `text`: its description. Only one thread may observe."""

    observe: Callable[[float], None]
    """Counts one duration of a histogram without labels."""

    def __init__(self, name: str, text: str, labels: Sequence[str], registry: CollectorRegistry) -> None:
        self._name = name
        self._text = text
        self._labels = tuple(labels)
        self._by_label: dict[tuple[str, ...], DurationBuckets] = {}
        if not labels:
            self.observe = self.labels().observe  # bound once: a request observes several durations
        registry.register(self)

    def labels(self, *values: str) -> DurationBuckets:
        """The observations with these values of the labels."""
        buckets = self._by_label.get(values)
        if buckets is None:
            buckets = self._by_label[values] = DurationBuckets()
        return buckets

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Yields the samples."""
        family = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        for values, buckets in list(self._by_label.items()):
            family.add_metric(values, buckets.cumulative(), buckets.sum_s)
        yield family
