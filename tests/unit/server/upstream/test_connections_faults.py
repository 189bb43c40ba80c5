"""Connections to upstreams that speak out of turn, break off, or never read: no answer goes to another request, no wait goes on
for ever, and no connection stays open."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial

import aiohttp
import pytest

from guardproxy.server.aiohttp_parts import UpstreamProtocol
from guardproxy.server.upstream.connections import SLICE_BYTES, Connections
from tests.kit.scripted_model import LARGE, OK, Model, answering, ask, model, opened, until

STRANGE = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nstrange"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"


def under_way(connections: Connections) -> list[UpstreamProtocol]:
    return [each for each in connections._connector._acquired if isinstance(each, UpstreamProtocol)]


def kept(connections: Connections) -> list[UpstreamProtocol]:
    pool = connections._connector._conns.values()
    return [each for pairs in pool for each, _ in pairs if isinstance(each, UpstreamProtocol)]


def is_newest(models: list[Model], name: object) -> bool:
    """Whether the newest connection of a model is that of the client's socket with this name."""
    return bool(models) and models[-1].writer.get_extra_info("peername") == name


async def deaf(model: Model) -> None:
    """Reads nothing and answers nothing."""
    model.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await asyncio.get_running_loop().create_future()


@pytest.mark.parametrize("late", [STRANGE, STRANGE[:-1], STRANGE[:20], b"strange", b"\r\n"])
async def test_what_arrives_on_an_idle_connection_answers_no_request(late: bytes) -> None:
    go_on = asyncio.Event()

    async def speaking(model: Model) -> None:
        await model.request()
        await model.say(OK)
        await go_on.wait()
        await model.say(late)
        await model.reader.read()

    async with model([speaking, answering(OK)]) as (url, models), opened() as connections:
        await (await ask(connections, url)).content.read()
        (protocol,) = kept(connections)
        go_on.set()
        await until(lambda: protocol.has_strange_bytes)
        assert await (await ask(connections, url)).content.read() == b"{}"
        assert len(models) == 2
        assert not protocol.is_connected()


async def test_an_answer_behind_the_end_of_another_answers_no_request() -> None:
    go_on = asyncio.Event()

    async def speaking(model: Model) -> None:
        await model.request()
        await model.say(HEAD)
        await go_on.wait()
        await model.say(b"abc" + STRANGE)
        await model.reader.read()

    async with model([speaking, answering(OK)]) as (url, models), opened() as connections:
        answer = await ask(connections, url)
        go_on.set()
        assert await answer.content.read() == b"abc"
        assert await (await ask(connections, url)).content.read() == b"{}"
        assert len(models) == 2


