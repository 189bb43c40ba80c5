"""Traces of a server in this process: what a collector and an upstream get, and what a collector that is down costs."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import guardproxy
from guardproxy.config import Config
from guardproxy.errors import ConfigError
from guardproxy.server.observing.metrics import Metrics
from guardproxy.server.observing.tracing import tracing_of
from tests.kit.collector import Collector, attributes, collecting
from tests.kit.serving import CHAT, chat, serving

PACKAGE = Path(guardproxy.__file__).parent
POLICY = """
policy: guard
checks:
  word: {use: pattern, label: WORD, words: [planted-blocked]}
  mail: {use: pattern, label: MAIL, patterns: ["[a-z]+@planted"]}
rules:
  - {id: no-such-word, on: request, when: word, action: block}
  - {id: no-mail, on: request, when: mail, action: redact, restore: false}
  - {id: quiet, on: response, when: mail, action: flag, mode: shadow}
"""
PLANTED = "planted"
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


async def test_a_trusted_client_and_the_upstream_share_a_trace(tmp_path: Path, collector: Collector) -> None:
    async with serving(
        tmp_path, POLICY, otel_endpoint=collector.url, otel_guardrails="on", trusted_hop=("127.0.0.0/8",)
    ) as rig:
        assert await rig.post(CHAT, chat("echo: to a@planted", stream=True), traceparent=PARENT) == 200
        (received,) = rig.journal.all()
        port = int(rig.server.config.upstreams.entries[0].rpartition(":")[2])
    exchange, call, asked, answered = collector.spans
    assert received.headers["traceparent"] == f"00-{TRACE}-{call.span_id.hex()}-01"
    assert exchange.parent_span_id.hex() == SPAN
    assert {span.trace_id.hex() for span in collector.spans} == {TRACE}
    assert {span.parent_span_id for span in (call, asked, answered)} == {exchange.span_id}
    assert (call.name, attributes(call)["server.port"]) == ("chat scripted", port)
    assert [attributes(event)["gen_ai.security.policy.rule.id"] for event in asked.events] == ["no-mail"]
    assert attributes(asked)["gen_ai.security.verdict.type"] == "modify"
    (first,) = collector.metrics["gen_ai.server.time_to_first_token"].histogram.data_points
    assert first.count == 1


async def test_the_trace_of_another_client_is_not_taken(tmp_path: Path, collector: Collector) -> None:
    async with serving(tmp_path, POLICY, otel_endpoint=collector.url) as rig:
        assert await rig.post(CHAT, chat("hello"), traceparent=PARENT) == 200
        (received,) = rig.journal.all()
    exchange, call = collector.spans
    assert exchange.trace_id.hex() != TRACE
    assert exchange.parent_span_id == b""
    assert received.headers["traceparent"] == f"00-{call.trace_id.hex()}-{call.span_id.hex()}-01"


async def test_without_a_collector_a_trace_passes_as_it_came(tmp_path: Path) -> None:
    async with serving(tmp_path, POLICY) as rig:
        assert await rig.post(CHAT, chat("hello"), traceparent=PARENT) == 200
        assert rig.journal.all()[0].headers["traceparent"] == PARENT


async def test_no_text_is_exported(tmp_path: Path, collector: Collector) -> None:
    everywhere = chat(
        f"echo: {PLANTED} one",
        model=f"{PLANTED} model",
        user=PLANTED,
        stop=[PLANTED],
        metadata={PLANTED: PLANTED},
        tools=[{"type": "function", "function": {"name": PLANTED, "description": PLANTED}}],
    )
    everywhere["messages"].insert(0, {"role": "system", "content": PLANTED, "name": PLANTED})
    headers = {"authorization": f"Bearer {PLANTED}", "user-agent": PLANTED, "traceparent": PLANTED, "baggage": PLANTED}
    headers |= {"tracestate": f"a={PLANTED}", "content-language": PLANTED, "x-guardproxy-conversation": PLANTED}
    async with serving(
        tmp_path, POLICY, otel_endpoint=collector.url, otel_guardrails="on", trusted_hop=("127.0.0.0/8",)
    ) as rig:
        assert await rig.post(CHAT, everywhere | {"model": "scripted"}, **headers) == 200
        assert await rig.post(CHAT, everywhere, **headers) == 404
        assert await rig.post(CHAT, {**everywhere, "stream": True, "model": "scripted"}, **headers) == 200
        assert await rig.post(CHAT, chat("echo: a@planted, planted-blocked"), **headers) == 400
        assert await rig.post(CHAT, chat(f"error 500: {PLANTED}"), **headers) == 500
        assert await rig.post(CHAT, {PLANTED: PLANTED}, **headers) == 400
        assert await rig.post(f"/{PLANTED}?q={PLANTED}", chat(PLANTED), **headers) == 404
        assert await rig.post(f"{CHAT}?{PLANTED}={PLANTED}", chat(PLANTED), **headers) == 400
        assert any(PLANTED.encode() in received.body for received in rig.journal.all())
    assert len([span for span in collector.spans if span.kind == 2]) == 8
    assert collector.metrics
    assert not [data for data in collector.bodies if PLANTED.encode() in data.lower()]


@pytest.mark.parametrize("is_open", [True, False])
async def test_a_collector_that_is_down_or_slow_costs_requests_nothing(tmp_path: Path, is_open: bool) -> None:
    with collecting(is_open=is_open) as collector:
        collector.status = 400
        async with serving(tmp_path, POLICY, otel_endpoint=collector.url) as rig:
            for _ in range(5):
                assert await rig.post(CHAT, chat("hello")) == 200
            registry = rig.server.metrics.registry
            collector.gate.set()
        lost = registry.get_sample_value("guardproxy_observer_dropped_total", {"observer": "collector"})
        assert lost == 10
        assert registry.get_sample_value("guardproxy_observer_dropped_total", {"observer": "otel"}) == 0


def test_the_packages_are_named_where_they_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "guardproxy.telemetry.exporting", None)
    with pytest.raises(ConfigError, match=r"guardproxy\[otel\]"):
        tracing_of(Config.of(otel_endpoint="http://c"), "1", 0, Metrics())
    assert tracing_of(Config(), "1", 0, Metrics()) is None


def test_only_a_collector_loads_code_of_opentelemetry() -> None:
    importing = {}
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text("utf-8")
        if "import" in text and ("opentelemetry." in text or "telemetry.exporting" in text):
            nodes = [node for node in ast.parse(text).body if isinstance(node, ast.Import | ast.ImportFrom)]
            names = [getattr(node, "module", "") or "" for node in nodes]
            importing[path.name] = any(name.startswith("opentelemetry") or "exporting" in name for name in names)
    assert importing.pop("exporting.py")
    assert importing.pop("tracing.py") is False, "imports it in a function"
    assert not any(importing.values())
