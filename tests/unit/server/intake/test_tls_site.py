"""Connections over TLS: counted before their handshake, each with the context of its moment, and given up in time."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from guardproxy.server.aiohttp_parts import UNREAD_BYTES, HttpRequest
from guardproxy.server.intake import tls_site as module
from guardproxy.server.intake.listener import Listener
from guardproxy.server.intake.tls_site import TlsSite
from guardproxy.server.trust.contexts import TlsFiles, build
from tests.kit.certificates import Authority, Pair
from tests.kit.scripted_model import until

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Site:
    """A listener behind TLS. `contexts`: the last one is for the next connection; `failed`: why handshakes failed."""

    def __init__(self, authority: Authority, limit: int, handshake_s: float, authorities: bool) -> None:
        self.authority = authority
        self.failed: list[str] = []
        self._writers: list[asyncio.StreamWriter] = []
        self.go_on = asyncio.Event()
        trusted = authority.file if authorities else None
        self.contexts = [context(authority.pair("localhost"), trusted)]
        self.listener = Listener(
            self._handle,
            limit=limit,
            timeout_head_s=5.0,
            certified=lambda certificate: dict(part for parts in certificate["subject"] for part in parts),
            access_log=None,
        )
        self.opened = socket.create_server(("127.0.0.1", 0))
        self.port = self.opened.getsockname()[1]
        self.site = TlsSite(self.listener, [self.opened], lambda: self.contexts[-1], handshake_s, self.failed.append)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        assert isinstance(request, HttpRequest)
        if request.path == "/":
            return web.Response(text=str((request.certificate or {}).get("commonName")))
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"begun ")
        await self.go_on.wait()
        await answer.write(b"ended")
        return answer

    async def connect(
        self, pair: Pair | None = None, **options: Any
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        trusting = ssl.create_default_context(cafile=self.authority.file)
        if pair:
            trusting.load_cert_chain(*pair)
        for name, value in options.items():
            getattr(trusting, name)(value)
        return await self.open(ssl=trusting, server_hostname="localhost")

    async def open(self, **options: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, **options)
        self._writers.append(writer)
        return reader, writer

    async def ask(self, pair: Pair | None) -> bytes:
        return await ask(*await self.connect(pair))

    async def close(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        await until(lambda: self.listener.shares.used == 0)


def context(pair: Pair, authorities: Path | None = None) -> ssl.SSLContext:
    files = TlsFiles(pair.cert, pair.key, authorities, is_server=True)
    return build(files, files.read(), time.time()).context


@asynccontextmanager
async def serving(
    folder: Path, limit: int = 100, handshake_s: float = 5.0, authorities: bool = False
) -> AsyncIterator[Site]:
    made = Site(Authority(folder), limit, handshake_s, authorities)
    runner = web.ServerRunner(made.listener)
    await runner.setup()
    await made.site.start()
    try:
        yield made
    finally:
        await made.site.stop()
        await made.close()
        await runner.cleanup()


async def body(reader: asyncio.StreamReader) -> bytes:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = next(int(line[16:]) for line in head.splitlines() if line.startswith("content-length: "))
    return await reader.readexactly(length)


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(REQUEST)
    return await body(reader)


async def test_a_client_speaks_http_1_over_tls(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        reader, writer = await site.connect(set_alpn_protocols=["h2", "http/1.1"])
        encrypted = writer.get_extra_info("ssl_object")
        assert encrypted.selected_alpn_protocol() == "http/1.1"
        assert encrypted.version() == "TLSv1.3"
        assert [await ask(reader, writer) for _ in range(2)] == [b"None"] * 2
        assert site.listener.shares.held("127.0.0.1") == 1
        writer.transport.abort()
        await until(lambda: site.listener.shares.used == 0)


async def test_an_old_version_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection("127.0.0.1", site.port, ssl=old)


async def test_the_certificate_of_a_client_is_known_to_its_requests(tmp_path: Path) -> None:
    async with serving(tmp_path, authorities=True) as site:
        for name in ("ann", "bob"):
            reader, writer = await site.connect(site.authority.pair(name))
            assert await ask(reader, writer) == name.encode()
        stranger_folder = tmp_path / "stranger"
        stranger_folder.mkdir()
        stranger = Authority(stranger_folder).pair("eve")
        for pair in (None, stranger):  # with TLS 1.3 the client learns it when it reads
            with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
                await site.ask(pair)
        await until(lambda: len(site.failed) == 2)
        assert site.failed == ["certificate"] * 2
        assert site.listener.shares.used == 2


async def test_open_streams_keep_their_context_while_others_get_the_new_one(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        streams = []
        for _ in range(50):
            reader, writer = await site.connect()
            writer.write(REQUEST.replace(b"/ ", b"/stream "))
            assert (await reader.readuntil(b"begun "))[:15] == b"HTTP/1.1 200 OK"
            streams.append((reader, writer))
        site.contexts.append(context(site.authority.pair("new", host="localhost", subject=[("CN", "new")])))
        reader, writer = await site.connect()
        subject = writer.get_extra_info("peercert")["subject"]
        assert subject == ((("commonName", "new"),),)
        site.go_on.set()
        for reader, writer in streams:
            assert b"ended" in await reader.readuntil(b"0\r\n\r\n")
            assert writer.get_extra_info("peercert")["subject"] == ((("commonName", "localhost"),),)


async def test_connections_end_with_their_answer_when_authorities_change(tmp_path: Path) -> None:
    async with serving(tmp_path, authorities=True) as site:
        ann = site.authority.pair("ann")
        idle, busy = await site.connect(ann), await site.connect(ann)
        assert await ask(*idle) == b"ann"
        busy[1].write(REQUEST.replace(b"/ ", b"/stream "))
        await busy[0].readuntil(b"begun ")
        site.listener.hang_up()
        assert await idle[0].read() == b""
        site.go_on.set()
        rest = await busy[0].read()
        assert b"ended" in rest
        assert rest.endswith(b"0\r\n\r\n"), "the answer is complete, and its connection is closed"


async def test_a_handshake_counts_and_ends_in_time(tmp_path: Path) -> None:
    """A client that connects and says nothing takes a place for as long as a request head may take, and not more places than
    any other client."""
    async with serving(tmp_path, limit=5, handshake_s=30.0) as site:
        silent = []
        for _ in range(6):
            reader, writer = await site.open()
            silent.append((reader, writer))
        await until(lambda: site.listener.refused)
        assert site.listener.shares.used < 5, "some are left for other addresses"
        for _, writer in silent:
            writer.transport.abort()
        await until(lambda: site.listener.shares.used == 0)
        assert set(site.failed) == {"closed"}
        reader, writer = await site.connect()
        assert await ask(reader, writer) == b"None"
    folder = tmp_path / "short"
    folder.mkdir()
    async with serving(folder, handshake_s=0.05) as site:
        reader, writer = await site.open()
        assert await reader.read() == b""
        writer.transport.abort()
        await until(lambda: site.failed)
        assert site.failed == ["timeout"]


async def test_plain_http_is_no_handshake(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        reader, writer = await site.open()
        writer.write(REQUEST)
        with suppress(ConnectionResetError):
            assert b"HTTP" not in await reader.read()
        writer.transport.abort()
        await until(lambda: site.failed)
        assert site.failed == ["tls"]


async def test_handshakes_are_given_up_at_the_end(tmp_path: Path) -> None:
    async with serving(tmp_path, handshake_s=30.0) as site:
        reader, writer = await site.open()
        await until(lambda: site.listener.shares.used)
        await site.site.stop()
        assert site.listener.shares.used == 0
        assert await reader.read() == b""
        writer.transport.abort()


async def test_a_shortage_of_descriptors_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loop, monkeys = asyncio.get_running_loop(), [OSError(24, "too many"), OSError(103, "gone")]
    accept = loop.sock_accept

    async def failing(opened: socket.socket) -> Any:
        if monkeys:
            raise monkeys.pop(0)
        return await accept(opened)

    monkeypatch.setattr(loop, "sock_accept", failing)
    monkeypatch.setattr(module, "REST_S", 0)
    async with serving(tmp_path) as site:
        reader, writer = await site.connect()
        assert await ask(reader, writer) == b"None"
        writer.transport.abort()
    assert monkeys == []


async def test_a_broken_socket_does_not_hold_the_loop(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(tmp_path) as site:
        deaf = socket.socket()  # it does not listen
        broken = TlsSite(site.listener, [deaf], lambda: site.contexts[-1], 5.0)
        await broken.start()
        await until(lambda: caplog.records)
        assert [getattr(record, "error", "") for record in caplog.records] == ["EINVAL"], (
            "it rests before it tries again"
        )
        await broken.stop()


async def test_a_client_that_does_not_read_holds_no_more_than_without_tls(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        reader, writer = await site.connect()
        assert await ask(reader, writer) == b"None"
        (connection,) = site.listener.connections
        assert connection.transport is not None
        assert connection.transport.get_write_buffer_limits()[1] == UNREAD_BYTES
