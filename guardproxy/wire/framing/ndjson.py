"""Lines of JSON (NDJSON): bytes -> events and back, framing only.

A line ends with LF or CR LF. An empty line is a keep-alive. An unfinished line at the end of the stream is never returned.
The format has no event names and no comments. Our own keep-alive is a space before the next line: readers that parse each line
as JSON fail on an empty line, but JSON may begin with a space.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from guardproxy.wire.framing.stream import StreamEvent

KEEP_ALIVE = b" "


@dataclass(slots=True)
class NdjsonCutter:
    """Cuts a byte stream into lines. `limit_bytes` bounds one line; `too_large`: a line was larger, and no later event is
    returned."""

    limit_bytes: int
    too_large: bool = False
    _buffer: bytearray = field(default_factory=bytearray)
    _searched: int = 0  # no line ends before this offset: keeps long lines linear

    def feed(self, data: bytes) -> list[StreamEvent]:
        """The events that `data` completes."""
        if self.too_large:
            return []
        self._buffer += data
        events: list[StreamEvent] = []
        begin = 0
        while (end := self._buffer.find(b"\n", max(begin, self._searched))) >= 0:
            line = bytes(self._buffer[begin:end]).removesuffix(b"\r")
            if len(line) > self.limit_bytes:
                self.too_large = True
                return events
            events.append(StreamEvent(line if line.strip() else None))
            begin = self._searched = end + 1
        del self._buffer[:begin]
        self._searched = len(self._buffer)
        # The line's CR may be in the buffer already: the limit does not depend on how the bytes are cut.
        self.too_large = len(self._buffer) - self._buffer.endswith(b"\r") > self.limit_bytes
        return events

    @property
    def pending(self) -> bool:
        """Whether the stream stands inside a line."""
        return bool(self._buffer.strip())


def cutter(limit_bytes: int) -> NdjsonCutter:
    """Returns a new cutter."""
    return NdjsonCutter(limit_bytes)


def frame(data: bytes, event: str | None = None) -> bytes:
    """Returns one line. `data` must be one line; `event` is ignored, as the format has no event names."""
    return data + b"\n"


def comment(text: str) -> bytes:
    """Returns nothing: lines of JSON have no comments."""
    return b""
