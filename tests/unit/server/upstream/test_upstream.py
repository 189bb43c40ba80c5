"""The upstream side beside upstreams that are dead, mute, hasty or broken, and what the circuit breaker makes of them."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import aiohttp
import pytest
from multidict import CIMultiDict

from guardproxy.config import Config
from guardproxy.errors import ErrorCode, UpstreamError
from guardproxy.server.upstream.connections import Connections
from guardproxy.server.upstream.deadlines import Deadlines
from guardproxy.server.upstream.drain import Leftovers
from guardproxy.server.upstream.upstream import Breakers, Upstream

Answering = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"


@asynccontextmanager
async def listening(answer: Answering) -> AsyncIterator[str]:
    under_way: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        under_way[task] = writer
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await answer(reader, writer)
        writer.close()

    server = await asyncio.start_server(served, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    for task, writer in under_way.items():
        task.cancel()
        writer.transport.abort()
    await asyncio.gather(*under_way, return_exceptions=True)
    await asyncio.sleep(0)  # the transports end


async def until(holds: Callable[[], bool]) -> None:
    """Lets other tasks run until something holds."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - the state of a breaker tells nobody
            await asyncio.sleep(0)


class Rig:
    """Sends requests to one upstream, each on an own `Upstream`, with the breaker that they share."""

    def __init__(self, url: str, **settings: Any) -> None:
        self.config = Config.of(upstream=(url,), **{"breaker_failures": 3, "breaker_open_s": 30.0, **settings})
        self.url = url + "/v1/chat/completions"
        self.breakers = Breakers(self.config)
        self.connections = Connections(self.config.timeouts.connect_s, self.config.timeouts.idle_s)

    async def ask(self, body: bytes = b"{}") -> int:
        """The status of an answer that is read to its end."""
        upstream = Upstream(
            self.connections, self.breakers, Deadlines(), Leftovers(), self.config.timeouts.first_byte_s
        )
        try:
            upstream.begin("POST", self.url, CIMultiDict(), body)
            response = await upstream.head()
            while await upstream.read():
                pass
            return response.status
        finally:
            upstream.close()

    async def failures(self, count: int, body: bytes = b"{}") -> list[str]:
        """The codes of the errors of so many requests; the status where there was an answer."""
        found = []
        for _ in range(count):
            try:
                found.append(str(await self.ask(body)))
            except UpstreamError as error:
                found.append(error.code)
        return found

    @property
    def state(self) -> str:
        return self.breakers.states()["default"]

    async def __aenter__(self) -> Rig:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.connections.close()


async def whole_request(reader: asyncio.StreamReader) -> None:
    await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(2)


async def test_a_refused_connection_opens_it() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        async with Rig(f"http://127.0.0.1:{held.getsockname()[1]}") as rig:
            assert await rig.failures(4) == ["upstream_unreachable"] * 3 + ["upstream_unavailable"]
            assert rig.state == "open"


