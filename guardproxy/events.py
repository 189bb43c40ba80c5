"""Decoded wire content: the events that every wire format decodes from bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import msgspec

from guardproxy.errors import ErrorCode
from guardproxy.findings import Channel, Kind
from guardproxy.redaction import Shape

Path = tuple[str | int, ...]


class Count(msgspec.Struct, frozen=True):
    """Two numbers in a frame's tree, the start and end of a part of a text, in characters or, if `in_bytes`, in bytes of
    UTF-8. `text`: the path of the channel of that text, in the answer or, if `of_request`, in the request. `origin`: the
    number that stands for the first character of the text."""

    start: Path
    end: Path
    text: str
    of_request: bool = False
    origin: int = 0
    in_bytes: bool = False


class Frame(msgspec.Struct, frozen=True, eq=False):
    """A unit that is sent as a whole: the body of a request or an answer, or an event of a stream.

    `data`: the received bytes with framing, which are sent unchanged if nothing is edited. `tree`: the parsed JSON, or
    `None`; it is never changed in place, as frames of a stream share parts of it. `event`: the name of an SSE event, or
    `None`. `streamed`: whether it is an event of a stream. `terminal`: whether it is the last frame of the answer.
    `counts`: the numbers in it that change when an edit changes the length of a text. `calls`: the arguments of the calls
    that an event completes: the path of each, and the arguments as JSON text; `None` if the arguments are read from the
    frame alone. `left_out`: the places of items of lists that are not sent.
    """

    data: bytes
    tree: Any = None
    event: str | None = None
    streamed: bool = False
    terminal: bool = False
    counts: tuple[Count, ...] = ()
    calls: tuple[tuple[str, str], ...] | None = None
    left_out: tuple[str, ...] = ()


MARKED: tuple[Kind, ...] = ("user", "system")
"""The kinds of texts in which marks of documents count."""
HOLDING: tuple[Kind, ...] = (*MARKED, "tool_result")
"""The kinds of texts that may hold documents. In results of tools only pointers into JSON count."""


class Holder(NamedTuple):
    """Says that other texts are parts of a text. `number`: of the text in its request. `is_read`: whether checks read the text
    as a whole, too."""

    number: int
    is_read: bool


class Excerpt(NamedTuple):
    """The place of a text in another text of its frame, which is sent instead of it. `holder`: the number of that text;
    `start`, `end`: in it. `document`: names the document that the text is a part of; empty if it is none. `is_aside`: the
    attributes of a tag, which belong to the document but are not its content. `is_of_system`: the other text is one of the
    system."""

    holder: int
    start: int
    end: int
    document: str = ""
    is_aside: bool = False
    is_of_system: bool = False


class Text(msgspec.Struct, frozen=True):
    """Checkable text at `path` of `frame.tree`: the next part of its channel's text, or all of it.

    `encoded`: the text is itself JSON (tool arguments as a string). `key`: it is an object key, not a value. `number`:
    it is the digits of a JSON number. `again`: the frame repeats the complete text of the channel, which is not
    scanned again and gets the same edits as before. `judged`: a text that is only for checks that judge a schema, and
    is never sent: the frame holds it in parts or not at all. `altered`: the frame holds another text and must be
    rewritten with this text. `shape`: the demands of a schema of the request. `fixed`: the place allows no edited
    text, so an edit becomes a stop. `unmapped`: the format does not know the place. `parts`: the text is a row of
    short numbers at these places. `encode`: encodes an edited text for the frame. `run`: names the parts that are read as one
    text; empty if the text stands alone. All texts of a run are of the same kind; a `RunEnd` follows the last.
    `call`: the call that the text is a part of, if a check asks for it (`exchange/gate/calls.py`). `holder`: says that other
    texts are parts of this one; `excerpt`: its place in another text (`exchange/gate/documents.py`).
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
    run: str = ""
    call: Any = None
    holder: Holder | None = None
    excerpt: Excerpt | None = None


class Opaque(msgspec.Struct, frozen=True):
    """A frame without checkable text (a role, a usage count, a ping), or with content that cannot be inspected.

    `uninspected`: the paths of content that no check can read (images, signatures, encrypted content); `media`: the
    kind of each.
    """

    frame: Frame
    uninspected: tuple[Path, ...] = ()
    media: tuple[str, ...] = ()


class End(msgspec.Struct, frozen=True):
    """A channel's text is complete."""

    channel: Channel


class RunEnd(msgspec.Struct, frozen=True):
    """No part of a run follows. The text of its last part may go on."""

    run: str


@dataclass(frozen=True, slots=True)
class Fault:
    """Invalid wire content. `message` names the place and never quotes text; if empty, it is the code's sentence. `cause`: why
    the upstream failed (`UpstreamCause`), for the operator only."""

    code: ErrorCode
    message: str = ""
    cause: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", self.code.message(self.message))


Member = Literal["name", "server", "arguments"]


class CallMember(NamedTuple):
    """The member of a call that a text is or lies in. `call`: the path of the call, the same in all frames of an answer.
    `is_piece`: the text is a piece of arguments that come as a whole later; `is_inside`: it is a part of the member."""

    call: str
    member: Member
    is_piece: bool = False
    is_inside: bool = False


class RunCall(NamedTuple):
    """A call whose tool has no name of its own, as the provider runs it. `path`: of the call in the tree; `tool`: what stands
    for the name. `call`: the path of the call in all frames, if the tree tells it; otherwise the texts below `path` have it."""

    path: Path
    tool: str
    call: str = ""


Event = Text | Opaque | End | RunEnd | Fault
