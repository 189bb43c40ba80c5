"""The admin port forwards requests to another process: byte for byte where it must, and nothing that it must not."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from guardproxy.server.observing import forwarding
from guardproxy.server.observing.forwarding import AT_ONCE, BODY_BYTES, Forwarder
from guardproxy.server.observing.metrics import Metrics
from guardproxy.server.observing.status import AdminHosts, admin_app

Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


class State:
    def __init__(self) -> None:
        self.metrics = Metrics()

    def liveness_errors(self) -> list[str]:
        return []

    def readiness_errors(self) -> list[str]:
        return []

    def version(self) -> dict[str, object]:
        return {}


@asynccontextmanager
async def forwarded(folder: Path, answering: Answering | None) -> AsyncIterator[int]:
    """Runs an admin port in front of a process, which is this one. Yields its port."""
    inner = web.Application(client_max_size=BODY_BYTES)
    path = folder / "console"
    if answering is not None:
        inner.router.add_route("*", "/{any:.*}", answering)
    outer = admin_app(State(), hosts=AdminHosts(further=("guard.example",)))
    Forwarder(path, "console").add_to(outer, "/console")
    runners = [web.AppRunner(app, access_log=None, shutdown_timeout=0.1) for app in (inner, outer)]
    for runner in runners:
        await runner.setup()
    if answering is not None:
        await web.UnixSite(runners[0], str(path)).start()
    await web.TCPSite(runners[1], "127.0.0.1", 0).start()
    try:
        yield runners[1].addresses[0][1]
    finally:
        for runner in reversed(runners):
            await runner.cleanup()


async def raw(port: int, request: bytes) -> bytes:
    """Sends bytes, and returns all bytes of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    await writer.drain()
    answer = await reader.read()
    writer.close()
    return answer


async def _tells(request: web.Request) -> web.StreamResponse:
    told = {
        "method": request.method,
        "target": request.raw_path,
        "headers": {name.lower(): value for name, value in request.headers.items()},
        "body": (await request.read()).decode("latin-1"),
    }
    return web.json_response(told, headers={"X-Own": "1", "Set-Cookie": "a=b", "Keep-Alive": "timeout=9"})


@pytest.mark.parametrize(
    "target",
    ["/console", "/console/", "/console/a%20b?x=%2F&y=%C3%A4+z", "/console/%2e%2e/reload", "/console/a//b;c=1"],
)
async def test_a_target_goes_on_byte_for_byte(tmp_path: Path, target: str) -> None:
    async with forwarded(tmp_path, _tells) as port:
        answer = await raw(port, f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        assert f'"target": "{target}"'.encode() in answer
        assert b"\r\nX-Own: 1\r\n" in answer
        assert b"\r\nSet-Cookie: a=b\r\n" in answer
        assert b"timeout=9" not in answer


async def test_a_path_above_the_prefix_is_never_forwarded(tmp_path: Path) -> None:
    seen: list[str] = []

    async def note(request: web.Request) -> web.StreamResponse:
        seen.append(request.raw_path)
        return web.Response()

    async with forwarded(tmp_path, note) as port:
        for target in (
            "/",
            "/consolex",
            "/console/../metrics",
            "/x/../console/",
            "//console/",
            "/%63onsole/now",
            "http://evil/x",
        ):
            await raw(port, f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        assert [path for path in seen if not path.startswith("/console/")] == []


async def test_only_listed_headers_go_on_and_the_peer_is_ours(tmp_path: Path) -> None:
    async with forwarded(tmp_path, _tells) as port, aiohttp.ClientSession() as client:
        sent = {
            "Cookie": "guardproxy_console=x",
            "HX-Request": "true",
            "X-CSRF-Token": "t",
            "Origin": "http://localhost",
            "X-Console-Peer": "10.9.9.9",
            "X-Forwarded-For": "10.9.9.9",
            "Authorization": "Bearer x",
            "Connection": "close, Cookie",
            "TE": "trailers",
            "Proxy-Authorization": "x",
            "Host": "guard.example",
        }
        async with client.get(f"http://127.0.0.1:{port}/console/now", headers=sent) as answer:
            told = (await answer.json())["headers"]
        expected = {
            "cookie": "guardproxy_console=x",
            "hx-request": "true",
            "x-csrf-token": "t",
            "host": "guard.example",
        }
        assert {**told, **expected, "origin": "http://localhost", "x-console-peer": "127.0.0.1"} == told
        assert not {"x-forwarded-for", "authorization", "te", "proxy-authorization", "accept-encoding"} & set(told)


async def test_a_strange_host_is_refused_before(tmp_path: Path) -> None:
    async with (
        forwarded(tmp_path, _tells) as port,
        aiohttp.ClientSession() as client,
        client.get(f"http://127.0.0.1:{port}/console/now", headers={"Host": "evil.example"}) as answer,
    ):
        assert answer.status == 403


async def test_methods_are_few_and_an_upgrade_is_a_plain_request(tmp_path: Path) -> None:
    async with forwarded(tmp_path, _tells) as port, aiohttp.ClientSession() as client:
        for method in ("PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"):
            async with client.request(method, f"http://127.0.0.1:{port}/console/now") as refused:
                assert refused.status == 405
        async with client.head(f"http://127.0.0.1:{port}/console/now") as head:
            assert head.status == 200
        upgrade = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Key": "x",
            "Sec-WebSocket-Version": "13",
        }
        async with client.get(f"http://127.0.0.1:{port}/console/now", headers=upgrade) as answer:
            told = (await answer.json())["headers"]
            assert answer.status == 200
        assert not {"upgrade", "sec-websocket-key", "connection"} & {name for name in told if told[name] != "close"}


async def test_a_body_is_framed_anew_and_bounded(tmp_path: Path) -> None:
    async with forwarded(tmp_path, _tells) as port, aiohttp.ClientSession() as client:
        url = f"http://127.0.0.1:{port}/console/form"
        async with client.post(url, data=b"a=b") as answer:
            told = await answer.json()
        assert told["body"] == "a=b"
        assert told["headers"]["transfer-encoding"] == "chunked"
        assert "content-length" not in told["headers"]

        async def endless() -> AsyncIterator[bytes]:
            for _ in range(2 * BODY_BYTES // 65536):
                yield bytes(65536)

        async with client.post(url, data=endless()) as large:
            assert large.status == 413
        head = f"POST /console/form HTTP/1.1\r\nHost: localhost\r\nContent-Length: {BODY_BYTES + 1}\r\n\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head.encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 413")
        writer.close()


@pytest.mark.parametrize(
    "framing",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "Content-Length: +5\r\n\r\nhello",
        "Content-Length : 5\r\n\r\nhello",
    ],
)
async def test_a_request_with_two_readings_is_refused(tmp_path: Path, framing: str) -> None:
    seen: list[str] = []

    async def note(request: web.Request) -> web.StreamResponse:
        seen.append(request.raw_path)
        await request.read()
        return web.Response()

    smuggled = "GET /console/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with forwarded(tmp_path, note) as port:
        with_more = f"POST /console/form HTTP/1.1\r\nHost: localhost\r\n{framing}{smuggled}".encode()
        async with asyncio.timeout(10):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(with_more)
            first = await reader.readline()
            writer.close()
        assert first.split()[1] == b"400"
        assert "/console/smuggled" not in seen


