"""A further turn of OpenAI chat: the model's own answer, and what is wrong with it."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.wire.contract.turns import Call, ModelTurn
from guardproxy.wire.formats.openai_chat.turns import first_words, further, with_model

ASK = [{"role": "user", "content": "hi"}]
CHAT = {"model": "m", "messages": ASK, "temperature": 0}
CALLED = ModelTurn("so", (Call("f", '{"a": 1}'), Call("g", "{}")))
BROKEN = ModelTurn("", (Call("f", '{"a": '),))


def test_silence_has_words_too() -> None:
    assert further(CHAT, ModelTurn(), "no")["messages"][1]["content"] == "(nothing)"


def test_another_model_gets_the_same_request() -> None:
    assert with_model("/a/path", CHAT, "n") == ("/a/path", {**CHAT, "model": "n"})
    assert CHAT["model"] == "m"


def test_a_text_in_chat() -> None:
    tree = further(CHAT, ModelTurn("4"), "no")
    assert tree == {
        **CHAT,
        "messages": [*ASK, {"role": "assistant", "content": "4"}, {"role": "user", "content": "no"}],
    }
    assert CHAT["messages"] == ASK, "the first request is as it was"


def test_calls_in_chat_are_answered_as_calls() -> None:
    answer, *results = further(CHAT, CALLED, "no")["messages"][1:]
    assert [call["function"] for call in answer["tool_calls"]] == [
        {"name": "f", "arguments": '{"a": 1}'},
        {"name": "g", "arguments": "{}"},
    ]
    assert answer["content"] == "so"
    assert [(one["role"], one["tool_call_id"], one["content"]) for one in results] == [
        ("tool", call["id"], "no") for call in answer["tool_calls"]
    ]
    assert further(CHAT, ModelTurn("", CALLED.calls), "no")["messages"][1]["content"] is None


@pytest.mark.parametrize("said", [BROKEN, ModelTurn("", (Call("f", "[1]"),))])
def test_calls_that_cannot_be_repeated_are_told_in_words(said: ModelTurn) -> None:
    answer, told = further(CHAT, said, "no")["messages"][1:]
    assert answer["content"] == f"I called the tool `f` with these arguments: {said.calls[0].arguments}"
    assert told == {"role": "user", "content": "no"}


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "a"}]}, "a"),
        ({"messages": [{"role": "user", "content": ""}, {"role": "user", "content": "b"}]}, "b"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"text": "b"}, {}, "c"]}]}, "ab"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, ""),
        ({"messages": [{"role": "user", "content": None}, "x"]}, ""),
        ({"messages": []}, ""),
        ({"prompt": "a"}, ""),
        ([], ""),
    ],
)
def test_what_a_conversation_began_with(tree: Any, words: str) -> None:
    assert first_words(tree) == words
