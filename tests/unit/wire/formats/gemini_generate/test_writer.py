"""What is written in the format is read back as it was meant."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardproxy.wire.contract.turns import Call
from guardproxy.wire.contract.writing import Prompt, Reply, word_parts
from guardproxy.wire.formats.gemini_generate.writer import array_author, author
from tests.kit.gemini import gemini_texts

PROMPT = Prompt("m", "hi you", system="be kind", stream=True, schema={"type": "object"}, tools={"f": {}})
REPLY = Reply("the answer", "let me see", "", (Call("f", '{"a": 1}'),))


def test_a_prompt_comes_back() -> None:
    found = author.read(author.request(PROMPT))
    assert (found.model, found.text, found.system) == ("", "hi you", "be kind")
    assert (found.schema, found.prompt_words, found.tool_result, found.count) == ({"type": "object"}, 4, False, 1)
    assert author.request(Prompt("m", "hi")) == {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}


def test_a_result_of_a_function_is_the_prompt() -> None:
    result = {"functionResponse": {"name": "f", "response": {"result": "wet"}}}
    config = {"candidateCount": 2, "maxOutputTokens": 9, "responseLogprobs": True, "responseSchema": {"type": "OBJECT"}}
    tree = {"contents": [{"role": "user", "parts": result}, {"role": "model", "parts": []}], "generationConfig": config}
    found = author.read(tree)
    assert (found.text, found.tool_result, found.count, found.limit_words) == ("wet", True, 2, 9)
    assert (found.with_logprobs, found.schema) == (True, {"type": "OBJECT"})


@pytest.mark.parametrize("tree", [None, {}, {"contents": []}, {"contents": "hi"}])
def test_what_is_no_request(tree: Any) -> None:
    with pytest.raises(ValueError, match="is required"):
        author.read(tree)
    assert author.is_request({"content": {}})
    assert not author.is_request({"contents": "hi"})


def test_candidates_can_be_told_apart() -> None:
    candidates = author.answer(Prompt("m", "", count=2), Reply("hi"), "1")["candidates"]
    assert [candidate["content"]["parts"] for candidate in candidates] == [
        [{"text": "hi"}],
        [{"text": "hi (answer 2)"}],
    ]
    for reply, reason in ((Reply(refusal="no"), "SAFETY"), (Reply("a", cut=True), "MAX_TOKENS"), (Reply(), "STOP")):
        (candidate,) = author.answer(Prompt("m", ""), reply, "1")["candidates"]
        assert candidate["finishReason"] == reason


def test_a_stream_says_what_the_answer_says() -> None:
    said = gemini_texts(b"".join(author.frames(PROMPT, REPLY, "1", word_parts)))
    assert (said["text"], said["thought"], said["finish"]) == (REPLY.text, REPLY.reasoning, "STOP")
    (candidate,) = author.answer(PROMPT, REPLY, "1")["candidates"]
    assert [part.get("text") for part in candidate["content"]["parts"]] == ["let me see", "the answer", None]
    array = json.loads(b"".join(array_author.frames(PROMPT, REPLY, "1", word_parts)))
    assert "".join(part.get("text", "") for tree in array for part in tree["candidates"][0]["content"]["parts"]) == (
        REPLY.reasoning + REPLY.text
    )


def test_log_probabilities_add_up_to_the_text() -> None:
    prompt = Prompt("m", "", with_logprobs=True)
    (candidate,) = author.answer(prompt, Reply("so it is"), "1")["candidates"]
    assert "".join(entry["token"] for entry in candidate["logprobsResult"]["chosenCandidates"]) == "so it is"
    trees = list(author.items(prompt, Reply("so it is"), "1", word_parts))
    assert trees[0]["candidates"][0]["logprobsResult"]["chosenCandidates"][0]["token"] == "so"


def test_counts_and_vectors() -> None:
    one, two = author.request(Prompt("m", "a b c")), {"content": {"parts": [{"text": "a"}]}}
    assert author.unanswered("x:countTokens", one, "1")["totalTokens"] == 3
    assert len(author.unanswered("x:embedContent", {**two, "outputDimensionality": 3}, "1")["embedding"]["values"]) == 3
    vectors = author.unanswered("x:batchEmbedContents", {"requests": [two, two]}, "1")["embeddings"]
    assert vectors[0] == vectors[1]


def test_a_stream_is_closed_once() -> None:
    (end,) = author.ending([{"candidates": [{"content": {}}]}, {"candidates": "x"}])
    assert author.ending([end]) == author.ending([author.error(500, "x")]) == []
    assert author.event("a\nb") == b"data: a b\n\n"
    assert array_author.event("a\nb") == b",\na b"


def test_errors_and_lists() -> None:
    assert author.error(429, "slow")["error"]["status"] == "RESOURCE_EXHAUSTED"
    assert author.error_event("broken").startswith(b'data: {"error"')
    assert array_author.error_event("broken").endswith(b"}}]")
    assert [model["name"] for model in author.models(["a", "b"])["models"]] == ["models/a", "models/b"]
