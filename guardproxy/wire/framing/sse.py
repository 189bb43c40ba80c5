"""Server-sent events: bytes -> frames and back, framing only (WHATWG HTML, section 9.2).

Reads line ends LF, CRLF and CR, mixed and cut anywhere; several `data:` lines; one optional space; comments; one leading byte
order mark. An unfinished event at the end of the stream is never returned. Output is written anew from the parsed fields, so
bytes that were not understood (comments, unknown fields) do not pass.

Decision: docs/decisions/0010-comments-and-unknown-sse-fields-are-dropped.md
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from guardproxy.wire.framing.stream import StreamEvent

_BOM = b"\xef\xbb\xbf"


def parsed(block: bytes) -> StreamEvent | None:
    """Returns the event of a block of lines; `None` if it has neither data nor a comment."""
    if block.startswith(b"data: ") and b"\n" not in block:  # as most
        return StreamEvent(block[6:])
    data: list[bytes] = []
    name: str | None = None
    comment = False
    for line in block.split(b"\n"):
        if line.startswith(b":"):
            comment = True
            continue
        key, _, value = line.partition(b":")
        # One space only: a text may begin with spaces of its own.
        value = value.removeprefix(b" ")
        if key == b"data":
            data.append(value)
        elif key == b"event":
            name = value.decode("utf-8", "replace")
    if data:
        return StreamEvent(b"\n".join(data), name)
    return StreamEvent(None) if comment else None


@dataclass(slots=True)
class SseCutter:
    """Cuts a byte stream into events. `limit_bytes` bounds one event; `too_large`: an event was larger, and no later event is
    returned. `parse`: returns the event of a block of lines."""

    limit_bytes: int
    too_large: bool = False
    _buffer: bytearray = field(default_factory=bytearray)
    _searched: int = 0  # no event ends before this offset: keeps long events linear
    _after_cr: bool = False
    _at_start: bool = True
    parse: Callable[[bytes], StreamEvent | None] = parsed

    def feed(self, data: bytes) -> list[StreamEvent]:
        """The events that `data` completes."""
        if not data or self.too_large:
            return []
        # A LF at the beginning of the next piece belongs to this CR: both are one line end.
        ended_by_cr = data.endswith(b"\r")
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
        self._after_cr = ended_by_cr
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        self._buffer += data
        if self._at_start:
            # Perhaps a mark whose other bytes have not arrived.
            if len(self._buffer) < len(_BOM) and _BOM.startswith(self._buffer):
                return []
            if self._buffer.startswith(_BOM):
                del self._buffer[: len(_BOM)]
            self._at_start = False
        events: list[StreamEvent] = []
        begin = 0
        while (end := self._buffer.find(b"\n\n", max(begin, self._searched))) >= 0:
            if end - begin > self.limit_bytes:
                self.too_large = True
                return events
            if (event := self.parse(bytes(self._buffer[begin:end]))) is not None:
                events.append(event)
            begin = self._searched = end + 2
        del self._buffer[:begin]
        # The last byte may be the first of two line ends.
        self._searched = max(0, len(self._buffer) - 1)
        # The first line end of the border may be in the buffer already: the limit does not depend on how the bytes are cut.
        self.too_large = len(self._buffer) - self._buffer.endswith(b"\n") > self.limit_bytes
        return events

    @property
    def pending(self) -> bool:
        """Whether the stream is inside an event."""
        return bool(self._buffer.strip())


def cutter(limit_bytes: int) -> SseCutter:
    """Returns a new cutter."""
    return SseCutter(limit_bytes)


def frame(data: bytes, event: str | None = None) -> bytes:
    """One event as bytes, closed by its blank line. `data` must be one line."""
    return (b"event: " + event.encode() + b"\ndata: " if event else b"data: ") + data + b"\n\n"


def comment(text: str) -> bytes:
    """Returns a comment, which readers of event streams ignore. `text` must be one line."""
    return f": {text}\n\n".encode()


KEEP_ALIVE = b":\n\n"
