"""Embeddings and Moderations: inputs are read, vectors and scores pass, anything else in their places is text."""

from __future__ import annotations

import base64
import json
import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.errors import DownstreamError
from guardproxy.events import Event, Fault, Frame, Opaque, Text
from guardproxy.findings import Channel
from guardproxy.wire.contract.turns import ModelTurn
from guardproxy.wire.contract.writing import DIMENSIONS, Prompt, Reply
from guardproxy.wire.formats.openai_inputs import turns
from guardproxy.wire.formats.openai_inputs.codec import CODEC
from guardproxy.wire.formats.openai_inputs.contract import CONTRACT, EMBEDDINGS, MODERATIONS
from guardproxy.wire.formats.openai_inputs.field_map import CATEGORIES
from guardproxy.wire.formats.openai_inputs.writer import author
from guardproxy.wire.json.opaque import NOT_KEPT, printable
from tests.kit.media import IMAGE_URL
from tests.kit.play import sse

CARD = 4111222233334444
SCORES = dict.fromkeys(CATEGORIES, 0.00023219183421)


def kinds(found: list[Event]) -> dict[str, str]:
    """Path -> kind of every text, but for keys."""
    return {event.channel.path: event.channel.kind for event in found if isinstance(event, Text) and not event.key}


def keys(found: list[Event]) -> list[str]:
    """The keys that are text."""
    return [event.text for event in found if isinstance(event, Text) and event.key]


def opaque(found: list[Event]) -> list[tuple[Any, str]]:
    (event,) = [event for event in found if isinstance(event, Opaque)] or [Opaque(None)]  # type: ignore[arg-type]
    return list(zip(event.uninspected, event.media, strict=True))


def request(**tree: Any) -> list[Event]:
    return CODEC.read_request("", "", json.dumps(tree).encode()).events()


def answer(tree: Any, *, guarded: bool = False) -> list[Event]:
    decoder = CODEC.decoder(streamed=False, failed=False, limit_bytes=1 << 20, guarded=guarded)
    decoder.feed(json.dumps(tree).encode())
    return decoder.end()


def coded(numbers: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def vectors(*values: Any, **more: Any) -> dict[str, Any]:
    data = [{"object": "embedding", "index": at, "embedding": value, **more} for at, value in enumerate(values)]
    return {"object": "list", "data": data, "model": "m", "usage": {"prompt_tokens": 1, "total_tokens": 1}}


def moderated(scores: Any, **more: Any) -> dict[str, Any]:
    flags, types = dict.fromkeys(CATEGORIES, False), {name: ["text", "image"] for name in CATEGORIES}
    result = {"flagged": False, "categories": flags, "category_scores": scores, "category_applied_input_types": types}
    return {"id": "modr-5MWoLO", "model": "m", "results": [{**result, **more}]}


def test_the_texts_of_a_request() -> None:
    assert kinds(request(input="a b", user="c d", encoding_format="float", dimensions=256, model="m")) == {
        "input": "user",
        "user": "metadata",
    }
    assert kinds(request(input=["a b", "c d"], new="e f")) == {
        "input[0]": "user",
        "input[1]": "user",
        "new": "unmapped",
    }


def test_the_parts_of_a_request() -> None:
    parts = [
        {"type": "text", "text": "a b"},
        {"type": "image_url", "image_url": {"url": IMAGE_URL}},
        {"type": "image_url", "image_url": {"url": "https://a.example/x y"}},
        {"type": "image_url", "image_url": "https://b.example/x y"},
        {"type": "new", "new": "c d"},
    ]
    found = request(input=parts)
    assert kinds(found) == {
        "input[0].text": "user",
        "input[2].image_url.url": "user",
        "input[3].image_url": "user",
        "input[4].new": "unmapped",
    }
    assert opaque(found) == [(("input", 1, "image_url", "url"), "image")]


@pytest.mark.parametrize("value", [[1, 2], [[1], [2]], NOT_KEPT])
def test_token_ids_are_named(value: Any) -> None:
    assert opaque(request(input=value)) == [(("input",), "token_ids")]


def test_a_request_says_its_model_and_never_streams() -> None:
    read = CODEC.read_request("", "", b'{"model": "m", "input": "a", "stream": true}')
    assert (read.model, read.stream) == ("m", False)


@pytest.mark.parametrize(
    ("tree", "field"),
    [
        ({}, "input"),
        ({"input": None}, "input"),
        ({"input": {"text": "a"}}, "input"),
        ({"input": ["a", 5]}, "input[0]"),
        ({"input": [{"type": "text"}, "a"]}, "input[1]"),
        ({"input": "a", "model": 5}, "model"),
    ],
)
def test_a_wrong_request_is_refused_with_its_field(tree: Any, field: str) -> None:
    with pytest.raises(DownstreamError) as caught:
        CODEC.read_request("", "", json.dumps(tree).encode())
    assert caught.value.field == field


@given(st.lists(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=9), min_size=1, max_size=3), st.booleans())
def test_vectors_pass_as_one_place(rows: list[list[float]], guarded: bool) -> None:
    found = answer(vectors(*rows), guarded=guarded)
    assert kinds(found) == {}
    assert opaque(found) == [(("data",), "vectors")]


