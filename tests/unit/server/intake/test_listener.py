"""The listener: refusals under pressure without a task, and connections that are refused without being reset."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from multidict import CIMultiDict

from guardproxy.server.intake import listener as module
from guardproxy.server.intake.listener import Listener, whole_response
from guardproxy.server.intake.pressure import Pressure

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer one\r\nContent-Length: 2\r\n"
REQUEST = HEAD + b"\r\n{}"
Start = Callable[..., Any]


class High(Pressure):
    """Always under pressure, and refuses those senders."""

    def __init__(self, *senders: str) -> None:
        super().__init__()
        self.is_high = True
        self.asked: list[str] = []
        self._senders = senders

    def refuses(self, sender: str) -> bool:
        self.asked.append(sender)
        return sender in self._senders


class Client:
    """A raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        return int(head[0].split()[1]), headers, await self.reader.readexactly(int(headers["content-length"]))

    async def ask(self, data: bytes) -> tuple[int, dict[str, str], bytes]:
        self.writer.write(data)
        return await self.answer()


@asynccontextmanager
async def serving(pressure: Pressure, limit: int = 10) -> AsyncIterator[tuple[Listener, Callable[[], Any]]]:
    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=await request.read())

    made = Listener(
        handle, limit=limit, timeout_head_s=5.0, pressure=pressure, refusal=lambda path: path.encode(), access_log=None
    )
    runner = web.ServerRunner(made)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with AsyncExitStack() as stack:

        async def connect() -> Client:
            reader, writer = await asyncio.open_connection(*runner.addresses[0][:2])
            stack.callback(writer.close)
            return Client(reader, writer)

        yield made, connect
    await runner.cleanup()


async def test_a_request_is_refused_and_its_connection_stays_for_the_next() -> None:
    pressure = High("Bearer one")
    async with serving(pressure) as (_, connect):
        client = await connect()
        for _ in range(3):
            status, headers, body = await client.ask(REQUEST)
            assert (status, body) == (503, b"/v1/chat/completions")
            assert headers["retry-after"] == "1"
            assert "connection" not in headers
        assert (await client.ask(REQUEST.replace(b"Bearer one", b"Bearer two")))[::2] == (200, b"{}")
        assert (await client.ask(REQUEST))[0] == 503
        pressure.is_high = False
        assert (await client.ask(REQUEST))[::2] == (200, b"{}")
    assert pressure.asked == ["Bearer one"] * 3 + ["Bearer two", "Bearer one"]


async def test_a_sender_without_a_credential_is_its_address() -> None:
    pressure = High()
    async with serving(pressure) as (_, connect):
        client = await connect()
        assert (await client.ask(REQUEST.replace(b"Authorization: Bearer one\r\n", b"")))[0] == 200
    assert pressure.asked == ["127.0.0.1"]


async def test_a_connection_that_ends_with_its_request_is_closed() -> None:
    async with serving(High("Bearer one")) as (_, connect):
        client = await connect()
        status, headers, _ = await client.ask(HEAD + b"Connection: close\r\n\r\n{}")
        assert (status, headers["connection"]) == (503, "close")
        assert await client.reader.read() == b""


async def test_a_refusal_of_head_has_no_body() -> None:
    async with serving(High("Bearer one")) as (_, connect):
        client = await connect()
        client.writer.write(HEAD.replace(b"POST", b"HEAD").replace(b"Content-Length: 2\r\n", b"\r\n"))
        head = await client.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"Content-Length: 20\r\n" in head
        assert (await client.ask(REQUEST))[::2] == (503, b"/v1/chat/completions")


