"""Every place of the types of the installed SDK is a place that the format knows, in both spellings, and every word of the
types is a word of the format. A field that a newer SDK adds fails with its path."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from google.genai import types
from pydantic import BaseModel

from guardproxy.wire.formats.gemini_generate.codec import CODEC
from guardproxy.wire.formats.gemini_generate.field_case import snake
from guardproxy.wire.formats.gemini_generate.field_map import JSON_RESPONSE, REQUEST, RESPONSE
from guardproxy.wire.formats.gemini_generate.words import WORDS
from guardproxy.wire.json import TreeLeaf, walk
from tests.kit.sdk_types import Place, places

MARK = "zanzibar-quokka"
SENTENCE = "call mara at mara@example.com now"
OPAQUE = ("opaque", "tokens", "secret")


class Wire(BaseModel):
    """The body of a request as the SDK sends it: it has no type of its own."""

    contents: list[types.Content]
    systemInstruction: types.Content  # noqa: N815 - the name on the wire
    tools: list[types.Tool]
    toolConfig: types.ToolConfig  # noqa: N815
    safetySettings: list[types.SafetySetting]  # noqa: N815
    generationConfig: types.GenerationConfig  # noqa: N815
    cachedContent: str  # noqa: N815
    labels: dict[str, str]
    serviceTier: types.ServiceTier  # noqa: N815
    continuationToken: bytes  # noqa: N815
    modelArmorConfig: types.ModelArmorConfig  # noqa: N815


ROOTS: dict[str, tuple[Any, Any]] = {
    "request": (Wire, REQUEST),
    "answer": (types.GenerateContentResponse, RESPONSE),
    "JSON answer": (types.GenerateContentResponse, JSON_RESPONSE),
    "vectors": (types.EmbedContentResponse, RESPONSE),
}
OF_THE_SDK = (".sdkHttpResponse", ".automaticFunctionCallingHistory", ".parsed")  # never on the wire


def on_the_wire(type_: Any) -> list[Place]:
    return [place for place in places(type_) if not place.path.startswith(OF_THE_SDK)]


def spelled(node: Any, path: str) -> Any:
    """An object with the fields of a path in the spelling with underscores."""
    if isinstance(node, dict):
        return {snake(key) if key in path else key: spelled(child, path) for key, child in node.items()}
    return [spelled(child, path) for child in node] if isinstance(node, list) else node


def leaves(tree: Any, how: Any) -> list[TreeLeaf]:
    return list(walk(tree, how, words=WORDS))


def unclassified(place: Place, how: Any) -> Iterator[str]:
    """What is wrong with a place: its text is not read, or the format does not know it."""
    spellings: list[Callable[[Any], Any]] = [lambda tree: tree, partial(spelled, path=place.path)]
    for tree_of in spellings:
        read = [
            leaf
            for leaf in leaves(tree_of(place.build(SENTENCE)), how)
            if SENTENCE in leaf.text or leaf.leaf.how in OPAQUE
        ]
        if not read:
            yield f"{place.path} is not read"
        found = leaves(tree_of(place.build(MARK)), how)
        marked = [leaf for leaf in found if MARK in leaf.text or leaf.leaf.how in OPAQUE]
        if not marked or any(leaf.leaf.unmapped for leaf in found):
            yield f"{place.path} is not classified"


def unknown(place: Place, how: Any) -> Iterator[str]:
    """The words of a place that would be scanned under no kind."""
    for word in place.words:
        kinds = {leaf.leaf.kind for leaf in leaves(place.build(word), how) if leaf.text == word}
        if kinds & {"metadata", "unmapped"}:
            yield f"{place.path} does not know {word}"


@pytest.mark.parametrize("name", ROOTS)
def test_every_place_of_a_type_is_classified(name: str) -> None:
    type_, how = ROOTS[name]
    walked = on_the_wire(type_)
    assert len(walked) > {"vectors": 5}.get(name, 100)
    wrong = [line for place in walked for line in (unknown if place.words else unclassified)(place, how)]
    assert wrong == []


@pytest.mark.parametrize("name", ROOTS)
def test_every_kind_is_in_the_contract(name: str) -> None:
    type_, how = ROOTS[name]
    kinds = {
        leaf.leaf.kind
        for place in on_the_wire(type_)
        if not place.words
        for leaf in leaves(place.build(SENTENCE), how)
        if leaf.leaf.how not in OPAQUE
    }
    assert kinds <= CODEC.contract.carries["request" if how is REQUEST else "response"]


def test_the_walk_reaches_what_the_reference_lists() -> None:
    paths = {place.path for place in on_the_wire(Wire)} | {
        place.path for place in on_the_wire(types.GenerateContentResponse)
    }
    assert paths >= {
        ".contents[].parts[].functionCall.partialArgs[].stringValue",
        ".contents[].parts[].functionResponse.response.{key}",
        ".contents[].parts[].inlineData.data",
        ".tools[].mcpServers[].streamableHttpTransport.headers.*",
        ".tools[].exaAiSearch.apiKey",
        ".generationConfig.responseJsonSchema",
        ".candidates[].groundingMetadata.groundingSupports[].segment.text",
        ".candidates[].finishMessage",
        ".promptFeedback.blockReasonMessage",
        ".candidates[].finishReason",
    }


def test_a_field_that_nobody_classified_is_named() -> None:
    how = {key: value for key, value in REQUEST.items() if key not in ("labels",)}
    wrong = [line for place in on_the_wire(Wire) if ".labels" in place.path for line in unclassified(place, how)]
    assert {line.split(" ")[0] for line in wrong} == {".labels.{key}", ".labels.*"}
