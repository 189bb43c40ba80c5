"""Decoded wire content: the events that every wire format turns bytes into."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from guardproxy.errors import ErrorCode
from guardproxy.findings import Channel
from guardproxy.redaction import Shape

Path = tuple[str | int, ...]


class Count(msgspec.Struct, frozen=True):
    """Two numbers of a frame's tree that say from where to where a part of a text goes, in characters. `text`: the path of
    that text's channel, in the answer or, if `of_request`, in the request. `origin`: the number that stands for the first
    character of the text."""

    start: Path
    end: Path
    text: str
    of_request: bool = False
    origin: int = 0


class Frame(msgspec.Struct, frozen=True, eq=False):
    """One unit that leaves whole: a request body, an answer's body, one event of a stream.

    `data`: its bytes as they came, framing included, sent on unchanged when nothing in it is edited. `tree`: the parsed
    JSON, or `None`. `event`: the SSE event name, if any. `streamed`: it is one event of a stream. `terminal`: after this
    frame nothing may be sent. `counts`: what in it moves when an edit makes a text longer or shorter.
    """

    data: bytes
    tree: Any = None
    event: str | None = None
    streamed: bool = False
    terminal: bool = False
    counts: tuple[Count, ...] = ()


class Text(msgspec.Struct, frozen=True):
    """Checkable text at `path` of `frame.tree`: the next part of its channel's text, or all of it.

    `encoded`: the text is itself JSON (tool arguments as a string). `key`: the text is an object key, not a value;
    `number`: it is a JSON number's digits. `again`: the frame repeats the complete text of the channel: it is not
    scanned again, and it gets the same edits as before. `judged`: what the frame says elsewhere in parts, or does not
    say at all, as one text for the checks that judge a form; it is never sent. `altered`: the frame holds another text
    and must be written with this one. `shape`: what a schema of the request asks of it. `fixed`: the place takes no
    edited text, so what would be an edit is a stop. `unmapped`: the format does not know the place. `parts`: the text is a
    row of short numbers, which stand at these places. `encode`: writes an edited text as it stands in the frame.
    """

    channel: Channel
    text: str
    frame: Frame
    path: Path
    encoded: bool = False
    key: bool = False
    number: bool = False
    again: bool = False
    judged: bool = False
    altered: bool = False
    shape: Shape | None = None
    fixed: bool = False
    unmapped: bool = False
    parts: tuple[Path, ...] = ()
    encode: Callable[[str], str] | None = None


class Opaque(msgspec.Struct, frozen=True):
    """A frame without checkable text (a role, a usage count, a ping), or one whose content cannot be inspected.

    `uninspected`: where in the tree content is that no check can read (images, signatures, encrypted content); `media`: of
    which kind each is.
    """

    frame: Frame
    uninspected: tuple[Path, ...] = ()
    media: tuple[str, ...] = ()


class End(msgspec.Struct, frozen=True):
    """A channel's text is complete."""

    channel: Channel


@dataclass(frozen=True, slots=True)
class Fault:
    """Wire content that cannot be trusted. `message` names the place, never the text; the code's sentence if empty."""

    code: ErrorCode
    message: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", self.code.message(self.message))


Event = Text | Opaque | End | Fault