async def test_a_connection_that_changed_its_protocol_is_not_used_again() -> None:
    scripts = [answering(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"), answering(OK)]
    async with model(scripts) as (url, models), opened() as connections:
        assert (await ask(connections, url)).status == 101
        assert await (await ask(connections, url)).content.read() == b"{}"
        assert len(models) == 2


async def test_an_error_in_the_framing_ends_the_wait_for_a_body() -> None:
    go_on = asyncio.Event()

    async def broken(model: Model) -> None:
        await model.request()
        await model.say(CHUNKED)
        await go_on.wait()
        await model.say(b"no length\r\n")
        await model.reader.read()

    async with model([broken]) as (url, _), opened() as connections:
        answer = await ask(connections, url)
        assert await answer.content.readany() == b"ab"
        go_on.set()
        async with asyncio.timeout(20):
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.content.readany()
        answer.close()


async def test_a_slow_reader_gets_all_that_arrived_before_the_end_of_the_connection() -> None:
    chunks = 40_000  # more than the parser takes while nobody reads

    async with model([answering(CHUNKED)]) as (url, _), opened() as connections:
        answer = await ask(connections, url)
        (protocol,) = under_way(connections)
        protocol.data_received(b"1\r\nc\r\n" * chunks + b"0\r\n\r\n")
        assert not answer.content.is_eof()
        assert protocol.transport is not None
        protocol.transport.abort()
        await until(lambda: not protocol.connected)
        assert await answer.content.read() == b"ab" + b"c" * chunks


@pytest.mark.parametrize(
    ("head", "is_whole"), [(b"HTTP/1.1 413 Too Large\r\n\r\n", True), (HEAD.replace(b"3", b"9"), False)]
)
async def test_an_upstream_that_closes_and_never_reads_the_request_ends_the_wait(head: bytes, is_whole: bool) -> None:
    go_on = asyncio.Event()

    async def closing(model: Model) -> None:
        await model.head()
        model.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await model.say(head + b"abc")
        await go_on.wait()
        model.writer.write_eof()
        await asyncio.get_running_loop().create_future()

    async with model([closing]) as (url, _), opened() as connections:
        answer = await ask(connections, url, body=LARGE)
        assert await answer.content.readany() == b"abc"
        (protocol,) = under_way(connections)
        await until(lambda: protocol.writing_paused)
        go_on.set()
        async with asyncio.timeout(20):
            if is_whole:
                assert await answer.content.readany() == b""
            else:
                with pytest.raises(aiohttp.ClientPayloadError):
                    await answer.content.readany()
        answer.close()
        assert not kept(connections)


async def test_a_request_that_is_given_up_leaves_no_connection_to_an_upstream_that_never_reads() -> None:
    async with model([deaf]) as (url, _), opened() as connections:
        asking = asyncio.create_task(ask(connections, url, body=LARGE))
        await until(lambda: any(each.writing_paused for each in under_way(connections)))
        (protocol,) = under_way(connections)
        closed = protocol.closed
        assert closed is not None
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        async with asyncio.timeout(20):
            await closed
        assert not under_way(connections)


async def test_the_end_of_all_connections_ends_every_wait() -> None:
    async with model([answering(HEAD + b"a"), deaf]) as (url, _), opened() as connections:
        answer = await ask(connections, url)
        assert await answer.content.readany() == b"a"
        reading = asyncio.create_task(answer.content.readany())
        asking = asyncio.create_task(ask(connections, url, body=LARGE))
        await until(lambda: any(each.writing_paused for each in under_way(connections)))
        async with asyncio.timeout(20):
            await connections.close()
            with pytest.raises(aiohttp.ClientConnectionError):
                await reading
            answer.close()
            with pytest.raises(aiohttp.ClientConnectionError):
                await asking


async def test_requests_that_nobody_reads_do_not_pile_up() -> None:
    """The upstream answers at once, and reads nothing."""
    requests, limit_bytes = 100, 2 * SLICE_BYTES
    async with model([deaf] * requests) as (url, models), opened() as connections:
        for _ in range(requests):
            asking = asyncio.create_task(ask(connections, url, body=bytes(SLICE_BYTES)))
            await until(lambda: under_way(connections))  # the request is written
            (protocol,) = under_way(connections)
            assert protocol.transport is not None
            await until(partial(is_newest, models, protocol.transport.get_extra_info("sockname")))
            await models[-1].say(OK)
            assert await (await asking).content.read() == b"{}"
            assert (
                sum(each.transport.get_write_buffer_size() for each in kept(connections) if each.transport)
                <= limit_bytes
            )
        assert 1 < len(models) < requests


async def test_an_idle_connection_has_no_time_limit() -> None:
    """The limit may begin when the answer is complete, if that came before the end of a large request."""
    async with model([answering(OK)]) as (url, _), opened() as connections:
        await (await ask(connections, url)).content.read()
        (protocol,) = kept(connections)
        protocol.start_timeout()
        protocol.keep()
        assert protocol._read_timeout_handle is None


async def test_an_interim_answer_does_not_end_the_time_limit() -> None:
    interim = answering(b"HTTP/1.1 103 Early Hints\r\n\r\n")
    async with model([interim]) as (url, _), opened(idle_s=0.05) as connections, asyncio.timeout(20):
        with pytest.raises(TimeoutError, match="reading"):
            await ask(connections, url)


async def test_an_upstream_that_floods_with_interim_answers_is_cut_off() -> None:
    flood = answering(b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000 + OK)
    async with model([flood]) as (url, _), opened() as connections:
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await ask(connections, url)
        assert not under_way(connections)


@pytest.mark.parametrize("method", ["", "get", "POST /other", "GET /other HTTP/1.1\r\nA:", "PÖST", "GET\t", "A-"])
async def test_what_is_no_method_is_not_sent(method: str) -> None:
    async with model([]) as (url, models), opened() as connections:
        with pytest.raises(ValueError, match="method"):
            await ask(connections, url, method)
        assert not models


IN_CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
BEHIND = [(answer, size) for answer in (OK, IN_CHUNKS) for size in range(1, len(STRANGE) + 1)]


@pytest.mark.parametrize("is_whole", [True, False], ids=["one segment", "head before"])
async def test_bytes_behind_an_answer_in_its_segment_answer_no_request(is_whole: bool) -> None:
    """However many there are: a byte of another answer, all of it, or more."""
    for answer, size in BEHIND:
        ended, go_on = asyncio.Event(), asyncio.Event()

        async def behind(
            model: Model,
            data: bytes = answer + STRANGE[:size],
            head: int = 0 if is_whole else answer.index(b"\r\n\r\n") + 4,
            go_on: asyncio.Event = go_on,
            ended: asyncio.Event = ended,
        ) -> None:
            await model.request()
            await model.say(data[:head])
            if head:
                await go_on.wait()
            await model.say(data[head:])
            with suppress(ConnectionError):
                await model.reader.read()
            ended.set()

        async with model([behind, answering(OK)]) as (url, models), opened() as connections, asyncio.timeout(20):
            first = await ask(connections, url)
            go_on.set()
            assert await first.content.read() == b"{}"
            await ended.wait()  # the connection is closed at once, not at the next request
            assert await (await ask(connections, url)).content.read() == b"{}"
            assert len(models) == 2, (answer, size)


async def test_an_answer_with_its_last_line_end_twice_keeps_its_connection() -> None:
    """Some servers send it. It begins no message."""
    async with model([answering(OK + b"\r\n", OK)]) as (url, models), opened() as connections:
        for _ in range(2):
            assert await (await ask(connections, url)).content.read() == b"{}"
        assert len(models) == 1


@pytest.mark.parametrize("cut", range(1, len(OK) + len(STRANGE)))
async def test_two_answers_at_once_cut_anywhere_never_stay_one_behind(cut: int) -> None:
    """The second part comes when the client has read the first answer, or waits for it."""
    both = OK + STRANGE
    more = asyncio.Event()

    async def cutting(model: Model) -> None:
        await model.request()
        await model.say(both[:cut])
        await more.wait()
        with suppress(ConnectionError):
            await model.say(both[cut:])
            await model.reader.read()

    async with model([cutting, answering(OK)]) as (url, models), opened() as connections, asyncio.timeout(20):
        asking = asyncio.create_task(ask(connections, url))
        if cut < len(OK):
            more.set()
        first = await asking
        assert await first.content.read() == b"{}"
        more.set()
        await until(lambda: first._protocol.has_strange_bytes or not first._protocol.is_connected())
        assert await (await ask(connections, url)).content.read() == b"{}"
        assert len(models) == 2
