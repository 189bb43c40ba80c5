"""Requests over connections that are kept, and the answers to them.

In: requests with all headers but those of the connection. Out: the head of an answer, and its body as it arrives. Kept: open
connections, by origin.

aiohttp's connector resolves names, connects and keeps connections, and its parser reads answers. Its session is left out: for
every request it prepares cookies, redirects, traces, a timer and a task, of which a proxy uses none, and more than half of a
request's processor time goes to it (`benchmarks/path/client.py`). TLS is always verified. `egress.py` says with which
certificates, and through which proxy.

Decision: docs/decisions/0053-requests-go-out-without-a-client-session.md
"""

from __future__ import annotations

import asyncio
import errno
import re
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from functools import lru_cache

import aiohappyeyeballs
import aiohttp
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.hdrs import METH_GET, METH_HEAD, METH_OPTIONS, METH_TRACE
from aiohttp.http import HttpProcessingError, StreamWriter
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from guardproxy.errors import UpstreamCause
from guardproxy.server.aiohttp_parts import NOT_HTTP, UpstreamConnector, UpstreamProtocol
from guardproxy.server.upstream.egress import DIRECT, Way

KEEP_S = 15.0  # an idle connection
NAMES_S = 30  # the addresses of a name
BUFFER_BYTES = 256 * 1024  # of an answer that nobody reads yet
SLICE_BYTES = 64 * 1024  # a larger body is written in slices, beside the wait for the answer
LIMIT_ORIGINS = 1_000
_WITHOUT_BODY = (METH_GET, METH_HEAD, METH_OPTIONS, METH_TRACE)
_AGAIN = (*_WITHOUT_BODY, "PUT", "DELETE")  # a request of these may be sent again (RFC 9110, 9.2.2)
_KINDS: dict[type[BaseException], UpstreamCause] = {
    aiohttp.ClientProxyConnectionError: UpstreamCause.PROXY,
    aiohttp.ClientHttpProxyError: UpstreamCause.PROXY,
    aiohttp.ClientConnectorDNSError: UpstreamCause.DNS,
    aiohttp.ClientConnectorCertificateError: UpstreamCause.CERTIFICATE,
    ssl.SSLError: UpstreamCause.TLS,
    aiohttp.ServerDisconnectedError: UpstreamCause.CLOSED,
}
_CAUSES = {
    errno.ECONNREFUSED: UpstreamCause.REFUSED,
    errno.ECONNRESET: UpstreamCause.RESET,
    errno.EPIPE: UpstreamCause.RESET,
    errno.ECONNABORTED: UpstreamCause.RESET,
    errno.ETIMEDOUT: UpstreamCause.CONNECT_TIMEOUT,
    errno.ENETUNREACH: UpstreamCause.NO_ROUTE,
    errno.EHOSTUNREACH: UpstreamCause.NO_ROUTE,
    errno.ENETDOWN: UpstreamCause.NO_ROUTE,
    errno.EHOSTDOWN: UpstreamCause.NO_ROUTE,
}
_METHOD = re.compile(r"[A-Z]+(?:-[A-Z]+)*", re.ASCII)


class ConnectTimeoutError(TimeoutError):
    """There is no connection within the time limit for one."""


class RequestProgress:
    """How far a request has come. `late`: what a time-out now is called. `is_tunnelling`: whether an HTTP proxy has not made
    the tunnel yet."""

    late = UpstreamCause.DNS
    is_tunnelling = False


_progress: ContextVar[RequestProgress] = ContextVar("progress")  # of the request that a task is connecting for


def cause_of(error: BaseException, progress: RequestProgress) -> UpstreamCause:
    """Returns why a request failed, from the error that `Connections.request` or the body of its answer raised."""
    if isinstance(error, TimeoutError) and error.errno is None:  # the system has time-outs of its own
        return UpstreamCause.PROXY_TIMEOUT if progress.is_tunnelling else progress.late
    if progress.is_tunnelling:
        return UpstreamCause.PROXY
    if isinstance(error, aiohttp.ClientPayloadError):
        if str(error) == NOT_HTTP:
            return UpstreamCause.NOT_HTTP
        return UpstreamCause.RESET if isinstance(error.__cause__, ConnectionError) else UpstreamCause.CLOSED
    for kind, cause in _KINDS.items():
        if isinstance(error, kind):
            return cause
    if not isinstance(error, OSError):
        return UpstreamCause.OTHER
    if progress.late is UpstreamCause.TLS_TIMEOUT:  # the upstream took the connection
        return UpstreamCause.TLS
    return _CAUSES.get(error.errno or 0, UpstreamCause.OTHER)


