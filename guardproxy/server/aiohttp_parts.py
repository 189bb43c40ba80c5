"""Private parts of aiohttp that the proxy uses: in connections to upstreams, and in those of clients (`intake/listener.py`).

Another release of aiohttp may change them without a word, so each use has a test that fails then, and no other file uses any.
"""

from __future__ import annotations

import array
import asyncio
import ipaddress
import json
import logging
import ssl
import sys
from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Protocol, cast

import aiohttp
from aiohttp import HttpVersion, HttpVersion10, HttpVersion11, StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.base_protocol import BaseProtocol
from aiohttp.client_proto import ResponseHandler
from aiohttp.hdrs import METH_HEAD
from aiohttp.http import RawRequestMessage, RawResponseMessage
from aiohttp.web_protocol import RequestHandler
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from guardproxy.errors import DownstreamError, ErrorCode

_log = logging.getLogger(__name__)

LIMIT_HEADS = 32  # of answers that arrived and that nobody has read yet
NOT_HTTP = "the answer is not HTTP"
_ROOT = URL("/")  # nothing reads the parsed URL of a request
UNREAD_BYTES = 64 * 1024  # of an answer, encrypted, that a client does not take
WAITING_REQUESTS = 2  # on a connection, above which it is not read further
LINGER_S = 2.0  # the time for which a client may read its refusal, and for which the rest of a refused body is read


def unread(content: aiohttp.StreamReader) -> bytes:
    """The bytes of a body that has arrived in full and that nobody reads any more after this. In one piece they are not taken
    out: aiohttp's accounts are for bytes that may follow, and cost a dozen calls."""
    is_whole = content.total_bytes and len(content._buffer) == 1 and not content._buffer_offset
    if is_whole and content._exception is None and not content._protocol._reading_paused:
        return content._buffer[0]
    return content.read_nowait()


