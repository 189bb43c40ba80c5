"""Finds places of a request that a policy can refuse without a finding: places that the format does not know, content that no
check can read, and integers that stand for a text.

In: the events of a body. Out: the first such place, and its field, without any text.
"""

from __future__ import annotations

from collections.abc import Sequence

from guardproxy.errors import ErrorCode
from guardproxy.events import Event, Opaque, Text
from guardproxy.wire.json import dotted, is_plain_key


def unmapped(events: Sequence[Event]) -> str | None:
    """Returns the place of the first text that the format does not know. For a key that is text it is the place of the
    object."""
    unknown = (
        event
        for event in events
        if isinstance(event, Text)
        and (event.unmapped or event.channel.kind == "unmapped")
        and not (event.key and is_plain_key(event.text))
    )
    return next((dotted((*event.path[:-1], "*")) if event.key else event.channel.path for event in unknown), None)


UNINSPECTED = {
    ErrorCode.OPAQUE_CONTENT: "`{field}` holds content that no check can read, and the policy refuses it; send text",
    ErrorCode.TOKEN_IDS: "`{field}` holds integers that stand for a text, which no check can read; send the text, or allow "
    "them with `token_ids: pass` in the policy, which passes whole numbers below 100,000,000 and nothing else",
}


def uninspected(events: Sequence[Event], kinds: frozenset[str], token_ids: bool | None) -> tuple[ErrorCode, str] | None:
    """Returns the first place that is not inspected and must be refused: the code of `UNINSPECTED`, and the field. `kinds`:
    the kinds of content to refuse; `token_ids`: whether to refuse integers that stand for a text. What is not only such
    integers is refused in their place. `None` refuses neither, as in an answer."""
    for event in events:
        if isinstance(event, Opaque):
            for path, media in zip(event.uninspected, event.media, strict=False):
                if media in kinds:
                    return ErrorCode.OPAQUE_CONTENT, dotted(path)
                if (token_ids is not None and media == "not_token_ids") or (token_ids and media == "token_ids"):
                    return ErrorCode.TOKEN_IDS, dotted(path)
    return None
