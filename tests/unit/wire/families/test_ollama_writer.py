"""What the authors of Ollama's formats share: lines, calls and counts, as the server writes them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardproxy.wire.contract.turns import Call
from guardproxy.wire.contract.writing import Prompt, Reply
from guardproxy.wire.families.ollama_writer import asked
from guardproxy.wire.formats.ollama_generate.writer import author


def test_a_line_is_one_line() -> None:
    assert author.event({"a": "b\nc"}) == b'{"a":"b\\nc"}\n'
    assert author.event("a\nb") == b"a b\n"
    assert json.loads(author.error_event("broken")) == {"error": "broken"}


@pytest.mark.parametrize(
    ("items", "ending"),
    [
        ([{"response": "a", "done": False}], [{"done": True, "done_reason": "stop"}]),
        ([{"response": "a"}, {"done": True}], []),
        ([{"error": "broken"}], []),
        (["no JSON"], [{"done": True, "done_reason": "stop"}]),
    ],
)
def test_a_stream_gets_its_end(items: list[object], ending: list[object]) -> None:
    assert author.ending(items) == ending


def test_a_call_holds_an_object() -> None:
    reply = Reply(calls=(Call("send", '{"to": "you"}'), Call("send", "broken")))
    assert [call["function"] for call in author.answer(Prompt("m", "a"), reply, "1")["tool_calls"]] == [
        {"index": 0, "name": "send", "arguments": {"to": "you"}},
        {"index": 1, "name": "send", "arguments": {"arguments": "broken"}},
    ]


def test_the_fields_of_a_request() -> None:
    assert asked(Prompt("m", "a")) == {"stream": False}
    schema = {"type": "object"}
    assert asked(Prompt("m", "a", stream=True, schema=schema)) == {"format": schema, "stream": True}
    assert author.options({"format": schema})["schema"] == schema
    assert author.options({"format": "json"})["schema"] is None
    streams = [author.options(tree)["stream"] for tree in ({}, {"stream": None}, {"stream": True}, {"stream": False})]
    assert streams == [True, True, True, False]
    options: tuple[dict[str, Any], ...] = ({}, {"num_predict": 7}, {"num_predict": -1})
    assert [author.options({"options": value})["limit_words"] for value in options] == [None, 7, None]
    assert author.options({"options": "x"})["limit_words"] is None


def test_the_pieces_and_the_end_of_a_reply() -> None:
    reply = Reply("ab", "why", calls=(Call("send", "{}"),), cut=True)
    items = list(author.items(Prompt("m", "a", prompt_words=3, with_logprobs=True), reply, "1", list))
    assert [item["thinking"] for item in items[:3]] == list("why")
    assert [item["logprobs"][0]["token"] for item in items[3:5]] == ["a", "b"]
    assert items[5]["tool_calls"][0]["function"]["name"] == "send"
    assert "logprobs" not in list(author.items(Prompt("m", "a"), reply, "1", list))[3]
    end = items[-1]
    assert (end["done"], end["done_reason"], end["prompt_eval_count"], end["eval_count"]) == (True, "length", 3, 3)
    assert {item["model"] for item in items} == {"m"}
