"""Traces of a server in this process: what a collector and an upstream get, and what a collector that is down costs."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from guardproxy.config import Config
from guardproxy.demo.journal import Journal
from guardproxy.demo.scripted import start
from guardproxy.errors import ConfigError
from guardproxy.server.app import Server
from guardproxy.server.listener import Listener
from guardproxy.server.status import Metrics
from guardproxy.server.tracing import tracing_of
from tests.kit.collector import Collector, attributes, collecting

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


@dataclass
class Rig:
    """A server with a collector, in front of a scripted upstream."""

    server: Server
    url: str
    journal: Journal
    client: aiohttp.ClientSession

    async def post(self, path: str, body: Any, **headers: str) -> int:
        """Sends a request and reads the whole answer. Returns its status."""
        async with self.client.post(self.url + path, data=json.dumps(body), headers=HEADERS | headers) as answer:
            await answer.read()
            return answer.status


HEADERS = {"content-type": "application/json"}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@asynccontextmanager
async def serving(folder: Path, **settings: Any) -> AsyncIterator[Rig]:
    (folder / "policies").mkdir()
    (folder / "policies" / "policy.yaml").write_text(POLICY)
    async with AsyncExitStack() as stack:
        upstream = await start()
        stack.push_async_callback(upstream.close)
        config = Config(
            upstream=(upstream.url,), policies=folder / "policies", audit=folder / "audit", drain_s=5.0, **settings
        )
        server = Server(config)
        listener = Listener(
            server.handle, limit=100, timeout_head_s=5.0, lingering_time=1.0, auto_decompress=False, access_log=None
        )
        runner = web.ServerRunner(listener)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            async with aiohttp.ClientSession() as client:
                yield Rig(server, f"http://127.0.0.1:{runner.addresses[0][1]}", upstream.journal, client)
        finally:
            await server.drain()
            await runner.cleanup()
            await server.close()


def body(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "scripted", "messages": [{"role": "user", "content": text}], **more}


CHAT = "/v1/chat/completions"


async def test_a_trusted_client_and_the_upstream_share_a_trace(tmp_path: Path, collector: Collector) -> None:
    async with serving(
        tmp_path, otel_endpoint=collector.url, otel_guardrails="on", trusted_hop=("127.0.0.0/8",)
    ) as rig:
        assert await rig.post(CHAT, body("echo: to a@planted", stream=True), traceparent=PARENT) == 200
        (received,) = rig.journal.all()
        port = int(rig.server.config.upstream[0].rpartition(":")[2])
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
    async with serving(tmp_path, otel_endpoint=collector.url) as rig:
        assert await rig.post(CHAT, body("hello"), traceparent=PARENT) == 200
        (received,) = rig.journal.all()
    exchange, call = collector.spans
    assert exchange.trace_id.hex() != TRACE
    assert exchange.parent_span_id == b""
    assert received.headers["traceparent"] == f"00-{call.trace_id.hex()}-{call.span_id.hex()}-01"


async def test_without_a_collector_a_trace_passes_as_it_came(tmp_path: Path) -> None:
    async with serving(tmp_path) as rig:
        assert await rig.post(CHAT, body("hello"), traceparent=PARENT) == 200
        assert rig.journal.all()[0].headers["traceparent"] == PARENT


async def test_no_text_is_exported(tmp_path: Path, collector: Collector) -> None:
    everywhere = body(
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
        tmp_path, otel_endpoint=collector.url, otel_guardrails="on", trusted_hop=("127.0.0.0/8",)
    ) as rig:
        assert await rig.post(CHAT, everywhere | {"model": "scripted"}, **headers) == 200
        assert await rig.post(CHAT, everywhere, **headers) == 404
        assert await rig.post(CHAT, {**everywhere, "stream": True, "model": "scripted"}, **headers) == 200
        assert await rig.post(CHAT, body("echo: a@planted, planted-blocked"), **headers) == 400
        assert await rig.post(CHAT, body(f"error 500: {PLANTED}"), **headers) == 500
        assert await rig.post(CHAT, {PLANTED: PLANTED}, **headers) == 400
        assert await rig.post(f"/{PLANTED}?q={PLANTED}", body(PLANTED), **headers) == 404
        assert await rig.post(f"{CHAT}?{PLANTED}={PLANTED}", body(PLANTED), **headers) == 400
        assert any(PLANTED.encode() in received.body for received in rig.journal.all())
    assert len([span for span in collector.spans if span.kind == 2]) == 8
    assert collector.metrics
    assert not [data for data in collector.bodies if PLANTED.encode() in data.lower()]


@pytest.mark.parametrize("is_open", [True, False])
async def test_a_collector_that_is_down_or_slow_costs_requests_nothing(tmp_path: Path, is_open: bool) -> None:
    with collecting(is_open=is_open) as collector:
        collector.status = 400
        async with serving(tmp_path, otel_endpoint=collector.url) as rig:
            for _ in range(5):
                assert await rig.post(CHAT, body("hello")) == 200
            registry = rig.server.metrics.registry
            collector.gate.set()
        lost = registry.get_sample_value("guardproxy_observer_dropped_total", {"observer": "collector"})
        assert lost == 10
        assert registry.get_sample_value("guardproxy_observer_dropped_total", {"observer": "otel"}) == 0


def test_the_packages_are_named_where_they_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "guardproxy.telemetry.exporting", None)
    with pytest.raises(ConfigError, match=r"guardproxy\[otel\]"):
        tracing_of(Config(otel_endpoint="http://c"), "1", 0, Metrics())
    assert tracing_of(Config(), "1", 0, Metrics()) is None
