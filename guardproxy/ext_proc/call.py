"""One request that Envoy passes to the proxy: the client's side and the upstream's side of an exchange.

In: messages of Envoy. Out: an `HttpRequest` like that of a client by HTTP, whose answer goes to Envoy, and an `Answering`,
whose requests go to Envoy. So admission, the duties and the driver do the same for both doors.

An answer is sent in parts only while Envoy has an answer of the upstream. What comes before one, or replaces one whose body is
still on its way, is gathered and sent as an answer of the proxy's own: a refusal, and an answer of the cache.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any, Protocol

from aiohttp import StreamReader
from aiohttp.abc import AbstractStreamWriter
from multidict import CIMultiDict, CIMultiDictProxy

from guardproxy.errors import ErrorCode, UpstreamError, naming_switch
from guardproxy.ext_proc import headers
from guardproxy.ext_proc.conversation import EnvoyConversation
from guardproxy.ext_proc.messages import Data, EnvoyHead, Message
from guardproxy.server import Deadlines, Wire, check_answer_head, routed_request

WINDOW_BYTES = 256 * 1024  # of a body that waits for its reader; beyond it no message is read


class Sending(Protocol):
    """Sends messages to Envoy."""

    async def __call__(self, messages: Iterable[bytes]) -> None:
        """Sends messages. Raises `ConnectionError` if Envoy has ended the call."""


class EnvoyCall:
    """A request that Envoy passes on. `send`: sends messages. `wire`: stands for the connection of the client. `fault`: why
    the call cannot go on; empty while it can."""

    def __init__(self, head: EnvoyHead, send: Sending, first_byte_s: float, idle_s: float) -> None:
        self.conversation = EnvoyConversation()
        self.conversation.receive(head)
        self.send = send
        self.first_byte_s, self.idle_s = first_byte_s, idle_s
        self.head = head
        self.fault = ""
        loop = asyncio.get_running_loop()
        self.wire = Wire(loop, _host_of(head.address))
        self.request_body = StreamReader(self.wire, WINDOW_BYTES // 2, loop=loop)
        self.answer_body = StreamReader(self.wire, WINDOW_BYTES // 2, loop=loop)
        self._has_answer = asyncio.Event()
        if head.is_end:
            self.request_body.feed_eof()
        of_client = CIMultiDict(headers.of_request(head.headers))
        self.request = routed_request(
            headers.first(head.headers, headers.METHOD),
            headers.first(head.headers, headers.PATH),
            CIMultiDictProxy(of_client),
            self.request_body,
            self.wire,
            AnswerWriter(self),
            lambda deadlines, has_own_key: EnvoyUpstream(self, deadlines, has_own_key=has_own_key),
        )

    async def take(self, message: Message) -> None:
        """Takes a message of Envoy, and waits while its reader has enough. Raises `OutOfTurnError`."""
        told = self.conversation.receive(message)
        if told is None:
            return
        body = self.request_body if told.is_request else self.answer_body
        if isinstance(told, EnvoyHead):
            self._has_answer.set()
            if told.is_end:
                body.feed_eof()
        elif isinstance(told, Data):
            if told.data:
                body.feed_data(told.data)
            if told.is_end:
                body.feed_eof()
        else:
            body.feed_eof()
        await self.wire.may_read()

    async def answered(self) -> EnvoyHead:
        """Returns the head of the upstream's answer, once it came."""
        await self._has_answer.wait()
        head = self.conversation.answer
        assert head is not None  # noqa: S101 - it came
        return head

    @property
    def has_arrived(self) -> bool:
        """Whether Envoy has sent everything."""
        return self.conversation.is_over or self.conversation.has_whole_answer

    def answer_with(self, status: int, body: bytes) -> Coroutine[Any, Any, None]:
        """Sends an answer that no exchange has written, if there can still be one."""
        return self.send([self.conversation.replace_answer(status, [("content-type", "application/json")], body)])


def _host_of(address: str) -> str:
    """Returns the host of `192.0.2.1:4711` or `[2001:db8::1]:4711`; empty for a unix socket or none."""
    host, colon, _ = address.rpartition(":")
    return host.strip("[]") if colon else ""


