"""What a policy can refuse of a request though no check finds anything in it: places that the format does not know, content
that no check can read, and integers that stand for a text.

The events of a body come in; the first such place goes out, and its field. Nothing of a text does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from guardproxy.errors import ErrorCode
from guardproxy.events import Event, Opaque, Text
from guardproxy.wire.codec import Request
from guardproxy.wire.json import dotted, is_plain_key


def unmapped(events: Sequence[Event]) -> str | None:
    """Where the first text stands that the format does not know; of a key that is text, only the object's place."""
    found = (
        event
        for event in events
        if isinstance(event, Text)
        and (event.unmapped or event.channel.kind == "unmapped")
        and not (event.key and is_plain_key(event.text))
    )
    return next((dotted((*event.path[:-1], "*")) if event.key else event.channel.path for event in found), None)


UNINSPECTED = {
    ErrorCode.OPAQUE_CONTENT: "`{field}` holds content that no check can read, and the policy refuses it; send text",
    ErrorCode.TOKEN_IDS: "`{field}` holds integers that stand for a text, which no check can read; send the text, or allow "
    "them with `token_ids: pass` in the policy",
}


def uninspected(events: Sequence[Event], kinds: frozenset[str], token_ids: bool) -> tuple[ErrorCode, str] | None:
    """The first place that is not inspected and is refused: the code of `UNINSPECTED`, and the field. `kinds`: those of
    content that are refused; `token_ids`: whether integers that stand for a text are."""
    for event in events:
        if isinstance(event, Opaque):
            for path, media in zip(event.uninspected, event.media, strict=False):
                if media in kinds:
                    return ErrorCode.OPAQUE_CONTENT, dotted(path)
                if token_ids and media == "token_ids":
                    return ErrorCode.TOKEN_IDS, dotted(path)
    return None


def without_kinds(request: Request) -> Request:
    """The request of an older record, which does not say what of it was not inspected: that passed, and passes again."""

    def events() -> list[Event]:
        return [replace(event, media=()) if isinstance(event, Opaque) else event for event in request.events()]

    return replace(request, events=events)
