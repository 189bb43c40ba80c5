"""Further turns of a request."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.wire.contract.turns import Call, ModelTurn
from guardproxy.wire.formats.openai_responses import turns

USER = {"role": "user", "content": "hi"}


@pytest.mark.parametrize(("given", "items"), [("hi", [USER]), ([USER], [USER]), (None, [])])
def test_an_answer_and_the_faults_follow_the_items(given: Any, items: list[Any]) -> None:
    tree = turns.further({"model": "m", "input": given}, ModelTurn("wrong"), "again")
    assert tree == {
        "model": "m",
        "input": [*items, {"role": "assistant", "content": "wrong"}, {"role": "user", "content": "again"}],
    }


def test_a_call_gets_its_faults_as_its_result() -> None:
    turn = ModelTurn("so", (Call("f", '{"a": 1}'), Call("g", "{}")))
    assert turns.further({"input": "hi"}, turn, "again")["input"] == [
        USER,
        {"role": "assistant", "content": "so"},
        {"type": "function_call", "call_id": "call_again_1_0", "name": "f", "arguments": '{"a": 1}'},
        {"type": "function_call", "call_id": "call_again_1_1", "name": "g", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_again_1_0", "output": "again"},
        {"type": "function_call_output", "call_id": "call_again_1_1", "output": "again"},
    ]


def test_a_call_that_cannot_be_repeated_is_told_in_words() -> None:
    (_, answer, _) = turns.further({"input": "hi"}, ModelTurn("", (Call("f", "{broken"),)), "again")["input"]
    assert "I called the tool `f`" in answer["content"]


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"input": "hi"}, "hi"),
        ({"input": [{"role": "developer", "content": "x"}, USER]}, "hi"),
        ({"input": [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}]}, "hi"),
        ({"previous_response_id": "resp_1"}, ""),
        ([], ""),
    ],
)
def test_the_first_words_of_a_user(tree: Any, words: str) -> None:
    assert turns.first_words(tree) == words


def test_another_model() -> None:
    tree = {"model": "a", "input": "hi"}
    assert turns.with_model("/v1/responses", tree, "b") == ("/v1/responses", {**tree, "model": "b"})
