"""Wire formats: bytes <-> events, one format a file; `sse.py` does framing only.

A codec file holds `CODEC`, an object of the `Codec` protocol. Another package adds a format by an entry point of the
group `guardproxy.wire` that names such an object.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol, cast, runtime_checkable

from guardproxy import plugins
from guardproxy.errors import PluginError
from guardproxy.events import Event, Frame, Text
from guardproxy.redaction import NO_SHAPES, Shapes
from guardproxy.wire.bounds import Bounds


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
class Seen:
    """What a decoder has learned beside texts: usage as the upstream counts it, the model that answered, why it ended;
    and what it `withheld`: fields that could say again what a rule takes out of the texts."""

    usage: dict[str, Any] = field(default_factory=dict)
    model: str = ""
    finish: list[str] = field(default_factory=list)
    withheld: dict[str, None] = field(default_factory=dict)


class Decoder(Protocol):
    """One answer's bytes -> events. Never raises on content: trouble is a `Fault` event, after which it stays silent."""

    seen: Seen

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
    def routes(self) -> tuple[str, ...]: ...

    def read_request(self, body: bytes) -> Request:
        """Raises `DownstreamError`, which names the field."""
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


_MEMBERS = (
    "name",
    "provider",
    "routes",
    "read_request",
    "decoder",
    "edited",
    "cut",
    "error",
    "error_event",
    "filtered",
)
_OWN = ("openai_chat", "anthropic_messages")


@cache
def _codecs() -> tuple[Codec, ...]:
    own = [cast(Codec, importlib.import_module(f"guardproxy.wire.formats.{name}.codec").CODEC) for name in _OWN]
    plugins.refuse_clashes(plugins.WIRE, _OWN)
    found = {route: "guardproxy" for codec in own for route in codec.routes}
    for name in plugins.names(plugins.WIRE):
        codec, whose = plugins.load(plugins.WIRE, name, _OWN), plugins.whose(plugins.WIRE, name)
        missing = [one for one in _MEMBERS if not hasattr(codec, one)]
        if missing:
            raise PluginError(f"the plug-in {whose} is no wire format: it has no {', '.join(missing)}")
        for route in codec.routes:
            if (other := found.setdefault(route, whose)) != whose:
                raise PluginError(f"the plug-in {whose} reads the route `{route}`, which {other} reads; uninstall one")
        own.append(cast(Codec, codec))
    return tuple(own)


def codecs() -> tuple[Codec, ...]:
    """Every wire format that is installed."""
    return _codecs()


def codec_for(route: str) -> Codec | None:
    """The format of a route such as `POST /v1/messages`, or `None`."""
    return next((codec for codec in _codecs() if route in codec.routes), None)
