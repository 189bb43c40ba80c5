"""The protocol of a framing: bytes -> events of a stream, and back."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct


class StreamEvent(Struct, frozen=True):
    """One event. `data` is `None` for an event without content (a keep-alive). `event`: its name, if any.
    `head`: lines of the framing that are sent before the data, such as the id of the event."""

    data: bytes | None
    event: str | None = None
    head: bytes = b""


class Cutter(Protocol):
    """Cuts a byte stream into events. The events do not depend on how the bytes are cut."""

    @property
    def too_large(self) -> bool:
        """Whether an event was larger than the limit; no later event is returned."""
        ...

    @property
    def pending(self) -> bool:
        """Whether the stream is inside an event."""
        ...

    def feed(self, data: bytes) -> list[StreamEvent]:
        """The events that `data` completes."""
        ...


class Framing(Protocol):
    """A framing. A module can implement it."""

    @property
    def KEEP_ALIVE(self) -> bytes:  # noqa: N802 - a constant of a module
        """An event without content."""
        ...

    def cutter(self, limit_bytes: int) -> Cutter:
        """Returns a new cutter. `limit_bytes` bounds one event."""
        ...

    def frame(self, data: bytes, event: str | None = None) -> bytes:
        """Returns one event as bytes. `data` must be one line."""
        ...

    def comment(self, text: str) -> bytes:
        """Returns a comment, which readers of the stream ignore; empty if the framing has no comments. `text` must be one
        line."""
        ...