class AnswerWriter(AbstractStreamWriter):
    """Writes the answer of an exchange as messages to Envoy."""

    def __init__(self, call: EnvoyCall) -> None:
        self._call = call
        self._status = 0
        self._headers: CIMultiDict[str] = CIMultiDict()
        self._held = bytearray()  # of an answer that cannot be sent in parts

    async def write_headers(self, status_line: str, headers: CIMultiDict[str]) -> None:
        """Takes the head, which is sent with the first bytes of the body."""
        self._status = int(status_line.split(" ", 2)[1])
        self._headers = headers

    async def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Sends a part of the body."""
        self.output_size += len(chunk)
        conversation = self._call.conversation
        if not conversation.has_answer:
            self._held += chunk
            return
        await self._begin()
        await self._call.send(conversation.send_answer(bytes(chunk)))

    async def write_eof(self, chunk: bytes = b"") -> None:
        """Sends the last part of the body."""
        self.output_size += len(chunk)
        conversation = self._call.conversation
        if conversation.has_begun_answer or self._is_of_upstream():
            await self._begin()
            await self._call.send(conversation.end_answer(bytes(self._held) + chunk))
            return
        whole = bytes(self._held) + chunk
        own = headers.of_whole(self._headers.items())
        await self._call.send([conversation.replace_answer(self._status, own, whole)])

    def _is_of_upstream(self) -> bool:
        """Whether the answer is the upstream's, which has arrived: a body may go in its place."""
        conversation = self._call.conversation
        head = conversation.answer
        if head is None or not conversation.has_answer or not conversation.has_whole_answer:
            return False
        return headers.first(head.headers, headers.STATUS) == str(self._status) and not (head.is_end and self._held)

    async def _begin(self) -> None:
        conversation = self._call.conversation
        if (head := conversation.answer) is not None and not conversation.has_begun_answer:
            change = headers.answer_change(head.headers, self._status, self._headers.items())
            await self._call.send([conversation.begin_answer(change)])

    async def drain(self) -> None:
        """Does nothing: what is written is sent."""

    def enable_compression(self, encoding: str = "deflate", strategy: int | None = None) -> None:
        """Does nothing: the proxy compresses no answer."""

    def enable_chunking(self) -> None:
        """Does nothing: Envoy frames the body."""


class EnvoyAnswer:
    """The head of the upstream's answer. `has_arrived`: never, as the end of a body is a message of its own."""

    has_arrived = False

    def __init__(self, head: EnvoyHead) -> None:
        self.status = int(headers.first(head.headers, headers.STATUS) or 0)
        own = [(name, value) for name, value in head.headers if name[:1] != ":"]
        self.headers: Mapping[str, str] = CIMultiDict(own)
        self.content_type = headers.first(head.headers, "content-type").partition(";")[0].strip().lower()


class EnvoyUpstream:
    """The upstream of a request, which Envoy asks (`server.upstream.Answering`). There is one attempt: Envoy sends a request
    once."""

    def __init__(self, call: EnvoyCall, deadlines: Deadlines, *, has_own_key: bool) -> None:
        self._call = call
        self._has_own_key = has_own_key
        self._deadlines = deadlines
        self.sending: Coroutine[Any, Any, EnvoyAnswer] | asyncio.Task[EnvoyAnswer] | None = None
        self.response: EnvoyAnswer | None = None

    def begin(
        self, method: str, url: str, headers: CIMultiDict[str], body: bytes | None, *, at_once: bool = False
    ) -> None:
        """Takes a request, which `head` sends. `url`: path and query. `at_once`: sends it now, in a task of its own."""
        sending = self._send(url, headers, body or b"", at_once=at_once)
        self.sending = asyncio.ensure_future(sending) if at_once else sending

    async def head(self) -> EnvoyAnswer:
        """Returns the head of the answer. Raises `UpstreamError`."""
        assert self.sending is not None  # noqa: S101 - `begin` came first
        sending, self.sending = self.sending, None
        return await sending

    async def _send(self, path: str, wanted: CIMultiDict[str], body: bytes, *, at_once: bool) -> EnvoyAnswer:
        call = self._call
        if call.conversation.is_request_sent:
            message = "a request that Envoy sends cannot be sent a second time"
            raise UpstreamError(ErrorCode.UPSTREAM_UNAVAILABLE, message)
        change = headers.request_change(call.head.headers, path, wanted.items())
        messages = call.conversation.send_request(change, body)
        if at_once:  # a write that is cancelled would leave its message half sent, and no other could follow
            await asyncio.shield(call.send(messages))
        else:
            await call.send(messages)
        try:
            with self._deadlines.within(call.first_byte_s, asyncio.current_task() if at_once else None):
                self.response = EnvoyAnswer(await call.answered())
        except TimeoutError:
            message = naming_switch(ErrorCode.UPSTREAM_TIMEOUT.sentence, "timeout_first_byte_s")
            raise UpstreamError(ErrorCode.UPSTREAM_TIMEOUT, message) from None
        check_answer_head(self.response, has_own_key=self._has_own_key)
        return self.response

    async def read(self) -> bytes:
        """Returns the next bytes: all that have arrived; empty at the end. Raises `UpstreamError`."""
        content = self._call.answer_body
        if content.is_eof():
            return content.read_nowait()
        try:
            with self._deadlines.within(self._call.idle_s):
                return await content.readany()
        except TimeoutError:
            message = naming_switch("the upstream stopped sending", "timeout_idle_s")
            raise UpstreamError(ErrorCode.UPSTREAM_TIMEOUT, message) from None

    def arrived(self) -> bytes:
        """Returns what has arrived. Never called: `has_arrived` is false."""
        return self._call.answer_body.read_nowait()

    def release(self) -> None:
        """Does nothing: the connection is Envoy's."""

    def close(self) -> None:
        """Ends the wait for an answer that nobody takes."""
        sending, self.sending = self.sending, None
        if isinstance(sending, asyncio.Task):
            self._call.conversation.give_up_request()
            sending.cancel()
            sending.add_done_callback(_note_end)
        elif sending is not None:
            sending.close()


def _note_end(sending: asyncio.Task[EnvoyAnswer]) -> None:
    """Takes the error of a request that nobody waits for, so that asyncio does not log it."""
    if not sending.cancelled():
        sending.exception()
