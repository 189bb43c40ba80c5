"""Declared formats keep every promise of the conformance suite, and read what no pointer names."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from guardproxy import testing
from guardproxy.errors import DownstreamError
from guardproxy.events import Event, Fault, Frame, Text
from guardproxy.redaction import Shape, Shapes
from guardproxy.testing.formats import Promise
from guardproxy.wire.declared import (
    BY_ROLE,
    AnswerPlaces,
    DeclaredCodec,
    DeclaredFormat,
    RequestPlaces,
    StreamPlaces,
    pointer,
)
from guardproxy.wire.framing import ndjson, sse

LINES = DeclaredFormat(
    "lines",
    ("POST /acme/v1/talk",),
    RequestPlaces(
        (
            (pointer("/turns/*/text"), BY_ROLE),
            (pointer("/turns/*/files/*/content"), "tool_result"),
            (pointer("/instructions"), "system"),
            (pointer("/labels"), "metadata"),
        ),
        structure=(pointer("/turns/*/id"),),
        role="from",
        model=pointer("/engine"),
        stream=pointer("/live"),
    ),
    AnswerPlaces(
        ((pointer("/output/text"), "assistant"), (pointer("/output/thoughts"), "reasoning")),
        structure=(pointer("/id"),),
        prompt_tokens=pointer("/counts/in"),
        answer_tokens=pointer("/counts/out"),
    ),
    StreamPlaces(
        "ndjson",
        ((pointer("/part/text"), "assistant"), (pointer("/part/thoughts"), "reasoning")),
        structure=(pointer("/id"),),
        end=pointer("/last"),
        end_value=True,
        media="application/x-ndjson",
    ),
    pointer("/fault/message"),
)
EVENTS = DeclaredFormat(
    "events",
    ("POST /v9/{site}/complete",),
    RequestPlaces(((pointer("/prompt"), "user"),), stream=pointer("/options/stream")),
    AnswerPlaces(((pointer("/choices/*/text"), "assistant"),)),
    StreamPlaces("sse", ((pointer("/choices/*/text"), "assistant"),), end_text="[DONE]", events=("part",)),
    pointer("/error"),
)
ALWAYS = DeclaredFormat(
    "always",
    ("POST /tell",),
    RequestPlaces(((pointer("/q"), "user"),), streams=True),
    AnswerPlaces(((pointer("/a"), "assistant"),)),
    StreamPlaces("sse", ((pointer("/delta"), "assistant"),), end=pointer("/state"), end_value="over"),
    pointer("/error"),
)
PLAIN = DeclaredFormat(
    "plain",
    ("POST /sum", "POST /short"),
    RequestPlaces(((pointer("/q"), "user"),)),
    AnswerPlaces(((pointer("/a"), "assistant"),)),
    StreamPlaces("none"),
    pointer("/error/text"),
)
CODECS = {declaration.name: DeclaredCodec(declaration) for declaration in (LINES, EVENTS, ALWAYS, PLAIN)}


@pytest.mark.parametrize(
    ("codec", "promise"),
    [
        pytest.param(codec, promise, id=f"{name} {promise.__name__}")
        for name, codec in CODECS.items()
        for promise in testing.promises(codec)
    ],
)
def test_a_declared_format_keeps_a_promise(codec: DeclaredCodec, promise: Promise) -> None:
    promise(codec)


def texts(found: list[Event]) -> list[tuple[str, str, str]]:
    return [
        (event.channel.path, event.channel.kind, event.text)
        for event in found
        if isinstance(event, Text) and not event.key
    ]


def request(name: str, **tree: Any) -> list[tuple[str, str, str]]:
    codec = CODECS[name]
    return texts(codec.read_request("", "", json.dumps(tree).encode()).events())


def stream(name: str, *items: Any, shapes: Shapes | None = None, guarded: bool = True) -> list[Event]:
    codec = CODECS[name]
    decoder = codec.decoder(streamed=True, failed=False, limit_bytes=9000, guarded=guarded, shapes=shapes or Shapes())
    return [event for item in items for event in decoder.feed(codec.author.event(item))] + decoder.end()


def test_the_texts_of_a_request() -> None:
    turns = [
        {"from": "human", "text": "a h", "id": "x y", "files": [{"content": "a f", "name": "a n"}]},
        {"from": "model", "text": "a m"},
        {"from": "narrator", "text": "a ?"},
        {"text": ["no", "role"]},
    ]
    assert request("lines", engine="talker-one", instructions="a s", turns=turns, labels={"k": "a l"}, new="a u") == [
        ("engine", "metadata", "talker-one"),
        ("instructions", "system", "a s"),
        ("turns[0].text", "user", "a h"),
        ("turns[0].id", "unmapped", "x y"),
        ("turns[0].files[0].content", "tool_result", "a f"),
        ("turns[0].files[0].name", "unmapped", "a n"),
        ("turns[1].text", "assistant", "a m"),
        ("turns[2].from", "metadata", "narrator"),
        ("turns[2].text", "user", "a ?"),
        ("turns[3].text[0]", "user", "no"),
        ("turns[3].text[1]", "user", "role"),
        ("labels.k", "metadata", "a l"),
        ("new", "unmapped", "a u"),
    ]
    marked = CODECS["lines"].read_request("", "", json.dumps({"turns": [{"from": "narrator", "text": "a ?"}]}).encode())
    assert [event.unmapped for event in marked.events() if isinstance(event, Text)] == [False, True]


@pytest.mark.parametrize(
    ("name", "tree", "field"),
    [
        ("lines", {"engine": 5}, "engine"),
        ("lines", {"live": "yes"}, "live"),
        ("lines", {"turns": [{"From": "user", "from": "model"}]}, "turns[0].From"),
        ("lines", {"Instructions": "a"}, "Instructions"),
        ("events", {"options": {"stream": 1}}, "options.stream"),
    ],
)
def test_a_wrong_request_is_refused_with_its_field(name: str, tree: Any, field: str) -> None:
    with pytest.raises(DownstreamError) as caught:
        request(name, **tree)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("name", "tree", "is_streamed"),
    [
        ("lines", {"live": True}, True),
        ("lines", {"live": False}, False),
        ("lines", {}, False),
        ("events", {"options": {"stream": True}}, True),
        ("always", {}, True),
        ("plain", {"stream": True}, False),
    ],
)
def test_a_request_says_whether_it_streams(name: str, tree: Any, is_streamed: bool) -> None:
    assert CODECS[name].read_request("", "", json.dumps(tree).encode()).stream == is_streamed


def test_a_text_of_a_stream_has_the_place_of_the_same_text_in_a_plain_answer() -> None:
    found = texts(stream("lines", {"part": {"text": "a "}}, {"part": {"text": "b", "thoughts": "c"}}, {"last": True}))
    assert found == [
        ("output.text", "assistant", "a "),
        ("output.text", "assistant", "b"),
        ("output.thoughts", "reasoning", "c"),
    ]
    found = texts(stream("events", {"choices": [{"text": "a b", "index": 3}]}, "[DONE]"))
    assert found == [("choices[3].text", "assistant", "a b")]


@pytest.mark.parametrize(
    ("name", "items", "is_complete"),
    [
        ("lines", [{"part": {"text": "a"}}], False),
        ("lines", [{"part": {"text": "a"}, "last": 1}], False),
        ("lines", [{"part": {"text": "a"}, "last": True}], True),
        ("lines", [{"fault": {"message": "no"}}], True),
        ("lines", [{"fault": {"message": ""}}], False),
        ("events", [{"choices": [{"text": "a"}]}], False),
        ("events", ["[DONE]"], True),
        ("events", [{"error": "no"}], True),
        ("always", [{"delta": "a", "state": "over"}], True),
        ("always", ["[DONE]"], False),
        ("plain", [{"a": "b c"}], False),
    ],
)
def test_only_the_declared_end_ends_a_stream(name: str, items: list[Any], is_complete: bool) -> None:
    assert isinstance(stream(name, *items)[-1], Fault) != is_complete


def test_each_of_several_ends_ends_a_stream() -> None:
    places = (pointer("/last"), pointer("/state"), pointer("/state"))
    more = tuple(zip(places[1:], ("failed", "gone"), strict=True))
    codec = DeclaredCodec(replace(LINES, stream=replace(LINES.stream, more_ends=more)))

    def is_complete(tree: dict[str, Any]) -> bool:
        decoder = codec.decoder(streamed=True, failed=False, limit_bytes=1000)
        events = [*decoder.feed(json.dumps(tree).encode() + b"\n"), *decoder.end()]
        return not any(isinstance(event, Fault) for event in events)

    ends: list[dict[str, Any]] = [{"last": True}, {"state": "failed"}, {"state": "gone"}]
    assert all(map(is_complete, ends))
    others: list[dict[str, Any]] = [{}, {"last": 1}, {"state": "working"}]
    assert not any(map(is_complete, others))
    assert codec.author.ending([{"state": "gone"}]) == []
    assert codec.author.ending([{"state": "working"}]) == [{"last": True}]
    frame = Frame(b"", {"part": {"text": "a"}, "last": True, "state": "gone"}, streamed=True)
    assert codec.without_end(frame, frame.tree) == {"part": {"text": "a"}}
    assert {"failed", "gone"} <= codec.contract.words.values


def test_only_declared_names_of_events_pass() -> None:
    decoder = CODECS["events"].decoder(streamed=True, failed=False, limit_bytes=1000)
    frames = [
        event.frame.data
        for name in ("part", "secret-name")
        for event in decoder.feed(sse.frame(b'{"choices":[{"text":"a b"}]}', name))
        if isinstance(event, Text)
    ]
    assert [b"event: " in frame for frame in frames] == [True, False]


def test_token_data_is_withheld_from_a_guarded_answer() -> None:
    tree = {"part": {"text": "ab"}, "logprobs": [{"token": "a"}], "ids": [1, 2, 3, 4], "last": True}
    (text,) = [event for event in stream("lines", tree) if isinstance(event, Text)]
    assert text.frame.tree == {"part": {"text": "ab"}, "last": True}
    assert [event.text for event in stream("lines", tree, guarded=False) if isinstance(event, Text)][:2] == ["ab", "a"]


def test_a_schema_of_a_policy_makes_the_answer_json() -> None:
    shapes = Shapes({}, Shape("policy", {"type": "object"}))
    (text,) = [
        event
        for event in stream("lines", {"part": {"text": "{}"}}, {"last": True}, shapes=shapes)
        if isinstance(event, Text)
    ]
    assert (text.encoded, text.shape) == (True, shapes.answer)


def test_a_stop_is_an_error_and_an_end() -> None:
    for name, end in (("lines", b""), ("events", b"data: [DONE]\n\n")):
        codec = CODECS[name]
        decoder = codec.decoder(streamed=True, failed=False, limit_bytes=1000)
        filtered = codec.filtered(decoder, "because")
        assert b"because (content_filter)" in filtered
        assert filtered.endswith(end)
    cut = Frame(b"", {"part": {"text": "a b"}, "last": True}, streamed=True)
    (text,) = [event for event in stream("lines", cut.tree) if isinstance(event, Text)]
    assert json.loads(CODECS["lines"].cut(text.frame, [(text, "a")])) == {"part": {"text": "a"}}
    same = Frame(b"", {"choices": [{"text": "a"}]}, streamed=True)
    assert CODECS["events"].without_end(same, same.tree) == same.tree


def test_the_counts_of_tokens() -> None:
    codec = CODECS["lines"]
    decoder = codec.decoder(streamed=True, failed=False, limit_bytes=1000)
    decoder.feed(ndjson.frame(b'{"counts": {"in": 7, "out": 3}}'))
    decoder.feed(ndjson.frame(b'{"counts": {"in": "x", "out": true}}'))
    assert codec.contract.tokens(decoder.seen.usage) == (7, 3)


def test_the_name_of_a_codec_tells_its_declaration() -> None:
    assert CODECS["lines"].name == f"lines@{LINES.digest}"
    assert DeclaredCodec(LINES).name == CODECS["lines"].name
    assert len({codec.name.partition("@")[2] for codec in CODECS.values()}) == len(CODECS)
    assert CODECS["lines"].provider == "lines"
