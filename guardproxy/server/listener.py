"""The listener: the server of aiohttp, with limits on connections and fixed answers to malformed HTTP.

A malformed request is refused with a fixed JSON body. The error page and the log of aiohttp quote the bytes that it could not
read, but must not contain what a client sent.

Connections are bounded. Each address has a share (`shares.py`), so no address can take all of them. When most of them are in
use, idle connections (kept alive, or without a byte so far) are closed, the oldest first. A connection for which there is no
room gets 503. The head of a request must be complete `timeout_head_s` after its first byte.

A client that shuts down its sending side counts as gone, because TCP does not distinguish this from a close. Its exchange
ends as `client_closed`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
from http import HTTPStatus
from typing import Any, cast

from aiohttp import HttpVersion, HttpVersion10, HttpVersion11, StreamReader, web
from aiohttp.web_protocol import RequestHandler

from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.server.shares import Shares

_log = logging.getLogger(__name__)
NEAR = 0.75  # share of all connections above which idle connections are closed
CALM = 0.625  # share of all connections down to which they are closed
WAITING_REQUESTS = 2  # on a connection, above which it is not read further
REAP_EVERY_S = 0.1  # a search for idle connections takes time for each connection


def error_body(code: ErrorCode, message: str = "") -> bytes:
    """The body of a refusal when the route, and so the wire format, is not known."""
    error = {"message": code.message(message), "type": "invalid_request_error", "param": None, "code": code}
    return json.dumps({"error": error}).encode()


def _canned(code: ErrorCode, message: str = "", *headers: str) -> bytes:
    body, status = error_body(code, message), HTTPStatus(code.status)
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Connection: close",
        "Server: guardproxy",
        *headers,
    )
    return "\r\n".join((*head, "", "")).encode("ascii") + body


_FULL = _canned(ErrorCode.NO_CAPACITY, "too many connections are open", "Retry-After: 1")
_LATE = _canned(ErrorCode.HEAD_TIMEOUT)


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
        return cast(Connection, self.protocol).owner

    @property
    def keep_alive(self) -> bool:
        return not self.closing and super().keep_alive

    def go_on(self) -> None:
        """Tells a client that waits with its body to send it (`Expect: 100-continue`). Raises `DownstreamError` (417)."""
        expected = self.headers.get("Expect", "")
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
        stream.close()

    def connection_lost(self, exc: BaseException | None) -> None:
        if not self._refused:
            self._listener.leave(self)
        self._stop_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        before = self._request_count
        in_body = self._body is not None and not self._body.is_eof()
        super().data_received(data)
        if self._request_count != before:
            self._stop_head_timer()
            if self._messages:
                self._body = self._messages[-1][1]
        elif data and not in_body and not self._head_timer and not self._force_close:
            self._head_timer = self._loop.call_later(self._listener.timeout_head_s, self._head_late)

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
    """Makes a `Connection` for each client. `limit`: the maximum number of connections."""

    def __init__(self, handler: Any, *, limit: int, timeout_head_s: float, **options: Any) -> None:
        super().__init__(handler, request_factory=self._make, handler_cancellation=True, **options)
        self.timeout_head_s = timeout_head_s
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
        for *_, connection in sorted(idle)[:wanted]:
            connection.force_close()
        if len(idle) < wanted:  # an immediate second search would find no more
            self._reaped_s = now_s
