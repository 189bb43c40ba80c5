"""The Ollama Chat format: the texts of requests, answers and streams, and what a stop or an edit makes of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardproxy.errors import DownstreamError
from guardproxy.events import Event, Text
from guardproxy.findings import Channel
from guardproxy.redaction import NAME, Shapes
from guardproxy.wire.contract.turns import Call, ModelTurn
from guardproxy.wire.contract.writing import Prompt, Reply
from guardproxy.wire.formats.ollama_chat import turns
from guardproxy.wire.formats.ollama_chat.codec import CODEC
from guardproxy.wire.formats.ollama_chat.contract import CONTRACT
from guardproxy.wire.formats.ollama_chat.writer import author
from tests.kit.media import PNG
from tests.kit.play import Play, policy_set

USER = {"role": "user", "content": "hello there"}


def texts(found: list[Event]) -> list[tuple[str, str, str]]:
    return [
        (event.channel.path, event.channel.kind, event.text)
        for event in found
        if isinstance(event, Text) and not event.key
    ]


def request(**tree: Any) -> list[tuple[str, str, str]]:
    return texts(CODEC.read_request("", "", json.dumps({"messages": [], **tree}).encode()).events())


def stream(*messages: dict[str, Any], shapes: Shapes | None = None) -> list[Event]:
    decoder = CODEC.decoder(streamed=True, failed=False, limit_bytes=10_000, shapes=shapes or Shapes())
    found = [event for message in messages for event in decoder.feed(author.event({"message": message, "done": False}))]
    return found + decoder.feed(author.event({"done": True})) + decoder.end()


def call(**arguments: Any) -> dict[str, Any]:
    return {"function": {"name": "send", "arguments": arguments}}


def test_the_texts_of_a_request() -> None:
    messages = [
        {"role": "system", "content": "a s"},
        {**USER, "images": [PNG]},
        {"role": "assistant", "content": "", "thinking": "a t", "tool_calls": [call(to="a to")]},
        {"role": "tool", "tool_name": "send", "content": "a r"},
        {"role": "somebody", "content": "a ?"},
    ]
    assert request(
        model="m", messages=messages, options={"stop": ["a z"], "seed": 1}, keep_alive="5m", think="high"
    ) == [
        ("messages[0].content", "system", "a s"),
        ("messages[1].content", "user", "hello there"),
        ("messages[2].thinking", "reasoning", "a t"),
        ("messages[2].tool_calls[0].function.name", "tool_arguments", "send"),
        ("messages[2].tool_calls[0].function.arguments.to", "tool_arguments", "a to"),
        ("messages[3].tool_name", "metadata", "send"),
        ("messages[3].content", "tool_result", "a r"),
        ("messages[4].role", "metadata", "somebody"),
        ("messages[4].content", "user", "a ?"),
        ("options.stop[0]", "metadata", "a z"),
        ("keep_alive", "metadata", "5m"),
    ]
    assert request(format="json") == []
    assert request(format={"description": "a d"}) == [("format.description", "tool_definition", "a d")]
    assert request(options={"new": "a n"}) == [("options.new", "metadata", "a n")]
    assert request(messages=[{"role": "user", "content": "a", "new": "b c"}])[-1][2] == "b c"


@pytest.mark.parametrize(
    ("tree", "field"),
    [
        ({"messages": "a"}, "messages"),
        ({"messages": [{"content": "a"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]}, "messages[0].content"),
        ({"tools": {}}, "tools"),
        ({"messages": [{"role": "user", "content": "a", "Content": "b"}]}, "messages[0].Content"),
        (
            {"messages": [{"role": "user", "tool_calls": [{"function": {"Arguments": {}}}]}]},
            "messages[0].tool_calls[0].function.Arguments",
        ),
    ],
)
def test_a_wrong_request_is_refused_with_its_field(tree: Any, field: str) -> None:
    with pytest.raises(DownstreamError) as caught:
        CODEC.read_request("", "", json.dumps(tree).encode())
    assert caught.value.field == field


def test_texts_flow_and_calls_come_whole() -> None:
    found = texts(
        stream(
            {"thinking": "a "},
            {"thinking": "b"},
            {"content": "c "},
            {"content": "d", "tool_calls": [call(to="x y")]},
            {"tool_calls": [call(to="z w"), call(to="u v")]},
        )
    )
    assert [text for path, _, text in found if path == "message.thinking"] == ["a ", "b"]
    assert [text for path, _, text in found if path == "message.content"] == ["c ", "d"]
    assert [(path[19:20], text) for path, _, text in found if path.endswith(".to")] == [
        ("0", "x y"),
        ("1", "z w"),
        ("2", "u v"),
    ]


def test_schemas_of_answers_and_calls() -> None:
    schema = {"type": "object", "properties": {"to": {"type": "string", "format": "email"}}}
    tool = {"type": "function", "function": {"name": "send", "parameters": schema}}
    asked: dict[str, Any] = {"messages": [USER], "tools": [tool, {"function": {"name": "none"}}, "x"], "format": schema}
    with pytest.raises(DownstreamError):
        CODEC.read_request("", "", json.dumps(asked).encode())
    asked["tools"] = asked["tools"][:2]
    read = CODEC.read_request("", "", json.dumps(asked).encode())
    assert read.shapes.answer is not None
    assert (read.shapes.answer.where, read.shapes.answer.schema) == ("format", schema)
    named = {event.channel.path: event.shape for event in read.events() if isinstance(event, Text) and event.shape}
    assert named == {"tools[0].function.name": NAME, "tools[1].function.name": NAME}
    found = stream({"content": "{}"}, {"tool_calls": [call(to="x")]}, shapes=read.shapes)
    shapes = {event.channel.path: event.shape for event in found if isinstance(event, Text) and not event.key}
    assert shapes["message.content"] is read.shapes.answer
    assert shapes["message.tool_calls[0].function.name"] is NAME
    arguments = shapes["message.tool_calls[0].function.arguments.to"]
    assert arguments is not None
    assert arguments.constraints()[0].formats == ("email",)
    demand = CONTRACT.demand(asked)
    assert demand.tools is not None
    assert sorted(demand.tools) == ["none", "send"]
    assert demand.answer is not None


SCHEMA_RULE = """
policy: test
checks: {shape: {use: json_schema, schema: from_request}}
rules: [{id: shape, on: response, when: shape, action: retry, attempts: 1}]
"""


@pytest.mark.parametrize("together", [False, True])
def test_the_arguments_of_each_call_of_a_stream_are_judged_by_the_schema_of_its_tool(together: bool) -> None:
    schemas = {
        "send": {"type": "object", "properties": {"to": {"type": "string"}}},
        "grow": {"type": "object", "properties": {"by": {"type": "integer"}}},
    }
    asked = author.request(Prompt("m", "go", stream=True, tools=schemas))
    reply = Reply(calls=(Call("send", '{"to": "you"}'), Call("grow", '{"by": "much"}'), Call("send", '{"to": "me"}')))
    frames = list(author.frames(Prompt("m", "go"), reply, "1", list))
    play = Play(policy_set(SCHEMA_RULE), author.ROUTE).ask(asked)
    play.stream([b"".join(frames)] if together else frames)
    second = play.done[-2 if together else -1]
    sent = [json.loads(command.body) for command in play.done if hasattr(command, "body")]
    assert len(sent) == 2, second
    assistant, *results = sent[1]["messages"][1:]
    assert [called["function"] for called in assistant["tool_calls"]] == [
        {"name": "send", "arguments": {"to": "you"}},
        {"name": "grow", "arguments": {"by": "much"}},
    ]
    assert all("expected" in result["content"] for result in results)


def test_the_parts_of_an_answer() -> None:
    assert CONTRACT.part(Channel("response", "assistant", "message.content")) == "answer"
    assert CONTRACT.part(Channel("response", "tool_arguments", "message.tool_calls[1].function.name")) == "tool"
    assert CONTRACT.name_path("message.tool_calls[0].function.arguments") == "message.tool_calls[0].function.name"
    assert CONTRACT.calls.written(call(to="x")["function"], streamed=True) == ("arguments", '{"to":"x"}')


def test_a_further_turn() -> None:
    turn = ModelTurn("an answer", (Call("send", '{"to": "x"}'),))
    tree = turns.further({"model": "m", "messages": [USER]}, turn, "wrong")
    assert tree["messages"][1:] == [
        {"role": "assistant", "content": "an answer", "tool_calls": [call(to="x")]},
        {"role": "tool", "tool_name": "send", "content": "wrong"},
    ]
    broken = turns.further({"messages": None}, ModelTurn("an answer", (Call("send", "{"),)), "wrong")
    assert [message["role"] for message in broken["messages"]] == ["assistant", "user"]
    assert turns.first_words({"messages": [USER]}) == "hello there"


def test_a_prompt_comes_back_from_a_request() -> None:
    prompt = Prompt("m", "hi you", system="be kind", stream=True, schema={"type": "object"}, tools={"send": {}})
    read = author.read(author.request(prompt))
    assert (read.model, read.text, read.system, read.stream, read.prompt_words) == ("m", "hi you", "be kind", True, 4)
    assert read.schema == {"type": "object"}
    assert author.read({"model": "m", "messages": [USER, {"role": "tool", "content": "r"}]}).tool_result
    wrong: tuple[Any, ...] = (None, {}, {"messages": []}, {"messages": [USER]})
    for tree in wrong:
        with pytest.raises(ValueError, match="m"):
            author.read(tree)


def test_a_stream_says_what_the_answer_says() -> None:
    prompt = Prompt("m", "hi", with_logprobs=True)
    reply = Reply("the answer", "thoughts", calls=(Call("send", "{}"),))
    whole = author.answer(prompt, reply, "1")
    lines = [json.loads(line) for line in b"".join(author.frames(prompt, reply, "1", list)).splitlines()]
    for name in ("content", "thinking"):
        assert "".join(line["message"].get(name, "") for line in lines) == whole["message"][name]
    assert [called for line in lines for called in line["message"].get("tool_calls", [])] == whole["message"][
        "tool_calls"
    ]
    assert "".join(entry["token"] for entry in whole["logprobs"]) == "the answer"
    assert lines[-1]["done"] is True
    assert author.unanswered(author.ROUTE, {}, "1") == {}
