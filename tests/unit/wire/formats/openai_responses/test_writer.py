"""What is written in the format is read back as it was meant."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from guardproxy.wire.contract.turns import Call
from guardproxy.wire.contract.writing import Prompt, Reply, word_parts
from guardproxy.wire.formats.openai_responses.writer import author
from tests.kit.play import events
from tests.kit.responses import response_texts

PROMPT = Prompt("m", "hi you", system="be kind", stream=True, schema={"type": "object"}, tools={"f": {}})
REPLY = Reply("the answer", "let me see", "", (Call("f", '{"a": 1}'),))


def test_a_prompt_comes_back() -> None:
    prompt = author.read(author.request(PROMPT))
    assert (prompt.model, prompt.text, prompt.system, prompt.stream) == ("m", "hi you", "be kind", True)
    assert (prompt.schema, prompt.prompt_words, prompt.tool_result) == ({"type": "object"}, 4, False)
    text = author.read({"model": "m", "input": "hi you", "max_output_tokens": 7})
    assert (text.text, text.limit_words) == ("hi you", 7)
    result = {"type": "function_call_output", "call_id": "c", "output": "sunny"}
    after = author.read({"model": "m", "input": [{"role": "user", "content": "?"}, result]})
    assert (after.text, after.tool_result) == ("sunny", True)


@pytest.mark.parametrize("tree", [None, {}, {"input": []}, {"input": [{"role": "user"}]}, {"input": 5, "model": "m"}])
def test_what_is_no_request(tree: Any) -> None:
    with pytest.raises(ValueError, match="must be"):
        author.read(tree)


def test_requests_of_other_formats_are_told_apart() -> None:
    assert author.is_request({"input": "hi"})
    assert not author.is_request({"messages": [], "input": "hi"})
    assert not author.is_request({"prompt": "hi"})


def test_a_stream_says_what_the_answer_says() -> None:
    data = b"".join(author.frames(PROMPT, REPLY, "1", word_parts))
    assert response_texts(data) == {
        "response.output_text": REPLY.text,
        "response.reasoning_summary_text": REPLY.reasoning,
        "response.function_call_arguments": '{"a": 1}',
        "end": "response.completed",
    }
    (_, last) = list(events(data))[-1]
    assert last["response"] == author.answer(PROMPT, REPLY, "1")


def test_an_answer_that_reached_its_limit_is_incomplete() -> None:
    whole = author.answer(PROMPT, replace(REPLY, cut=True), "1")
    assert (whole["status"], whole["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    data = b"".join(author.frames(PROMPT, replace(REPLY, cut=True), "1", word_parts))
    assert response_texts(data)["end"] == "response.incomplete"


def test_log_probabilities_add_up_to_the_text() -> None:
    prompt = author.read({"model": "m", "input": "hi", "include": ["message.output_text.logprobs"]})
    (_, message, _) = author.answer(prompt, REPLY, "1")["output"]
    assert "".join(entry["token"] for entry in message["content"][0]["logprobs"]) == REPLY.text


def test_the_answers_of_routes_without_a_model() -> None:
    counted = author.unanswered("POST /v1/responses/input_tokens", author.request(PROMPT), "1")
    assert (counted["object"], counted["input_tokens"]) == ("response.input_tokens", 4)
    compacted = author.unanswered("POST /v1/responses/compact", author.request(PROMPT), "1")
    assert [item["type"] for item in compacted["output"]] == ["message", "compaction"]


def test_a_stream_is_closed_once() -> None:
    (end,) = author.ending([{"type": "response.created"}])
    assert end["type"] == "response.completed"
    assert author.ending([{"type": "response.created"}, end]) == []
    assert author.event("a\nb") == b"data: a b\n\n"
