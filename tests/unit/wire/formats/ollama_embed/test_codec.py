"""The format of Ollama's embeddings: the texts of requests, vectors, and errors."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardproxy.errors import DownstreamError
from guardproxy.events import Event, Opaque, Text
from guardproxy.wire.contract.turns import ModelTurn
from guardproxy.wire.contract.writing import Prompt, Reply
from guardproxy.wire.formats.ollama_embed import turns
from guardproxy.wire.formats.ollama_embed.codec import CODEC
from guardproxy.wire.formats.ollama_embed.contract import CONTRACT, EMBED, EMBEDDINGS
from guardproxy.wire.formats.ollama_embed.writer import author
from guardproxy.wire.json.opaque import NOT_KEPT


def events(**tree: Any) -> list[Event]:
    return CODEC.read_request("", "", json.dumps(tree).encode()).events()


def answer(tree: dict[str, Any]) -> list[Event]:
    decoder = CODEC.decoder(streamed=False, failed=False, limit_bytes=9000, guarded=True)
    return decoder.feed(json.dumps(tree).encode()) + decoder.end()


def texts(found: list[Event]) -> list[tuple[str, str]]:
    return [(event.channel.path, event.channel.kind) for event in found if isinstance(event, Text) and not event.key]


def test_the_texts_of_a_request() -> None:
    assert texts(events(input=["a b", "c d"], options={"stop": ["e f"]})) == [
        ("input[0]", "user"),
        ("input[1]", "user"),
        ("options.stop[0]", "metadata"),
    ]
    assert texts(events(prompt="a b", truncate=True, dimensions=8)) == [("prompt", "user")]
    (opaque,) = [event for event in events(input=[[1, 2]]) if isinstance(event, Opaque)]
    assert opaque.media == ("token_ids",)
    assert not CODEC.read_request("", "", b'{"prompt": "a"}').stream


@pytest.mark.parametrize(
    ("tree", "field"),
    [({}, "input"), ({"input": {}}, "input"), ({"prompt": 5}, "prompt"), ({"input": ["a", 5]}, "input[0]")],
)
def test_a_wrong_request_is_refused_with_its_field(tree: Any, field: str) -> None:
    with pytest.raises(DownstreamError) as caught:
        events(**tree)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("tree", "places"),
    [
        ({"embeddings": [[0.5, -1], [2]]}, [("embeddings",)]),
        ({"embedding": [0.5]}, [("embedding",)]),
        ({"embedding": NOT_KEPT}, [("embedding",)]),
        ({"embeddings": NOT_KEPT}, [("embeddings",)]),
    ],
)
def test_vectors_pass_and_count_as_not_inspected(tree: dict[str, Any], places: list[Any]) -> None:
    (opaque,) = [event for event in answer(tree) if isinstance(event, Opaque)]
    assert (list(opaque.uninspected), opaque.media) == (places, ("vectors",))


@pytest.mark.parametrize("tree", [{"embeddings": [["a b"]]}, {"embeddings": "a b"}, {"embedding": ["a b"]}])
def test_a_text_in_the_place_of_a_vector_is_read(tree: dict[str, Any]) -> None:
    assert [event.text for event in answer(tree) if isinstance(event, Text)] == ["a b"]


def test_a_stream_that_should_not_be_there_is_read() -> None:
    decoder = CODEC.decoder(streamed=True, failed=False, limit_bytes=1000)
    found = decoder.feed(author.event({"new": "a b", "done": True})) + decoder.end()
    assert ("new", "unmapped") in texts(found)
    assert json.loads(CODEC.filtered(decoder, "because"))["done_reason"] == "content_filter"
    assert (list(author.frames(Prompt("m", "a"), Reply(), "1", list)), author.frames_with("unmapped", ["a"])) == (
        [],
        None,
    )


def test_vectors_are_functions_of_the_texts() -> None:
    whole = author.answer(Prompt("m", "a"), Reply(), "1")
    assert whole["embeddings"] == author.unanswered(EMBED, {"input": "a"}, "1")["embeddings"]
    assert (
        author.unanswered(EMBEDDINGS, {"prompt": "a", "dimensions": 2}, "1")["embedding"] == whole["embeddings"][0][:2]
    )
    read = author.read({"model": "m", "prompt": "a b"})
    assert (read.text, read.prompt_words) == ("a b", 2)
    wrong: tuple[Any, ...] = (None, {}, {"input": []})
    for tree in wrong:
        with pytest.raises(ValueError, match="input"):
            author.read(tree)


def test_there_are_no_further_turns() -> None:
    assert turns.further({"input": "a"}, ModelTurn("b"), "c") == {"input": "a"}
    assert [turns.first_words(tree) for tree in (None, {}, {"input": ["", "b"]}, {"prompt": "c"})] == ["", "", "b", "c"]
    assert CONTRACT.demand({}).answer is None
