"""The exporter against a collector: it gets what was measured; one that is down or slow costs nobody anything."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from guardproxy.telemetry import exporting
from guardproxy.telemetry.exporting import CollectorExport
from guardproxy.telemetry.measures import measures_of
from guardproxy.telemetry.spans import spans_of
from guardproxy.telemetry.trace import begin_trace
from tests.kit.collector import Collector, attributes, collecting
from tests.kit.records import plain_answer, plain_record

TRACE = begin_trace("x0", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
RECORD = plain_record(
    plain_answer(streamed=True),
    usage={"input_tokens": 5, "output_tokens": 11},
    timings={"request_scanned": 1.0, "upstream_answered": 2.0, "first_byte": 250.0, "finished": 1250.0},
)
SPANS = spans_of(RECORD, TRACE, "http://model:81", guardrails=False)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


def test_a_collector_gets_the_spans(collector: Collector) -> None:
    lost: list[int] = []
    exporter = CollectorExport(collector.url + "/", "1.2", 3, lost.append)
    exporter.send(SPANS, TRACE)
    exporter.close(5.0)
    exchange, call = collector.wait_spans(2)
    assert (exchange.name, call.name, exchange.kind, call.kind) == ("POST /v1/messages", "chat small", 2, 3)
    assert exchange.trace_id.hex() == call.trace_id.hex() == TRACE.trace
    assert (exchange.span_id.hex(), exchange.parent_span_id.hex()) == (TRACE.exchange, TRACE.parent)
    assert (call.span_id.hex(), call.parent_span_id.hex()) == (TRACE.call, TRACE.exchange)
    assert call.end_time_unix_nano - call.start_time_unix_nano == 1_249_000_000
    assert attributes(call)["gen_ai.usage.output_tokens"] == 11
    (resource,) = {request.resource_spans[0].resource.SerializeToString() for request in collector.requests[:1]}
    assert b"guardproxy" in resource
    assert lost == []


def test_a_collector_gets_the_metrics(collector: Collector) -> None:
    exporter = CollectorExport(collector.url, "1.2", 3, lambda count: None)
    exporter.measure(SPANS[1], measures_of(RECORD))
    exporter.measure(SPANS[1], measures_of(plain_record(plain_answer(status=500), timings={})))
    exporter.close(5.0)
    found = {name: list(metric.histogram.data_points) for name, metric in collector.metrics.items()}
    tokens = {attributes(point)["gen_ai.token.type"]: point for point in found["gen_ai.client.token.usage"]}
    assert {kind: point.sum for kind, point in tokens.items()} == {"input": 5, "output": 11}
    assert tokens["input"].explicit_bounds[:3] == [1, 4, 16]
    (first,) = found["gen_ai.server.time_to_first_token"]
    (mean,) = found["gen_ai.server.time_per_output_token"]
    (whole,) = found["gen_ai.server.request.duration"]
    assert (first.sum, mean.sum, whole.sum) == (0.25, 0.1, 1.25)
    assert attributes(whole) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "small",
        "server.address": "model",
        "server.port": 81,
    }


def test_what_a_collector_does_not_take_is_counted_and_said_once(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "guardproxy.telemetry")
    lost: list[int] = []
    collector.status = 400
    exporter = CollectorExport(collector.url, "1.2", 3, lost.append)
    for _ in range(2):
        exporter.send(SPANS, TRACE)
        exporter._spans.force_flush()
    collector.status = 200
    exporter.send(SPANS, TRACE)
    exporter.close(5.0)
    assert len(collector.spans) == 2
    assert sum(lost) == 4
    said = [record.getMessage() for record in caplog.records]
    assert said == ["collector not reached", "collector reached again"]


def test_an_exporter_that_raises_loses_spans_too(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("no such file of certificates")

    lost: list[int] = []
    exporter = CollectorExport(collector.url, "1.2", 3, lost.append)
    monkeypatch.setattr(exporter._waiting._exporter, "export", fail)
    exporter.send(SPANS, TRACE)
    exporter.close(5.0)
    assert sum(lost) == 2


def test_spans_without_room_are_lost_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "LIMIT_SPANS", 4)
    lost: list[int] = []
    with collecting(is_open=False) as collector:
        exporter = CollectorExport(collector.url, "1.2", 3, lost.append)
        for _ in range(5):
            exporter.send(SPANS, TRACE)
        assert sum(lost) == 6, "four spans wait, and nothing blocks"
        collector.gate.set()
        exporter.close(5.0)
        assert len(collector.spans) == 4


def test_closing_ends_in_time_though_the_collector_is_down() -> None:
    lost: list[int] = []
    exporter = CollectorExport("http://127.0.0.1:1", "1.2", 3, lost.append)
    exporter.send(SPANS, TRACE)
    exporter.close(0.0)
    assert sum(lost) == 2
