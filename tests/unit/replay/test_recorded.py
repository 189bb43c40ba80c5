"""The upstream of a replay: what it reads of the request of an older record."""

from __future__ import annotations

import json

from guardproxy.events import Opaque
from guardproxy.replay.recorded import RecordedUpstream
from guardproxy.wire.formats.openai_chat.codec import CODEC
from tests.kit.media import IMAGE_URL
from tests.kit.records import plain_answer

IMAGE = {"type": "image_url", "image_url": {"url": IMAGE_URL}}
BODY = {"model": "m", "messages": [{"role": "user", "content": [IMAGE]}], "prompt_token_ids": list(range(1000, 1020))}


def opaque(*, names_kinds: bool) -> list[Opaque]:
    upstream = RecordedUpstream(CODEC, plain_answer(), stopped=False, names_kinds=names_kinds)
    events = upstream.read_request("", "", json.dumps(BODY).encode()).events()
    return [event for event in events if isinstance(event, Opaque) and event.uninspected]


def test_what_an_older_record_does_not_say_passes_again() -> None:
    assert [event.media for event in opaque(names_kinds=False)] == [()] * len(opaque(names_kinds=True))
    assert all(event.media for event in opaque(names_kinds=True))
