"""The server in this process, in front of a scripted upstream: what it refuses, what it counts, how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from guardproxy import wire
from guardproxy.config import Config
from guardproxy.decisions import Plan
from guardproxy.demo.journal import Journal
from guardproxy.demo.scripted import start
from guardproxy.gateway import Duty, Head, Steps
from guardproxy.server.app import Server
from guardproxy.server.driving.driver import SLICE_BYTES
from guardproxy.server.driving.recorder import Recorder
from guardproxy.server.intake.listener import Listener
from guardproxy.server.opening import bound, client_address
from tests.kit.plugins import Install

POLICY = """
policy: guard
checks:
  word: {use: pattern, words: [umbrella-corp]}
rules:
  - {id: no-such-word, on: request, when: word, action: block}
"""
ROUTES = pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])


def asked(text: str) -> dict[str, Any]:
    return {"model": "scripted", "max_tokens": 9, "messages": [{"role": "user", "content": text}]}


@dataclass
class Rig:
    """A server that listens, and what is behind it."""

    server: Server
    port: int
    journal: Journal
    audit: Path
    client: aiohttp.ClientSession

    def post(self, path: str, body: Any) -> Any:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        return self.client.post(f"http://127.0.0.1:{self.port}{path}", data=data, headers=headers)

    async def status(self, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        async with self.post(path, body) as answer:
            return answer.status, await answer.json()

    def records(self) -> list[dict[str, Any]]:
        """The records in the audit log so far."""
        lines = [json.loads(line) for log in self.audit.glob("*.jsonl") for line in log.read_text().splitlines()]
        return [line for line in lines if "outcome" in line]

    def count(self, name: str, **labels: str) -> float:
        return self.server.metrics.registry.get_sample_value(f"guardproxy_{name}", labels) or 0.0


Start = Callable[..., Any]


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts servers with settings; each is closed at the end of the test."""
    async with AsyncExitStack() as stack:

        async def begin(**settings: Any) -> Rig:
            return await stack.enter_async_context(_serving(tmp_path, settings))

        yield begin


@asynccontextmanager
async def _serving(folder: Path, settings: dict[str, Any]) -> AsyncIterator[Rig]:
    policies = folder / "policies"
    policies.mkdir()
    (policies / "policy.yaml").write_text(POLICY)
    upstream = await start()
    more = settings.pop("more_upstreams", ())
    config = Config.of(
        upstream=(upstream.url, *more),
        policies=policies,
        audit=folder / "audit",
        **{"port": 0, "drain_s": 5.0, **settings},
    )
    server = Server(config)
    listener = Listener(
        server.handle, limit=100, timeout_head_s=5.0, lingering_time=1.0, auto_decompress=False, access_log=None
    )
    server.watch(listener)
    runner = web.ServerRunner(listener)
    await runner.setup()
    with ExitStack() as unused:
        (opened,) = bound(client_address(config), unused)
        await web.SockSite(runner, opened).start()
        unused.pop_all()
    try:
        async with aiohttp.ClientSession() as client:
            yield Rig(server, runner.addresses[0][1], upstream.journal, config.audit.folder, client)
    finally:
        await server.drain()
        await runner.cleanup()
        await server.close()
        await upstream.close()


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - what is counted tells nobody
            await asyncio.sleep(0)


@ROUTES
async def test_an_answer_is_counted(running: Start, path: str) -> None:
    rig = await running()
    assert (await rig.status(path, asked("hello")))[0] == 200
    await until(lambda: rig.count("exchanges_total", route=f"POST {path}", outcome="answered") == 1)
    assert len(rig.journal.all()) == 1
    assert (
        rig.server.readiness_errors()
        == rig.server.liveness_errors()
        == rig.server.liveness_warnings()
        == rig.server.readiness_warnings()
        == []
    )


@ROUTES
async def test_what_a_policy_blocks_does_not_reach_the_upstream(running: Start, path: str) -> None:
    rig = await running()
    status, body = await rig.status(path, asked("of umbrella-corp"))
    assert (status, "error" in body) == (400, True)
    assert rig.journal.all() == []
    names = {"policy": "guard", "rule": "no-such-word", "action": "block", "mode": "enforce"}
    await until(lambda: rig.count("rule_hits_total", **names) == 1)


@ROUTES
async def test_a_body_over_the_limit_is_refused(running: Start, path: str) -> None:
    rig = await running(limit_body_bytes=1000)
    status, body = await rig.status(path, asked("x" * 1000))
    assert (status, "error" in body) == (413, True)
    assert rig.journal.all() == []