@given(st.lists(st.floats(-500, 500, width=32), min_size=1, max_size=50).filter(any))
def test_coded_vectors_pass(numbers: list[float]) -> None:
    value = coded(numbers)
    found = answer(vectors(value))
    is_text = printable(base64.b64decode(value)) is not None  # four bytes can be the letters of a text
    assert opaque(found) == ([] if is_text else [(("data",), "vectors")])


@pytest.mark.parametrize(
    "value",
    [
        "so 4111222233334444!",
        str(CARD),
        base64.b64encode(b"a short text").decode(),
        base64.b64encode("Grüße an mara@example.com, und mehr".encode()).decode(),
        coded([math.nan, 1.0]),
        coded([math.inf]),
        coded([1e30]),
        coded([1.0])[:-2],
        ["0.5", "0.25"],
        [0.5, None],
        [0.5, True],
        {"a": 0.5},
    ],
)
def test_a_place_for_a_vector_with_anything_else_is_text(value: Any) -> None:
    found = answer(vectors([0.5], value))
    if value not in ([0.5, None], [0.5, True]) and not isinstance(value, dict):
        assert any(path.startswith("data[1].embedding") for path in kinds(found))
    assert opaque(found) == [(("data", 0, "embedding"), "vectors")]


def test_an_item_with_more_than_a_vector_is_read() -> None:
    assert kinds(answer(vectors([0.5], new="a b")))["data[0].new"] == "unmapped"
    tree = vectors([0.5])
    tree["data"][0]["object"] = "a b"
    assert kinds(answer(tree)) == {"data[0].object": "unmapped"}
    tree["data"][0] |= {"object": "embedding", "index": CARD}
    assert list(kinds(answer(tree))) == ["data[0].index"]
    assert kinds(answer({"data": "a b"})) == {"data": "unmapped"}


def test_scores_pass_as_one_place_for_each_input() -> None:
    found = answer(moderated(SCORES))
    assert kinds(found) == {}
    assert opaque(found) == [(("results", 0, "category_scores"), "scores")]


@pytest.mark.parametrize("value", ["a b", CARD, -0.5, 1.5, [CARD], True])
def test_a_place_for_a_score_with_anything_else_is_read(value: Any) -> None:
    found = answer(moderated({**SCORES, "hate": value}))
    assert len(opaque(found)) == len(CATEGORIES) - 1
    if value in ("a b", CARD):
        assert list(kinds(found)) == ["results[0].category_scores.hate"]


def test_a_new_category_is_read() -> None:
    found = answer(moderated({**SCORES, "mara lind": 0.5}, categories={"jo lee": True}, more="a b"))
    assert kinds(found) == {"results[0].more": "unmapped"}
    assert keys(found) == ["jo lee", "mara lind", "more"]