async def test_an_upstream_that_takes_connections_and_never_answers_opens_it() -> None:
    """Nobody accepts: the kernel takes the connections."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        async with Rig(f"http://127.0.0.1:{mute.getsockname()[1]}", timeout_first_byte_s=0.05) as rig:
            assert await rig.failures(4) == ["upstream_timeout"] * 3 + ["upstream_unavailable"]


async def test_an_open_breaker_says_when_to_come_back() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        async with Rig(f"http://127.0.0.1:{held.getsockname()[1]}") as rig:
            await rig.failures(3)
            with pytest.raises(UpstreamError) as caught:
                await rig.ask()
    assert caught.value.status == 503
    assert caught.value.retry_s
    assert 1 <= caught.value.retry_s <= 30


@pytest.mark.parametrize(("status", "opens"), [(500, True), (502, True), (503, True), (504, True), (529, False)])
async def test_a_server_error_opens_it_but_no_overload(status: int, opens: bool) -> None:
    await status_opens(status, opens=opens)


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 408, 413, 422, 429])
async def test_an_answer_to_the_client_never_opens_it(status: int) -> None:
    await status_opens(status, opens=False)


async def status_opens(status: int, *, opens: bool) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await whole_request(reader)
        writer.write(OK.replace(b"200 OK", b"%d X" % status))

    async with listening(answer) as url, Rig(url) as rig:
        codes = await rig.failures(10)
        assert codes[:3] == [str(status)] * 3
        assert (rig.state == "open") == opens
        assert (codes[-1] == "upstream_unavailable") == opens


async def test_answers_that_break_off_open_it() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await whole_request(reader)
        writer.write(OK.replace(b"Length: 2", b"Length: 2000"))
        await writer.drain()
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async with listening(answer) as url, Rig(url) as rig:
        assert set(await rig.failures(3)) <= {"upstream_truncated", "upstream_failed"}
        assert rig.state == "open"


async def test_an_answer_that_stalls_after_its_head_is_a_failure() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await whole_request(reader)
        writer.write(OK.replace(b"Length: 2", b"Length: 2000"))
        await writer.drain()
        await reader.read()

    async with listening(answer) as url, Rig(url, timeout_idle_s=0.05) as rig:
        assert await rig.failures(4) == ["upstream_timeout"] * 3 + ["upstream_unavailable"]


@pytest.mark.parametrize("status", [200, 413])
@pytest.mark.parametrize("closes", [True, False])
async def test_an_answer_that_comes_before_the_body_was_sent(status: int, closes: bool) -> None:
    """The upstream reads the head alone. The client gets the answer, or an error at once; nothing waits for the body."""
    left = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK.replace(b"200 OK", b"%d X" % status))
        await writer.drain()
        if not closes:
            await left.wait()

    async with listening(answer) as url, Rig(url) as rig:
        async with asyncio.timeout(10):
            found = await rig.failures(1, b" " * 30_000_000)
        left.set()
    assert found[0] in (str(status), "upstream_failed", "upstream_truncated")
    if not closes:
        assert found == [str(status)]


async def test_half_open_lets_one_request_through_and_an_answer_closes_it() -> None:
    broken, asked, go_on = True, 0, asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await whole_request(reader)
        asked += 1
        if not broken:
            await go_on.wait()
            writer.write(OK)

    async with listening(answer) as url, Rig(url, breaker_open_s=0.01) as rig:
        await rig.failures(3)
        broken = False
        await until(lambda: rig.state == "half_open")
        probe = asyncio.create_task(rig.ask())
        await until(lambda: asked == 4)
        assert await rig.failures(5) == ["upstream_unavailable"] * 5
        go_on.set()
        assert await probe == 200
        assert rig.state == "closed"
        assert await rig.ask() == 200


async def test_a_client_that_leaves_frees_the_probe() -> None:
    broken, asked = True, 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await whole_request(reader)
        asked += 1
        if not broken:
            await reader.read()

    async with listening(answer) as url, Rig(url, breaker_open_s=0.01) as rig:
        await rig.failures(3)
        broken = False
        await until(lambda: rig.state == "half_open")
        for number in range(3):
            probe = asyncio.create_task(rig.ask())
            await until(partial(lambda count: asked == count, 4 + number))
            probe.cancel()
            with pytest.raises(asyncio.CancelledError):
                await probe


async def test_our_own_lack_of_descriptors_is_not_the_upstreams_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Rig("http://127.0.0.1:9") as rig:

        async def request(*_: Any, **__: Any) -> None:
            raise aiohttp.ClientConnectorError(None, OSError(errno.EMFILE, "too many open files"))  # type: ignore[arg-type]

        monkeypatch.setattr(rig.connections, "request", request)
        monkeypatch.setattr(aiohttp.ClientSession, "request", request)
        assert await rig.failures(10) == ["no_capacity"] * 10
        assert rig.state == "closed"


async def test_each_upstream_has_a_breaker_of_its_own() -> None:
    breakers = Breakers(Config.of(upstream=("http://one.example/v1", "backup=http://one.example/v1/backup")))
    assert breakers.of("http://one.example/v1/chat/completions") is not breakers.of(
        "http://one.example/v1/backup/v1/chat/completions"
    )
    assert breakers.states() == {"default": "closed", "backup": "closed"}


async def test_the_rest_of_an_answer_that_has_arrived_is_read_once() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            while True:
                await whole_request(reader)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfull")

    async with listening(answer) as url, Rig(url) as rig:
        for fails in (False, True):
            upstream = Upstream(rig.connections, rig.breakers, Deadlines(), Leftovers(), 5.0)
            upstream.begin("POST", rig.url, CIMultiDict(), b"{}")
            response = await upstream.head()
            await until(partial(getattr, response, "has_arrived"))
            if fails:
                response.content.set_exception(aiohttp.ClientPayloadError("cut"))
                with pytest.raises(UpstreamError) as broken:
                    upstream.arrived()
                assert broken.value.code == ErrorCode.UPSTREAM_TRUNCATED
            else:
                assert [upstream.arrived() for _ in range(3)] == [b"full", b"", b""]
            upstream.close()