class UpstreamAnswer:
    """An answer: its head, and its body as it arrives. At the end of the body the connection is kept for other requests.
    `sending`: the task that still writes the body of the request."""

    def __init__(
        self,
        status: int,
        headers: CIMultiDictProxy[str],
        content: aiohttp.StreamReader,
        connection: Connection,
        protocol: UpstreamProtocol,
        sending: asyncio.Task[None] | None,
    ) -> None:
        self.status = status
        self.headers = headers
        self.content = content
        self._connection: Connection | None = connection
        self._protocol = protocol
        self._sending = sending
        self.has_arrived = False
        content.on_eof(self._ended)

    @property
    def content_type(self) -> str:
        """The media type, in lower case and without parameters."""
        return _media_type(self.headers.get("Content-Type", "application/octet-stream"))

    def close(self) -> None:
        """Closes the connection, unless the body has ended."""
        self._end(is_complete=False)

    def _ended(self) -> None:
        self.has_arrived = True
        self._end(is_complete=True)

    def _end(self, *, is_complete: bool) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        # The upstream would read the rest of this request as the beginning of the next one, and unwritten bytes would grow with
        # each request.
        is_sent = not self._protocol.writing_paused
        if self._sending is not None:
            is_sent = is_sent and self._sending.done()
            self._sending.cancel()
        if is_complete and is_sent and self.status != 101:  # after a 101 the upstream does not speak HTTP
            connection.release()
            self._protocol.keep()
        else:
            connection.close()


@lru_cache(maxsize=64)
def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