class UpstreamProtocol(ResponseHandler):
    """The protocol of a connection. It differs from aiohttp's in three ways. Bytes behind an answer, or that arrive while the
    connection is idle, answer no request: it is not used again. Every end of the connection ends the wait for a body. And a
    connection is closed at once: aiohttp first writes what is left of a request, without a time limit, though the upstream
    may never read it."""

    is_idle = False
    _last_parser: Any = None
    _has_begun_another = False

    @property
    def has_strange_bytes(self) -> bool:
        """Whether bytes arrived that answer no request, though no request is under way. The connection is then of no use: every
        answer on it would be that of the request before."""
        if not self.is_idle:
            return False
        parser, self._last_parser = self._last_parser, None
        if parser is not None:
            try:  # between two messages, the end of the bytes ends none
                self._has_begun_another = parser.feed_eof() is not None
            except Exception:  # it is in the middle of one
                self._has_begun_another = True
        return self._has_begun_another or bool(self._tail or self._buffer)

    def keep(self) -> None:
        """Notes that the connection is idle. Bytes that arrive from now on are not parsed. What came behind the answer is
        looked at when all bytes of its segment are parsed."""
        self.is_idle = True
        self._last_parser, self._parser = self._parser, None
        self._drop_timeout()  # it may have begun at the end of a large request, when the answer was complete
        self._loop.call_soon(self._close_if_strange)

    def _close_if_strange(self) -> None:
        if self.has_strange_bytes:
            self.abort()

    def feed_data(self, data: tuple[RawResponseMessage, aiohttp.StreamReader], size: int = 0) -> None:
        """Takes the head of an answer. An upstream that sends many interim answers at once is cut off: the loop would parse as
        many as arrive before anything else has its turn."""
        if len(self._buffer) < LIMIT_HEADS:
            super().feed_data(data, size)
        elif self.transport is not None:
            self.transport.abort()

    def eof_received(self) -> None:
        """Closes the connection, because the answer has arrived in full."""
        super().eof_received()
        if self.transport is not None:
            self.transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Parses the bytes that have arrived and wait for a slow reader. aiohttp drops them, and takes the body for cut off."""
        body = self._payload
        if self._reading_paused and body is not None:
            body.set_read_chunk_size(sys.maxsize)  # no more pauses: at most one read of the socket is left
            body._high_water_chunks = sys.maxsize
            self.resume_reading()
        super().connection_lost(exc)
        failure = body.exception() if body is not None else None
        if failure is not None and exc is not None:  # aiohttp names what the parser makes of it instead
            failure.__cause__ = exc

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        if exc_cause is None:
            super().set_exception(exc)
        else:
            super().set_exception(exc, exc_cause)
        self._fail(exc)

    def close(self) -> None:
        """Closes the connection without writing what is left."""
        self.abort()

    def abort(self) -> None:
        self._fail(aiohttp.ClientConnectionError("the connection was closed"))
        super().abort()

    def _fail(self, error: BaseException) -> None:
        """Ends the wait for a body that has not ended."""
        body = self._payload
        if body is not None and not body.is_eof() and body.exception() is None:
            is_known = isinstance(error, (aiohttp.ClientError, OSError))
            body.set_exception(error if is_known else aiohttp.ClientPayloadError(NOT_HTTP))


class TunnelConnector(aiohttp.TCPConnector):
    """Connects, also by tunnels through an HTTP proxy. `proxy_context`: for TLS to the proxy. aiohttp takes that of the
    upstream, which may trust its own authority alone and show a certificate that is for nobody else."""

    proxy_context: ssl.SSLContext | bool = True

    def _update_proxy_auth_header_and_build_proxy_req(self, req: Any) -> Any:
        asked = super()._update_proxy_auth_header_and_build_proxy_req(req)
        asked._ssl = self.proxy_context
        return asked


class UpstreamConnector(TunnelConnector):
    """Connects, and gives each connection a protocol of `new_protocol`."""

    def __init__(self, new_protocol: Callable[[], UpstreamProtocol], **options: Any) -> None:
        super().__init__(**options)
        self._factory = new_protocol  # type: ignore[assignment]


class ShortResponse(web.StreamResponse):
    """A response whose head and body are written at once. It has a body, and a header with its length."""

    _send_headers_immediately = False

    def __init__(self, status: int, body: bytes, headers: CIMultiDict[str]) -> None:
        super().__init__(status=status, _real_headers=headers)
        self._whole = body

    @property
    def whole(self) -> bytes:
        """The body."""
        return self._whole

    async def write_eof(self, data: bytes = b"") -> None:
        await super().write_eof(self._whole)


def error_body(code: ErrorCode, message: str = "") -> bytes:
    """The body of a refusal when the route, and so the wire format, is not known."""
    error = {"message": code.message(message), "type": "invalid_request_error", "param": None, "code": code}
    return json.dumps({"error": error}).encode()


def _canned(code: ErrorCode, body: bytes, *headers: str) -> bytes:
    status = HTTPStatus(code.status)
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Server: guardproxy",
        *headers,
    )
    return "\r\n".join((*head, "", "")).encode("ascii") + body


_CLOSE, _RETRY = "Connection: close", "Retry-After: 1"
_FULL_BODY = error_body(ErrorCode.NO_CAPACITY, "too many connections are open")
_FULL = _canned(ErrorCode.NO_CAPACITY, _FULL_BODY, _RETRY, _CLOSE)
_LATE = _canned(ErrorCode.HEAD_TIMEOUT, error_body(ErrorCode.HEAD_TIMEOUT), _CLOSE)


def owner_of(address: str) -> str:
    """The owner of a peer address: the IPv4 address itself, or the /64 network of an IPv6 address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address  # a unix socket
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))


