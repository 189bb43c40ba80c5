"""What the authors of Ollama's formats share: lines, calls and counts, as the server writes them."""

from __future__ import annotations

import json

import pytest

from guardproxy.wire import ollama_author as author
from guardproxy.wire.authoring import Prompt, Reply
from guardproxy.wire.turns import Call


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
    assert author.call(Call("send", '{"to": "you"}'), 1) == {
        "function": {"index": 1, "name": "send", "arguments": {"to": "you"}}
    }
    assert author.call(Call("send", "broken"))["function"]["arguments"] == {"arguments": "broken"}


def test_the_fields_of_a_request() -> None:
    assert author.asked(Prompt("m", "a")) == {"stream": False}
    schema = {"type": "object"}
    assert author.asked(Prompt("m", "a", stream=True, schema=schema)) == {"format": schema, "stream": True}
    assert author.schema_of({"format": schema}) == schema
    assert author.schema_of({"format": "json"}) is None
    assert [author.is_streamed(tree) for tree in ({}, {"stream": None}, {"stream": True}, {"stream": False})] == [
        True,
        True,
        True,
        False,
    ]
    assert [
        author.limit_of(tree) for tree in ({}, {"options": {"num_predict": 7}}, {"options": {"num_predict": -1}})
    ] == [
        None,
        7,
        None,
    ]


def test_the_pieces_and_the_end_of_a_reply() -> None:
    reply = Reply("ab", "why", calls=(Call("send", "{}"),), cut=True)
    pieces = list(author.pieces(reply, list, "content", with_logprobs=True))
    assert pieces[:3] == [{"content": "", "thinking": letter} for letter in "why"]
    assert [piece["logprobs"][0]["token"] for piece in pieces[3:5]] == ["a", "b"]
    assert pieces[5]["tool_calls"][0]["function"]["name"] == "send"
    assert list(author.pieces(reply, list, "content", with_logprobs=False))[3] == {"content": "a"}
    end = author.end(Prompt("m", "a", prompt_words=3), reply)
    assert (end["done"], end["done_reason"], end["prompt_eval_count"], end["eval_count"]) == (True, "length", 3, 3)
    assert author.head(Prompt("m", "a"))["model"] == "m"
