"""A stand-in for an OpenTelemetry collector: takes OTLP over HTTP, parses it with OpenTelemetry's messages, and keeps it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

WAIT_S = 30.0
_MESSAGES: dict[str, Callable[[], Any]] = {
    "/v1/traces": ExportTraceServiceRequest,
    "/v1/metrics": ExportMetricsServiceRequest,
}


def _plain(value: Any) -> Any:
    """The value of an attribute."""
    kind = value.WhichOneof("value")
    content = getattr(value, kind)
    return [_plain(item) for item in content.values] if kind == "array_value" else content


def attributes(owner: Any) -> dict[str, Any]:
    """The attributes of a span, an event, a resource or a data point."""
    return {attribute.key: _plain(attribute.value) for attribute in owner.attributes}


@dataclass
class Collector:
    """What was received. `status`: the answer to every request. `gate`: requests wait for it."""

    url: str = ""
    status: int = 200
    gate: threading.Event = field(default_factory=threading.Event)
    bodies: list[bytes] = field(default_factory=list)
    requests: list[Any] = field(default_factory=list)
    came: threading.Condition = field(default_factory=threading.Condition)

    @property
    def spans(self) -> list[Any]:
        """All spans, in the order in which they came."""
        return [
            span
            for request in self.requests
            if isinstance(request, ExportTraceServiceRequest)
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def metrics(self) -> dict[str, Any]:
        """The newest state of each metric, by its name."""
        return {
            metric.name: metric
            for request in self.requests
            if isinstance(request, ExportMetricsServiceRequest)
            for resource in request.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def wait_spans(self, count: int) -> list[Any]:
        """The spans, once there are `count`."""
        with self.came:
            assert self.came.wait_for(lambda: len(self.spans) >= count, WAIT_S)
            return self.spans

    def take(self, path: str, body: bytes) -> None:
        """Keeps a request."""
        message = _MESSAGES[path]()
        message.ParseFromString(body)
        with self.came:
            self.bodies.append(body)
            self.requests.append(message)
            self.came.notify_all()


@contextmanager
def collecting(*, is_open: bool = True) -> Iterator[Collector]:
    """Runs a collector. `is_open`: whether it answers at once, or only after `gate` is set."""
    collector = Collector()
    if is_open:
        collector.gate.set()

    class Taking(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.gate.wait(WAIT_S)
            if collector.status < 300:
                collector.take(self.path, body)
            self.send_response(collector.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Taking)
    collector.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        collector.gate.set()
        server.shutdown()
        server.server_close()
        thread.join(WAIT_S)