async def test_parts_arrive_as_they_are_sent(tmp_path: Path) -> None:
    go_on = asyncio.Event()

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: 1\n\n")
        await go_on.wait()
        await response.write(b"data: 2\n\n")
        return response

    async with (
        forwarded(tmp_path, stream) as port,
        aiohttp.ClientSession() as client,
        client.get(f"http://127.0.0.1:{port}/console/events") as answer,
    ):
        assert await answer.content.readuntil(b"\n\n") == b"data: 1\n\n"
        go_on.set()
        assert await answer.content.read() == b"data: 2\n\n"


async def test_an_answer_that_is_cut_does_not_look_whole(tmp_path: Path) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"half")
        assert request.transport is not None
        request.transport.abort()
        return response

    async with forwarded(tmp_path, cut) as port, aiohttp.ClientSession() as client:
        with pytest.raises(aiohttp.ClientError):
            async with client.get(f"http://127.0.0.1:{port}/console/now") as answer:
                await answer.read()


async def test_a_process_that_is_not_there_is_named(tmp_path: Path) -> None:
    async with forwarded(tmp_path, None) as port, aiohttp.ClientSession() as client:
        path = tmp_path / "console"
        for _ in range(2):
            async with client.get(f"http://127.0.0.1:{port}/console/now") as answer:
                assert answer.status == 503
                assert answer.headers["Retry-After"] == "2"
                assert "asks again" in await answer.text()
            async with client.get(f"http://127.0.0.1:{port}/console/now", headers={"HX-Request": "true"}) as part:
                assert (part.status, (await part.text()).partition(" ")[0]) == (503, "<p>The")
            if not path.exists():
                with socket.socket(socket.AF_UNIX) as left:  # a file that nobody listens on
                    left.bind(str(path))


async def test_open_requests_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert AT_ONCE >= 50
    monkeypatch.setattr(forwarding, "AT_ONCE", 1)
    waiting, go_on = asyncio.Event(), asyncio.Event()

    async def wait(_: web.Request) -> web.StreamResponse:
        waiting.set()
        await go_on.wait()
        return web.Response()

    async with forwarded(tmp_path, wait) as port, aiohttp.ClientSession() as client:
        first = asyncio.ensure_future(client.get(f"http://127.0.0.1:{port}/console/a"))
        await waiting.wait()
        async with client.get(f"http://127.0.0.1:{port}/console/b") as second:
            assert second.status == 503
        go_on.set()
        assert (await first).status == 200


async def test_slow_bodies_keep_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarding, "BODIES_AT_ONCE", 2)
    head = b"POST /console/form HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\na"
    reading: asyncio.Queue[str] = asyncio.Queue()

    async def read(request: web.Request) -> web.StreamResponse:
        reading.put_nowait(request.method)
        await request.read()
        return web.Response()

    async with forwarded(tmp_path, read) as port, aiohttp.ClientSession() as client:
        slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        for _, writer in slow:
            writer.write(head)
            await reading.get()
        async with client.post(f"http://127.0.0.1:{port}/console/form", data=b"a") as third:
            assert third.status == 503
        async with client.get(f"http://127.0.0.1:{port}/console/now") as page:
            assert page.status == 200
        for _, writer in slow:
            writer.close()


async def test_a_silent_process_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarding, "SILENT_S", 0.05)
    over = asyncio.Event()

    async def silent(_: web.Request) -> web.StreamResponse:
        await over.wait()
        return web.Response()

    async with forwarded(tmp_path, silent) as port, aiohttp.ClientSession() as client:
        async with client.get(f"http://127.0.0.1:{port}/console/a") as answer:
            assert answer.status == 503
        over.set()
