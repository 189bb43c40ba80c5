"""Lines of JSON (NDJSON): bytes -> events and back, framing only.

A line ends with LF or CR LF. An empty line says nothing: it is a keep-alive. A line that the stream does not finish is never
given out. The format has no names of events and no comments.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from guardproxy.wire.framing.stream import StreamEvent

KEEP_ALIVE = b"\n"


@dataclass(slots=True)
class NdjsonCutter:
    """Cuts a byte stream into lines. `limit_bytes` bounds one line; `too_large`: one was larger, and nothing after it is given
    out."""

    limit_bytes: int
    too_large: bool = False
    _buffer: bytearray = field(default_factory=bytearray)
    _searched: int = 0  # everything before holds no end of a line: keeps long lines linear

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
        # The line's CR may be here already: the same line fits however it is cut.
        self.too_large = len(self._buffer) - self._buffer.endswith(b"\r") > self.limit_bytes
        return events

    @property
    def pending(self) -> bool:
        """Whether the stream stands inside a line."""
        return bool(self._buffer.strip())


def cutter(limit_bytes: int) -> NdjsonCutter:
    """A new framer."""
    return NdjsonCutter(limit_bytes)


def frame(data: bytes, event: str | None = None) -> bytes:
    """One line. `data` must be one line; a name of the event is not sent."""
    return data + b"\n"
