"""What is written in the format is read back as it was meant."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.wire.contract.turns import Call
from guardproxy.wire.contract.writing import Prompt, Reply, word_parts
from guardproxy.wire.formats.openai_chat.writer import author
from tests.kit.play import chat_texts

PROMPT = Prompt("m", "hi you", system="be kind", stream=True, schema={"type": "object"}, tools={"f": {}})
REPLY = Reply("the answer", "let me see", "", (Call("f", '{"a": 1}'),))


def test_a_prompt_comes_back() -> None:
    found = author.read(author.request(PROMPT))
    assert (found.model, found.text, found.system, found.stream) == ("m", "hi you", "be kind", True)
    assert (found.schema, found.prompt_words, found.tool_result) == ({"type": "object"}, 4, False)


@pytest.mark.parametrize("tree", [None, {}, {"messages": []}, {"messages": [{"role": "user"}]}])
def test_what_is_no_request(tree: Any) -> None:
    with pytest.raises(ValueError, match="must be"):
        author.read(tree)
    assert author.is_request(tree) == bool(tree)


def test_choices_can_be_told_apart() -> None:
    choices = author.answer(Prompt("m", "", count=3), Reply("hi"), "1")["choices"]
    assert [choice["message"]["content"] for choice in choices] == ["hi", "hi (answer 2)", "hi (answer 3)"]
    refused = author.answer(Prompt("m", "", count=2), Reply(refusal="no"), "1")["choices"]
    assert [choice["message"]["refusal"] for choice in refused] == ["no", "no"]


def test_a_stream_says_what_the_answer_says() -> None:
    said = chat_texts(b"".join(author.frames(PROMPT, REPLY, "1", word_parts)))
    assert (said["content0"], said["reasoning_content0"], said["tool"]) == (REPLY.text, REPLY.reasoning, '{"a": 1}')
    assert (said["finish0"], said["done"]) == ("tool_calls", "!")


def test_log_probabilities_add_up_to_the_text() -> None:
    (choice,) = author.answer(Prompt("m", "", with_logprobs=True), REPLY, "1")["choices"]
    assert "".join(entry["token"] for entry in choice["logprobs"]["content"]) == REPLY.text


def test_a_stream_is_closed_once() -> None:
    assert author.ending([{"choices": []}]) == ["[DONE]"]
    assert author.ending([{"choices": []}, "[DONE]"]) == []
    assert author.event("a\nb") == b"data: a b\n\n"


def test_errors_and_lists() -> None:
    assert author.error(429, "slow")["error"]["type"] == "rate_limit_exceeded"
    assert author.error_event("broken").endswith(b"data: [DONE]\n\n")
    assert [model["id"] for model in author.models(["a", "b"])["data"]] == ["a", "b"]
    assert author.unanswered(author.ROUTE, {}, "1") == {}
