"""Why an upstream failed: one word for each way, for the operator, beside the code and the message that the client gets."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest
from multidict import CIMultiDict

from guardproxy.config import Config
from guardproxy.errors import UpstreamCause, UpstreamError
from guardproxy.server.upstream.connections import Connections, RequestProgress, cause_of
from guardproxy.server.upstream.deadlines import Deadlines
from guardproxy.server.upstream.drain import Leftovers
from guardproxy.server.upstream.upstream import Breakers, Upstream
from tests.kit.certificates import Authority

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
BEGUN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{"
SHORT_S, LONG_S = 0.05, 20.0


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)


async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


def saying(data: bytes, then: Serve = close) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(data)
        await writer.drain()
        await then(reader, writer)

    return serve


async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@asynccontextmanager
async def listening(serve: Serve, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    tasks: set[asyncio.Task[None]] = set()

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with suppress(ConnectionError):
                await serve(reader, writer)
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(served, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def failure(url: str, breakers: Breakers | None = None, **settings: float) -> UpstreamError:
    """The error of a request. Time limits that are not given are long."""
    limits = {"timeout_connect_s": LONG_S, "timeout_idle_s": LONG_S, "timeout_first_byte_s": LONG_S, **settings}
    connections = Connections(limits["timeout_connect_s"], limits["timeout_idle_s"])
    deadlines, leftovers = Deadlines(), Leftovers()
    parts = connections, breakers or Breakers(Config.of(upstream=(url,))), deadlines, leftovers
    upstream = Upstream(*parts, limits["timeout_first_byte_s"])
    try:
        upstream.begin("POST", url + "/v1/chat/completions", CIMultiDict(), b"{}")
        await upstream.head()
        while await upstream.read():
            pass
    except UpstreamError as error:
        return error
    finally:
        upstream.close()
        deadlines.close()
        await connections.close()
    pytest.fail("the upstream answered")


@pytest.mark.parametrize(
    ("serve", "scheme", "code", "cause"),
    [
        (reset, "http", "upstream_failed", "reset"),
        (close, "http", "upstream_failed", "closed"),
        (saying(b"hello\r\n\r\n"), "http", "upstream_failed", "not_http"),
        (saying(BEGUN), "http", "upstream_truncated", "closed"),
        (saying(BEGUN, break_off), "http", "upstream_truncated", "reset"),
        (
            saying(BEGUN.replace(b"Content-Length: 10", b"Transfer-Encoding: chunked")),
            "http",
            "upstream_failed",
            "not_http",
        ),
        (reset, "https", "upstream_unreachable", "tls"),
        (close, "https", "upstream_unreachable", "tls"),
        (saying(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "https", "upstream_unreachable", "tls"),
    ],
)
async def test_what_an_upstream_does_has_a_word(serve: Serve, scheme: str, code: str, cause: str) -> None:
    async with listening(serve) as port:
        error = await failure(f"{scheme}://127.0.0.1:{port}")
    assert (error.code, error.cause) == (code, cause)


async def test_a_name_that_nobody_has() -> None:
    error = await failure("https://no.such.host.invalid")
    assert (error.code, error.cause) == ("upstream_unreachable", "dns")


async def test_a_port_that_refuses() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        for scheme in ("http", "https"):
            error = await failure(f"{scheme}://127.0.0.1:{held.getsockname()[1]}")
            assert (error.code, error.cause) == ("upstream_unreachable", "refused")


@pytest.mark.parametrize("trusted", ["nobody", "another name"])
async def test_a_certificate_that_is_not_right(trusted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    if trusted != "nobody":
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
        monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", ssl.create_default_context())
    async with listening(say_nothing, authority.server("other.example")) as port:
        error = await failure(f"https://localhost:{port}")
    assert (error.code, error.cause) == ("upstream_unreachable", "certificate")


async def waiting(stack: AsyncExitStack, kind: str) -> str:
    """An upstream that lets a request wait: for a connection, for the TLS handshake, or for an answer."""
    if kind == "connect":
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(3):  # as many as the kernel takes
            waiter = stack.enter_context(socket.socket())
            waiter.setblocking(False)
            with suppress(BlockingIOError):
                waiter.connect(full.getsockname())
        return f"http://127.0.0.1:{full.getsockname()[1]}"
    port = await stack.enter_async_context(listening(say_nothing if kind != "body" else saying(BEGUN, say_nothing)))
    return f"{'https' if kind == 'tls' else 'http'}://127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("kind", "limit", "cause"),
    [
        ("connect", "timeout_connect_s", "connect_timeout"),
        ("connect", "timeout_first_byte_s", "connect_timeout"),
        ("tls", "timeout_connect_s", "tls_timeout"),
        ("tls", "timeout_first_byte_s", "tls_timeout"),
        ("head", "timeout_first_byte_s", "first_byte_timeout"),
        ("head", "timeout_idle_s", "first_byte_timeout"),
        ("body", "timeout_idle_s", "idle_timeout"),
    ],
)
async def test_a_time_out_names_what_it_waited_for_and_its_setting(kind: str, limit: str, cause: str) -> None:
    async with AsyncExitStack() as stack:
        url = await waiting(stack, kind)
        error = await failure(url, None, **{limit: SHORT_S})
    assert (error.code, error.cause) == ("upstream_timeout", cause)
    assert str(error).endswith(f" (the setting {limit})")
    assert error.code.message(str(error)) == str(error), "nothing is added to it later"


async def test_a_name_that_is_not_resolved_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(*_: object, **__: object) -> list[object]:
        return list(await asyncio.Event().wait() * [])

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    error = await failure("http://slow.example", timeout_connect_s=SHORT_S)
    assert (error.code, error.cause) == ("upstream_timeout", "dns")
    assert str(error) == "the name of the upstream was not resolved in time (the setting timeout_connect_s)"


async def test_a_kept_connection_that_answers_late_waited_for_the_answer() -> None:
    """The first request connects, the second does not."""
    okay = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(okay)
        await asyncio.Event().wait()

    async with listening(serve) as port:
        url = f"http://127.0.0.1:{port}"
        connections, breakers = Connections(LONG_S, LONG_S), Breakers(Config.of(upstream=(url,)))
        try:
            for timeout_s in (LONG_S, SHORT_S):
                deadlines = Deadlines()
                upstream = Upstream(connections, breakers, deadlines, Leftovers(), timeout_s)
                upstream.begin("POST", url, CIMultiDict(), b"{}")
                if timeout_s == LONG_S:
                    await upstream.head()
                    while await upstream.read():
                        pass
                else:
                    with pytest.raises(UpstreamError) as caught:
                        await upstream.head()
                    assert caught.value.cause == "first_byte_timeout"
                upstream.close()
                deadlines.close()
        finally:
            await connections.close()


async def test_the_breakers_keep_the_last_cause_and_tell_each() -> None:
    told: list[tuple[str, str]] = []
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        breakers = Breakers(
            Config.of(upstream=(url, "other=http://other.example"), breaker_failures=2),
            lambda name, cause: told.append((name, cause)),
        )
        assert breakers.open() == {}
        assert breakers.last_cause(url) is None
        causes = [(await failure(url, breakers)).cause for _ in range(3)]
    assert causes == ["refused", "refused", "refused"], "the third is about the open breaker"
    assert told == [("default", "refused")] * 2
    assert breakers.open() == {"default": ("open", UpstreamCause.REFUSED)}
    breakers.note("http://stranger.example/v1", UpstreamCause.DNS)
    assert told[-1] == ("", "dns")


async def test_an_answer_with_status_500_is_a_cause_too() -> None:
    told: list[tuple[str, str]] = []
    async with listening(saying(BEGUN.replace(b"200 OK", b"503 Busy"))) as port:
        url = f"http://127.0.0.1:{port}"
        breakers = Breakers(Config.of(upstream=(url,)), lambda name, cause: told.append((name, cause)))
        error = await failure(url, breakers)
    assert error.cause == "closed", "the body broke off"
    assert told[0] == ("default", "status")


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (OSError(errno.ENETUNREACH, ""), "no_route"),
        (OSError(errno.EHOSTUNREACH, ""), "no_route"),
        (OSError(errno.ETIMEDOUT, ""), "connect_timeout"),
        (OSError(errno.EPIPE, ""), "reset"),
        (OSError("several addresses, several errors"), "other"),
        (ssl.SSLError(1, "no shared cipher"), "tls"),
        (RuntimeError(), "other"),
    ],
)
def test_errors_that_no_upstream_here_can_cause(error: BaseException, cause: str) -> None:
    assert cause_of(error, RequestProgress()) == cause


def test_every_cause_is_explained() -> None:
    assert all(cause.meaning for cause in UpstreamCause)
