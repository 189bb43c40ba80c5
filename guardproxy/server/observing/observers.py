"""Observers of finished exchanges: metrics, the log line, and the sinks beside the audit log.

In: finished records, and durable lines of the log. Out: what each observer does with them. Kept: a bounded queue and a thread
for each observer. A slow or failing observer delays no exchange and no other observer: items that do not fit in its queue are
dropped and counted. After its queue was empty, a thread sleeps for `PAUSE_S`, so that it wakes once for many items.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from queue import SimpleQueue
from threading import Event, Lock, Thread
from typing import Any, Generic, Protocol, TypeVar

from prometheus_client import Counter as PrometheusCounter

from guardproxy.audit import Record
from guardproxy.audit.record import UPSTREAM_5XX
from guardproxy.audit.shipping import Sink
from guardproxy.server.observing.metrics import Metrics
from guardproxy.telemetry import BoundedLabels, measures_of, model_name

LIMIT_WAITING = 10_000
LIMIT_WAITING_BYTES = 64 * 1024 * 1024
CLOSE_TIMEOUT_S = 5.0
PAUSE_S = 0.02
LIMIT_MODELS = 100  # labels of metrics in one process
LIMIT_TENANTS = 200
LIMIT_LABELS = 200
PLAIN = ("answered", "passed")  # outcomes that are logged at DEBUG if no rule held

_log = logging.getLogger(__name__)
Item = TypeVar("Item")


class Observer(Protocol):
    """Sees every finished exchange."""

    @property
    def name(self) -> str:
        """The name of the observer in metrics."""
        ...

    def wants(self, record: Record) -> bool:
        """Whether the observer does anything with a record. Called on the event loop; must return at once."""
        ...

    def finished(self, record: Record) -> None:
        """Takes the record of an exchange, in a thread of the observer. An exception is logged and counted."""
        ...


class ObserverQueue(Generic[Item]):
    """Hands items to `take` one after the other, in a thread. `name`: the name of its observer; `limit`, `limit_bytes`: the
    number and the total size of items that may wait."""

    def __init__(
        self,
        name: str,
        take: Callable[[Item], None],
        metrics: Metrics,
        limit: int = LIMIT_WAITING,
        limit_bytes: int = LIMIT_WAITING_BYTES,
    ) -> None:
        self._name = name
        self._take = take
        self._dropped = metrics.observer_dropped.labels(name)
        self._failed = metrics.observer_failed.labels(name)
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._lock = Lock()
        self._waiting: deque[tuple[Item, int]] = deque()
        self._put_bytes = 0
        self._taken_bytes = 0
        self._wakes: SimpleQueue[None] = SimpleQueue()
        self._is_idle = True
        self._closed = Event()
        self._thread = Thread(target=self._run, name=f"observer-{name}", daemon=True)
        self._thread.start()

    def put(self, item: Item, size_bytes: int) -> None:
        """Queues an item, or drops it if the queue is full. Returns at once; any thread may call it."""
        with self._lock:
            waiting_bytes = self._put_bytes - self._taken_bytes
            is_full = len(self._waiting) >= self._limit or waiting_bytes + size_bytes > self._limit_bytes
            # If nothing else waits, even an item that is larger than the limit is taken.
            if self._closed.is_set() or (is_full and self._waiting):
                self._dropped.inc()
                return
            self._waiting.append((item, size_bytes))
            self._put_bytes += size_bytes
            if self._is_idle:
                self._wake()

    def close(self, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Stops taking items and hands over the waiting items, for at most `timeout_s`."""
        with self._lock:
            self._closed.set()
            if self._is_idle:
                self._wake()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            _log.warning("observer did not end", extra={"observer": self._name})

    def _wake(self) -> None:
        self._is_idle = False
        self._wakes.put(None)

    def _run(self) -> None:
        while True:
            with self._lock:
                is_idle = self._is_idle = not self._waiting
                if is_idle and self._closed.is_set():
                    return
            if is_idle:
                self._wakes.get()
            while self._waiting:
                self._take_next()
            self._closed.wait(PAUSE_S)

    def _take_next(self) -> None:
        item, size_bytes = self._waiting.popleft()
        # Only this thread writes this counter, so that it takes no lock for an item.
        self._taken_bytes += size_bytes
        try:
            self._take(item)
        except Exception as error:
            self._failed.inc()
            _log.warning("observer failed", extra={"observer": self._name, "error": type(error).__name__})


class Observers:
    """Passes every finished exchange to every observer."""

    def __init__(self, observers: Iterable[Observer], metrics: Metrics) -> None:
        self._queues = [
            (observer.wants, ObserverQueue(observer.name, observer.finished, metrics)) for observer in observers
        ]

    def finished(self, record: Record) -> None:
        """Queues the record for every observer that wants it. Returns at once."""
        size_bytes = sum(record.sizes.values())
        for wants, queue in self._queues:
            if wants(record):
                queue.put(record, size_bytes)

    def close(self) -> None:
        """Ends all observers."""
        for _, queue in self._queues:
            queue.close()


