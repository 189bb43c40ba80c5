"""The listener: the server of aiohttp, with limits on connections and fixed answers to malformed HTTP.

A malformed request is refused with a fixed JSON body. The error page and the log of aiohttp quote the bytes that it could not
read, but must not contain what a client sent.

Connections are bounded. Each address has a share (`fair_share.py`), so no address can take all of them. When most of them are
in use, idle connections (kept alive, or without a byte so far) are closed, the oldest first; one whose bytes wait in its socket
is not idle. A connection for which there is no room gets 503, and is closed once the client has closed it, or after
`LINGER_S`: a socket that is closed with unread bytes resets the connection, and the client never sees the 503. The head of a
request must be complete `timeout_head_s` after its first byte.

Under pressure (`pressure.py`) a request whose body has arrived is refused here, before a task or an exchange begins. Such a
request costs the loop a tenth of a millisecond, has no record, and leaves its connection open.

A client that shuts down its sending side counts as gone, because TCP does not distinguish this from a close. Its exchange
ends as `client_closed`.
"""

from __future__ import annotations

import array
import asyncio
import ipaddress
import json
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any, cast

from aiohttp import HttpVersion, HttpVersion10, HttpVersion11, StreamReader, web
from aiohttp.hdrs import AUTHORIZATION, METH_HEAD
from aiohttp.http import RawRequestMessage
from aiohttp.web_protocol import RequestHandler
from multidict import CIMultiDict

from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.server.aiohttp_parts import ShortResponse
from guardproxy.server.intake.fair_share import Shares
from guardproxy.server.intake.pressure import Pressure
from guardproxy.wire import known_headers

_log = logging.getLogger(__name__)
NEAR = 0.75  # share of all connections above which idle connections are closed
CALM = 0.625  # share of all connections down to which they are closed
WAITING_REQUESTS = 2  # on a connection, above which it is not read further
LINGER_S = 2.0  # the time for which a client may read its refusal, and for which the rest of a refused body is read
MOST_LINGERING = 256  # refused connections that wait for their client to close them
_BODILESS = (204, 205, 304)
REAP_EVERY_S = 0.1  # a search for idle connections takes time for each connection


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


def sender_of(headers: Mapping[str, str], owner: str) -> str:
    """Who sends a request: its credential as it is written, otherwise the owner of its connection."""
    if value := headers.get(AUTHORIZATION):  # nearly always
        return value
    return next((value for name in known_headers().credentials if (value := headers.get(name))), owner)


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


def whole_response(request: web.BaseRequest, status: int, body: bytes, headers: CIMultiDict[str]) -> web.StreamResponse:
    """Returns a response with this body, which aiohttp writes. `headers` are taken over."""
    if request.method == METH_HEAD or status in _BODILESS or not body:
        return web.Response(status=status, body=body, headers=headers)
    headers["Content-Length"] = str(len(body))
    return ShortResponse(status, body, headers)


class HttpRequest(web.BaseRequest):
    """A request of a client. `closing`: whether its connection ends with its answer. `is_spoken`: whether it has a supported
    version of HTTP. An answer repeats the version of its request, so an unsupported version becomes HTTP/1.1 here."""

    def __init__(self, message: Any, *rest: Any, **options: Any) -> None:
        spoken = message.version in (HttpVersion10, HttpVersion11)
        supported = message if spoken else message._replace(version=HttpVersion11)
        super().__init__(supported, *rest, **options)
        self.is_spoken = spoken
        self.closing = not spoken

    @property
    def owner(self) -> str:
        """The owner of the connection (`owner_of`)."""
        connection: Connection = self._protocol  # type: ignore[assignment]
        return connection.owner

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


