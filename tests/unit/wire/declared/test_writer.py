"""The author of a declared format writes what the format reads."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardproxy.wire.contract.turns import Call
from guardproxy.wire.contract.writing import Prompt, Reply
from guardproxy.wire.declared import DeclaredFormat
from guardproxy.wire.declared.contract import maps_of
from guardproxy.wire.declared.writer import DeclaredAuthor
from tests.unit.wire.declared.test_codec import EVENTS, LINES, PLAIN


def author(declaration: DeclaredFormat) -> DeclaredAuthor:
    return DeclaredAuthor(declaration, maps_of(declaration).request)


def test_a_prompt_comes_back_from_a_request() -> None:
    prompt = Prompt("m", "hi you", system="be kind", stream=True)
    read = author(LINES).read(author(LINES).request(prompt))
    assert (read.model, read.text, read.system, read.stream, read.prompt_words) == ("m", "hi you", "be kind", True, 4)
    assert author(EVENTS).request(Prompt("m", "hi", system="s")) == {"prompt": "hi", "options": {"stream": False}}
    asked = {"turns": [{"from": "user", "text": "a"}, {"from": "tool", "text": "b"}]}
    assert author(LINES).read(asked).tool_result
    strange: tuple[Any, ...] = (None, {}, {"turns": []})
    for wrong in strange:
        with pytest.raises(ValueError, match="no text of a user"):
            author(LINES).read(wrong)


def test_a_route_gets_a_name_for_each_parameter() -> None:
    assert author(EVENTS).ROUTE == "POST /v9/a-name/complete"
    assert author(LINES).ROUTE == "POST /acme/v1/talk"


def test_a_stream_says_what_the_answer_says() -> None:
    writer = author(LINES)
    reply, prompt = Reply("the answer"), Prompt("m", "hi")
    lines = [json.loads(line) for line in b"".join(writer.frames(prompt, reply, "1", list)).splitlines()]
    assert "".join(line.get("part", {}).get("text", "") for line in lines) == "the answer"
    answer = writer.answer(prompt, reply, "1")
    assert (answer["output"]["text"], answer["counts"]) == ("the answer", {"in": 0, "out": 2})
    assert "send" in writer.answer(prompt, Reply(calls=(Call("send", "{}"),)), "1")["output"]["text"]
    assert list(author(PLAIN).frames(prompt, reply, "1", list)) == []
    assert author(PLAIN).frames_with("assistant", ["a"]) is None


def test_kinds_that_have_no_place() -> None:
    assert author(EVENTS).answer_with("reasoning", "a") is None
    assert author(EVENTS).frames_with("reasoning", ["a", "b"]) is None
    assert author(EVENTS).request_with("system", "a") == {"prompt": "a"}


def test_the_end_of_items() -> None:
    assert author(LINES).ending([{"part": {}}]) == [{"last": True}]
    assert author(LINES).ending([{"last": True}]) == []
    assert author(LINES).ending([{"fault": {"message": "no"}}]) == []
    assert author(EVENTS).ending([{}]) == ["[DONE]"]
    assert author(EVENTS).ending(["[DONE]"]) == []
    assert author(EVENTS).event("a\nb") == b"data: a b\n\n"
    assert author(LINES).unanswered("", {}, "1") == {}
    assert author(LINES).models(["m"]) == {"models": ["m"]}
