"""Server-sent events of MCP: beside `data`, an event may have an id, by which a client resumes its stream, and a time to wait.

No check reads an id, so it must have the shape of an identifier and look like neither a number of a card nor a key; otherwise
it is left out, and the client cannot resume at this event. An event with an id and no data only tells the id.
"""

from __future__ import annotations

import re
from functools import partial

from guardproxy.harmless import is_harmless, without_ids
from guardproxy.wire.framing import StreamEvent, sse
from guardproxy.wire.framing.sse import SseCutter

KEEP_ALIVE = sse.KEEP_ALIVE
EVENT_ID = re.compile(r"[A-Za-z0-9_.:/+=~-]{1,128}", re.ASCII)
MESSAGE, OTHER = "message", "other"
"""The name of an event that holds a message, and the name instead of any other: clients ignore such an event."""
_HEAD = re.compile(rb"(?:(?:id|retry): [^\n]*\n)*")
_RETRY = re.compile(r"[0-9]{1,7}", re.ASCII)

frame, comment = sse.frame, sse.comment


def is_event_id(value: str) -> bool:
    """Whether a value may be the id of an event."""
    return EVENT_ID.fullmatch(value) is not None and is_harmless(without_ids(value))


def head_of(data: bytes) -> bytes:
    """Returns the lines before the data of an event that `cutter` returned and `frame` wrote."""
    match = _HEAD.match(data)
    return match[0] if match else b""


def parsed(block: bytes) -> StreamEvent | None:
    """Returns the event of a block of lines; `None` if it has neither data, an id nor a comment."""
    event = sse.parsed(block)
    fields = dict(filter(None, map(_field, block.split(b"\n"))))  # the last of a name counts
    lines = [f"{name}: {value}\n" for name, value in fields.items() if _passes(name, value)]
    if not lines:
        return event
    data, name = (event.data or b"", event.event) if event else (b"", None)
    return StreamEvent(data, name, "".join(lines).encode())


def _field(line: bytes) -> tuple[str, str] | None:
    name, _, value = line.partition(b":")
    if name not in (b"id", b"retry"):
        return None
    return name.decode(), value.removeprefix(b" ").decode("utf-8", "replace")


def _passes(name: str, value: str) -> bool:
    return is_event_id(value) if name == "id" else _RETRY.fullmatch(value) is not None


cutter = partial(SseCutter, parse=parsed)
"""Returns a new cutter."""
