"""Private parts of aiohttp that the proxy uses, apart from those of a client's connection (`listener.py`).

Another release of aiohttp may change them without a word, so each use has a test that fails then.
"""

from __future__ import annotations

import sys
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage
from multidict import CIMultiDict

LIMIT_HEADS = 32  # of answers that arrived and that nobody has read yet
NOT_HTTP = "the answer is not HTTP"


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


class ShortResponse(web.StreamResponse):
    """A response whose head and body are written at once. It has a body, and a header with its length."""

    _send_headers_immediately = False

    def __init__(self, status: int, body: bytes, headers: CIMultiDict[str]) -> None:
        super().__init__(status=status, _real_headers=headers)
        self._whole = body

    async def write_eof(self, data: bytes = b"") -> None:
        await super().write_eof(self._whole)
