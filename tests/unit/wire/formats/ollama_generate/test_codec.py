"""The Ollama Generate format: the texts of requests, answers and streams, and token ids."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardproxy.errors import DownstreamError
from guardproxy.events import Event, Opaque, Text
from guardproxy.findings import Channel
from guardproxy.redaction import Shape, Shapes
from guardproxy.wire.contract.turns import Call, ModelTurn
from guardproxy.wire.contract.writing import Prompt, Reply
from guardproxy.wire.formats.ollama_generate import turns
from guardproxy.wire.formats.ollama_generate.codec import CODEC
from guardproxy.wire.formats.ollama_generate.contract import CONTRACT
from guardproxy.wire.formats.ollama_generate.writer import author
from tests.kit.media import PNG


def texts(found: list[Event]) -> list[tuple[str, str, str]]:
    return [
        (event.channel.path, event.channel.kind, event.text)
        for event in found
        if isinstance(event, Text) and not event.key
    ]


def events(**tree: Any) -> list[Event]:
    return CODEC.read_request("", "", json.dumps(tree).encode()).events()


def answer(tree: dict[str, Any], *, guarded: bool = False, shapes: Shapes | None = None) -> list[Event]:
    decoder = CODEC.decoder(streamed=False, failed=False, limit_bytes=9000, guarded=guarded, shapes=shapes or Shapes())
    return decoder.feed(json.dumps(tree).encode()) + decoder.end()


def test_the_texts_of_a_request() -> None:
    found = events(prompt="a p", suffix="a s", system="a y", template="a {{ .T }}", images=[PNG], raw=True, steps=4)
    assert texts(found) == [
        ("prompt", "user", "a p"),
        ("suffix", "user", "a s"),
        ("system", "system", "a y"),
        ("template", "system", "a {{ .T }}"),
    ]
    (opaque,) = [event for event in found if isinstance(event, Opaque)]
    assert opaque.media == ("image",)


@pytest.mark.parametrize("context", [[1, 2, 3], [15339]])
def test_a_context_is_token_ids(context: list[int]) -> None:
    (opaque,) = [event for event in events(prompt="a", context=context) if isinstance(event, Opaque)]
    assert (opaque.uninspected, opaque.media) == ((("context",),), ("token_ids",))


@pytest.mark.parametrize("name", ["prompt", "suffix", "system", "template"])
def test_a_wrong_request_is_refused_with_its_field(name: str) -> None:
    with pytest.raises(DownstreamError) as caught:
        events(**{name: ["a"]})
    assert caught.value.field == name


def test_a_guarded_answer_has_no_context() -> None:
    tree = {"model": "m", "response": "a b", "thinking": "c d", "context": [1, 2, 3], "done": True}
    guarded = answer(tree, guarded=True)
    assert texts(guarded) == [("response", "assistant", "a b"), ("thinking", "reasoning", "c d")]
    assert all("context" not in event.frame.tree for event in guarded if isinstance(event, (Text, Opaque)))
    (opaque,) = [event for event in answer(tree) if isinstance(event, Opaque)]
    assert opaque.uninspected == (("context",),)


def test_schemas_of_answers() -> None:
    shape = Shape("format", {"type": "object"})
    found = answer(
        {"response": "{}", "tool_calls": [{"function": {"name": "f", "arguments": {"a": "b"}}}], "done": True},
        shapes=Shapes({"f": Shape("tools[0]", {})}, shape),
    )
    by_path = {event.channel.path: event for event in found if isinstance(event, Text) and not event.key}
    assert (by_path["response"].encoded, by_path["response"].shape) == (True, shape)
    assert by_path["tool_calls[0].function.arguments.a"].shape is not None
    member = CONTRACT.calls.member_of("tool_calls[0].function.arguments.a")
    assert member == ("tool_calls[0].function", "arguments", False, True)
    assert CONTRACT.part(Channel("response", "assistant", "response")) == "answer"
    assert CONTRACT.demand({"format": "json"}).answer is not None


def test_a_further_turn_goes_on_with_the_prompt() -> None:
    tree = turns.further({"model": "m", "prompt": "ask"}, ModelTurn("an answer"), "wrong")
    assert tree["prompt"] == "ask\n\nan answer\n\nwrong\n\n"
    assert turns.further({}, ModelTurn("an answer"), "wrong")["prompt"] == "\n\nan answer\n\nwrong\n\n"
    assert [turns.first_words(tree) for tree in (None, {}, {"prompt": 5}, {"prompt": "a"})] == ["", "", "", "a"]


def test_a_prompt_comes_back_from_a_request() -> None:
    read = author.read(author.request(Prompt("m", "hi you", system="be kind", schema={"type": "object"})))
    assert (read.model, read.text, read.system, read.stream, read.prompt_words) == ("m", "hi you", "be kind", False, 4)
    for tree in (None, {}, {"prompt": 5}, {"prompt": "a"}):
        with pytest.raises(ValueError, match=r"model|prompt"):
            author.read(tree)


def test_a_stream_says_what_the_answer_says() -> None:
    prompt = Prompt("m", "hi", with_logprobs=True)
    reply = Reply("the answer", "thoughts", calls=(Call("send", "{}"),))
    whole = author.answer(prompt, reply, "1")
    lines = [json.loads(line) for line in b"".join(author.frames(prompt, reply, "1", list)).splitlines()]
    for name in ("response", "thinking"):
        assert "".join(line.get(name, "") for line in lines) == whole[name]
    assert lines[-1]["context"] == whole["context"]
    assert author.unanswered(author.ROUTE, {}, "1") == {}