def test_a_record_is_read_again_as_it_was() -> None:
    assert opaque(answer({"data": NOT_KEPT})) == [(("data",), "vectors")]
    assert opaque(answer(vectors(NOT_KEPT, "a b"))) == [(("data", 0, "embedding"), "vectors")]
    assert opaque(answer(moderated(NOT_KEPT))) == [(("results", 0, "category_scores"), "scores")]


def test_a_stream_is_read_though_there_is_none() -> None:
    decoder = CODEC.decoder(streamed=True, failed=False, limit_bytes=1000)
    found = decoder.feed(sse({"delta": "a "}) + sse({"delta": "b"})) + decoder.end()
    assert [event.text for event in found if isinstance(event, Text)][:1] == ["delta"]
    assert "a " in [event.text for event in found if isinstance(event, Text)]
    assert [event.code for event in found if isinstance(event, Fault)] == ["upstream_truncated"]
    assert b"content_filter" in CODEC.filtered(decoder, "because")


def test_the_last_frame_before_a_stop_and_errors() -> None:
    tree = {"model": "a b", "usage": {"prompt_tokens": 1}}
    frame = Frame(b"", tree)
    text = Text(Channel("response", "metadata", "model"), "a b", frame, ("model",))
    assert json.loads(CODEC.cut(frame, [(text, "a")])) == {"model": "a"}
    assert json.loads(CODEC.error(400, "c", "m", "input"))["error"]["param"] == "input"
    assert CODEC.error_event("c", "m").endswith(b"data: [DONE]\n\n")


def test_no_model_answers() -> None:
    assert CODEC.routes[:2] == (EMBEDDINGS, MODERATIONS)
    assert not any(map(CONTRACT.is_answered, CODEC.routes))
    assert CONTRACT.demand({}).answer is None
    assert CONTRACT.tokens({"prompt_tokens": 7, "total_tokens": 7}) == (7, None)


def test_turns() -> None:
    tree = {"model": "m", "input": ["", "a"]}
    assert turns.further(tree, ModelTurn("x"), "y") == tree
    assert [turns.first_words(one) for one in (tree, None, {})] == ["a", "", ""]
    assert turns.with_model("/p", tree, "n") == ("/p", {"model": "n", "input": ["", "a"]})


def test_the_author_reads_requests() -> None:
    read = author.read(author.request(Prompt("m", "hi you")))
    assert (read.model, read.text, read.prompt_words, read.stream) == ("m", "hi you", 2, False)
    assert author.read({"input": [1, 2]}).text == ""
    wrong: list[Any] = [None, {}, {"input": ""}, {"input": []}]
    for tree in wrong:
        with pytest.raises(ValueError, match="input must be"):
            author.read(tree)


def test_the_author_writes_a_vector_for_each_input() -> None:
    tree = author.unanswered(EMBEDDINGS, {"model": "m", "input": ["a", "b", "a"], "dimensions": 5}, "1")
    first, second, third = (item["embedding"] for item in tree["data"])
    assert len(first) == 5
    assert first == third != second
    tree = author.unanswered(EMBEDDINGS, {"input": [7, 8], "encoding_format": "base64"}, "1")
    (item,) = tree["data"]
    assert len(base64.b64decode(item["embedding"])) == 4 * DIMENSIONS
    assert author.answer(Prompt("m", "a"), Reply("x"), "1")["data"][0]["embedding"][:3] == first[:3]


def test_the_author_writes_a_result_for_each_input() -> None:
    tree = author.unanswered(MODERATIONS, {"input": ["a", "b"]}, "1")
    assert [result["category_scores"].keys() for result in tree["results"]] == [dict.fromkeys(CATEGORIES).keys()] * 2
    parts = author.unanswered(MODERATIONS, {"input": [{"type": "text", "text": "a"}]}, "1")
    assert len(parts["results"]) == 1


def test_the_author_writes_no_streams() -> None:
    assert list(author.frames(Prompt("m", "a"), Reply("x"), "1", list)) == []
    assert author.frames_with("error", ["a"]) is None
    assert author.ending([]) == ["[DONE]"]
    assert author.ending(["[DONE]"]) == []
    assert author.event("a\nb") == b"data: a b\n\n"
    assert author.error_event("broken").endswith(b"data: [DONE]\n\n")
