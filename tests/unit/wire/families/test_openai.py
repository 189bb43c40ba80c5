"""What OpenAI's formats share: errors, lists, and when a stream of choices is over."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardproxy.events import End, Fault, Frame, Opaque
from guardproxy.wire.contract.codec import AnswerFacts
from guardproxy.wire.decoding.decoding import LeafPlace
from guardproxy.wire.families import openai
from guardproxy.wire.families.openai import ChoicesDecoder
from guardproxy.wire.formats.openai_chat.codec import CODEC
from guardproxy.wire.json import STRUCTURE, Map, TreeLeaf, dotted, text
from tests.kit.play import events, sse


class Decoder(ChoicesDecoder):
    """A stream whose choices hold a text."""

    def how(self, tree: Any) -> Map:
        return {"choices": [{"index": STRUCTURE, "finish_reason": STRUCTURE, "text": text("assistant")}]}

    def place(self, tree: Any, found: TreeLeaf) -> LeafPlace:
        return LeafPlace(found.leaf.kind, dotted(found.path), dotted(found.path[:2]), flows=True)


def chunk(index: int, words: str = "", finish: str | None = None, **head: Any) -> dict[str, Any]:
    return {**head, "choices": [{"index": index, "text": words, "finish_reason": finish}]}


@pytest.mark.parametrize(
    ("trees", "complete"),
    [
        ([chunk(0, "a")], False),
        ([chunk(0, "a"), chunk(0, finish="stop")], True),
        ([chunk(0, "a"), chunk(1, "b"), chunk(0, finish="stop")], False),
        ([chunk(0, finish="stop"), chunk(1, finish="length")], True),
        ([chunk(0, "a"), {"error": {"message": "broken"}}], True),
        ([{"choices": []}], False),
    ],
)
def test_when_a_stream_is_complete(trees: list[dict[str, Any]], complete: bool) -> None:
    for done in (False, True):
        decoder = Decoder(1000)
        found = [event for tree in trees for event in decoder.feed(sse(tree))]
        found += decoder.feed(openai.DONE) if done else []
        found += decoder.end()
        faults = [event.code for event in found if isinstance(event, Fault)]
        assert faults == ([] if complete or done else ["upstream_truncated"])


def test_a_choice_ends_alone_and_the_last_frame_ends_all() -> None:
    decoder = Decoder(1000)
    found = [event for tree in (chunk(0, "a"), chunk(0, finish="stop"), chunk(0)) for event in decoder.feed(sse(tree))]
    assert [event.channel.path for event in found if isinstance(event, End)] == ["choices[0].text"]
    last = decoder.feed(openai.DONE)[-1]
    assert isinstance(last, Opaque)
    assert last.frame.terminal
    assert decoder.feed(sse(chunk(0, "late"))) == []


def test_an_ending_repeats_the_head_and_closes_what_was_shown() -> None:
    decoder = Decoder(1000)
    head: dict[str, Any] = {"id": "c", "object": "x", "created": 5, "model": "m"}
    for tree in (chunk(2, "a", **head), chunk(1, "a", **{**head, "id": "other"}), chunk(1, finish="stop")):
        decoder.sent(Frame(b"", tree))
    (end, done) = [tree for _, tree in events(decoder.ending("kind", {"text": ""}))]
    assert end == {**head, "choices": [{"index": 2, "text": "", "finish_reason": "content_filter"}]}
    assert done == "[DONE]"
    (end, _) = [tree for _, tree in events(Decoder(1000).ending("kind", {}))]
    assert end == {
        **{"id": "", "object": "kind", "created": 0, "model": ""},
        "choices": [{"index": 0, "finish_reason": "content_filter"}],
    }


def test_a_head_that_is_text_is_not_repeated() -> None:
    decoder = Decoder(1000)
    decoder.sent(Frame(b"", {"id": "to jo@ab.io", "object": "x y", "created": "z z", "model": 5}))
    assert decoder.head == {"model": 5}


def test_facts_of_an_answer() -> None:
    seen = AnswerFacts()
    openai.notice({"usage": {"prompt_tokens": 3, "note": "x"}, "model": "m", **chunk(0, finish="stop")}, seen)
    openai.notice({"usage": 5, "model": 5, "choices": [{"finish_reason": 5}, 5]}, seen)
    assert (seen.usage, seen.model, seen.finish) == ({"prompt_tokens": 3}, "m", ["stop"])


def test_what_ends_an_answer_is_taken_out() -> None:
    tree = {"id": "c", "usage": {"x": 1}, **chunk(0, "a", "stop")}
    assert CODEC.without_end(Frame(b""), tree) == {"id": "c", **chunk(0, "a")}
    assert CODEC.without_end(Frame(b""), {"choices": 5}) == {"choices": 5}


def test_errors() -> None:
    assert json.loads(CODEC.error(400, "c", "m", "f")) == {
        "error": {"message": "m", "type": "invalid_request_error", "param": "f", "code": "c"}
    }
    assert json.loads(CODEC.error(502, "c", "m"))["error"]["type"] == "server_error"
    (error, done) = [tree for _, tree in events(CODEC.error_event("c", "m"))]
    assert (error["error"]["code"], done) == ("c", "[DONE]")
    assert openai.upstream_error(429, "slow")["error"]["type"] == "rate_limit_exceeded"
    assert openai.upstream_error(418, "no", "teapot")["error"]["code"] == "teapot"
    assert [model["id"] for model in openai.models(["a", "b"])["data"]] == ["a", "b"]
