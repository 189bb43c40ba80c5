"""Refuses request bodies by their headers, before a byte of them is read."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.gateway.duties.duty import Duty, Head
from guardproxy.wire import Formats, installed

_BOUNDARY = re.compile(r"""boundary="?[A-Za-z0-9'()+_,./:=?-]{1,70}"?""", re.ASCII | re.IGNORECASE)
_CODINGS = ("", "identity", "gzip", "deflate")
_WITHOUT_BODY = ("GET", "HEAD", "DELETE")


class BodyHeaders(Duty):
    """Checks content type, encoding and length. `limit_bytes`: the size limit of a body after decompression.
    `formats`: returns the wire formats in force."""

    name = "bodies"

    def __init__(self, limit_bytes: int, formats: Callable[[], Formats] = installed) -> None:
        self._limit_bytes = limit_bytes
        self._formats = formats

    def admit(self, head: Head) -> Head:
        """Returns the head unchanged. Raises `DownstreamError` (413, 415)."""
        if head.method not in _WITHOUT_BODY and (codec := self._formats().codec_for(head.route)):
            self._check_form(head, codec.contract.media.requests)
        if head.length_bytes is not None and head.length_bytes > self._limit_bytes:
            raise DownstreamError(
                ErrorCode.REQUEST_TOO_LARGE, f"the request body is larger than {self._limit_bytes} bytes"
            )
        return head

    def _check_form(self, head: Head, accepted: tuple[str, ...]) -> None:
        """`accepted`: the content types that the format reads. A multipart body has a boundary, not a charset."""
        if _media(head.headers.get("Content-Type", "")) not in accepted:
            message = f"the content type must be {' or '.join(accepted)}, in UTF-8"
            raise DownstreamError(ErrorCode.UNSUPPORTED_MEDIA_TYPE, message, "content-type")
        if "Content-Encoding" not in head.headers:
            return
        getall = getattr(head.headers, "getall", None)
        codings = getall("Content-Encoding", []) if getall else [head.headers.get("Content-Encoding", "")]
        if ",".join(codings).strip().lower() not in _CODINGS:
            raise DownstreamError(ErrorCode.UNSUPPORTED_ENCODING, field="content-encoding")


@lru_cache(maxsize=64)
def _media(content_type: str) -> str:
    """Returns the media type in a header; empty if its parameters are not those of a body in UTF-8 or of a multipart body."""
    media, _, parameters = content_type.partition(";")
    media, parameter = media.strip().lower(), parameters.strip()
    is_parted = media.startswith("multipart/") and _BOUNDARY.fullmatch(parameter) is not None
    charset = parameter.lower().removeprefix("charset=").strip('"')
    return media if is_parted or charset in ("", "utf-8", "utf8") else ""
