"""The first place of a body that a policy can refuse though no check finds anything in it, and its field."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardproxy.exchange.inputs.inspection import uninspected, unmapped
from guardproxy.wire.contract.codec import Request
from guardproxy.wire.formats.openai_chat import codec as openai_chat
from tests.kit.media import IMAGE_URL, WAV

TOKENS = list(range(1000, 1020))
IMAGE = {"type": "image_url", "image_url": {"url": IMAGE_URL}}
SOUND = {"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}}


def request(content: Any = "hi", **more: Any) -> Request:
    body = {"model": "m", "messages": [{"role": "user", "content": content}], **more}
    return openai_chat.CODEC.read_request("", "", json.dumps(body).encode())


def test_nothing_is_refused_of_a_plain_text() -> None:
    events = request().events()
    assert uninspected(events, frozenset(("image", "audio")), True) is None
    assert unmapped(events) is None


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (("audio", "image"), ("opaque_content", "messages[0].content[0].image_url.url")),
        (("audio",), ("opaque_content", "messages[0].content[1].input_audio.data")),
        ((), None),
    ],
)
def test_the_first_content_of_a_refused_kind_is_named(kinds: tuple[str, ...], expected: Any) -> None:
    assert uninspected(request([IMAGE, SOUND]).events(), frozenset(kinds), True) == expected


def test_integers_that_stand_for_a_text_are_named_unless_they_are_allowed() -> None:
    events = request(prompt_token_ids=TOKENS).events()
    assert uninspected(events, frozenset(), True) == ("token_ids", "prompt_token_ids")
    assert uninspected(events, frozenset(), False) is None


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"news": "some text"}, "news"),
        ({"metadata": {"a b": "x"}}, None),
        ({"my key": 1}, "*"),
        ({"plain_key": 1}, None),
    ],
)
def test_the_first_place_that_the_format_does_not_know_is_named(more: dict[str, Any], field: str | None) -> None:
    assert unmapped(request(**more).events()) == field
