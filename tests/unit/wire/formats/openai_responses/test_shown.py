"""The end of a stream that a rule stops closes what the client has open, and repeats only what the client has received."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from guardproxy.events import Opaque, Text
from guardproxy.wire.formats.openai_responses.codec import CODEC
from guardproxy.wire.formats.openai_responses.shown import ShownAnswer
from guardproxy.wire.formats.openai_responses.writer import author
from tests.kit.play import events
from tests.kit.responses import GROWING, growing, response_texts, stream


def trees(frames: list[bytes]) -> list[dict[str, Any]]:
    return [tree for _, tree in events(b"".join(frames))]


@pytest.mark.parametrize("base", GROWING)
def test_a_stream_can_end_after_every_event(base: str) -> None:
    """The reader of `tests.kit.responses` fails if the ending says another text than the deltas."""
    frames = stream(growing(base, ["ab", "cd"]), growing("response.output_text", ["ef"], 1))[:-1]
    for count in range(1, len(frames) + 1):
        shown = ShownAnswer()
        for tree in trees(frames[:count]):
            shown.see(tree)
        ending = list(shown.ending())
        texts = response_texts(b"".join([*frames[:count], *map(author.event, ending)]))
        assert texts["end"] == "response.incomplete"
        last = ending[-1]["response"]
        assert (last["id"], last["status"]) == ("resp_1", "incomplete")
        begun = sum(b"output_item.added" in frame for frame in frames[:count])
        ended = sum(b"output_item.done" in frame for frame in frames[:count])
        assert [event["output_index"] for event in ending if "item" in event] == list(range(ended, begun))
        assert len(last["output"]) == begun


def test_open_texts_end_before_their_part_and_parts_before_their_item() -> None:
    shown = ShownAnswer()
    for tree in trees(stream(growing("response.output_text", ["ab"]))[:5]):
        shown.see(tree)
    assert [(event["type"], event["sequence_number"]) for event in shown.ending()] == [
        ("response.output_text.done", 5),
        ("response.content_part.done", 6),
        ("response.output_item.done", 7),
        ("response.incomplete", 8),
    ]


def test_a_citation_stays() -> None:
    note = {"type": "url_citation", "title": "a", "url": "b", "start_index": 0, "end_index": 1}
    where = {"output_index": 0, "content_index": 0, "annotation_index": 0}
    shown = ShownAnswer()
    for tree in trees(stream(growing("response.output_text", ["ab"]))[:5]):
        shown.see(tree)
    shown.see({"type": "response.output_text.annotation.added", **where, "annotation": note})
    assert list(shown.ending())[-1]["response"]["output"][0]["content"][0]["annotations"] == [note]


@pytest.mark.parametrize(
    "tree",
    [
        {},
        {"type": 5},
        {"type": "response.created", "response": 5},
        {"type": "response.created", "response": {"output": 5}},
        {"type": "response.output_item.added", "output_index": 10**9, "item": 5},
        {"type": "response.output_text.delta", "output_index": 10**9, "delta": "a"},
        {"type": "response.output_text.delta", "output_index": 0, "content_index": 10**9, "delta": "a"},
        {"type": "response.output_text.delta", "output_index": 0, "content_index": -1, "delta": ["a"]},
        {"type": "response.content_part.added", "output_index": 0, "content_index": 10**9, "part": {}},
        {"type": "response.content_part.done", "output_index": 0, "content_index": 0},
        {"type": "response.output_text.annotation.added", "output_index": 0, "annotation_index": 10**9},
        {"type": "response.shell_call_output_content.delta", "output_index": 0, "delta": "a"},
        {"type": "response.audio.transcript.delta", "delta": "a"},
        {"type": "something.new", "output_index": 0},
    ],
)
def test_events_of_another_shape_do_no_harm(tree: dict[str, Any]) -> None:
    shown = ShownAnswer()
    shown.see({"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "content": []}})
    shown.see(tree)
    assert [event["type"] for event in shown.ending()][-1] == "response.incomplete"


def test_the_bytes_that_were_sent_count() -> None:
    """An edited frame has the old text in its tree."""
    decoder = CODEC.decoder(streamed=True, failed=False, limit_bytes=99_999)
    for data in stream(growing("response.output_text", ["secret"]))[:5]:
        for event in decoder.feed(data):
            if isinstance(event, (Text, Opaque)):
                texts = [(event, "edited")] if isinstance(event, Text) and event.text == "secret" else []
                decoder.sent(msgspec.structs.replace(event.frame, data=CODEC.edited(event.frame, texts)))
    data = CODEC.filtered(decoder, "")
    assert b"secret" not in data
    assert data.count(b"edited") == 4


def test_nothing_is_kept_of_an_answer_that_is_not_read() -> None:
    decoder = CODEC.decoder(streamed=True, failed=False, limit_bytes=99_999, read=False)
    for data in stream(growing("response.output_text", ["text"]))[:5]:
        for event in decoder.feed(data):
            decoder.sent(event.frame)  # type: ignore[union-attr]
    assert b"text" not in CODEC.filtered(decoder, "")
