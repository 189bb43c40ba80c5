"""The listening side of aiohttp with our own manners: a malformed request is refused in one fixed JSON body.

aiohttp's page quotes the bytes that it could not read, and its log does too; neither may hold what a client sent.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web_protocol import RequestHandler

_log = logging.getLogger(__name__)
VERSION = "guardproxy.version"


class Connection(RequestHandler):
    """One client connection."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What a client gets whose request is no HTTP (400), or which met a fault of ours (500)."""
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.error("unexpected fault", extra={"error": type(exc).__name__}, exc_info=exc)
        else:
            _log.info("malformed HTTP", extra={"status": status, "error": type(exc).__name__})
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun: only closing the connection is left")
        code = "malformed_http" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "internal_error"
        text = "the request is not well-formed HTTP" if code == "malformed_http" else "the proxy met a fault of its own"
        error = {"error": {"message": text, "type": "invalid_request_error", "param": None, "code": code}}
        response = web.json_response(error, status=status)
        response.force_close()
        return response


def request_of(
    message: RawRequestMessage, payload: Any, protocol: Any, writer: Any, task: Any, limit_bytes: int
) -> web.BaseRequest:
    """The request of a message. An answer repeats the version of its request, so a version that is not spoken here becomes
    HTTP/1.1, and `VERSION` holds it for whoever refuses the request."""
    spoken = message.version in (HttpVersion10, HttpVersion11)
    shown = message if spoken else message._replace(version=HttpVersion11, should_close=True)
    request = web.BaseRequest(shown, payload, protocol, writer, task, protocol._loop, client_max_size=limit_bytes)
    if not spoken:
        request[VERSION] = message.version
    return request


class Listener(web.Server):
    """Makes a `Connection` for each client."""

    def __call__(self) -> RequestHandler:
        options: dict[str, Any] = self._kwargs
        return Connection(self, loop=self._loop, **options)
