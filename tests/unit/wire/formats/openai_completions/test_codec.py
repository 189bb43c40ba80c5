"""The Completions format: what its requests, answers and streams hold, and what a stop or an edit makes of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardproxy.errors import DownstreamError
from guardproxy.events import Event, Fault, Frame, Text
from guardproxy.findings import Channel
from guardproxy.redaction import Shape, Shapes
from guardproxy.wire.contract.turns import Call, ModelTurn
from guardproxy.wire.contract.writing import Prompt, Reply, word_parts
from guardproxy.wire.formats.openai_completions import turns
from guardproxy.wire.formats.openai_completions.codec import CODEC
from guardproxy.wire.formats.openai_completions.contract import CONTRACT
from guardproxy.wire.formats.openai_completions.writer import author
from tests.kit.play import events, sse


def kinds(found: list[Event]) -> dict[str, str]:
    return {event.channel.path: event.channel.kind for event in found if isinstance(event, Text) and not event.key}


def request(**tree: Any) -> dict[str, str]:
    return kinds(CODEC.read_request("", "", json.dumps(tree).encode()).events())


def stream(*trees: dict[str, Any], guarded: bool = False, shapes: Shapes | None = None) -> list[Event]:
    decoder = CODEC.decoder(streamed=True, failed=False, limit_bytes=10_000, guarded=guarded, shapes=shapes or Shapes())
    found = [event for tree in trees for event in decoder.feed(sse(tree))]
    return found + decoder.feed(b"data: [DONE]\n\n") + decoder.end()


def chunk(text: str, index: int = 0, finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"text": text, "index": index, "finish_reason": finish, **more}]}


def test_the_texts_of_a_request() -> None:
    assert request(prompt=["a b", "c d"], suffix="e f", stop=["g h"], user="i j", logit_bias={"5": 1}, model="m") == {
        "prompt[0]": "user",
        "prompt[1]": "user",
        "suffix": "user",
        "stop[0]": "metadata",
        "user": "metadata",
    }
    assert request(prompt=None, new="a b") == {"new": "unmapped"}
    assert request(prompt_embeds="a tensor", prompt="a b") == {"prompt": "user"}


def test_a_request_says_its_model_and_whether_it_streams() -> None:
    read = CODEC.read_request("", "", b'{"model": "m", "prompt": "a", "stream": true}')
    assert (read.model, read.stream) == ("m", True)
    read = CODEC.read_request("", "", b"{}")
    assert (read.model, read.stream) == ("", False)


@pytest.mark.parametrize(
    ("tree", "field"),
    [
        ({"prompt": {"text": "a"}}, "prompt"),
        ({"prompt": ["a", 5]}, "prompt[0]"),
        ({"model": 5}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"echo": 1}, "echo"),
        ({"suffix": ["a"]}, "suffix"),
        ({"n": -1}, "n"),
        ({"n": "1"}, "n"),
        ({"best_of": 129}, "best_of"),
    ],
)
def test_a_wrong_request_is_refused_with_its_field(tree: Any, field: str) -> None:
    with pytest.raises(DownstreamError) as caught:
        CODEC.read_request("", "", json.dumps(tree).encode())
    assert caught.value.field == field


def test_a_text_flows_through_the_chunks_of_its_choice() -> None:
    found = stream(chunk("a "), chunk("x", 1), chunk("b"), chunk("", 0, "stop"), chunk("y", 1), chunk("", 1, "length"))
    texts: dict[str, str] = {}
    for event in found:
        if isinstance(event, Text):
            texts[event.channel.path] = texts.get(event.channel.path, "") + event.text
    assert texts == {"choices[0].text": "a b", "choices[1].text": "xy"}
    assert not [event for event in found if isinstance(event, Fault)]


def test_a_schema_of_a_policy_makes_the_text_json() -> None:
    shape = Shape("policy", {"type": "object"})
    found = stream(chunk('{"a": 1}'), chunk("", 0, "stop"), shapes=Shapes({}, shape))
    (text,) = [event for event in found if isinstance(event, Text)]
    assert (text.encoded, text.shape) == (True, shape)
    decoder = CODEC.decoder(streamed=False, failed=False, limit_bytes=1000, shapes=Shapes({}, shape))
    decoder.feed(json.dumps(chunk("{}", 0, "stop")).encode())
    (text,) = [event for event in decoder.end() if isinstance(event, Text)]
    assert (text.encoded, text.shape) == (True, shape)


def test_offsets_count_from_the_first_of_their_choice() -> None:
    logprobs = {"tokens": ["a", "b"], "text_offset": [40, 41]}
    more = {"tokens": ["c"], "text_offset": [42]}
    found = stream(chunk("ab", logprobs=logprobs), chunk("c", logprobs=more), chunk("", 0, "stop", logprobs={}))
    counts = [count for event in found if isinstance(event, Text) for count in event.frame.counts]
    assert [(count.start[-1], count.origin, count.text) for count in counts] == [
        (0, 40, "choices[0].text"),
        (1, 40, "choices[0].text"),
        (0, 40, "choices[0].text"),
    ]
    for wrong in ([], ["x"], 7, None):
        (text,) = [event for event in stream(chunk("a", logprobs={"text_offset": wrong})) if isinstance(event, Text)]
        assert text.frame.counts == ()


def test_an_edit_takes_out_what_repeats_the_text() -> None:
    logprobs = {"tokens": ["a", " b"], "token_logprobs": [-1, -1], "top_logprobs": None, "text_offset": [3, 4]}
    tree = {**chunk("a b", logprobs=logprobs, token_ids=[1]), "obfuscation": "xx", "usage": {"x": 1}}
    frame = Frame(b"", tree, streamed=True)
    path = ("choices", 0, "text")
    text = Text(Channel("response", "assistant", "choices[0].text"), "a b", frame, path)
    ((_, edited),) = events(CODEC.edited(frame, [(text, "a c")]))
    kept = {"tokens": ["a"], "token_logprobs": [-1], "top_logprobs": None, "text_offset": [3]}
    assert edited == {**chunk("a c", logprobs=kept), "usage": {"x": 1}}
    ((_, same),) = events(CODEC.edited(frame, [(text, "a b")]))
    assert same["choices"] == tree["choices"]
    altered = Text(text.channel, "a b", frame, path, altered=True)
    ((_, cut),) = events(CODEC.cut(frame, [(altered, "a")]))
    assert cut == chunk("a", logprobs=None)
    asked = Text(
        Channel("request", "user", "prompt"), "a", Frame(b"", {"prompt": "a", "obfuscation": "x"}), ("prompt",)
    )
    assert json.loads(CODEC.edited(asked.frame, [(asked, "b")])) == {"prompt": "b", "obfuscation": "x"}


def test_a_stop_ends_a_stream_as_the_provider_does() -> None:
    decoder = CODEC.decoder(streamed=True, failed=False, limit_bytes=1000)
    (end, done) = [tree for _, tree in events(CODEC.filtered(decoder, "because"))]
    assert end["object"] == "text_completion"
    assert end["choices"] == [{"index": 0, "text": "", "logprobs": None, "finish_reason": "content_filter"}]
    assert done == "[DONE]"


def test_the_parts_of_an_answer() -> None:
    assert CONTRACT.part(Channel("response", "assistant", "choices[1].text")) == "answer"
    assert CONTRACT.choice_of("choices[12].text") == "choices[12]"
    assert CONTRACT.demand({}).answer is None
    assert CONTRACT.tokens({"prompt_tokens": 7, "completion_tokens": 3}) == (7, 3)


def test_a_further_turn_goes_on_with_each_prompt() -> None:
    turn = ModelTurn("an answer", (Call("f", "{}"),))
    for prompt in ("ask", ["ask", "other"]):
        tree = turns.further({"model": "m", "prompt": prompt}, turn, "wrong")
        last = tree["prompt"] if isinstance(prompt, str) else tree["prompt"][0]
        assert last.startswith("askan answer\n")
        assert last.endswith("\n\nwrong\n\n")
    assert turns.further({"prompt": [[1, 2]]}, turn, "wrong") == {"prompt": [[1, 2]]}
    assert turns.further({}, ModelTurn("an answer"), "wrong") == {"prompt": "an answer\n\nwrong\n\n"}
    assert [turns.first_words(tree) for tree in (None, {}, {"prompt": ["", "b"]}, {"prompt": "a"})] == [
        "",
        "",
        "b",
        "a",
    ]
    assert turns.with_model("/p", {"prompt": "a"}, "m") == ("/p", {"prompt": "a", "model": "m"})


def test_a_prompt_comes_back_from_a_request() -> None:
    read = author.read(author.request(Prompt("m", "hi you", system="be kind", stream=True)))
    assert (read.model, read.text, read.stream, read.prompt_words) == ("m", "be kind\n\nhi you", True, 4)
    read = author.read({"model": "m", "prompt": ["a", "b"], "n": 2, "echo": True, "logprobs": 0, "max_tokens": 3})
    assert (read.text, read.count, read.with_echo, read.with_logprobs, read.limit_words) == ("b", 4, True, True, 3)
    for tree in (None, {}, {"prompt": "a"}, {"prompt": "", "model": "m"}):
        with pytest.raises(ValueError, match="must be"):
            author.read(tree)
    assert author.read({"model": "m", "prompt": [1, 2]}).text == ""


@pytest.mark.parametrize("echo", [False, True])
def test_a_stream_says_what_the_answer_says(echo: bool) -> None:
    prompt = Prompt("m", "hi", count=2, with_logprobs=True, with_obfuscation=True, with_echo=echo)
    choices = author.answer(prompt, Reply("the answer"), "1")["choices"]
    said = {0: "", 1: ""}
    for _, tree in events(b"".join(author.frames(prompt, Reply("the answer"), "1", word_parts))):
        for choice in [] if tree == "[DONE]" else tree["choices"]:
            said[choice["index"]] += choice["text"]
            assert "".join((choice["logprobs"] or {"tokens": []})["tokens"]) == choice["text"]
    assert list(said.values()) == [choice["text"] for choice in choices]
    assert choices[0]["text"] == ("hithe answer" if echo else "the answer")
    assert choices[0]["logprobs"]["text_offset"][0] == (0 if echo else 2)
    assert (
        author.answer(prompt, Reply(calls=(Call("f", "{}"),), cut=True), "1")["choices"][0]["finish_reason"] == "length"
    )


def test_a_stream_without_usage_and_a_choice_without_text() -> None:
    trees = [
        tree for _, tree in events(b"".join(author.frames(Prompt("m", "hi", with_usage=False), Reply(), "1", list)))
    ]
    assert [tree if tree == "[DONE]" else tree["choices"][0]["text"] for tree in trees] == ["", "[DONE]"]
    assert "usage" not in trees[0]


def test_the_author_closes_streams_and_writes_errors() -> None:
    assert author.ending([{"choices": []}]) == ["[DONE]"]
    assert author.ending(["[DONE]"]) == []
    assert author.event("a\nb") == b"data: a b\n\n"
    assert author.error_event("broken").endswith(b"data: [DONE]\n\n")
    assert author.error(404, "no")["error"]["type"] == "not_found_error"
    assert author.unanswered(author.ROUTE, {}, "1") == {}
    assert author.models(["a"])["data"][0]["id"] == "a"
