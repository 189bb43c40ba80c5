"""Requests over connections that are kept, and the answers to them.

In: requests with all headers but those of the connection. Out: the head of an answer, and its body as it arrives. Kept: open
connections, by origin.

aiohttp's connector resolves names, connects and keeps connections, and its parser reads answers. Its session is left out: for
every request it prepares cookies, redirects, traces, a timer and a task, of which a proxy uses none, and more than half of a
request's processor time goes to it (`benchmarks/client.py`). No proxies of the environment are used; TLS is always verified.

Decision: docs/decisions/0053-requests-go-out-without-a-client-session.md
"""

from __future__ import annotations

import asyncio

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.hdrs import METH_GET, METH_HEAD, METH_OPTIONS, METH_TRACE
from aiohttp.http import HttpProcessingError, StreamWriter
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

KEEP_S = 15.0  # an idle connection
NAMES_S = 30  # the addresses of a name
BUFFER_BYTES = 256 * 1024  # of an answer that nobody reads yet
SLICE_BYTES = 64 * 1024  # a larger body is written in slices, beside the wait for the answer
LIMIT_ORIGINS = 1_000
_WITHOUT_BODY = (METH_GET, METH_HEAD, METH_OPTIONS, METH_TRACE)
_AGAIN = (*_WITHOUT_BODY, "PUT", "DELETE")  # a request of these may be sent again (RFC 9110, 9.2.2)


class UpstreamAnswer:
    """An answer: its head, and its body as it arrives. At the end of the body the connection is kept for other requests.
    `sending`: the task that still writes the body of the request."""

    def __init__(
        self,
        status: int,
        headers: CIMultiDictProxy[str],
        content: aiohttp.StreamReader,
        connection: Connection,
        sending: asyncio.Task[None] | None,
    ) -> None:
        self.status = status
        self.headers = headers
        self.content = content
        self._connection: Connection | None = connection
        self._sending = sending
        content.on_eof(self._ended)

    @property
    def content_type(self) -> str:
        """The media type, in lower case and without parameters."""
        return self.headers.get("Content-Type", "application/octet-stream").partition(";")[0].strip().lower()

    def close(self) -> None:
        """Closes the connection, unless the body has ended."""
        self._end(is_complete=False)

    def _ended(self) -> None:
        self._end(is_complete=True)

    def _end(self, *, is_complete: bool) -> None:
        connection, self._connection = self._connection, None
        if self._sending is not None:
            # What is missing of the request would be read as the beginning of the next one.
            is_complete = is_complete and self._sending.done()
            self._sending.cancel()
        if connection is None:
            return
        if is_complete:
            connection.release()
        else:
            connection.close()


class Connections:
    """Connections to all upstreams. `connect_s`: the time limit for a new one; `idle_s`: for how long an answer may pause."""

    def __init__(self, connect_s: float, idle_s: float) -> None:
        self._connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_S, ttl_dns_cache=NAMES_S)
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_s)
        self._idle_s = idle_s
        self._origins: dict[tuple[str, str], ClientRequest] = {}

    async def request(self, method: str, url: str, headers: CIMultiDict[str], body: bytes | None) -> UpstreamAnswer:
        """Returns the answer to a request, to whose headers those of the connection are added. Raises `aiohttp.ClientError`,
        `OSError` (`TimeoutError` among them), and `ValueError` for what cannot be sent."""
        parsed, body = URL(url), body or b""
        origin = self._origin(parsed)
        headers = CIMultiDict((("Host", origin.headers["Host"]), *headers.items()))
        if body or method not in _WITHOUT_BODY:
            headers["Content-Length"] = str(len(body))
        line = f"{method} {parsed.raw_path_qs} HTTP/1.1"
        if method in _AGAIN:
            try:
                return await self._sent(method, origin, line, headers, body)
            except aiohttp.ClientConnectorError:
                raise
            except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
                pass  # the upstream may have closed the connection while it was idle
        return await self._sent(method, origin, line, headers, body)

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
            found = self._origins[key] = ClientRequest(METH_GET, url.origin(), loop=asyncio.get_running_loop())
        return found

    async def _sent(
        self, method: str, origin: ClientRequest, line: str, headers: CIMultiDict[str], body: bytes
    ) -> UpstreamAnswer:
        connection = await self._connector.connect(origin, [], self._timeout)
        sending: asyncio.Task[None] | None = None
        try:
            protocol = connection.protocol
            assert protocol is not None  # noqa: S101 - it was just taken
            protocol.set_response_params(
                skip_payload=method == METH_HEAD,
                read_until_eof=True,
                auto_decompress=False,
                read_timeout=self._idle_s,
                read_bufsize=BUFFER_BYTES,
            )
            writer = StreamWriter(protocol, asyncio.get_running_loop())
            await writer.write_headers(line, headers)
            if len(body) > SLICE_BYTES:
                sending = asyncio.create_task(_send(writer, protocol, memoryview(body)))
            else:
                await writer.write(body, drain=False)
                protocol.start_timeout()
            while True:
                message, content = await protocol.read()
                if not 100 <= message.code < 200 or message.code == 101:
                    return UpstreamAnswer(message.code, message.headers, content, connection, sending)
        except BaseException as error:
            if sending is not None:
                sending.cancel()
            connection.close()
            if isinstance(error, HttpProcessingError):
                raise aiohttp.ClientPayloadError("the answer is not HTTP") from None
            raise


async def _send(writer: StreamWriter, protocol: ResponseHandler, body: memoryview) -> None:
    """Writes a body in slices, so that encryption does not hold the loop. A failure ends the wait for the answer."""
    try:
        for at in range(0, len(body), SLICE_BYTES):
            await writer.write(body[at : at + SLICE_BYTES])
        await writer.drain()
        protocol.start_timeout()
    except OSError as error:
        protocol.set_exception(error)