class HttpRequest(web.BaseRequest):
    """A request of a client. `closing`: whether its connection ends with its answer. `is_spoken`: whether it has a supported
    version of HTTP. An answer repeats the version of its request, so an unsupported version becomes HTTP/1.1 here. `upstream`:
    what answers it, if that is neither an upstream of the settings nor the proxy. `upstream_of(deadlines, has_own_key)`: makes
    the upstream's side of the request where another program sends it on; `None` if the proxy does. `conversation`: its name, if
    the connection itself is one."""

    conversation = ""
    upstream: Any = None
    upstream_of: Callable[[Any, bool], Any] | None = None

    def __init__(self, message: Any, *rest: Any, **options: Any) -> None:
        spoken = message.version in (HttpVersion10, HttpVersion11)
        supported = message if spoken else message._replace(version=HttpVersion11)
        super().__init__(supported, *rest, **options)
        self.is_spoken = spoken
        self.closing = not spoken

    @property
    def owner(self) -> str:
        """The owner of the connection (`owner_of`)."""
        connection: ClientConnection | Wire = self._protocol  # type: ignore[assignment]
        return connection.owner

    @property
    def certificate(self) -> Any:
        """What the connection knows of the client's certificate; `None` without one."""
        connection: ClientConnection | Wire = self._protocol  # type: ignore[assignment]
        return connection.certificate

    @property
    def keep_alive(self) -> bool:
        return not self.closing and super().keep_alive

    def go_on(self) -> None:
        """Tells a client that waits with its body to send it (`Expect: 100-continue`). Raises `DownstreamError` (417)."""
        if "Expect" not in self.headers:
            return
        expected = self.headers["Expect"]
        if not expected or self.version == HttpVersion10:
            return
        if expected.lower() != "100-continue":
            raise DownstreamError(ErrorCode.UNKNOWN_EXPECTATION, field="expect")
        if not self.content.is_eof() and not self.content.total_bytes and self.transport is not None:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


class Wire(BaseProtocol):
    """Stands for the connection of a client whose requests come by another way than HTTP on a socket. `address`: that of the
    client, empty if it is not known. `is_cut`: whether the answer was ended without its end."""

    ssl_context = None
    sockname = None
    certificate = None

    def __init__(self, loop: asyncio.AbstractEventLoop, address: str) -> None:
        super().__init__(loop)
        self.owner = owner_of(address)
        self.peername = (address, 0) if address else None
        self.is_cut = False
        self._may_read = asyncio.Event()
        self._may_read.set()
        self.transport = _NoTransport(self)

    def pause_reading(self) -> None:
        self._reading_paused = True
        self._may_read.clear()

    def resume_reading(self, resume_parser: bool = True) -> None:
        self._reading_paused = False
        self._may_read.set()

    async def may_read(self) -> None:
        """Waits while the readers of bodies have enough."""
        if self._reading_paused:
            await self._may_read.wait()


