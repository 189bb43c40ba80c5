"""Prometheus metrics of the models.

In: events. Kept: counters, in a given registry (the admin port's) or unregistered. Their only label is the name of the
model, so their number is bounded.
"""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Registry:
    """The metrics of all models of a process."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        model = ("model",)

        def counter(of: str, text: str, *more: str) -> Counter:
            return Counter(f"guardproxy_supervisor_{of}", text, (*model, *more), registry=registry)

        def histogram(of: str, text: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"guardproxy_supervisor_{of}", text, model, buckets=buckets, registry=registry)

        self._waiting = Gauge(
            "guardproxy_supervisor_queue_depth", "Requests that wait for the model.", model, registry=registry
        )
        self._waited = histogram("queue_seconds", "How long a request waited for the model.", _SECONDS)
        self._rows = histogram("batch_rows", "Rows that were run at once.", _ROWS)
        self._took = histogram("run_seconds", "How long the network took for a batch.", _SECONDS)
        self._texts = counter("texts", "Texts by where their verdict came from.", "cache")
        self._pieces = counter("pieces", "Pieces of texts by what scored them.", "by")
        self._refused = counter("refused", "Requests refused because the queue was full.")
        self._dropped = counter("dropped", "Requests that were given up before their turn came.")

    def meters(self, model: str) -> ModelMeters:
        """Returns the metrics of one model."""
        return ModelMeters(
            waiting=self._waiting.labels(model),
            waited=self._waited.labels(model),
            rows=self._rows.labels(model),
            took=self._took.labels(model),
            hits=self._texts.labels(model, "hit"),
            misses=self._texts.labels(model, "miss"),
            cleared=self._pieces.labels(model, "first_stage"),
            judged=self._pieces.labels(model, "encoder"),
            refused=self._refused.labels(model),
            dropped=self._dropped.labels(model),
        )


@dataclass(frozen=True, slots=True)
class ModelMeters:
    """The metrics of one model: see `Registry` for their meaning."""

    waiting: Gauge
    waited: Histogram
    rows: Histogram
    took: Histogram
    hits: Counter
    misses: Counter
    cleared: Counter
    judged: Counter
    refused: Counter
    dropped: Counter

    def observe_batch(self, rows: int, seconds: float) -> None:
        self.rows.observe(rows)
        self.took.observe(seconds)
        self.judged.inc(rows)
