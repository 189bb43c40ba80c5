"""A JSON array whose elements arrive one after the other: bytes -> elements and back, framing only.

The elements are objects. An element is returned when its last brace has arrived, the end of the array as `CLOSE`. The name of
an event says how the element is written: `[` before the first element, `,` before any other, `]` also after an element that
ends the array. An object that is not in an array is returned with an empty name, and ends the stream as well. Bytes that do
not belong to an array of objects are returned as `BROKEN`, which is not JSON. An unfinished element at the end of the stream is
never returned. Spaces between elements are dropped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from guardproxy.wire.framing.stream import StreamEvent

KEEP_ALIVE = b"\n"
CLOSE = b"]"
BROKEN = b"?"
_SPACES = re.compile(rb"[ \t\r\n]*")
_STRUCTURE = re.compile(rb'["{}]')
_STRING_END = re.compile(rb'["\\]')


@dataclass(slots=True)
class ArrayCutter:
    """Cuts a byte stream into the elements of an array. `limit_bytes` bounds one element; `too_large`: an element was larger,
    and no later event is returned."""

    limit_bytes: int
    too_large: bool = False
    _buffer: bytearray = field(default_factory=bytearray)
    _searched: int = 0  # up to here the element in the buffer was read
    _depth: int = 0
    _in_string: bool = False
    _expects: bytes = b"["  # what must come next outside of an element; empty: the stream is over
    _name: str = ""

    def feed(self, data: bytes) -> list[StreamEvent]:
        """The events that `data` completes."""
        events: list[StreamEvent] = []
        if self.too_large or not self._expects:
            return events
        self._buffer += data
        begin = 0
        while self._expects and not self.too_large:
            if not self._depth:
                begin = self._between(begin, events)
                if not self._depth:
                    break
                self._searched = begin + 1
            end = self._inside()
            if not end:
                break
            if end - begin > self.limit_bytes:
                self.too_large = True
                return events
            events.append(StreamEvent(bytes(self._buffer[begin:end]), self._name))
            # An object outside of an array is the whole stream.
            self._expects = b"," if self._name else b""
            begin = end
        del self._buffer[:begin]
        self._searched = max(0, self._searched - begin)
        self.too_large = bool(self._depth) and len(self._buffer) > self.limit_bytes
        return events

    def _between(self, at: int, events: list[StreamEvent]) -> int:
        """Reads what is outside of elements, up to the next element or the end of the array. Returns the offset after it."""
        buffer = self._buffer
        while (at := self._after_spaces(at)) < len(buffer):
            byte = buffer[at : at + 1]
            if byte == b"{" and self._expects in (b"{", b"[", b"{]"):
                self._name = {b"[": "", b"{]": "["}.get(self._expects, ",")
                self._depth = 1
                return at
            if byte == b"[" and self._expects == b"[":
                self._expects = b"{]"
            elif byte == b"," and self._expects == b",":
                self._expects = b"{"
            else:
                is_close = byte == b"]" and self._expects in (b",", b"{]")
                events.append(StreamEvent(CLOSE if is_close else BROKEN))
                self._expects = b""
                return len(buffer)
            at += 1
        return at

    def _after_spaces(self, at: int) -> int:
        match = _SPACES.match(self._buffer, at)
        return match.end() if match else at

    def _inside(self) -> int:
        """Reads on in the element. Returns the offset after its last brace; 0 if it has not arrived."""
        buffer, at = self._buffer, self._searched
        while True:
            match = (_STRING_END if self._in_string else _STRUCTURE).search(buffer, at)
            if match is None:
                self._searched = len(buffer)
                return 0
            at, byte = match.end(), match[0]
            if byte == b"\\":
                if at == len(buffer):  # the escaped character has not arrived
                    self._searched = at - 1
                    return 0
                at += 1
            elif byte == b'"':
                self._in_string = not self._in_string
            else:
                self._depth += 1 if byte == b"{" else -1
                if not self._depth:
                    return at

    @property
    def pending(self) -> bool:
        """Whether the array has begun and not ended."""
        return self._expects not in (b"", b"[") or bool(self._depth)


def cutter(limit_bytes: int) -> ArrayCutter:
    """Returns a new cutter."""
    return ArrayCutter(limit_bytes)


def frame(data: bytes, event: str | None = None) -> bytes:
    """Returns one element as bytes. `event`: the brackets and the comma to write, as `ArrayCutter` names them."""
    name = event or ""
    first = name[:1].encode()
    return (first + b"\n" if first == b"," else first) + data + (CLOSE if name.endswith("]") else b"")


def comment(text: str) -> bytes:
    """Returns nothing: JSON has no comments."""
    return b""
