"""Server-sent events for readers that take lines of `data` only, as Google's SDKs do: no comments, no names of events.

Reads every event stream, like `sse.py`. A keep-alive is an empty line.
"""

from __future__ import annotations

from guardproxy.wire.framing import sse
from guardproxy.wire.framing.sse import SseCutter

KEEP_ALIVE = b"\n"


def cutter(limit_bytes: int) -> SseCutter:
    """Returns a new cutter."""
    return sse.cutter(limit_bytes)


def frame(data: bytes, event: str | None = None) -> bytes:
    """Returns one event as bytes. `data` must be one line; `event` is ignored."""
    return sse.frame(data)


def comment(text: str) -> bytes:
    """Returns nothing: the readers take a comment for content."""
    return b""
