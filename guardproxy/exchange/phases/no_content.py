"""The decoder of an answer that has no content, such as the receipt of a notification. What comes all the same is dropped: no
client reads it, and no check does.
"""

from __future__ import annotations

import msgspec

from guardproxy.events import Event, Frame
from guardproxy.wire import AnswerFacts


class NoContentDecoder(msgspec.Struct):
    """Drops what comes."""

    seen: AnswerFacts = msgspec.field(default_factory=AnswerFacts)

    def feed(self, data: bytes) -> list[Event]:
        return []

    def end(self) -> list[Event]:
        return []

    def sent(self, frame: Frame) -> None:
        """Does nothing: there are no frames."""
