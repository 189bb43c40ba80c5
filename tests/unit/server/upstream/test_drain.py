"""The rest of a complete answer is read, so that its connection is used again, within bounds of bytes, time and number."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from multidict import CIMultiDict

from guardproxy.config import Config
from guardproxy.server.app import Server
from guardproxy.server.intake.listener import Listener
from guardproxy.server.upstream.connections import Connections, UpstreamAnswer
from guardproxy.server.upstream.drain import Leftovers
from tests.kit.play import chat_frames

POLICY = "policy: empty\nrules:\n  - {id: watch, when: check_error, action: flag}\n"
STREAMS = 200
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


ANSWER = HEAD + b"".join(map(chunk, chat_frames([{"content": "fine"}])))


class Model(asyncio.Protocol):
    """A model that ends the body of a stream only when `end` is called. Counts connections."""

    connections = 0
    open: set[Model]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        Model.connections += 1
        self.transport = transport
        self.open.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.open.discard(self)

    def data_received(self, data: bytes) -> None:
        if data.endswith(b"}"):
            self.transport.write(ANSWER)

    @classmethod
    def end(cls, data: bytes | None = LAST) -> None:
        """Sends the end of each body. `None`: ends the connections instead."""
        for connection in cls.open:
            if data is None:
                connection.transport.abort()
            else:
                connection.transport.write(data)


@asynccontextmanager
async def model() -> AsyncIterator[str]:
    Model.connections, Model.open = 0, set()
    server = await asyncio.get_running_loop().create_server(Model, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - what is counted tells nobody
            await asyncio.sleep(0)


@asynccontextmanager
async def proxied(folder: Path, upstream: str) -> AsyncIterator[tuple[Server, str]]:
    policies = folder / "policies"
    policies.mkdir()
    (policies / "policy.yaml").write_text(POLICY)
    server = Server(Config.of(upstream=(upstream,), policies=policies, audit=folder / "audit", drain_s=5.0))
    listener = Listener(server.handle, limit=10, timeout_head_s=5.0, auto_decompress=False, access_log=None)
    runner = web.ServerRunner(listener)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield server, f"http://127.0.0.1:{runner.addresses[0][1]}/v1/chat/completions"
    finally:
        await server.drain()
        await runner.cleanup()
        await server.close()


async def ask(client: aiohttp.ClientSession, url: str) -> bytes:
    body = json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]})
    async with client.post(url, data=body, headers={"content-type": "application/json"}) as answer:
        return await answer.read()


async def test_many_streams_use_one_connection(tmp_path: Path) -> None:
    """The end of each body comes after the client has the whole answer."""
    async with model() as upstream, proxied(tmp_path, upstream) as (server, url), aiohttp.ClientSession() as client:
        for _ in range(STREAMS):
            assert (await ask(client, url)).endswith(b"data: [DONE]\n\n")
            await until(lambda: server._leftovers.waiting)
            Model.end()
            await until(lambda: not server._leftovers.waiting)
        assert Model.connections == 1


async def test_the_rest_of_an_answer_does_not_outlive_the_server(tmp_path: Path) -> None:
    async with model() as upstream:
        async with proxied(tmp_path, upstream) as (server, url), aiohttp.ClientSession() as client:
            await ask(client, url)
            await until(lambda: server._leftovers.waiting)
        await until(lambda: not Model.open)


@asynccontextmanager
async def connected() -> AsyncIterator[Connections]:
    connections = Connections(5.0, 5.0)
    yield connections
    await connections.close()


async def answered(connections: Connections, url: str) -> UpstreamAnswer:
    """An answer that is read to its terminal event."""
    response = await connections.request("POST", url, CIMultiDict(), b"{}")
    seen = b""
    while b"[DONE]" not in seen:
        seen += await response.content.readany()
    return response


@pytest.mark.parametrize(
    ("leftovers", "rest"),
    [
        (Leftovers(limit_s=0.0), b""),
        (Leftovers(limit_bytes=10), chunk(b"x" * 11)),
        (Leftovers(limit_answers=0), b""),
        (Leftovers(), None),
    ],
)
async def test_a_connection_is_closed_when_the_rest_is_late_or_large_or_cut_off(
    leftovers: Leftovers, rest: bytes | None
) -> None:
    async with model() as upstream, connected() as connections:
        response = await answered(connections, upstream)
        leftovers.take(response)
        Model.end(rest)
        await until(lambda: not Model.open and not leftovers.waiting)
        await leftovers.close()


async def test_an_answer_that_has_ended_leaves_nothing_to_read() -> None:
    leftovers = Leftovers()
    async with model() as upstream, connected() as connections:
        for _ in range(2):
            response = await answered(connections, upstream)
            Model.end()
            await until(response.content.is_eof)
            leftovers.take(response)
            assert leftovers.waiting == 0
        assert Model.connections == 1
