"""Traces of exchanges: continues the trace of a trusted client, names it to the upstream, and exports the spans.

In: requests, and records of finished exchanges. Out: the header `traceparent`, spans and metrics for a collector. Kept: the
records whose spans were not made yet, in a bounded queue with a thread of its own. A collector that is slow or down delays no
exchange: what does not fit is dropped and counted.
"""

from __future__ import annotations

import logging
from ipaddress import ip_network
from typing import TYPE_CHECKING, NamedTuple

from aiohttp import web

from guardproxy.audit import Record
from guardproxy.config import Config
from guardproxy.errors import ConfigError
from guardproxy.server.intake.headers import is_trusted
from guardproxy.server.observing.metrics import Metrics
from guardproxy.server.observing.observers import ObserverQueue
from guardproxy.server.upstream.targets import Targets
from guardproxy.telemetry import TraceContext, begin_trace, measures_of, spans_of

if TYPE_CHECKING:
    from guardproxy.telemetry.exporting import CollectorExport

HEADER = "traceparent"
CLOSE_TIMEOUT_S = 5.0

_log = logging.getLogger(__name__)


def collector_export() -> type[CollectorExport]:
    """Returns what exports to a collector. Raises `ConfigError` if the packages of the extra `otel` are missing."""
    try:
        from guardproxy.telemetry.exporting import CollectorExport  # noqa: PLC0415 - most servers have no collector
    except ImportError:
        raise ConfigError(
            "`otel_endpoint` needs the packages of OpenTelemetry: pip install 'guardproxy[otel]'"
        ) from None
    return CollectorExport


class _Traced(NamedTuple):
    """A finished exchange. `url`: of the upstream that was asked last; empty if none was asked."""

    record: Record
    trace: TraceContext
    url: str


class Tracing:
    """Traces the exchanges of a process. Raises `ConfigError` if the packages of the extra `otel` are missing."""

    def __init__(self, config: Config, version: str, worker: int, metrics: Metrics) -> None:
        exporter_of = collector_export()
        self._hops = tuple(map(ip_network, config.network.trusted_hop))
        self._share = config.observability.otel_share
        self._guardrails = config.observability.otel_guardrails == "on"
        lost = metrics.observer_dropped.labels("collector")
        self._exporter = exporter_of(config.observability.otel_endpoint, version, worker, lost.inc)
        self._queue: ObserverQueue[_Traced] = ObserverQueue("otel", self._export, metrics)

    def begin(self, exchange_id: str, request: web.BaseRequest, targets: Targets) -> TraceContext:
        """Begins the trace of an exchange, or continues that of a trusted client. Adds its header for every target."""
        peer = request.transport.get_extra_info("peername") if request.transport else None
        parent = request.headers.get(HEADER, "") if is_trusted(peer, self._hops) else ""
        trace = begin_trace(exchange_id, parent, self._share)
        targets.add(HEADER, trace.header)
        return trace

    def finished(self, record: Record, trace: TraceContext, url: str) -> None:
        """Queues a finished exchange. Returns at once."""
        self._queue.put(_Traced(record, trace, url), sum(record.sizes.values()))

    def close(self) -> None:
        """Exports what waits, for a limited time."""
        self._queue.close()
        self._exporter.close(CLOSE_TIMEOUT_S)

    def _export(self, traced: _Traced) -> None:
        record, trace, url = traced
        spans = spans_of(record, trace, url, guardrails=self._guardrails)
        if call := next((span for span in spans if span.kind == "client"), None):
            self._exporter.measure(call, measures_of(record))
        if trace.is_sampled:
            self._exporter.send(spans, trace)


def tracing_of(config: Config, version: str, worker: int, metrics: Metrics) -> Tracing | None:
    """Returns what traces exchanges; `None` without a collector. Raises `ConfigError`."""
    return Tracing(config, version, worker, metrics) if config.observability.otel_endpoint else None
