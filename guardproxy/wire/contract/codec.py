"""The protocol of a wire format: bytes <-> events.

A format is a folder in `formats/`, or an entry point of the group `guardproxy.wire` in another package. Its codec implements
the protocol `Codec`: `contract` declares everything that decides whether a text is guarded, `turns` continues a conversation,
`author` writes material for demos and tests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import msgspec

from guardproxy.events import Event, Frame, Text
from guardproxy.redaction import NO_SHAPES, Shapes
from guardproxy.wire.contract.bounds import Bounds
from guardproxy.wire.contract.contract import Contract
from guardproxy.wire.contract.fields import FieldPath
from guardproxy.wire.contract.turns import Turns
from guardproxy.wire.contract.writing import Author


class Request(msgspec.Struct, frozen=True):
    """A decoded request body. `frame.tree` is the whole body; `events` walks it when the texts are needed. `shapes`: the
    demands of its schemas on the answer. `server`: the server of tools that the path names; `operation`: the method of a
    message to such a server. Both are empty in a format for models."""

    model: str
    stream: bool
    frame: Frame
    events: Callable[[], list[Event]]
    shapes: Shapes = NO_SHAPES
    server: str = ""
    operation: str = ""


@dataclass(slots=True)
class AnswerFacts:
    """Facts of an answer beside its texts: usage as the upstream counts it, the model that answered, why the answer ended,
    and `withheld`: the fields that were removed because they could repeat text that a rule removes. `cause`: why the upstream
    failed, for the operator (`UpstreamCause`); empty if it did not."""

    usage: dict[str, Any] = field(default_factory=dict)
    model: str = ""
    finish: list[str] = field(default_factory=list)
    withheld: dict[str, None] = field(default_factory=dict)
    cause: str = ""


class Decoder(Protocol):
    """Decodes the bytes of one answer to events. It never raises on content: an error is a `Fault` event, after which no
    event follows."""

    seen: AnswerFacts

    def feed(self, data: bytes) -> list[Event]: ...

    def end(self) -> list[Event]:
        """Ends the body: closes every channel, or reports that the answer was cut off."""
        ...

    def sent(self, frame: Frame) -> None:
        """Notes that the frame was sent to the client, so that `filtered` knows what it must close. `frame.data`: the bytes
        that were sent; `frame.tree`: the tree before edits."""
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
        """The name of the API's owner; `--upstream PROVIDER=URL` uses it."""
        ...

    @property
    def routes(self) -> tuple[str, ...]:
        """The routes that the format reads, as patterns (`routes.py`)."""
        ...

    @property
    def contract(self) -> Contract:
        """Declares whether and how each text of the format is guarded."""
        ...

    @property
    def turns(self) -> Turns:
        """Continues a conversation by further requests."""
        ...

    @property
    def author(self) -> Author:
        """Writes the format, for demos and tests."""
        ...

    def for_request(self, path: str, query: str) -> Codec:
        """Returns the codec of a request with this path and query: this codec, or one of the same name whose streams have
        another framing."""
        ...

    def read_request(self, path: str, query: str, body: bytes) -> Request:
        """Reads a request. `path`: the path that the client sent, without the query; it matches a pattern of `routes`.
        `query`: without `?`; it matches `contract.query`. Raises `DownstreamError`, which names the field."""
        ...

    def read_body(self, body: bytes) -> Any:
        """Returns the tree of the body of a request. Raises `DownstreamError` (400)."""
        ...

    def write_body(self, tree: Any) -> bytes:
        """Writes the body of a request from its tree."""
        ...

    def has_field(self, path: FieldPath) -> bool:
        """Whether requests of the format can have this field."""
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
        """Returns a decoder for one answer. `streamed`: the answer is an event stream; `failed`: its status is an error;
        `read`: its texts are read (otherwise every frame is opaque, and only its end is watched); `guarded`: a rule may edit
        or stop the answer, so fields that could repeat removed text are withheld; `shapes`: those of the request."""
        ...

    def edited(self, frame: Frame, texts: Sequence[tuple[Text, str]]) -> bytes:
        """Returns the frame with these texts instead of its own. Fields that could show the old text are dropped."""
        ...

    def cut(self, frame: Frame, texts: Sequence[tuple[Text, str]]) -> bytes:
        """Like `edited`, for the last frame before a stop. Whatever would end the answer is left out."""
        ...

    def error(self, status: int, code: str, message: str, field: str | None = None) -> bytes:
        """Writes an error body in the format, for an answer that has not begun."""
        ...

    def own_answer(self, status: int, code: str, message: str, field: str | None = None) -> tuple[int, bytes]:
        """Returns the status and the body of an answer of the proxy itself, which ends an exchange before any answer has
        begun. `status`: what the code has by itself. Most formats keep it and write `error`."""
        ...

    def error_event(self, code: str, message: str, decoder: Decoder | None = None) -> bytes:
        """Writes an error in the middle of a stream, and the end of the stream. `decoder`: that of the stream, which knows the
        frames that were sent; `None` if there is none."""
        ...

    def filtered(self, decoder: Decoder, message: str) -> bytes:
        """Ends an answer that a filter stopped in the middle of a stream, in the way of the format."""
        ...

    def keep_alive(self) -> bytes:
        """A keep-alive for a stream that has no content yet."""
        ...

    def opening(self, model: str) -> bytes:
        """The frames that must precede `filtered` if nothing of an answer was sent."""
        ...

    def comment(self, text: str) -> bytes:
        """A line that readers of a stream ignore; empty if the format has no comments."""
        ...
