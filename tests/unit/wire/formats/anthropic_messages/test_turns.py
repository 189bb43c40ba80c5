"""A further turn of Anthropic Messages: the model's own answer, and what is wrong with it."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.wire.contract.turns import Call, ModelTurn
from guardproxy.wire.formats.anthropic_messages.turns import first_words, further, with_model

ASK = [{"role": "user", "content": "hi"}]
CHAT = {"model": "m", "messages": ASK, "temperature": 0}
CALLED = ModelTurn("so", (Call("f", '{"a": 1}'), Call("g", "{}")))
BROKEN = ModelTurn("", (Call("f", '{"a": '),))


def test_silence_has_words_too() -> None:
    assert further(CHAT, ModelTurn(), "no")["messages"][1]["content"] == "(nothing)"


def test_another_model_gets_the_same_request() -> None:
    assert with_model("/a/path", CHAT, "n") == ("/a/path", {**CHAT, "model": "n"})
    assert CHAT["model"] == "m"


def test_a_text_of_claude() -> None:
    assert further({"messages": ASK}, ModelTurn("4"), "no")["messages"] == [
        *ASK,
        {"role": "assistant", "content": "4"},
        {"role": "user", "content": "no"},
    ]


def test_an_answer_that_was_begun_for_the_model_goes_on_from_there() -> None:
    begun: list[Any] = [*ASK, {"role": "assistant", "content": '{"a'}]
    assert further({"messages": begun}, ModelTurn('": 4}'), "no")["messages"] == [
        *ASK,
        {"role": "assistant", "content": '{"a": 4}'},
        {"role": "user", "content": "no"},
    ]
    blocks: list[Any] = [*ASK, {"role": "assistant", "content": [{"type": "text", "text": "x"}]}]
    assert len(further({"messages": blocks}, ModelTurn("4"), "no")["messages"]) == 4


@pytest.mark.parametrize("said", [CALLED, ModelTurn("", CALLED.calls)])
def test_calls_of_claude_are_answered_as_calls(said: ModelTurn) -> None:
    answer, results = further({"messages": ASK, "thinking": {"type": "disabled"}}, said, "no")["messages"][1:]
    uses = [block for block in answer["content"] if block["type"] == "tool_use"]
    assert [use["input"] for use in uses] == [{"a": 1}, {}]
    assert len(answer["content"]) == 2 + bool(said.text)
    assert [(one["tool_use_id"], one["content"], one["is_error"]) for one in results["content"]] == [
        (use["id"], "no", True) for use in uses
    ]


def test_beside_thinking_calls_are_told_in_words() -> None:
    tree = {"messages": ASK, "thinking": {"type": "enabled", "budget_tokens": 1024}}
    answer, told = further(tree, CALLED, "no")["messages"][1:]
    assert answer["content"].startswith("so\nI called the tool `f`")
    assert told["content"] == "no"


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
