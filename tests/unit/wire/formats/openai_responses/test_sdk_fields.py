"""Every place of the types of the installed SDK is a place that the format knows, and every word of the types is a word of the
format. A field that a newer SDK adds fails with its path."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from openai.types.responses import (
    CompactedResponse,
    Response,
    ResponseStreamEvent,
    input_token_count_params,
    response_compact_params,
    response_create_params,
)

from guardproxy.wire.formats.openai_responses.codec import CODEC
from guardproxy.wire.formats.openai_responses.events import JSON_EVENTS, TEXT_EVENTS, WHOLE
from guardproxy.wire.formats.openai_responses.field_map import JSON_RESPONSE, REQUEST, RESPONSE
from guardproxy.wire.formats.openai_responses.words import WORDS
from guardproxy.wire.json import TreeLeaf, walk
from tests.kit.sdk_types import Place, members, places

MARK = "zanzibar-quokka"
SENTENCE = "call mara at mara@example.com now"
OPAQUE = ("opaque", "tokens", "secret")
ROOTS: dict[str, tuple[Any, Any]] = {
    "request": (response_create_params.ResponseCreateParamsStreaming, REQUEST),
    "plain request": (response_create_params.ResponseCreateParamsNonStreaming, REQUEST),
    "compact": (response_compact_params.ResponseCompactParams, REQUEST),
    "input tokens": (input_token_count_params.InputTokenCountParams, REQUEST),
    "answer": (Response, RESPONSE),
    "JSON answer": (Response, JSON_RESPONSE),
    "compacted": (CompactedResponse, RESPONSE),
}


def leaves(place: Place, text: str, how: Any) -> list[TreeLeaf]:
    return list(walk(place.build(text), how, words=WORDS))


def unclassified(place: Place, how: Any) -> Iterator[str]:
    """What is wrong with a place: its text is not read, or the format does not know it."""
    read = [leaf for leaf in leaves(place, SENTENCE, how) if SENTENCE in leaf.text or leaf.leaf.how in OPAQUE]
    if not read:
        yield f"{place.path} is not read"
    marked = [leaf for leaf in leaves(place, MARK, how) if MARK in leaf.text or leaf.leaf.how in OPAQUE]
    if not marked or any(leaf.leaf.unmapped and leaf.leaf.names != "echo" for leaf in marked):
        yield f"{place.path} is not classified"


def unknown(place: Place, how: Any) -> Iterator[str]:
    """The words of a place that would be scanned as if they were text."""
    if not place.path.endswith(".model"):  # names of models are scanned
        for word in place.words:
            kinds = {leaf.leaf.kind for leaf in leaves(place, word, how) if leaf.text == word}
            if kinds & {"metadata", "unmapped"}:
                yield f"{place.path} does not know {word}"


@pytest.mark.parametrize("name", ROOTS)
def test_every_place_of_a_type_is_classified(name: str) -> None:
    type_, how = ROOTS[name]
    found = list(places(type_))
    assert len(found) > 400
    wrong = [line for place in found for line in (unknown if place.words else unclassified)(place, how)]
    assert wrong == []


@pytest.mark.parametrize("maps", [TEXT_EVENTS, JSON_EVENTS], ids=["text", "JSON"])
def test_every_place_of_an_event_is_classified(maps: dict[str, Any]) -> None:
    wrong: list[str] = []
    names = set()
    for model in members(ResponseStreamEvent):
        for place in places(model):
            name = place.build(MARK).get("type")
            if name in maps:
                names.add(name)
                if ".response." in place.path:  # tested as an answer
                    continue
            if place.words:
                words = {place.build(word)["type"]: word for word in place.words}
                for kind in words:
                    wrong += [] if kind in maps else [f"the event {kind} is not known"]
                    wrong += unknown(place, maps.get(kind, {}))
            else:
                wrong += unclassified(place, maps.get(name, {}))
    assert wrong == []
    assert names >= WHOLE


def test_a_field_that_nobody_classified_is_named() -> None:
    how = {key: value for key, value in REQUEST.items() if key != "instructions"}
    (place,) = (place for place in places(ROOTS["request"][0]) if place.path == ".instructions")
    assert list(unclassified(place, how)) == [".instructions is not classified"]


def test_every_event_and_field_is_in_the_contract() -> None:
    """The kinds that the maps give are kinds that the contract declares."""
    for direction, how in (("request", REQUEST), ("response", RESPONSE)):
        kinds = {
            leaf.leaf.kind
            for type_, its in ROOTS.values()
            if its is how
            for place in places(type_)
            if not place.words
            for leaf in leaves(place, MARK, how)
            if leaf.leaf.how not in OPAQUE
        }
        assert kinds <= CODEC.contract.carries["request" if direction == "request" else "response"]
