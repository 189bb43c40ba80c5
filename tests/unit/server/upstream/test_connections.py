"""Connections to upstreams: what is sent, which answers end the wait, and when a connection is used again."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import aiohttp
import pytest
from aiohttp.base_protocol import BaseProtocol
from yarl import URL

from guardproxy.server.aiohttp_parts import unread
from guardproxy.server.upstream.connections import SLICE_BYTES
from tests.kit.scripted_model import LARGE, OK, Model, answering, ask, give_up, model, opened


async def closing(model: Model) -> None:
    await model.request()


@pytest.mark.parametrize(
    ("method", "body", "length"),
    [("POST", b"{}", 2), ("POST", None, 0), ("POST", LARGE, len(LARGE)), ("GET", None, None), ("DELETE", None, 0)],
)
async def test_a_request_arrives_as_it_was_given(method: str, body: bytes | None, length: int | None) -> None:
    seen = []

    async def script(model: Model) -> None:
        seen.append(await model.request())
        await model.say(OK)
        await model.reader.read()

    async with model([script]) as (url, _), opened() as connections:
        answer = await ask(connections, url, method, body, Authorization="Bearer x")
        assert (answer.status, await answer.content.read()) == (200, b"{}")
    (head, received), lines = seen[0], seen[0][0].split("\r\n")
    assert lines[:3] == [f"{method} /v1/x?a=b%20c HTTP/1.1", f"Host: {url[7:]}", "Authorization: Bearer x"]
    assert lines[3:-2] == ([] if length is None else [f"Content-Length: {length}"]), head
    assert received == (body or b"")


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://models.example.com/v1", "models.example.com"),
        ("https://models.example.com:443/v1", "models.example.com"),
        ("http://models.example.com:8000/v1", "models.example.com:8000"),
        ("http://[::1]:8000", "[::1]:8000"),
        ("http://bücher.example", "xn--bcher-kva.example"),
    ],
)
async def test_the_host_is_that_of_the_address(url: str, host: str) -> None:
    async with opened() as connections:
        assert connections._origin(URL(url)).headers["Host"] == host


async def test_headers_that_would_be_two_are_not_sent() -> None:
    async with model([answering(OK)] * 2) as (url, models), opened() as connections:
        with pytest.raises(ValueError, match=r"header"):
            await ask(connections, url, Name="a\r\nAuthorization: b")
        answer = await ask(connections, url)
        assert await answer.content.read() == b"{}"
        assert len(models) == 2, "the first connection is closed, and brought nothing"


async def test_a_connection_is_used_again_after_the_end_of_a_body() -> None:
    bodies = [
        OK,
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        OK,
    ]
    async with model([answering(*bodies)]) as (url, models), opened() as connections:
        for _ in bodies:
            answer = await ask(connections, url)
            await answer.content.read()
            answer.close()  # nothing is left to close
        assert len(models) == 1


async def test_a_connection_with_half_an_answer_is_closed() -> None:
    async with model([answering(OK[:-1]), answering(OK)]) as (url, models), opened() as connections:
        (await ask(connections, url)).close()
        assert await (await ask(connections, url)).content.read() == b"{}"
        assert len(models) == 2


@pytest.mark.parametrize("first", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"])
async def test_an_interim_answer_is_not_the_answer(first: bytes) -> None:
    async with model([answering(first + OK)]) as (url, _), opened() as connections:
        answer = await ask(connections, url)
        assert (answer.status, await answer.content.read()) == (200, b"{}")


async def test_the_answer_to_head_has_no_body() -> None:
    async with model([answering(OK[:-2], OK)]) as (url, models), opened() as connections:
        answer = await ask(connections, url, "HEAD", None)
        assert (answer.headers["Content-Length"], await answer.content.read()) == ("2", b"")
        assert await (await ask(connections, url)).content.read() == b"{}"
        assert len(models) == 1


@pytest.mark.parametrize(
    ("header", "media"),
    [
        (b"", "application/octet-stream"),
        (b"Content-Type: application/json\r\n", "application/json"),
        (b"Content-Type: Text/Event-Stream; charset=utf-8\r\n", "text/event-stream"),
    ],
)
async def test_the_media_type_is_plain(header: bytes, media: str) -> None:
    async with model([answering(OK.replace(b"\r\n", b"\r\n" + header, 1))]) as (url, _), opened() as connections:
        answer = await ask(connections, url)
        assert answer.content_type == media
        answer.close()


@pytest.mark.parametrize(
    ("method", "is_sent_again"), [("GET", True), ("DELETE", True), ("POST", False), ("PATCH", False)]
)
async def test_only_a_request_that_may_be_repeated_is_sent_again(method: str, is_sent_again: bool) -> None:
    async with model([closing, answering(OK)]) as (url, models), opened() as connections:
        if is_sent_again:
            assert await (await ask(connections, url, method)).content.read() == b"{}"
        else:
            with pytest.raises((aiohttp.ServerDisconnectedError, ConnectionError)):
                await ask(connections, url, method)
        assert len(models) == 1 + is_sent_again


async def test_a_request_is_sent_again_once() -> None:
    async with model([closing, closing, answering(OK)]) as (url, models), opened() as connections:
        with pytest.raises((aiohttp.ServerDisconnectedError, ConnectionError)):
            await ask(connections, url, "GET", None)
        assert len(models) == 2


async def test_an_answer_that_is_not_http_is_an_error_of_the_client() -> None:
    async with model([answering(b"SSH-2.0-OpenSSH_9.6\r\n")]) as (url, _), opened() as connections:
        with pytest.raises(aiohttp.ClientPayloadError):
            await ask(connections, url)


async def test_a_server_may_refuse_a_large_body_without_reading_it() -> None:
    async def refusing(model: Model) -> None:
        await model.head()
        await model.say(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\n{}")
        await asyncio.get_running_loop().create_future()

    async with model([refusing, answering(OK)]) as (url, models), opened() as connections:
        answer = await ask(connections, url, body=LARGE)
        assert (answer.status, await answer.content.read()) == (413, b"{}")
        assert (await ask(connections, url)).status == 200
        assert len(models) == 2, "the rest of the first body never went out, so its connection is of no use"


@pytest.mark.parametrize("body", [b"{}", LARGE])
async def test_a_server_that_leaves_ends_the_wait(body: bytes) -> None:
    async def leaving(model: Model) -> None:
        await model.head()
        model.writer.transport.abort()

    async with model([leaving]) as (url, _), opened() as connections:
        with pytest.raises((aiohttp.ClientError, OSError)):
            await ask(connections, url, body=body)


@pytest.mark.parametrize("body", [b"{}", LARGE])
async def test_a_caller_that_leaves_closes_the_connection(body: bytes) -> None:
    closed = asyncio.Event()

    async def silent(model: Model) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await model.head()
            while await model.reader.read(SLICE_BYTES):
                pass
        closed.set()

    async with model([silent]) as (url, models), opened() as connections:
        await give_up(connections, url, models, body)
        async with asyncio.timeout(20):
            await closed.wait()


async def test_few_origins_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guardproxy.server.upstream.connections.LIMIT_ORIGINS", 2)
    async with opened() as connections:
        for number in range(5):
            connections._origin(URL(f"http://model-{number}.example"))
            assert len(connections._origins) <= 2


async def test_a_body_that_has_arrived_is_read_in_one_piece_or_in_several() -> None:
    """A body in one piece stays in aiohttp's buffer. If it was begun, is in several pieces or broken, aiohttp reads it."""
    protocol = BaseProtocol(asyncio.get_running_loop())

    def body(*pieces: bytes) -> aiohttp.StreamReader:
        content = aiohttp.StreamReader(protocol, 1 << 16, loop=asyncio.get_running_loop())
        for piece in pieces:
            content.feed_data(piece)
        content.feed_eof()
        return content

    assert [unread(body(*pieces)) for pieces in ((), (b"ab",), (b"ab", b"cd"))] == [b"", b"ab", b"abcd"]
    begun = body(b"abcd")
    assert begun.read_nowait(1) == b"a"
    assert unread(begun) == b"bcd"
    broken = body(b"ab")
    broken.set_exception(aiohttp.ClientPayloadError("cut"))
    with pytest.raises(aiohttp.ClientPayloadError):
        unread(broken)
    assert unread(aiohttp.streams.EMPTY_PAYLOAD) == b""


async def test_an_answer_says_when_all_of_it_has_arrived() -> None:
    go_on = asyncio.Event()

    async def script(model: Model) -> None:
        await model.request()
        await model.say(OK[:-1])
        await go_on.wait()
        await model.say(OK[-1:])
        await model.reader.read()

    async with model([script]) as (url, _), opened() as connections:
        answer = await ask(connections, url)
        assert not answer.has_arrived
        go_on.set()
        assert await answer.content.read() == b"{}"
        assert answer.has_arrived
