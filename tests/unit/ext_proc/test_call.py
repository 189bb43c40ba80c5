"""A call as a request and its upstream: what waits, what ends a wait, and what is sent then."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from aiohttp import web
from multidict import CIMultiDict

from guardproxy.errors import ErrorCode, UpstreamError
from guardproxy.ext_proc.call import EnvoyCall, EnvoyUpstream
from guardproxy.ext_proc.messages import PIECE_BYTES, TYPES, Data, EnvoyHead, Trailers
from guardproxy.server import Deadlines

REQUEST = EnvoyHead(True, [(":method", "POST"), (":path", "/v1/x?a=b"), (":authority", "api.example"), ("a", "b")])
ANSWER = EnvoyHead(False, [(":status", "200"), ("content-type", "text/plain; charset=utf-8"), ("content-length", "2")])


class Sent:
    """Keeps what is sent. `gate`: lets a message through."""

    def __init__(self) -> None:
        self.kinds: list[str] = []
        self.messages: list[Any] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, messages: Iterable[bytes]) -> None:
        for raw in messages:
            await self.gate.wait()
            message = TYPES["ProcessingResponse"].FromString(raw)
            self.messages.append(message)
            self.kinds.append(message.ListFields()[0][0].name)


def called(head: EnvoyHead = REQUEST, first_byte_s: float = 60.0, idle_s: float = 60.0) -> tuple[EnvoyCall, Sent]:
    sent = Sent()
    return EnvoyCall(head, sent, first_byte_s, idle_s), sent


def upstream_of(call: EnvoyCall, *, has_own_key: bool = False) -> EnvoyUpstream:
    assert call.request.upstream_of is not None
    made = call.request.upstream_of(Deadlines(), has_own_key)
    assert isinstance(made, EnvoyUpstream)
    return made


@pytest.mark.parametrize(
    ("source", "remote", "owner"),
    [
        ("192.0.2.1:4711", "192.0.2.1", "192.0.2.1"),
        ("[2001:db8::1]:4711", "2001:db8::1", "2001:db8::/64"),
        ("", "", ""),
        ("@/a/socket", "", ""),
    ],
)
async def test_a_call_is_a_request(source: str, remote: str, owner: str) -> None:
    call, _ = called(EnvoyHead(True, REQUEST.headers, address=source))
    request = call.request
    assert (request.method, request.raw_path, request.headers["Host"]) == ("POST", "/v1/x?a=b", "api.example")
    assert (request.remote, request.owner) == (remote, owner)
    assert request.keep_alive
    request.go_on()
    assert request.transport is not None
    request.transport.write(b"dropped")
    assert not request.transport.is_closing()
    request.transport.abort()
    assert call.wire.is_cut


async def test_a_body_arrives_and_its_reader_sets_the_pace() -> None:
    call, _ = called()
    taking = asyncio.ensure_future(call.take(Data(True, b"a" * 300_000)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not taking.done()
    assert len(await call.request.content.readany()) == 300_000
    await taking
    await call.take(Trailers(True))
    await call.take(Data(True, b"ignored", True))
    assert await call.request.content.read() == b""
    assert call.request.content.is_eof()


async def test_a_request_without_a_body_has_ended() -> None:
    call, _ = called(EnvoyHead(True, REQUEST.headers, is_end=True))
    assert call.request.content.is_eof()


async def test_an_upstream_answers() -> None:
    call, sent = called()
    await call.take(Data(True, b"{}", True))
    upstream = upstream_of(call)
    upstream.begin("POST", "/v1/x?a=b", CIMultiDict({"a": "b"}), b"{}")
    asking = asyncio.ensure_future(upstream.head())
    await asyncio.sleep(0)
    await call.take(ANSWER)
    head = await asking
    assert (head.status, head.content_type, head.has_arrived) == (200, "text/plain", False)
    await call.take(Data(False, b"hi", True))
    assert await upstream.read() == b"hi"
    assert await upstream.read() == b""
    upstream.release()
    upstream.close()
    assert call.has_arrived
    assert sent.kinds == ["request_headers", "request_body"]


async def test_there_is_no_second_attempt() -> None:
    call, _ = called()
    for attempt in range(2):
        upstream = upstream_of(call)
        upstream.begin("POST", "/v1/x", CIMultiDict(), b"{}")
        asking = asyncio.ensure_future(upstream.head())
        if attempt == 0:
            await asyncio.sleep(0)
            await call.take(ANSWER)
            await asking
    with pytest.raises(UpstreamError, match="second time"):
        await asking


async def test_the_head_of_an_answer_has_a_time_limit() -> None:
    """An answer that comes later is replaced by the error."""
    call, sent = called(first_byte_s=0.0)
    upstream = upstream_of(call)
    upstream.begin("POST", "/v1/x", CIMultiDict(), b"{}")
    with pytest.raises(UpstreamError) as raised:
        await upstream.head()
    assert raised.value.code is ErrorCode.UPSTREAM_TIMEOUT
    await call.take(ANSWER)
    await finish(call, 504, b"late")
    assert sent.kinds == ["request_headers", "request_body", "immediate_response"]


async def test_an_answer_may_not_pause_too_long() -> None:
    call, _ = called(idle_s=0.0)
    upstream = upstream_of(call)
    upstream.begin("POST", "/v1/x", CIMultiDict(), b"{}")
    asking = asyncio.ensure_future(upstream.head())
    await asyncio.sleep(0)
    await call.take(ANSWER)
    await asking
    with pytest.raises(UpstreamError, match="stopped sending"):
        await upstream.read()


@pytest.mark.parametrize(
    ("headers", "own_key", "code"),
    [
        ([(":status", "200"), ("content-encoding", "gzip")], False, ErrorCode.UPSTREAM_ENCODING),
        ([(":status", "302")], False, ErrorCode.UPSTREAM_REDIRECT),
        ([(":status", "401")], True, ErrorCode.UPSTREAM_KEY_REFUSED),
    ],
)
async def test_an_answer_that_cannot_go_on_is_an_error(headers: Any, own_key: bool, code: ErrorCode) -> None:
    call, _ = called()
    await call.take(EnvoyHead(False, headers))
    upstream = upstream_of(call, has_own_key=own_key)
    upstream.begin("POST", "/v1/x", CIMultiDict(), b"{}")
    with pytest.raises(UpstreamError) as raised:
        await upstream.head()
    assert raised.value.code is code


async def test_a_request_under_way_is_given_up_between_two_pieces() -> None:
    call, sent = called()
    sent.gate.clear()
    upstream = upstream_of(call)
    upstream.begin("POST", "/v1/x", CIMultiDict(), b"x" * (5 * PIECE_BYTES), at_once=True)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    upstream.close()
    sent.gate.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert sent.kinds == ["request_headers"]
    await finish(call, 400, b"blocked")
    assert sent.kinds == ["request_headers", "immediate_response"]


async def test_a_request_that_nobody_sends_is_closed() -> None:
    call, sent = called()
    upstream = upstream_of(call)
    upstream.begin("POST", "/v1/x", CIMultiDict(), b"{}")
    upstream.close()
    upstream.close()
    assert sent.kinds == []


async def finish(call: EnvoyCall, status: int, body: bytes, parts: Iterable[bytes] = ()) -> None:
    """Answers a call as the driver does."""
    response = web.StreamResponse(status=status)
    response.enable_chunked_encoding()
    await response.prepare(call.request)
    for part in parts:
        await response.write(part)
    await response.write_eof(body)


async def test_an_answer_is_sent_in_parts() -> None:
    call, sent = called()
    await call.take(ANSWER)
    await finish(call, 200, b"c", [b"a", b"b"])
    assert sent.kinds == ["response_headers", *["response_body"] * 3]
    assert call.conversation.is_over


async def test_an_answer_that_has_arrived_keeps_its_head() -> None:
    call, sent = called()
    await call.take(ANSWER)
    await call.take(Data(False, b"hi", True))
    await finish(call, 200, b"edited")
    assert sent.kinds == ["response_headers", "response_body"]


@pytest.mark.parametrize(
    ("status", "answer", "is_whole"),
    [(400, ANSWER, True), (200, ANSWER, False), (200, EnvoyHead(False, [(":status", "200")], is_end=True), True)],
)
async def test_another_answer_takes_the_place_of_the_upstreams(status: int, answer: EnvoyHead, is_whole: bool) -> None:
    """For a block, while the body is still on its way, and where the upstream's has no body."""
    call, sent = called()
    if answer.is_end:
        await finish_held(call, answer)
    else:
        await call.take(answer)
        if is_whole:
            await call.take(Data(False, b"hi", True))
        await finish(call, status, b"instead")
    assert sent.kinds == ["immediate_response"]
    assert sent.messages[0].immediate_response.body == b"instead"


async def finish_held(call: EnvoyCall, answer: EnvoyHead) -> None:
    """Writes a part before the upstream's head comes."""
    response = web.StreamResponse(status=200)
    await response.prepare(call.request)
    await response.write(b"inst")
    await call.take(answer)
    await response.write_eof(b"ead")


async def test_an_answer_before_the_upstreams_is_held() -> None:
    """One of the cache, or a keep-alive."""
    call, sent = called()
    await finish(call, 200, b"c", [b"a", b"b"])
    assert sent.kinds == ["immediate_response"]
    assert sent.messages[0].immediate_response.body == b"abc"
    names = {option.header.key for option in sent.messages[0].immediate_response.headers.set_headers}
    assert not names & {"content-length", "transfer-encoding", "connection", "date"}


async def test_an_answer_without_an_exchange() -> None:
    call, sent = called()
    await call.answer_with(503, b"{}")
    assert sent.messages[0].immediate_response.status.code == 503
