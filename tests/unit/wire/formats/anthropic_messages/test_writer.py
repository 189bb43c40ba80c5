"""What is written in the format is read back as it was meant."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.wire.contract.turns import Call
from guardproxy.wire.contract.writing import Prompt, Reply, word_parts
from guardproxy.wire.formats.anthropic_messages.writer import author
from tests.kit.play import message_texts

PROMPT = Prompt("m", "hi you", system="be kind", stream=True, schema={"type": "object"}, tools={"f": {}})
REPLY = Reply("the answer", "let me see", "", (Call("f", '{"a": 1}'),))


def test_a_prompt_comes_back() -> None:
    found = author.read(author.request(PROMPT))
    assert (found.model, found.text, found.system, found.stream) == ("m", "hi you", "be kind", True)
    assert (found.schema, found.prompt_words, found.tool_result) == ({"type": "object"}, 4, False)
    result = author.read({"model": "m", **author.request_with("tool_result", "a result")})
    assert (result.text, result.tool_result) == ("a result", True)


@pytest.mark.parametrize("tree", [None, {}, {"messages": []}, {"messages": [{"role": "user"}]}])
def test_what_is_no_request(tree: Any) -> None:
    with pytest.raises(ValueError, match="required"):
        author.read(tree)
    assert author.is_request(tree) == bool(tree)


def test_a_stream_says_what_the_answer_says() -> None:
    said = message_texts(b"".join(author.frames(PROMPT, REPLY, "1", word_parts)))
    assert (said["block0"], said["block1"], said["block2"]) == (REPLY.reasoning, REPLY.text, '{"a": 1}')
    assert (said["stop"], said["message_stop"]) == ("tool_use", "yes")
    blocks = author.answer(PROMPT, REPLY, "1")["content"]
    assert [block["type"] for block in blocks] == ["thinking", "text", "tool_use"]


def test_broken_arguments_are_an_empty_object() -> None:
    (block,) = author.answer(PROMPT, Reply(calls=(Call("f", '{"a": '),)), "1")["content"]
    assert block["input"] == {}


def test_a_refusal_is_said_twice() -> None:
    tree = author.answer(PROMPT, Reply(refusal="no"), "1")
    assert (tree["content"][0]["text"], tree["stop_reason"]) == ("no", "refusal")


def test_a_stream_is_closed_once() -> None:
    stop = {"type": "message_stop"}
    assert author.ending([]) == [stop]
    assert author.ending([stop]) == author.ending([{"type": "error"}]) == []
    assert author.event("a\nb") == b"data: a b\n\n"


def test_errors_and_lists() -> None:
    assert author.error(529, "busy")["error"]["type"] == "overloaded_error"
    assert author.error_event("broken").startswith(b"event: error\n")
    assert author.models(["a", "b"])["last_id"] == "b"
    assert author.unanswered("POST /v1/messages/count_tokens", author.request(PROMPT), "1") == {"input_tokens": 4}