class Connection(RequestHandler):
    """One client connection."""

    __slots__ = ("_body", "_head_timer", "_listener", "_opened_s", "_refused", "owner")

    def __init__(self, listener: Listener, **options: Any) -> None:
        super().__init__(listener, **options)
        self._listener = listener
        self._body: StreamReader | None = None  # of the last request
        self._head_timer: asyncio.TimerHandle | None = None
        self._opened_s = self._loop.time()
        self._refused = False
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
        return max(self._opened_s, self._next_keepalive_close_time - self._keepalive_timeout)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername")
        self.owner = owner_of(peer[0]) if isinstance(peer, tuple) else ""
        if self._listener.welcome(self):
            super().connection_made(transport)
            return
        self._refused = self._force_close = True
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
            self._listener.lingering -= 1
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
        waiter, self._waiter = self._waiter, None
        is_idle = not self._messages and (self._request_count == 0 or (waiter is not None and not waiter.done()))
        super().data_received(data)
        self._waiter = waiter
        if is_idle and len(self._messages) == 1 and self._is_refused(*self._messages[0]):
            return
        if self._messages and waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _is_refused(self, message: Any, body: StreamReader) -> bool:
        """Refuses a request whose body has arrived. Returns whether it was refused."""
        stream = self.transport
        if stream is None or self._parser is None or not isinstance(message, RawRequestMessage) or not body.is_eof():
            return False
        if not self._listener.pressure.refuses(sender_of(message.headers, self.owner)):
            return False
        self._messages.clear()
        self._parser.message_consumed()
        refusal = self._listener.refusal(message.path.partition("?")[0])
        closes = message.should_close or self._upgraded  # bytes behind a declined upgrade are not parsed here
        answer = _canned(ErrorCode.NO_CAPACITY, refusal, _RETRY, *([_CLOSE] if closes else []))
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


class Listener(web.Server):
    """Makes a `Connection` for each client. `limit`: the maximum number of connections; `pressure`: that on the process;
    `refusal`: returns the body of a refusal under pressure, for a path."""

    def __init__(
        self,
        handler: Any,
        *,
        limit: int,
        timeout_head_s: float,
        pressure: Pressure | None = None,
        refusal: Callable[[str], bytes] = lambda path: error_body(ErrorCode.NO_CAPACITY),
        **options: Any,
    ) -> None:
        super().__init__(handler, request_factory=self._make, handler_cancellation=True, **options)
        self.timeout_head_s = timeout_head_s
        self.pressure = pressure or Pressure()
        self.refusal = refusal
        self.lingering = 0
        self.shares = Shares(limit)
        self.refused = 0
        self._reaped_s = 0.0

    def _make(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> HttpRequest:
        if (
            message.method == "UNKNOWN" and not message.raw_headers
        ):  # aiohttp calls this attribute for malformed requests
            message = message._replace(version=HttpVersion(1, 1))
        return HttpRequest(message, payload, protocol, writer, task, self._loop)

    def __call__(self) -> RequestHandler:
        options: dict[str, Any] = self._kwargs
        return Connection(self, loop=self._loop, **options)

    def welcome(self, connection: Connection) -> bool:
        """Counts a connection if there is room for it. Returns whether there was room."""
        if self.shares.used >= NEAR * self.shares.total:
            self._reap()
        if self.shares.take(connection.owner, 1):
            return True
        self.refused += 1
        return False

    def leave(self, connection: Connection) -> None:
        """Uncounts a connection that has ended."""
        self.shares.give(connection.owner, 1)

    def may_linger(self) -> bool:
        """Counts a refused connection that its client may close. Returns whether there is room for it."""
        if self.lingering >= MOST_LINGERING:
            return False
        self.lingering += 1
        return True

    def close_idle(self) -> None:
        """Closes every idle connection."""
        for connection in self.connections:
            if isinstance(connection, Connection) and connection.idle_since_s is not None:
                connection.force_close()

    def _reap(self) -> None:
        """Closes idle connections, the oldest first, until enough are free."""
        now_s = self._loop.time()
        if now_s < self._reaped_s + REAP_EVERY_S:
            return
        idle: list[tuple[float, int, Connection]] = []
        for number, connection in enumerate(self.connections):
            if isinstance(connection, Connection) and (since_s := connection.idle_since_s) is not None:
                idle.append((since_s, number, connection))
        wanted = max(1, self.shares.used - int(CALM * self.shares.total))
        closed = 0
        for *_, connection in sorted(idle):
            if closed == wanted:
                break
            if not connection.has_unread_bytes():  # its request has not been read yet
                connection.force_close()
                closed += 1
        if closed < wanted:  # an immediate second search would find no more
            self._reaped_s = now_s