class _NoTransport(asyncio.Transport):
    """The transport of a `Wire`."""

    def __init__(self, wire: Wire) -> None:
        super().__init__({"peername": wire.peername})
        self._wire = wire

    def abort(self) -> None:
        self._wire.is_cut = True

    def is_closing(self) -> bool:
        return self._wire.is_cut

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Drops what is written beside an answer: `100 Continue`."""


def routed_request(
    method: str,
    path: str,
    headers: CIMultiDictProxy[str],
    body: StreamReader,
    wire: Wire,
    writer: AbstractStreamWriter,
    upstream_of: Callable[[Any, bool], Any],
) -> HttpRequest:
    """Returns a request that came by another way than HTTP on a socket, for the current task. `path`: with the query.
    `writer`: takes the answer. `upstream_of`: see `HttpRequest`."""
    message = RawRequestMessage(method, path, HttpVersion11, headers, (), False, None, False, False, _ROOT)
    task = asyncio.current_task()
    remote = wire.peername[0] if wire.peername else ""
    request = HttpRequest(message, body, wire, writer, task, asyncio.get_running_loop(), remote=remote)
    request.upstream_of = upstream_of
    return request


class ClientConnection(RequestHandler):
    """The connection of a client. `owner`: of its address (`owner_of`). `is_counted`: whether the listener counts it
    before it has begun, during the TLS handshake. `certificate`: what the listener makes of the client's certificate; `None`
    without one."""

    __slots__ = ("_body", "_head_timer", "_listener", "_opened_s", "_refused", "certificate", "is_counted", "owner")

    def __init__(self, listener: ClientServer, **options: Any) -> None:
        super().__init__(listener, **options)
        self._listener = listener
        self._body: StreamReader | None = None  # of the last request
        self._head_timer: asyncio.TimerHandle | None = None
        self._opened_s = self._loop.time()
        self._refused = False
        self.is_counted = False
        self.certificate: Any = None
        self.owner = ""
        # Pipelined requests hold memory that no limit counts, and no client of a model needs them.
        self._max_msg_queue_size = WAITING_REQUESTS
        self._msg_queue_resume_size = WAITING_REQUESTS - 1

    @property
    def idle_since_s(self) -> float | None:
        """The time since which the connection is idle; `None` if it is not."""
        waiting = self._request_count == 0 or (self._waiter is not None and not self._waiter.done())
        if not waiting or self._messages or self._head_timer or self._force_close:
            return None
        # aiohttp notes when it will close the connection, not when the last answer ended.
        return max(self._opened_s, self._next_keepalive_close_time - self._keepalive_timeout)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername")
        self.owner = owner_of(peer[0]) if isinstance(peer, tuple) else ""
        encrypted = transport.get_extra_info("ssl_object")
        if encrypted is not None:
            self.certificate = self._listener.certified(encrypted.getpeercert())
            # asyncio keeps eight times as much for a client that reads slowly if the connection is encrypted.
            cast(asyncio.Transport, transport).set_write_buffer_limits(UNREAD_BYTES)
        if self.is_counted or self._listener.welcome(self):
            self.is_counted = False  # from now on as itself
            super().connection_made(transport)
            return
        self._refused = self._force_close = True
        # The server of aiohttp was never told of this connection, so it must not be told of its end.
        self._manager = None
        stream = cast(asyncio.Transport, transport)
        stream.write(_FULL)
        if not self._listener.may_linger() or not stream.can_write_eof():
            stream.close()
            return
        stream.write_eof()
        self._head_timer = self._loop.call_later(LINGER_S, stream.abort)

    def has_unread_bytes(self) -> bool:
        """Whether bytes of the client wait in the socket."""
        count = array.array("i", [0])
        stream: Any = self.transport and self.transport.get_extra_info("socket")
        with suppress(ImportError, OSError, AttributeError):  # it is closed, or cannot be asked
            from fcntl import ioctl  # noqa: PLC0415 - Unix only
            from termios import FIONREAD  # noqa: PLC0415

            ioctl(stream.fileno(), FIONREAD, count)
        return count[0] > 0

    def connection_lost(self, exc: BaseException | None) -> None:
        if not self._refused:
            self._listener.leave(self)
        elif self._head_timer:
            self._listener.lingered()
        self._stop_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        before = self._request_count
        in_body = self._body is not None and not self._body.is_eof()
        if self._listener.pressure.is_high and not in_body and not self._force_close:
            self._receive_under_pressure(data)
        else:
            super().data_received(data)
        if self._request_count != before:
            self._stop_head_timer()
            if self._messages:
                self._body = self._messages[-1][1]
        elif data and not in_body and not self._head_timer and not self._force_close:
            self._head_timer = self._loop.call_later(self._listener.timeout_head_s, self._head_late)

    def _receive_under_pressure(self, data: bytes) -> None:
        """Reads bytes as always, but answers a whole request at once if it is refused. No handler wakes up for it."""
        # Without its waiter, aiohttp wakes no task for what it reads here.
        waiter, self._waiter = self._waiter, None
        is_idle = not self._messages and (self._request_count == 0 or (waiter is not None and not waiter.done()))
        super().data_received(data)
        self._waiter = waiter
        if is_idle and len(self._messages) == 1:
            message, body = self._messages[0]
            if self._is_refused(message, body):
                return
        if self._messages and waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _is_refused(self, message: Any, body: StreamReader) -> bool:
        """Refuses a request whose body has arrived. Returns whether it was refused."""
        stream = self.transport
        if stream is None or self._parser is None or not isinstance(message, RawRequestMessage) or not body.is_eof():
            return False
        refusal = self._listener.refuses(message.headers, self.owner, message.path.partition("?")[0])
        if refusal is None:
            return False
        self._messages.clear()
        self._parser.message_consumed()
        closes = message.should_close or self._upgraded  # bytes behind a declined upgrade are not parsed here
        headers = (_RETRY, _CLOSE) if closes else (_RETRY,)
        answer = _canned(ErrorCode.NO_CAPACITY, refusal, *headers)
        stream.write(answer.removesuffix(refusal) if message.method == METH_HEAD else answer)
        if closes:
            stream.close()
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        return True

    def _head_late(self) -> None:
        self._head_timer = None
        if self._waiter is None or self._waiter.done():  # an earlier request is still being answered
            self._head_timer = self._loop.call_later(self._listener.timeout_head_s, self._head_late)
            return
        if self.transport is not None:
            self.transport.write(_LATE)
        self.force_close()

    def _stop_head_timer(self) -> None:
        if self._head_timer:
            self._head_timer.cancel()
            self._head_timer = None

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to a request that is malformed (400), has an unsupported HTTP version (505) or met a fault of the proxy
        (500)."""
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.error("unexpected fault", extra={"error": type(exc).__name__}, exc_info=exc)
            code = ErrorCode.INTERNAL_ERROR
        elif "HTTP version" in str(exc):  # the name that the parser gives to this fault
            status, code = ErrorCode.HTTP_VERSION.status, ErrorCode.HTTP_VERSION
        else:
            code = ErrorCode.MALFORMED_HTTP
        if status < HTTPStatus.INTERNAL_SERVER_ERROR or code is ErrorCode.HTTP_VERSION:
            _log.info("malformed HTTP", extra={"status": status, "error": type(exc).__name__})
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun: only closing the connection is left")
        body = error_body(code)
        response = web.Response(status=status, body=body, content_type="application/json")
        response.headers["Server"] = "guardproxy"
        response.force_close()
        return response


