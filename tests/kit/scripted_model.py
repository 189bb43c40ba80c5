"""A model on a real socket whose connections follow scripts, and connections to it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from multidict import CIMultiDict
from yarl import URL

from guardproxy.server.upstream.connections import SLICE_BYTES, Connections, UpstreamAnswer
from guardproxy.server.upstream.egress import DIRECT, Way

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
LARGE = bytes(range(256)) * (SLICE_BYTES // 2)  # more than the buffers of two sockets hold
SOCKET_BYTES = 4096

Script = Callable[["Model"], Awaitable[None]]


class Model:
    """One connection to a model that follows a script."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def head(self) -> str:
        return (await self.reader.readuntil(b"\r\n\r\n")).decode()

    async def request(self) -> tuple[str, bytes]:
        head = await self.head()
        length = next((int(line[15:]) for line in head.splitlines() if line.lower().startswith("content-length:")), 0)
        return head, await self.reader.readexactly(length)

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()


@asynccontextmanager
async def model(
    scripts: Sequence[Script], context: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[str, list[Model]]]:
    """A model whose connections follow the scripts in turn, over TLS with a context. Gives its address, and the connections."""
    models: list[Model] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        models.append(Model(reader, writer))
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await scripts[len(models) - 1](models[-1])
        writer.close()

    listening = socket.create_server(("127.0.0.1", 0))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BYTES)
    server = await asyncio.start_server(serve, sock=listening, limit=SOCKET_BYTES, ssl=context)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"https://localhost:{port}" if context else f"http://127.0.0.1:{port}", models
    finally:
        server.close()
        for each in models:
            each.writer.transport.abort()
        await asyncio.sleep(0)


@asynccontextmanager
async def opened(
    idle_s: float = 5.0, way_of: Callable[[URL], Way] = lambda url: DIRECT, connect_s: float = 5.0
) -> AsyncIterator[Connections]:
    connections = Connections(connect_s, idle_s, way_of)
    try:
        yield connections
    finally:
        await connections.close()


async def ask(
    connections: Connections, url: str, method: str = "POST", body: bytes | None = b"{}", **headers: str
) -> UpstreamAnswer:
    return await connections.request(method, f"{url}/v1/x?a=b%20c", CIMultiDict(headers), body)


async def until(holds: Callable[[], object]) -> None:
    """Lets other tasks run until something holds."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - a connection tells nobody
            await asyncio.sleep(0)


async def give_up(connections: Connections, url: str, models: Sequence[Model], body: bytes) -> None:
    """Sends a request, and cancels it once the model has its connection."""
    asking = asyncio.create_task(ask(connections, url, body=body))
    await until(lambda: models)
    asking.cancel()
    with suppress(asyncio.CancelledError):
        await asking
    assert asking.cancelled()


def answering(*answers: bytes) -> Script:
    """Answers as many requests, then waits for the end of the connection."""

    async def script(model: Model) -> None:
        for answer in answers:
            await model.request()
            await model.say(answer)
        await model.reader.read()

    return script
