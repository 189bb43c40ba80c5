"""Sends spans and metrics to a collector by OTLP over HTTP, with OpenTelemetry's SDK (the extra `otel`).

In: spans and measurements of finished exchanges, from one thread. Out: requests to the collector, in threads of the SDK. Kept:
at most `LIMIT_SPANS` spans that wait. Spans without room, and spans that the collector did not take, are counted as lost.

The proxy imports this module only if a collector is set.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from guardproxy.telemetry.attributes import Attribute
from guardproxy.telemetry.labels import BoundedLabels
from guardproxy.telemetry.measures import ExchangeMeasures
from guardproxy.telemetry.spans import TraceSpan
from guardproxy.telemetry.trace import TraceContext

LIMIT_SPANS = 8192
BATCH_SPANS = 512
DELAY_MS = 1000.0  # from a span to its export
LIMIT_MODELS = 100
TIMEOUT_S = 5.0  # for a request to the collector, with its retries
SCOPE = "guardproxy"
SCHEMA_URL = "https://opentelemetry.io/schemas/1.37.0"
TOKENS = tuple(4**power for power in range(14))
SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
FIRST_TOKEN_S = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0),
)
PER_TOKEN_S = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
_KINDS = {"server": SpanKind.SERVER, "client": SpanKind.CLIENT, "internal": SpanKind.INTERNAL}
_MEASURED = ("gen_ai.operation.name", "gen_ai.provider.name", "server.address", "server.port", "error.type")

_log = logging.getLogger(__name__)


class _WaitingSpans(SpanExporter):
    """Counts the spans that wait for `exporter`, and those that it lost. `lost(count)` is called in the thread of the
    export."""

    def __init__(self, exporter: SpanExporter, lost: Callable[[int], None]) -> None:
        self._exporter = exporter
        self._lost = lost
        self._is_reached = True
        self.put = 0  # written by the thread that puts spans
        self.taken = 0  # written by the thread that exports
        self.ends_at_s = float("inf")

    @property
    def count(self) -> int:
        """The number of spans that wait."""
        return self.put - self.taken

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Sends spans. After the end of the time for closing, they are lost at once."""
        self.taken += len(spans)
        result = SpanExportResult.FAILURE
        if time.monotonic() < self.ends_at_s:
            with suppress(Exception):  # such as a file of certificates that does not exist
                result = self._exporter.export(spans)
        if result is not SpanExportResult.SUCCESS:
            self._lost(len(spans))
        self._note(is_reached=result is SpanExportResult.SUCCESS)
        return result

    def shutdown(self) -> None:
        """Ends the exporter."""
        self._exporter.shutdown()

    def _note(self, *, is_reached: bool) -> None:
        """Logs when the collector stops or begins to take spans."""
        if is_reached != self._is_reached:
            self._is_reached = is_reached
            level, word = (logging.INFO, "reached again") if is_reached else (logging.WARNING, "not reached")
            _log.log(level, "collector %s", word)


