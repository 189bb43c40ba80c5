"""A further turn in each dialect: the model's own answer, and what is wrong with it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardproxy.wire.turns import Call, Said, first_words, further, keep_alive, opening
from tests.kit.play import events

ASK = [{"role": "user", "content": "hi"}]
CHAT = {"model": "m", "messages": ASK, "temperature": 0}
CALLED = Said("so", (Call("f", '{"a": 1}'), Call("g", "{}")))
BROKEN = Said("", (Call("f", '{"a": '),))


def test_a_text_in_chat() -> None:
    tree = further("openai_chat", CHAT, Said("4"), "no")
    assert tree == {
        **CHAT,
        "messages": [*ASK, {"role": "assistant", "content": "4"}, {"role": "user", "content": "no"}],
    }
    assert CHAT["messages"] == ASK, "the first request is as it was"


def test_calls_in_chat_are_answered_as_calls() -> None:
    answer, *results = further("openai_chat", CHAT, CALLED, "no")["messages"][1:]
    assert [call["function"] for call in answer["tool_calls"]] == [
        {"name": "f", "arguments": '{"a": 1}'},
        {"name": "g", "arguments": "{}"},
    ]
    assert answer["content"] == "so"
    assert [(one["role"], one["tool_call_id"], one["content"]) for one in results] == [
        ("tool", call["id"], "no") for call in answer["tool_calls"]
    ]
    assert further("openai_chat", CHAT, Said("", CALLED.calls), "no")["messages"][1]["content"] is None


@pytest.mark.parametrize("said", [BROKEN, Said("", (Call("f", "[1]"),))])
def test_calls_that_cannot_be_repeated_are_told_in_words(said: Said) -> None:
    answer, told = further("openai_chat", CHAT, said, "no")["messages"][1:]
    assert answer["content"] == f"I called the tool `f` with these arguments: {said.calls[0].arguments}"
    assert told == {"role": "user", "content": "no"}


def test_silence_has_words_too() -> None:
    for codec in ("openai_chat", "anthropic_messages"):
        assert further(codec, CHAT, Said(), "no")["messages"][1]["content"] == "(nothing)"


def test_responses() -> None:
    tree = further("openai_responses", {"input": "hi"}, Said("4"), "no")
    assert [item["content"] for item in tree["input"]] == ["hi", "4", "no"]
    items = further("openai_responses", {"input": [{"role": "user", "content": "hi"}]}, CALLED, "no")["input"]
    assert [item.get("type", item.get("role")) for item in items] == [
        "user",
        *["function_call", "function_call_output"] * 2,
    ]
    assert items[1]["call_id"] == items[2]["call_id"]
    assert further("openai_responses", {}, Said("4"), "no")["input"][0]["content"] == ""


def test_a_text_of_claude() -> None:
    assert further("anthropic_messages", {"messages": ASK}, Said("4"), "no")["messages"] == [
        *ASK,
        {"role": "assistant", "content": "4"},
        {"role": "user", "content": "no"},
    ]


def test_an_answer_that_was_begun_for_the_model_goes_on_from_there() -> None:
    begun: list[Any] = [*ASK, {"role": "assistant", "content": '{"a'}]
    assert further("anthropic_messages", {"messages": begun}, Said('": 4}'), "no")["messages"] == [
        *ASK,
        {"role": "assistant", "content": '{"a": 4}'},
        {"role": "user", "content": "no"},
    ]
    blocks: list[Any] = [*ASK, {"role": "assistant", "content": [{"type": "text", "text": "x"}]}]
    assert len(further("anthropic_messages", {"messages": blocks}, Said("4"), "no")["messages"]) == 4


@pytest.mark.parametrize("said", [CALLED, Said("", CALLED.calls)])
def test_calls_of_claude_are_answered_as_calls(said: Said) -> None:
    answer, results = further("anthropic_messages", {"messages": ASK, "thinking": {"type": "disabled"}}, said, "no")[
        "messages"
    ][1:]
    uses = [block for block in answer["content"] if block["type"] == "tool_use"]
    assert [use["input"] for use in uses] == [{"a": 1}, {}]
    assert len(answer["content"]) == 2 + bool(said.text)
    assert [(one["tool_use_id"], one["content"], one["is_error"]) for one in results["content"]] == [
        (use["id"], "no", True) for use in uses
    ]


def test_beside_thinking_calls_are_told_in_words() -> None:
    tree = {"messages": ASK, "thinking": {"type": "enabled", "budget_tokens": 1024}}
    answer, told = further("anthropic_messages", tree, CALLED, "no")["messages"][1:]
    assert answer["content"].startswith("so\nI called the tool `f`")
    assert told["content"] == "no"


def test_signs_of_life() -> None:
    assert keep_alive("openai_chat") == b":\n\n"
    assert list(events(keep_alive("anthropic_messages"))) == [("ping", {"type": "ping"})]


def test_what_a_refused_stream_begins_with() -> None:
    assert opening("openai_chat", "m") == b""
    ((name, tree),) = events(opening("anthropic_messages", "m"))
    assert name == "message_start"
    assert tree["message"]["model"] == "m"
    json.dumps(tree)


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "a"}]}, "a"),
        ({"messages": [{"role": "user", "content": ""}, {"role": "user", "content": "b"}]}, "b"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"text": "b"}, {}, "c"]}]}, "ab"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, ""),
        ({"messages": [{"role": "user", "content": None}, "x"]}, ""),
        ({"messages": []}, ""),
        ({"input": "a"}, "a"),
        ({"input": [{"role": "user", "content": [{"type": "input_text", "text": "b"}]}]}, "b"),
        ({"prompt": "a"}, ""),
        ([], ""),
    ],
)
def test_what_a_conversation_began_with(tree: Any, words: str) -> None:
    assert first_words(tree) == words
