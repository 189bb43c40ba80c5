"""What the formats of Ollama's API share: streams by default, log probabilities, errors, endings."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardproxy.errors import DownstreamError
from guardproxy.events import Event, Fault, Frame, Text
from guardproxy.findings import Channel
from guardproxy.wire.contract.codec import AnswerFacts
from guardproxy.wire.contract.contract import ANY_OBJECT
from guardproxy.wire.contract.writing import logprobs_of
from guardproxy.wire.families import ollama
from guardproxy.wire.formats.ollama_generate.codec import CODEC

LOGPROBS = logprobs_of(["a", " b"])


def stream(*lines: dict[str, Any], guarded: bool = False) -> list[Event]:
    decoder = CODEC.decoder(streamed=True, failed=False, limit_bytes=10_000, guarded=guarded)
    found = [event for line in lines for event in decoder.feed(CODEC.author.event(line))]
    return found + decoder.end()


@pytest.mark.parametrize(("more", "is_streamed"), [({}, True), ({"stream": None}, True), ({"stream": False}, False)])
def test_a_stream_is_the_default(more: dict[str, Any], is_streamed: bool) -> None:
    request = CODEC.read_request("", "", json.dumps({"model": "m", "prompt": "a", **more}).encode())
    assert (request.model, request.stream) == ("m", is_streamed)


@pytest.mark.parametrize(
    ("tree", "field"),
    [
        ({"model": 5}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"options": []}, "options"),
        ({"format": 5}, "format"),
        ({"prompt": "a", "Prompt": "b"}, "Prompt"),
        ({"prompt": "a", "CONTEXT": [1, 2]}, "CONTEXT"),
        ({"prompt": "a", "\u017fystem": "b"}, "\u017fystem"),
        ({"prompt": "a", "Stream": False}, "Stream"),
        ({"prompt": "a", "Options": {}}, "Options"),
    ],
)
def test_a_wrong_request_is_refused_with_its_field(tree: Any, field: str) -> None:
    with pytest.raises(DownstreamError) as caught:
        CODEC.read_request("", "", json.dumps(tree).encode())
    assert caught.value.field == field


@pytest.mark.parametrize("wrong", ["true", 1, None])
def test_only_done_ends_a_stream(wrong: Any) -> None:
    line = {"response": "a b", "done": wrong}
    assert isinstance(stream(line)[-1], Fault), "a client must not take a stream that was cut off for a complete one"
    assert not isinstance(stream(line, {"done": True})[-1], Fault)
    assert [event.text for event in stream({"error": "a b"}, line) if isinstance(event, Text)] == ["a b"]


def test_the_clock_of_the_server_is_no_text() -> None:
    line = {
        "model": "llama3.2",
        "created_at": "2026-02-03T04:05:06.385406455-07:00",
        "response": "a",
        "done": True,
        "total_duration": 10_706_818_083,
        "eval_duration": 4_709_213_000,
    }
    assert [event.text for event in stream(line) if isinstance(event, Text)] == ["llama3.2", "a"]
    for name, hidden in (("created_at", "2026-02-03 a b"), ("total_duration", 4111222233334444)):
        assert str(hidden) in [event.text for event in stream({**line, name: hidden}) if isinstance(event, Text)]


def test_log_probabilities_stay_only_if_they_say_the_text() -> None:
    line: dict[str, Any] = {"response": "a b", "logprobs": json.loads(json.dumps(LOGPROBS)), "done": True}
    assert ollama.withhold_from(line, ["a b"]) == []
    assert line["logprobs"] == LOGPROBS
    assert ollama.withhold_from(line, ["other"]) == ["logprobs"]
    assert "logprobs" not in line
    other = {"logprobs": [{"token": "a", "logprob": -1, "top_logprobs": [{"token": "secret", "logprob": -2}]}]}
    assert ollama.withhold_from(other, [None, "a"]) == ["top_logprobs"]
    assert "secret" not in str(other)


@pytest.mark.parametrize(
    ("new", "altered", "kept"), [("a c", False, LOGPROBS[:1]), ("a b", False, LOGPROBS), ("a c", True, None)]
)
def test_an_edit_takes_out_the_log_probabilities_of_the_old_text(new: str, altered: bool, kept: Any) -> None:
    frame = Frame(b"", {"response": "a b", "logprobs": LOGPROBS, "done": False}, streamed=True)
    text = Text(Channel("response", "assistant", "response"), "a b", frame, ("response",), altered=altered)
    edited = json.loads(CODEC.edited(frame, [(text, new)]))
    assert (edited["response"], edited.get("logprobs")) == (new, kept)
    wrong: dict[str, Any] = {"logprobs": LOGPROBS}
    ollama.trim(wrong, [("other", "x")])
    assert wrong == {}


def test_a_cut_line_does_not_end_the_answer() -> None:
    tree = {"model": "m", "response": "a b", "done": True, "done_reason": "stop", "eval_count": 1}
    frame = Frame(b"", tree, streamed=True)
    text = Text(Channel("response", "assistant", "response"), "a b", frame, ("response",))
    assert json.loads(CODEC.cut(frame, [(text, "a")])) == {"model": "m", "response": "a", "done": False}


@pytest.mark.parametrize(
    ("sent", "model", "created_at"),
    [
        ({"model": "llama3.2:latest", "created_at": "2026-02-03T04:05:06Z"}, "llama3.2:latest", "2026-02-03T04:05:06Z"),
        ({"model": "llama3.2", "created_at": "a text"}, "llama3.2", ollama.CREATED_AT),
        ({"model": "two words"}, "", ollama.CREATED_AT),
    ],
)
def test_a_stop_ends_a_stream_as_a_line_with_done(sent: dict[str, Any], model: str, created_at: str) -> None:
    decoder = CODEC.decoder(streamed=True, failed=False, limit_bytes=1000)
    decoder.sent(Frame(b"", sent))
    decoder.sent(Frame(b"", {"model": "later"} if model else None))
    assert json.loads(CODEC.filtered(decoder, "because")) == {
        "model": model,
        "created_at": created_at,
        "response": "",
        "done": True,
        "done_reason": "content_filter",
    }


def test_an_error_is_a_text() -> None:
    assert json.loads(CODEC.error(400, "content_filter", "blocked")) == {"error": "blocked (content_filter)"}
    assert CODEC.error_event("a_code", "broken") == b'{"error":"broken (a_code)"}\n'
    assert ollama.upstream_error(404, "no such model") == {"error": "no such model"}
    assert ollama.models(["a"])["models"][0]["name"] == "a"


def test_what_an_answer_says_about_itself() -> None:
    seen = AnswerFacts()
    ollama.notice({"model": "m", "prompt_eval_count": 7, "eval_count": 3, "done_reason": "stop"}, seen)
    ollama.notice({"model": 5, "prompt_eval_count": True, "eval_count": 10**20, "done_reason": None}, seen)
    assert (seen.model, seen.usage, seen.finish) == ("m", {"prompt_eval_count": 7, "eval_count": 3}, ["stop"])
    assert CODEC.contract.tokens(seen.usage) == (7, 3)


def test_the_schema_of_an_answer() -> None:
    schema = {"type": "object", "properties": {"a": {}}}
    assert [ollama.schema_of({"format": wanted}) for wanted in ("json", schema, "", None)] == [
        ANY_OBJECT,
        schema,
        None,
        None,
    ]
    assert ollama.answer_shape({}) is None
    shape = ollama.answer_shape({"format": "json"})
    assert shape is not None
    assert shape.schema is None
