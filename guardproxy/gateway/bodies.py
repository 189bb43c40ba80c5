"""Refuses bodies by what their headers say, before a byte of them is read."""

from __future__ import annotations

from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.gateway.duty import Duty, Head
from guardproxy.wire import codec_for

_CODINGS = ("", "identity", "gzip", "deflate")


class BodyHeaders(Duty):
    """`limit_bytes`: how large a body may be after decompression."""

    name = "bodies"

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes

    def admit(self, head: Head) -> Head:
        """The head. Raises `DownstreamError` (413, 415)."""
        if codec_for(head.route):
            self._check_form(head)
        if head.length_bytes is not None and head.length_bytes > self._limit_bytes:
            raise DownstreamError(
                ErrorCode.REQUEST_TOO_LARGE, f"the request body is larger than {self._limit_bytes} bytes"
            )
        return head

    def _check_form(self, head: Head) -> None:
        media, _, parameters = head.headers.get("Content-Type", "").partition(";")
        charset = parameters.strip().lower().removeprefix("charset=").strip('"')
        if media.strip().lower() != "application/json" or charset not in ("", "utf-8", "utf8"):
            raise DownstreamError(ErrorCode.UNSUPPORTED_MEDIA_TYPE, field="content-type")
        getall = getattr(head.headers, "getall", None)
        codings = getall("Content-Encoding", []) if getall else [head.headers.get("Content-Encoding", "")]
        if ",".join(codings).strip().lower() not in _CODINGS:
            raise DownstreamError(ErrorCode.UNSUPPORTED_ENCODING, field="content-encoding")