class Owned(Protocol):
    """A connection, also one whose TLS handshake is under way. `owner`: of its address (`owner_of`)."""

    owner: str


class PressureState(Protocol):
    """The pressure on the process, as a connection asks for it (`intake/pressure.py`)."""

    is_high: bool


class ClientServer(web.Server):
    """Makes a `ClientConnection` for each client. A class that derives from it decides which stay. `timeout_head_s`: the time
    limit for the head of a request, from its first byte."""

    pressure: PressureState

    def __init__(self, handler: Any, timeout_head_s: float, **options: Any) -> None:
        super().__init__(handler, request_factory=self._make, handler_cancellation=True, **options)
        self.timeout_head_s = timeout_head_s

    def _make(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> HttpRequest:
        if (
            message.method == "UNKNOWN" and not message.raw_headers
        ):  # aiohttp calls this attribute for malformed requests
            message = message._replace(version=HttpVersion(1, 1))
        return HttpRequest(message, payload, protocol, writer, task, self._loop)

    def __call__(self) -> RequestHandler:
        options: dict[str, Any] = self._kwargs
        return ClientConnection(self, loop=self._loop, **options)

    def certified(self, certificate: Any) -> Any:
        """Returns what requests on a connection know of the certificate that its client has shown: nothing, unless a class that
        derives from this one knows more. `certificate`: as `ssl.SSLSocket.getpeercert` returns it."""
        return None

    @abstractmethod
    def welcome(self, connection: Owned) -> bool:
        """Counts a connection if there is room for it. Returns whether there was room."""

    @abstractmethod
    def leave(self, connection: Owned) -> None:
        """Uncounts a connection that has ended."""

    @abstractmethod
    def may_linger(self) -> bool:
        """Counts a refused connection that its client may close. Returns whether there is room for it."""

    @abstractmethod
    def lingered(self) -> None:
        """Uncounts a refused connection that has ended."""

    @abstractmethod
    def refuses(self, headers: Mapping[str, str], owner: str, path: str) -> bytes | None:
        """Returns the body of a refusal, counted, or `None` if a request from this owner is taken under pressure."""
