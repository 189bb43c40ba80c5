"""Ports of gRPC over TLS: the certificate of the moment for each connection, and none that cannot be used."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest

from guardproxy.config import EXT_PROC, load
from guardproxy.server.intake.grpc_port import add_port, handshake_option
from guardproxy.server.trust.certificates import Certificates
from tests.kit.certificates import Authority, Pair

RELOADS = 50


class Served:
    """A server of gRPC that answers with what it is sent, and its certificates."""

    def __init__(self, folder: Path, *, is_encrypted: bool) -> None:
        self.authority = Authority(folder)
        self.pair = self.authority.pair("server", host="localhost")
        given: dict[str, Any] = {"upstream": ("https://llm.example",)}
        if is_encrypted:
            given |= {"tls_cert": f"x={self.pair.cert}", "tls_key": f"x={self.pair.key}", "tls_port": "ext_proc=x"}
        self.certificates = Certificates(load(given, {}))
        self.port = 0

    async def renew(self, pair: Pair) -> None:
        """Puts a pair in the place of the one on the disk, which is read again."""
        self.pair.become(pair)
        await self.certificates.step()
        await self.certificates.step()

    def channel(self) -> Any:
        trusted = grpc.ssl_channel_credentials(self.authority.file.read_bytes())
        return grpc.aio.secure_channel(
            f"localhost:{self.port}", trusted, options=[("grpc.use_local_subchannel_pool", 1)]
        )

    def shown(self) -> str:
        """The name in the certificate that a new connection gets."""
        trusting = ssl.create_default_context(cafile=self.authority.file)
        trusting.set_alpn_protocols(["http/1.1", "h2"])
        with (
            socket.create_connection(("127.0.0.1", self.port), 30) as opened,
            trusting.wrap_socket(opened, server_hostname="localhost") as encrypted,
        ):
            assert encrypted.selected_alpn_protocol() == "h2"
            found: Any = encrypted.getpeercert()
            (((_, name),),) = found["subject"]
            return str(name)


@asynccontextmanager
async def serving(folder: Path, *, is_encrypted: bool = True, handshake_s: float = 30.0) -> AsyncIterator[Served]:
    async def echo(data: bytes, context: object) -> bytes:
        return data

    served = Served(folder, is_encrypted=is_encrypted)
    server = grpc.aio.server(options=[handshake_option(handshake_s)])
    handlers = {"echo": grpc.unary_unary_rpc_method_handler(echo)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test", handlers),))
    served.port = add_port(server, "127.0.0.1:0", EXT_PROC, served.certificates)
    await server.start()
    try:
        yield served
    finally:
        await server.stop(0)


async def ask(channel: Any, data: bytes = b"hello") -> bytes:
    return bytes(await channel.unary_unary("/test/echo")(data))


async def test_open_connections_go_on_while_new_ones_get_the_new_certificate(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, served.channel() as channel:
        assert await ask(channel) == b"hello"
        assert await asyncio.to_thread(served.shown) == "localhost"
        await served.renew(served.authority.pair("new", [("CN", "new")], host="localhost"))
        assert await asyncio.to_thread(served.shown) == "new"
        assert await asyncio.to_thread(served.shown) == "new", "what is in force stays"
        assert await ask(channel) == b"hello"
        broken = Pair(served.authority.pair("other").cert, served.pair.key)
        await served.renew(broken)
        assert not served.certificates.is_fine
        assert await asyncio.to_thread(served.shown) == "new"


async def test_many_changes_under_load_fail_no_call(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        is_over = asyncio.Event()

        async def calls() -> int:
            count = 0
            while not is_over.is_set():
                async with served.channel() as channel:
                    assert await ask(channel) == b"hello"
                count += 1
            return count

        callers = [asyncio.create_task(calls()) for _ in range(3)]
        pairs = [served.authority.pair(f"p{number}", [("CN", f"p{number}")], host="localhost") for number in range(4)]
        for number in range(RELOADS):
            await served.renew(pairs[number % 4])
            assert await asyncio.to_thread(served.shown) == f"p{number % 4}"
        is_over.set()
        assert min(await asyncio.gather(*callers)) > 0


async def test_what_is_no_handshake_gets_no_answer_and_ends_in_time(tmp_path: Path) -> None:
    async with serving(tmp_path, handshake_s=0.2) as served:
        for sent in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01", b""):
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(sent)
            async with asyncio.timeout(30):
                with suppress(ConnectionResetError):
                    assert await reader.read() == b""
            writer.transport.abort()
        async with served.channel() as channel:
            assert await ask(channel) == b"hello"


async def test_a_port_without_a_certificate_is_plain(tmp_path: Path) -> None:
    async with serving(tmp_path, is_encrypted=False) as served:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{served.port}") as channel:
            assert await ask(channel) == b"hello"
        async with served.channel() as channel:
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await ask(channel)
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