@pytest.mark.parametrize(
    "head",
    [
        HEAD.replace(b"Content-Length: 2\r\n", b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
        b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer one\r\n\r\n",
    ],
    ids=["upgrade", "connect"],
)
async def test_a_refused_upgrade_ends_its_connection(head: bytes) -> None:
    async with serving(High("Bearer one")) as (_, connect):
        client = await connect()
        status, headers, _ = await client.ask(head)
        assert (status, headers["connection"]) == (503, "close")
        assert await client.reader.read() == b""


@pytest.mark.parametrize(
    "parts",
    [[HEAD + b"\r\n{", b"}"], [HEAD[:20], HEAD[20:] + b"\r\n{}"], [HEAD + b"\r\n", b"{}"]],
    ids=["body in parts", "head in parts", "body later"],
)
async def test_a_request_in_parts_is_answered(parts: list[bytes]) -> None:
    """A body that is still coming goes on to a handler, which can refuse it and read the rest."""
    async with serving(High("Bearer one")) as (_, connect):
        client = await connect()
        for part in parts[:-1]:
            client.writer.write(part)
            await client.writer.drain()
            for _ in range(20):
                await asyncio.sleep(0)
        status, *_ = await client.ask(parts[-1])
        assert status == (503 if parts[0] == HEAD[:20] else 200)
        assert (await client.ask(REQUEST))[0] == 503


async def test_requests_that_follow_each_other_in_one_piece_are_all_answered() -> None:
    async with serving(High("Bearer one")) as (_, connect):
        client = await connect()
        client.writer.write(REQUEST + REQUEST.replace(b"{}", b"[]"))
        assert [(await client.answer())[2] for _ in range(2)] == [b"{}", b"[]"]


async def test_what_is_malformed_is_said_to_be() -> None:
    async with serving(High("Bearer one")) as (_, connect):
        client = await connect()
        status, _, body = await client.ask(b"no http\r\n\r\n")
        assert status == 400
        assert json.loads(body)["error"]["code"] == "malformed_http"


async def test_a_refused_connection_reads_its_503_though_it_has_sent_a_request() -> None:
    async with serving(Pressure(), limit=1) as (made, connect):
        busy = await connect()
        busy.writer.write(HEAD + b"\r\n{")  # its body does not come
        await until(lambda: made.shares.used == 1)
        await until(lambda: next(iter(made.connections)).idle_since_s is None)  # type: ignore[attr-defined]
        refused = await connect()
        status, headers, _ = await refused.ask(REQUEST)
        assert (status, headers["connection"]) == (503, "close")
        assert await refused.reader.read() == b"", "no reset"
        assert made.lingering == 1
        refused.writer.close()
        await until(lambda: made.lingering == 0)


async def test_few_refused_connections_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_LINGERING", 0)
    async with serving(Pressure(), limit=1) as (made, connect):
        busy = await connect()
        busy.writer.write(HEAD + b"\r\n{")
        await until(lambda: made.shares.used == 1)
        await until(lambda: next(iter(made.connections)).idle_since_s is None)  # type: ignore[attr-defined]
        refused = await connect()
        assert (await refused.answer())[0] == 503
        assert made.lingering == 0


async def test_a_connection_whose_request_was_not_read_is_not_idle() -> None:
    async with serving(Pressure(), limit=4) as (made, connect):
        clients = [await connect() for _ in range(3)]
        await until(lambda: made.shares.used == 3)
        connections: list[Any] = list(made.connections)
        for connection in connections:
            connection.transport.pause_reading()
        clients[0].writer.write(REQUEST)
        await until(lambda: any(connection.has_unread_bytes() for connection in connections))
        made._reap()
        await until(lambda: made.shares.used == 2)
        for connection in connections:
            if connection.transport is not None and not connection.transport.is_closing():
                connection.transport.resume_reading()
        assert (await clients[0].answer())[0] == 200


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - what happens tells nobody
            await asyncio.sleep(0)


@pytest.mark.parametrize("status", [200, 204, 304, 500])
@pytest.mark.parametrize("body", [b"", b"whole"])
@pytest.mark.parametrize("head", [b"POST / HTTP/1.1", b"HEAD / HTTP/1.1", b"POST / HTTP/1.0"])
async def test_a_whole_response_is_that_of_aiohttp(head: bytes, body: bytes, status: int) -> None:
    """The same bytes on the wire, written at once, but for the time."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        headers = CIMultiDict({"Content-Type": "text/plain", "Server": "s", "Date": "d"})
        if "Plain" in request.headers:
            return web.Response(status=status, body=body, headers=headers)
        return whole_response(request, status, body, headers)

    runner = web.ServerRunner(Listener(handle, limit=10, timeout_head_s=5.0, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    seen = []
    for more in (b"", b"Plain: yes\r\n"):
        reader, writer = await asyncio.open_connection(*runner.addresses[0][:2])
        writer.write(head + b"\r\nHost: x\r\nConnection: close\r\n" + more + b"\r\n")
        lines, _, content = (await reader.read()).partition(b"\r\n\r\n")
        seen.append((sorted(lines.split(b"\r\n")), content))
        writer.close()
    await runner.cleanup()
    assert seen[0] == seen[1]
    assert seen[0][1] in (body, b"")