@ROUTES
async def test_a_body_that_does_not_come_is_refused(running: Start, path: str) -> None:
    rig = await running(body_grace_s=0.0, timeout_body_s=0.01)
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{{"
    writer.write(head.encode())
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"\r\n\r\n{" in answer


@ROUTES
async def test_exchanges_over_the_limit_are_sent_away(running: Start, path: str) -> None:
    """They are to come again; the first is answered by nobody and ends when its client leaves."""
    rig = await running(limit_exchanges=1)
    first = asyncio.create_task(rig.status(path, asked("hang early")))
    await until(rig.journal.all)
    assert rig.server.is_full()
    async with rig.post(path, asked("hello")) as answer:
        assert (answer.status, "retry-after" in answer.headers) == (503, True)
    first.cancel()
    await until(lambda: not rig.server.is_full())
    assert (await rig.status(path, asked("hello")))[0] == 200


async def test_without_a_log_nothing_is_answered(running: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = await running()
    monkeypatch.setattr(Recorder, "healthy", property(lambda _: False))
    monkeypatch.setattr(Recorder, "fault", property(lambda _: "the log is gone"))
    assert (await rig.status("/v1/messages", asked("hello")))[0] == 503
    assert rig.journal.all() == []
    assert rig.server.readiness_errors() == ["the audit log is gone"]
    (warning,) = rig.server.liveness_warnings()
    assert warning.startswith("the audit log is gone (for ")


async def test_an_unknown_route_and_a_wrong_type_are_refused(running: Start) -> None:
    rig = await running()
    assert (await rig.status("/v2/other", asked("hello")))[0] == 404
    async with rig.client.post(f"http://127.0.0.1:{rig.port}/v1/messages", data="hello") as answer:
        assert answer.status == 415


@pytest.mark.parametrize(
    ("method", "query", "body", "code"),
    [
        ("GET", "", b"", None),
        ("GET", "?limit=20&after=gpt-5", b"", None),
        ("GET", "?text=hello", b"", "invalid_query"),
        ("GET", "", b"hello", "unexpected_body"),
        ("GET", "?limit=20", b"{}", "unexpected_body"),
    ],
)
async def test_a_route_that_is_passed_through_carries_no_text(
    running: Start, method: str, query: str, body: bytes, code: str | None
) -> None:
    rig = await running()
    url = f"http://127.0.0.1:{rig.port}/v1/models{query}"
    async with rig.client.request(method, url, data=body or None) as answer:
        told = await answer.json()
    assert (told["error"]["code"] if code else None) == code
    assert len(rig.journal.all()) == (0 if code else 1), "what is refused is not sent"
    await until(rig.records)
    assert rig.records()[0]["outcome"] == ("refused" if code else "passed")


async def test_settings_name_the_parameters_of_such_a_route(running: Start) -> None:
    rig = await running(pass_through=("GET /v1/models",), pass_through_query=("text",))
    for query, status in (("text=hello", 200), ("limit=20", 400)):
        async with rig.client.get(f"http://127.0.0.1:{rig.port}/v1/models?{query}") as answer:
            assert answer.status == status


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_a_client_that_reads_slowly_is_cut_off(running: Start, is_streamed: bool) -> None:
    """Also while a whole answer is sent. What it did not take costs nothing afterwards."""
    rig = await running(timeout_write_s=0.2, limit_answer_rate=10**9)
    text = json.dumps({**asked("words: 100000"), "max_tokens": 1_000_000, "stream": is_streamed}).encode()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, ("127.0.0.1", rig.port))
        head = "POST /v1/messages HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\n"
        await loop.sock_sendall(client, f"{head}Content-Length: {len(text)}\r\n\r\n".encode() + text)
        await until(lambda: not rig.server._open and rig.journal.all())
        received = 0
        async with asyncio.timeout(20):
            with suppress(ConnectionResetError):
                while data := await loop.sock_recv(client, 1 << 20):
                    received += len(data)
    assert 0 < received < 600_000, "an end that it did not wait for"
    await until(rig.records)  # that of a client that left is written while nobody waits
    assert len(rig.records()) == 1


async def test_a_large_answer_arrives_whole_and_with_its_length(running: Start) -> None:
    rig = await running()
    async with rig.post("/v1/messages", {**asked("words: 100000"), "max_tokens": 1_000_000}) as answer:
        data = await answer.read()
    assert answer.headers["Content-Length"] == str(len(data))
    assert len(data) > 10 * SLICE_BYTES
    assert json.loads(data)["content"][0]["text"].endswith("word100000")


async def test_what_is_open_is_waited_for_and_then_ended(running: Start) -> None:
    rig = await running(drain_s=30.0)
    task = asyncio.create_task(rig.status("/v1/messages", asked("hang early")))
    await until(rig.journal.all)
    rig.server.stop_coming()
    assert rig.server.readiness_errors() == ["draining"]
    hurry = asyncio.Event()
    drained = asyncio.create_task(rig.server.drain(hurry))
    await asyncio.sleep(0)
    assert not drained.done()
    hurry.set()
    async with asyncio.timeout(20):
        await drained
        status, body = await task
    assert (status, "error" in body) == (503, True)


async def test_a_bad_file_is_a_remark_and_the_old_policies_stay(running: Start, tmp_path: Path) -> None:
    rig = await running()
    before = rig.server.version()["policies"]
    (tmp_path / "policies" / "policy.yaml").write_text("policy: [")
    said = await rig.server.reload()
    assert (said["ok"], said["policies"]) == (False, before)
    assert rig.server.readiness_warnings()[0].startswith("the policies' folder cannot be used")
    os.remove(tmp_path / "policies" / "policy.yaml")
    (tmp_path / "policies" / "other.yaml").write_text(POLICY.replace("umbrella", "parasol"))
    assert (await rig.server.reload())["ok"] is True
    assert rig.server.version()["policies"] != before
    assert rig.server.version()["models"] == {}, "these policies name no model"


async def test_an_upstream_that_is_not_asked_is_a_remark(running: Start) -> None:
    rig = await running(breaker_failures=1, readyz_upstreams=True)
    await rig.status("/v1/messages", asked("error 500"))
    await until(rig.server.readiness_warnings)
    assert "circuit breaker is open" in rig.server.readiness_warnings()[0]
    assert rig.server.readiness_errors() == ["no upstream answers (status)"]
    (name,) = rig.server._breakers.states()
    assert rig.count("upstream_breaker", upstream=name, state="open") == 1


class Routed(Duty):
    """Sends requests to a named upstream, and those of one model to an upstream that has no address."""

    name = "routed"

    def plan(self, head: Head, request: wire.Request) -> Steps[Plan | None]:
        yield from ()
        upstream = "nowhere" if request.model == "lost" else "second"
        return Plan(upstream=upstream, model="scripted", parameters={"max_tokens": 7}, reason="by the test")


@ROUTES
async def test_a_duty_plans_where_a_request_goes(running: Start, install: Install, path: str) -> None:
    install("guardproxy.duties", "routed", Routed)
    second = await start()
    try:
        rig = await running(duty=("routed",), more_upstreams=(f"second={second.url}",))
        status, _ = await rig.status(path, {**asked("echo: hello"), "model": "dear"})
        large, _ = await rig.status(path, {**asked("echo: " + "hello " * 20_000), "model": "dear"})
        lost, answer = await rig.status(path, {**asked("echo: hello"), "model": "lost"})
        broken, _ = await rig.status(path, b"{")
    finally:
        await second.close()
    assert (status, large, lost, broken) == (200, 200, 503, 400)
    assert "`nowhere`" in answer["error"]["message"]
    assert rig.journal.all() == []
    first = second.journal.all()[0]
    assert (first.tree["model"], first.tree["max_tokens"]) == ("scripted", 7)
    await rig.server.drain()
    records = [record for record in rig.records() if record["outcome"] == "answered"]
    assert {(record["plan"]["upstream"], record["plan"]["reason"]) for record in records} == {("second", "by the test")}


async def test_an_operator_is_told_what_is_needed_first(running: Start) -> None:
    rig = await running(more_upstreams=("away=https://api.example",), host="::")
    about = rig.server.about(8080)
    assert (about["url"], about["policy_names"]) == ("http://127.0.0.1:8080", ["guard"])
    assert about["audit"] == str(rig.audit)
    assert (
        about["base_url"]
        == "http://127.0.0.1:8080/v1 for OpenAI's SDKs, http://127.0.0.1:8080 for Anthropic's and Google's"
    )
    assert str(about["traffic"]).endswith("to upstreams: not encrypted to 127.0.0.1")
    rig.server.config = Config.of(upstream=("https://api.example",), host="fe80::1", audit=rig.audit)
    assert rig.server.about(1)["url"] == "http://[fe80::1]:1"
    assert str(rig.server.about(1)["traffic"]).endswith("to upstreams: encrypted")


@ROUTES
async def test_an_error_of_the_upstream_is_counted_apart(running: Start, path: str) -> None:
    rig = await running()
    assert (await rig.status(path, asked("error 503")))[0] == 503
    await until(lambda: rig.count("exchanges_total", route=f"POST {path}", outcome="upstream_5xx") == 1)


@pytest.mark.parametrize("prices", ["none", "genai-prices"])
async def test_policies_with_a_limit_of_costs_need_prices(running: Start, tmp_path: Path, prices: str) -> None:
    rig = await running(prices=prices)
    file = tmp_path / "policies" / "policy.yaml"
    file.write_text(POLICY + "limits: [{name: money, unit: cost, budget: 5/day}]\n")
    assert await rig.server.reloading.now() is (prices != "none")
    if prices == "none":
        assert "no model has a price: add `prices`" in str(rig.server.reloading.errors[0])
        file.write_text(file.read_text() + 'prices: {"*": {input: 1, output: 2}}\n')
        assert await rig.server.reloading.now()