class CollectorExport:
    """Exports spans and metrics. `endpoint`: the base URL of the collector, such as http://collector:4318. `version`: of
    guardproxy; `worker`: the number of this process; `lost(count)`: is called for lost spans, in any thread. One thread may
    call its methods."""

    def __init__(self, endpoint: str, version: str, worker: int, lost: Callable[[int], None]) -> None:
        logging.getLogger("opentelemetry").setLevel(
            logging.CRITICAL
        )  # it logs each failure; `_WaitingSpans` logs changes
        base = endpoint.rstrip("/")
        names: dict[str, Attribute] = {
            "service.name": os.environ.get("OTEL_SERVICE_NAME", "guardproxy"),
            "service.version": version,
            "service.instance.id": f"{os.uname().nodename}-{os.getpid()}-{worker}",
        }
        self._resource = Resource.create(names)
        self._scope = InstrumentationScope(SCOPE, version, SCHEMA_URL)
        self._lost = lost
        self._waiting = _WaitingSpans(OTLPSpanExporter(f"{base}/v1/traces", timeout=TIMEOUT_S), lost)
        self._spans = BatchSpanProcessor(
            self._waiting,
            max_queue_size=2 * LIMIT_SPANS,
            schedule_delay_millis=DELAY_MS,
            max_export_batch_size=min(BATCH_SPANS, LIMIT_SPANS),
        )
        reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"{base}/v1/metrics", timeout=TIMEOUT_S))
        self._meters = MeterProvider([reader], self._resource, shutdown_on_exit=False)
        meter = self._meters.get_meter(SCOPE, version, SCHEMA_URL)
        histogram = meter.create_histogram
        self._tokens = histogram(
            "gen_ai.client.token.usage",
            "{token}",
            "Tokens of requests and of answers.",
            explicit_bucket_boundaries_advisory=TOKENS,
        )
        self._duration = histogram(
            "gen_ai.server.request.duration",
            "s",
            "From the request to the end of its answer.",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        self._first_token = histogram(
            "gen_ai.server.time_to_first_token",
            "s",
            "From the request to the first text of a stream.",
            explicit_bucket_boundaries_advisory=FIRST_TOKEN_S,
        )
        self._per_token = histogram(
            "gen_ai.server.time_per_output_token",
            "s",
            "The mean time between two tokens of a stream.",
            explicit_bucket_boundaries_advisory=PER_TOKEN_S,
        )
        self._models = BoundedLabels(LIMIT_MODELS)

    def send(self, spans: Sequence[TraceSpan], trace: TraceContext) -> None:
        """Queues the spans of an exchange. Returns at once. Spans without room are lost."""
        if self._waiting.count + len(spans) > LIMIT_SPANS:
            self._lost(len(spans))
            return
        self._waiting.put += len(spans)
        for span in spans:
            self._spans.on_end(self._readable(span, trace))

    def measure(self, call: TraceSpan, measures: ExchangeMeasures) -> None:
        """Counts an exchange in the metrics. `call`: its request to the upstream."""
        attributes = {name: call.attributes[name] for name in _MEASURED if name in call.attributes}
        if measures.model:
            attributes["gen_ai.request.model"] = self._models.of(measures.model)
        for kind, count in (("input", measures.input_tokens), ("output", measures.output_tokens)):
            if count is not None:
                self._tokens.record(count, {**attributes, "gen_ai.token.type": kind})
        times = (
            (self._duration, measures.duration_s),
            (self._first_token, measures.first_token_s),
            (self._per_token, measures.per_token_s),
        )
        for histogram, time_s in times:
            if time_s is not None:
                histogram.record(time_s, attributes)

    def close(self, timeout_s: float) -> None:
        """Sends what waits, for at most `timeout_s` and the time of one request."""
        self._waiting.ends_at_s = time.monotonic() + timeout_s
        self._spans.shutdown()  # type: ignore[no-untyped-call]
        try:
            self._meters.shutdown(timeout_millis=timeout_s * 1000)
        except Exception as error:  # the SDK raises one of its own if the time is over
            _log.warning("metrics not exported", extra={"error": type(error).__name__})

    def _readable(self, span: TraceSpan, trace: TraceContext) -> ReadableSpan:
        def context(span_id: str) -> SpanContext:
            return SpanContext(int(trace.trace, 16), int(span_id, 16), is_remote=False, trace_flags=TraceFlags(1))

        return ReadableSpan(
            span.name,
            context=context(span.id),
            parent=context(span.parent) if span.parent else None,
            resource=self._resource,
            attributes=span.attributes,
            events=[Event(event.name, event.attributes, event.at_ns) for event in span.events],
            kind=_KINDS[span.kind],
            status=Status(StatusCode.ERROR) if span.error else Status(StatusCode.UNSET),
            start_time=span.start_ns,
            end_time=span.end_ns,
            instrumentation_scope=self._scope,
        )
