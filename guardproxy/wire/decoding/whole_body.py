"""The decoder of a whole JSON body. How its numbers are spelled is read only when something of it is withheld or edited."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from guardproxy.errors import ErrorCode
from guardproxy.events import Count, Event, Fault, Frame, Opaque
from guardproxy.wire.contract.bounds import BOUNDS, Bounds
from guardproxy.wire.contract.codec import AnswerFacts
from guardproxy.wire.decoding.decoding import ShapeOf, bounded, events_of, nothing, shapeless, uncounted
from guardproxy.wire.json import JsonFault, Map, read, walk, write_line
from guardproxy.wire.json.vocabulary import SHARED, Vocabulary


class WholeDecoder(msgspec.Struct):
    """Decodes a JSON body when it is complete. `notice` reads usage and other facts. `words`: the format's vocabulary."""

    how: Map
    notice: Callable[[Any, AnswerFacts], None]
    limit_bytes: int
    shape_of: ShapeOf = shapeless
    reads: bool = True
    withhold: Callable[[Any], list[str]] = nothing
    counts_of: Callable[[Any], tuple[Count, ...]] = uncounted
    words: Vocabulary = SHARED
    seen: AnswerFacts = msgspec.field(default_factory=AnswerFacts)
    bounds: Bounds = BOUNDS
    _parts: list[bytes] = msgspec.field(default_factory=list)
    _size: int = 0
    _faulty: bool = False

    def feed(self, data: bytes) -> list[Event]:
        self._size += len(data)
        if self._faulty:
            return []
        if self._size > self.limit_bytes:
            self._faulty = True
            return [Fault(ErrorCode.UPSTREAM_TOO_LARGE)]
        self._parts.append(data)
        return []

    def end(self) -> list[Event]:
        if self._faulty:
            return []
        body = b"".join(self._parts)
        try:
            tree = bounded(body, self.bounds, self.reads, keeps_spelling=False)
        except JsonFault as fault:
            return [Fault(ErrorCode.UPSTREAM_INVALID_JSON, f"the answer's body: {fault}")]
        if not isinstance(tree, dict):
            return [Fault(ErrorCode.UPSTREAM_INVALID_JSON, "the answer's body is not an object")]
        self.notice(tree, self.seen)
        if gone := self.withhold(tree) if self.reads else []:
            self.seen.withheld |= dict.fromkeys(gone)
            # Read again: what is written must have its numbers as they were spelled.
            spelled = read(body)
            self.withhold(spelled)
            body = write_line(spelled)
        whole = Frame(body, tree, terminal=True, counts=self.counts_of(tree) if self.reads else ())
        if not self.reads:
            return [Opaque(whole)]
        leaves = walk(tree, self.how, words=self.words)
        shown = (leaf for leaf in leaves if leaf.leaf.how != "tokens" or self.withhold is nothing)
        return events_of(shown, whole, "response", self.shape_of)

    def sent(self, frame: Frame) -> None:
        """Does nothing: after a whole body there is nothing to close."""