class Connections:
    """Connections to all upstreams. `connect_s`: the time limit for a new one; `idle_s`: for how long an answer may pause;
    `way_of`: returns the way to the origin of an address."""

    def __init__(self, connect_s: float, idle_s: float, way_of: Callable[[URL], Way] = lambda url: DIRECT) -> None:
        self._loop = asyncio.get_running_loop()
        self._connector = UpstreamConnector(
            self._new_protocol, limit=0, keepalive_timeout=KEEP_S, ttl_dns_cache=NAMES_S, socket_factory=_new_socket
        )
        self._timeout = aiohttp.ClientTimeout(total=None, connect=connect_s)  # resolving the name is a part of it
        self._idle_s = idle_s
        self._way_of = way_of
        self._origins: dict[tuple[str, str], ClientRequest] = {}

    async def request(
        self,
        method: str,
        url: str,
        headers: CIMultiDict[str],
        body: bytes | None,
        progress: RequestProgress | None = None,
    ) -> UpstreamAnswer:
        """Returns the answer to a request, to whose headers those of the connection are added. `progress`: is told how far the
        request comes. Raises `aiohttp.ClientError`, `OSError` (`TimeoutError` among them), and `ValueError` for what cannot be
        sent."""
        progress = progress or RequestProgress()
        if method != "POST" and not _METHOD.fullmatch(method):
            raise ValueError("not a method")
        parsed, body = URL(url), body or b""
        origin = self._origin(parsed)
        # First, as RFC 9110 (7.2) recommends.
        headers = CIMultiDict((("Host", origin.headers["Host"]), *headers.items()))
        if body or method not in _WITHOUT_BODY:
            headers["Content-Length"] = str(len(body))
        line = f"{method} {parsed.raw_path_qs} HTTP/1.1"
        if method in _AGAIN:
            try:
                return await self._sent(method, origin, line, headers, body, progress)
            except aiohttp.ClientConnectorError:
                raise
            except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
                pass  # the upstream may have closed the connection while it was idle
        return await self._sent(method, origin, line, headers, body, progress)

    def renew(self) -> None:
        """Asks for the ways again. Connections that are open end with their answer, or after `KEEP_S`: they are kept for the
        certificates with which they began."""
        self._origins.clear()

    async def close(self) -> None:
        """Closes all connections."""
        await self._connector.close()

    def _origin(self, url: URL) -> ClientRequest:
        """What the connector needs to know of an origin: a request to it."""
        key = url.scheme, url.raw_authority
        found = self._origins.get(key)
        if found is None:
            if len(self._origins) >= LIMIT_ORIGINS:
                self._origins.clear()
            way = self._way_of(url)
            for_proxy = CIMultiDict(way.headers or ()) if way.proxy else None
            if way.proxy:  # the same one for all upstreams
                self._connector.proxy_context = way.proxy_context
            found = self._origins[key] = ClientRequest(
                METH_GET,
                url.origin(),
                loop=asyncio.get_running_loop(),
                ssl=way.context,
                proxy=way.proxy,
                proxy_headers=for_proxy,
            )
            if for_proxy is not None:  # aiohttp adds it with the first connection, which would be of another kind then
                for_proxy["Host"] = found.headers["Host"]
        return found

    def _new_protocol(self) -> UpstreamProtocol:
        """The protocol of a new connection, made when the upstream has taken it. What may follow is the TLS handshake. With a
        proxy, the first one is for the proxy, and the second is made when the tunnel is there."""
        progress = _progress.get()
        progress.is_tunnelling = progress.late is not UpstreamCause.TLS_TIMEOUT and progress.is_tunnelling
        progress.late = UpstreamCause.TLS_TIMEOUT
        return UpstreamProtocol(loop=self._loop)

    async def _sent(
        self,
        method: str,
        origin: ClientRequest,
        line: str,
        headers: CIMultiDict[str],
        body: bytes,
        progress: RequestProgress,
    ) -> UpstreamAnswer:
        while True:
            progress.late, progress.is_tunnelling = UpstreamCause.DNS, origin.proxy is not None
            _progress.set(progress)
            try:
                connection = await self._connector.connect(origin, [], self._timeout)
            except TimeoutError:
                raise ConnectTimeoutError from None
            protocol = connection.protocol
            assert type(protocol) is UpstreamProtocol  # noqa: S101 - the connector makes no other
            # Bytes may have come since the connection was kept. They would be taken for the answer to this request, so
            # another connection is asked for.
            if not protocol.has_strange_bytes:
                break
            connection.close()
        protocol.is_idle, progress.late, progress.is_tunnelling = False, UpstreamCause.FIRST_BYTE_TIMEOUT, False
        sending: asyncio.Task[None] | None = None
        try:
            protocol.set_response_params(
                skip_payload=method == METH_HEAD,
                read_until_eof=True,
                auto_decompress=False,
                read_timeout=self._idle_s,
                read_bufsize=BUFFER_BYTES,
            )
            writer = StreamWriter(protocol, asyncio.get_running_loop())
            await writer.write_headers(line, headers)
            # A large body is written beside the wait for the answer: an upstream may refuse it before it has read all.
            if len(body) > SLICE_BYTES:
                sending = asyncio.create_task(_send(writer, protocol, memoryview(body)))
            else:
                await writer.write(body, drain=False)
                protocol.start_timeout()
            # Interim answers (1xx) come before the answer. After a 101 no other follows.
            while True:
                message, content = await protocol.read()
                if not 100 <= message.code < 200 or message.code == 101:
                    return UpstreamAnswer(message.code, message.headers, content, connection, protocol, sending)
                if sending is None or sending.done():
                    protocol.start_timeout()  # the end of an interim answer has stopped it
        except BaseException as error:
            if sending is not None:
                sending.cancel()
            connection.close()
            if isinstance(error, HttpProcessingError):
                raise aiohttp.ClientPayloadError(NOT_HTTP) from None
            raise


def _new_socket(place: aiohappyeyeballs.AddrInfoType) -> socket.socket:
    """The socket of a new connection, made when the upstream's address is known."""
    _progress.get().late = UpstreamCause.CONNECT_TIMEOUT
    family, kind, protocol, _, _ = place
    return socket.socket(family, kind, protocol)


async def _send(writer: StreamWriter, protocol: UpstreamProtocol, body: memoryview) -> None:
    """Writes a body in slices, so that encryption does not hold the loop. If the connection is lost, that ends the wait for the
    answer too."""
    with suppress(OSError):
        for at in range(0, len(body), SLICE_BYTES):
            await writer.write(body[at : at + SLICE_BYTES])
        await writer.drain()
        protocol.start_timeout()
