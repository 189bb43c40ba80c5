"""Forwards requests of the admin port to another process of this server, on a Unix socket.

In: a request below a prefix. Out: the answer of the process, in parts as they arrive; 503 while it does not answer. It runs on
the loop of the admin port, so no exchange waits for it.

Each request has a connection of its own, its body is framed anew, and only headers that are listed here go on. So no part of a
request can be read as another one, and a client cannot set what the admin port says of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
from aiohttp import web
from yarl import URL

from guardproxy.webpage import webpage

_log = logging.getLogger(__name__)
METHODS = ("GET", "HEAD", "POST")
BODY_BYTES = 8 * 1024 * 1024
AT_ONCE = 100  # requests, open streams included
BODIES_AT_ONCE = 30  # requests whose body is on its way: slow ones must not keep others out
CONNECT_S = 5.0
SILENT_S = 60.0  # of an answer, between two parts; streams show a sign of life more often
BODY_S = 30.0
WRITE_S = 30.0  # for the browser to take a part
AGAIN_S = 2
PEER = "X-Console-Peer"
# Headers of requests that go on.
_REQUEST_HEADERS = (
    *("Accept", "Accept-Language", "Content-Type", "Cookie", "Host", "If-None-Match", "Last-Event-ID", "Origin"),
    *("Referer", "Sec-Fetch-Dest", "Sec-Fetch-Mode", "Sec-Fetch-Site", "Sec-Fetch-User", "User-Agent", "X-CSRF-Token"),
)
_REQUEST_PREFIX = "HX-"
# Headers of answers that are about the connection to the process, or that this port sets itself.
_CONNECTION_HEADERS = frozenset(
    (
        "connection",
        "date",
        "keep-alive",
        "proxy-authenticate",
        "server",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)


class _TooLargeError(Exception):
    """A body has more bytes than are allowed."""


class Forwarder:
    """Forwards requests to the process that listens on `path`. `title`: the name of what it shows, for people."""

    def __init__(self, path: Path, title: str) -> None:
        self._path = path
        self._title = title
        self._session: aiohttp.ClientSession | None = None
        self._open = 0
        self._bodies = 0
        self._prefix = ""

    def add_to(self, app: web.Application, prefix: str) -> None:
        """Adds the paths below a prefix to an application."""
        for path in (prefix, f"{prefix}/", prefix + "/{below:.*}"):
            app.router.add_route("*", path, self.handle)
        app.on_cleanup.append(self._close)
        self._prefix = prefix

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answers one request."""
        if request.method not in METHODS:
            return web.Response(status=405, text="not allowed\n", headers={"Allow": ", ".join(METHODS)})
        if not request.rel_url.raw_path.startswith(self._prefix):  # spelled in another way
            return web.Response(status=404, text="there is nothing at this address\n")
        if (request.content_length or 0) > BODY_BYTES:
            return _too_large()
        if self._open >= AT_ONCE:
            return self._unavailable(request, "It has too many open requests.")
        has_body = request.body_exists
        if has_body and self._bodies >= BODIES_AT_ONCE:
            return self._unavailable(request, "It has too many open requests.")
        self._open += 1
        self._bodies += has_body
        try:
            return await self._forward(request)
        finally:
            self._open -= 1
            self._bodies -= has_body

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        response: web.StreamResponse | None = None
        try:
            async with self._asking().request(
                request.method,
                _address(request.rel_url),
                headers=_headers(request),
                data=_body(request) if request.body_exists else None,
                allow_redirects=False,
            ) as answer:
                response = web.StreamResponse(status=answer.status, reason=answer.reason)
                for name, value in answer.headers.items():
                    if name.lower() not in _CONNECTION_HEADERS:
                        response.headers.add(name, value)
                await response.prepare(request)
                async for part in answer.content.iter_any():
                    async with asyncio.timeout(WRITE_S):
                        await response.write(part)
                await response.write_eof()
                return response
        except (_TooLargeError, aiohttp.ClientError, OSError, TimeoutError) as error:
            if response is None or not response.prepared:
                if isinstance(error, _TooLargeError) or isinstance(error.__cause__, _TooLargeError):
                    return _too_large()
                return self._unavailable(request, "It is being started.")
            # The browser must not take a part for the whole, if it is still there.
            if request.transport is not None:
                request.transport.abort()
            return response

    def _asking(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(str(self._path), force_close=True, limit=AT_ONCE),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENT_S),
                skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
                auto_decompress=False,
            )
        return self._session

    async def _close(self, _: web.Application) -> None:
        if self._session is not None:
            await self._session.close()

    def _unavailable(self, request: web.Request, why: str) -> web.Response:
        text = f"The {self._title} does not answer. {why} This page asks again in {AGAIN_S} seconds."
        if "HX-Request" in request.headers:  # the answer is put into a page, which does not load itself again
            text = text.partition(" This page")[0] + " Try again in a moment."
            return web.Response(status=503, text=f"<p>{text}</p>", content_type="text/html")
        page = webpage(f"The {self._title} does not answer", [f"<h1>One moment</h1><p>{text}</p>"])
        headers = {"Retry-After": str(AGAIN_S), "Refresh": str(AGAIN_S), "Cache-Control": "no-store"}
        return web.Response(status=503, text=page, content_type="text/html", headers=headers)


def _too_large() -> web.Response:
    return web.Response(status=413, text=f"more than {BODY_BYTES // 1024**2} MiB\n", headers={"Connection": "close"})


def _address(target: URL) -> URL:
    """Returns the same path and query, byte for byte, for the process."""
    query = target.raw_query_string
    return URL.build(scheme="http", host="console", path=target.raw_path, query_string=query, encoded=True)


def _headers(request: web.Request) -> dict[str, str]:
    """Returns the headers that go on. Of a header that came twice, the first counts."""
    headers = {name: request.headers[name] for name in _REQUEST_HEADERS if name in request.headers}
    headers |= {name: value for name, value in request.headers.items() if name.upper().startswith(_REQUEST_PREFIX)}
    return {**headers, PEER: request.remote or ""}


async def _body(request: web.Request) -> AsyncIterator[bytes]:
    """Yields the body. Raises `_TooLargeError`, and `TimeoutError` for one that takes too long."""
    size_bytes = 0
    async with asyncio.timeout(BODY_S):
        async for part in request.content.iter_any():
            size_bytes += len(part)
            if size_bytes > BODY_BYTES:
                raise _TooLargeError
            yield part
