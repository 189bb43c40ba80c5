"""The protocol of a wire format: bytes <-> events.

A format is a folder in `formats/`, or an entry point of the group `guardproxy.wire` in another package. Its codec is an object
of the protocol `Codec`: `contract` declares what decides whether a text is guarded, `turns` carries a conversation on, `author`
writes material for demos and tests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from guardproxy.events import Event, Frame, Text
from guardproxy.redaction import NO_SHAPES, Shapes
from guardproxy.wire.authoring import Author
from guardproxy.wire.bounds import Bounds
from guardproxy.wire.contract import Contract
from guardproxy.wire.turns import Turns


@dataclass(frozen=True, slots=True)
class Request:
    """What a request body says. `frame.tree` is the whole body; `events` walks it, for those who look at its texts.
    `shapes`: what its schemas ask of the answer."""

    model: str
    stream: bool
    frame: Frame
    events: Callable[[], list[Event]]
    shapes: Shapes = NO_SHAPES


@dataclass(slots=True)
class AnswerFacts:
    """What a decoder has learned beside texts: usage as the upstream counts it, the model that answered, why it ended;
    and what it `withheld`: fields that could say again what a rule takes out of the texts."""

    usage: dict[str, Any] = field(default_factory=dict)
    model: str = ""
    finish: list[str] = field(default_factory=list)
    withheld: dict[str, None] = field(default_factory=dict)


class Decoder(Protocol):
    """One answer's bytes -> events. Never raises on content: trouble is a `Fault` event, after which it stays silent."""

    seen: AnswerFacts

    def feed(self, data: bytes) -> list[Event]: ...

    def end(self) -> list[Event]:
        """The body is complete: closes every channel, or says that the answer was cut off."""
        ...

    def sent(self, frame: Frame) -> None:
        """The frame has gone to the client: what `filtered` must still close follows from that."""
        ...


@runtime_checkable
class Bounded(Protocol):
    """A decoder that bounds how much one event or body may hold."""

    bounds: Bounds


class Codec(Protocol):
    """One wire format."""

    @property
    def name(self) -> str: ...

    @property
    def provider(self) -> str:
        """Whose API it is; `--upstream PROVIDER=URL` names it."""
        ...

    @property
    def routes(self) -> tuple[str, ...]:
        """The routes that the format reads: patterns, see `routes.py`."""
        ...

    @property
    def contract(self) -> Contract:
        """What decides whether and how a text of the format is guarded."""
        ...

    @property
    def turns(self) -> Turns:
        """How its requests carry a conversation on."""
        ...

    @property
    def author(self) -> Author:
        """What writes the format."""
        ...

    def read_request(self, path: str, query: str, body: bytes) -> Request:
        """The request. `path`: as the client sent it, without the query; it matches a pattern of `routes`. `query`: without
        `?`; it matches `contract.query`. Raises `DownstreamError`, which names the field."""
        ...

    def decoder(
        self,
        *,
        streamed: bool,
        failed: bool,
        limit_bytes: int,
        read: bool = True,
        guarded: bool = False,
        shapes: Shapes = NO_SHAPES,
    ) -> Decoder:
        """`streamed`: the answer is an event stream; `failed`: its status is an error's; `read`: somebody looks at its
        texts (else every frame is opaque, and only its end is watched); `guarded`: a rule may edit or stop it, so what
        could say again what was taken out is withheld; `shapes`: those of the request."""
        ...

    def edited(self, frame: Frame, texts: Sequence[tuple[Text, str]]) -> bytes:
        """The frame with these texts in place of its own; fields that could show the old text are dropped."""
        ...

    def cut(self, frame: Frame, texts: Sequence[tuple[Text, str]]) -> bytes:
        """Like `edited`, for the last frame before a stop: whatever would end the answer is left out."""
        ...

    def error(self, status: int, code: str, message: str, field: str | None = None) -> bytes:
        """An error body in the dialect, for an answer that has not begun."""
        ...

    def error_event(self, code: str, message: str) -> bytes:
        """An error in the middle of a stream, with what ends the stream."""
        ...

    def filtered(self, decoder: Decoder, message: str) -> bytes:
        """The dialect's own ending of an answer that a filter stopped in the middle of a stream."""
        ...

    def keep_alive(self) -> bytes:
        """A sign of life in a stream that says nothing yet."""
        ...

    def opening(self, model: str) -> bytes:
        """What must stand before `filtered` when nothing of an answer was sent."""
        ...

    def comment(self, text: str) -> bytes:
        """A line that readers of a stream leave out; empty where the format has no comments."""
        ...