class FanOut:
    """Hands the durable lines of the log to the sinks beside it."""

    def __init__(self, sinks: Mapping[str, Sink], metrics: Metrics) -> None:
        self._sinks = sinks
        self._queues = [ObserverQueue(f"sink {name}", sink.take, metrics) for name, sink in sinks.items()]

    def durable(self, lines: Sequence[bytes]) -> None:
        """Queues lines for every sink. Returns at once; called in the thread that writes the log."""
        for queue in self._queues:
            for line in lines:
                queue.put(line, len(line))

    def close(self) -> None:
        """Hands over the waiting lines and closes the sinks."""
        for queue, (name, sink) in zip(self._queues, self._sinks.items(), strict=True):
            queue.close()
            try:
                sink.close()
            except Exception as error:
                _log.warning("sink not closed", extra={"observer": name, "error": type(error).__name__})


class MetricsObserver:
    """Counts finished exchanges in the metrics."""

    name = "metrics"

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._exchanges: dict[tuple[str, str], PrometheusCounter] = {}  # by route and outcome
        self._models = BoundedLabels(LIMIT_MODELS)
        self._tenants = BoundedLabels(LIMIT_TENANTS)
        self._labels = BoundedLabels(LIMIT_LABELS)

    def wants(self, record: Record) -> bool:
        return True

    def finished(self, record: Record) -> None:
        """Counts the exchange of a record."""
        metrics = self._metrics
        ending = record.route, record.outcome
        if (counter := self._exchanges.get(ending)) is None:
            counter = self._exchanges[ending] = metrics.exchanges.labels(*ending)
        counter.inc()
        if record.decisions:
            rules = Counter(
                (decision.policy, decision.rule, decision.action, decision.mode) for decision in record.decisions
            )
            for labels, count in rules.items():
                metrics.rules.labels(*labels).inc(count)
        for attempt in record.attempts[:-1]:
            metrics.attempts.labels(record.route, attempt.decision).inc()
        if record.saved is not None:
            metrics.saved_tokens.inc(record.saved.tokens)
            metrics.saved_seconds.inc(record.saved.seconds)
        for route in record.routing:
            metrics.routes.labels(route.policy, route.upstream or "default", route.mode).inc()
            if route.saved:
                metrics.saved_money.labels(route.policy, route.mode).inc(route.saved)
        for direction, side in (("request", record.request), ("response", record.response)):
            if edits := sum(len(text.edits) for text in side.texts):
                metrics.spans.labels(direction).inc(edits)
        for label, count in record.altered.items():
            metrics.altered.labels(self._labels.of(label)).inc(count)
        self._measure(record)

    def _measure(self, record: Record) -> None:
        """Counts tokens, costs, the times of a stream, and the strongest decision."""
        metrics, measures = self._metrics, measures_of(record)
        if measures.decision:
            metrics.decisions.labels(measures.decision).inc()
        if not measures.model:
            return
        model = self._models.of(measures.model)
        if measures.first_token_s is not None:
            metrics.first_token.labels(model).observe(measures.first_token_s)
        if measures.per_token_s is not None:
            metrics.per_token.labels(model).observe(measures.per_token_s)
        tenant = self._tenants.of(measures.tenant) if measures.tenant else ""
        for direction, count in (("input", measures.input_tokens), ("output", measures.output_tokens)):
            if count:
                metrics.tokens.labels(direction, model, tenant).inc(count)
        if measures.cost:
            metrics.cost.labels(model, tenant).inc(measures.cost)


class LogObserver:
    """Writes one log line for every finished exchange. The level is INFO if a rule held or the exchange failed, otherwise
    DEBUG."""

    name = "log"

    def wants(self, record: Record) -> bool:
        return _log.isEnabledFor(_level(record))

    def finished(self, record: Record) -> None:
        """Logs the exchange, without any text."""
        extra: dict[str, Any] = {
            "id": record.id,
            "route": record.route,
            "outcome": record.outcome,
            "status": record.status,
            "rules": list(record.rules),
            "ms": record.total_ms,
        }
        _log.log(_level(record), "exchange", extra=extra | _about(record))


def _about(record: Record) -> dict[str, Any]:
    """Who asked for what, and why the exchange failed or was refused: no text, and only what is known."""
    error, shortage = record.error, record.no_capacity
    limits = [f"{each.duty} {each.name}".rstrip() for each in record.refusals if each.mode == "enforce"]
    stops = {decision.policy: None for decision in record.decisions if decision.rule in record.rules}
    known = {
        "tenant": record.tenant_name or record.tenant,
        "client": record.client,
        "model": model_name(record.model),
        "upstream_status": record.response.status if record.outcome == UPSTREAM_5XX else None,
        "error": error.code if error else "",
        "cause": error.cause if error else "",
        "field": error.field if error else None,
        "limits": limits,
        "no_capacity": f"{shortage.check}: {shortage.reason}" if shortage else "",
        "policies": list(stops),
    }
    return {name: value for name, value in known.items() if value}


def _level(record: Record) -> int:
    return logging.DEBUG if record.outcome in PLAIN and not record.rules else logging.INFO
