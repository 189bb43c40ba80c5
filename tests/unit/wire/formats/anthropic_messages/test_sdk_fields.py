"""Every place of the types of the installed SDK, those of the beta included, is a place that Anthropic Messages knows. A field
that a newer SDK adds fails with its path."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from anthropic.types import Message, message_create_params
from anthropic.types.beta import BetaMessage
from anthropic.types.beta import message_create_params as beta_create_params

from guardproxy.wire.formats.anthropic_messages.codec import CODEC
from guardproxy.wire.formats.anthropic_messages.field_map import REQUEST, RESPONSE
from guardproxy.wire.json import TreeLeaf, walk
from tests.kit.media import SIGNATURE
from tests.kit.sdk_types import Place, places

MARK = "zanzibar-quokka"
SENTENCE = "call mara at mara@example.com now"
UNREAD = ("opaque", "tokens", "secret")

FILE = "<base64>.data[]"  # a file object or a path, from which the SDK makes the text of `data`
ROOTS: dict[str, tuple[Any, Any]] = {
    "request": (message_create_params.MessageCreateParamsNonStreaming, REQUEST),
    "request of the beta": (beta_create_params.MessageCreateParamsNonStreaming, REQUEST),
    "answer": (Message, RESPONSE),
    "answer of the beta": (BetaMessage, RESPONSE),
}
LEAST = {
    "request": {".messages[].content[]<text>.text", ".messages[].content[]<tool_result>.toolset_name"},
    "request of the beta": {".mcp_servers[]<url>.authorization_token", ".messages[].content[]<compaction>.content"},
    "answer": {".content[]<text>.text"},
    "answer of the beta": {".content[]<mcp_tool_listing>.mcp_server_name"},
}
DIRECTIONS = {name: "request" if name.startswith("request") else "response" for name in ROOTS}


def leaves(place: Place, text: str, how: Any) -> list[TreeLeaf]:
    return list(walk(place.build(text), how, words=CODEC.contract.words))


def unclassified(place: Place, how: Any) -> Iterator[str]:
    """What is wrong with a place: its text is not read, or the format does not know it."""
    if not any(SENTENCE in leaf.text or leaf.leaf.how in UNREAD for leaf in leaves(place, SENTENCE, how)):
        yield f"{place.path} is not read"
    marked = [leaf for leaf in leaves(place, MARK, how) if MARK in leaf.text or leaf.leaf.how in UNREAD]
    if not marked or any(leaf.leaf.unmapped for leaf in marked):
        yield f"{place.path} is not classified"


@pytest.mark.parametrize("name", ROOTS)
def test_every_place_of_a_type_is_classified(name: str) -> None:
    type_, how = ROOTS[name]
    walked = [place for place in places(type_) if not place.words and not place.path.endswith(FILE)]
    paths = {place.path.replace("<message>", "") for place in walked}
    assert LEAST[name] <= paths, "the walk of the types reaches what the reference lists"
    assert [line for place in walked for line in unclassified(place, how)] == []


@pytest.mark.parametrize("name", ROOTS)
def test_every_kind_is_in_the_contract(name: str) -> None:
    type_, how = ROOTS[name]
    kinds = {
        leaf.leaf.kind
        for place in places(type_)
        if not place.words
        for leaf in leaves(place, SENTENCE, how)
        if leaf.text and leaf.leaf.how not in UNREAD
    }
    assert kinds <= CODEC.contract.carries["request" if DIRECTIONS[name] == "request" else "response"]


@pytest.mark.parametrize(
    "tree",
    [
        {
            "mcp_servers": [
                {"type": "url", "name": "a", "url": "https://a.example", "authorization_token": "tok-123456"}
            ]
        },
        {"fallback_credit_token": "tok-123456"},
        {"fallback_credit_token": {"token": "tok-123456"}},
    ],
)
def test_a_credential_is_not_read(tree: dict[str, Any]) -> None:
    found = list(walk(tree, REQUEST, words=CODEC.contract.words))
    assert [leaf.leaf.media for leaf in found if leaf.leaf.how == "secret"] == ["secret"]
    assert not any("tok-123456" in leaf.text for leaf in found)


@pytest.mark.parametrize(
    ("block", "field"),
    [
        ({"type": "compaction", "content": "so far", "encrypted_content": SIGNATURE}, "encrypted_content"),
        ({"type": "compaction", "content": "so far", "signature": SIGNATURE}, "signature"),
        (
            {
                "type": "text",
                "text": "x",
                "citations": [{"type": "web_search_result_location", "encrypted_index": SIGNATURE}],
            },
            "encrypted_index",
        ),
    ],
)
def test_what_only_the_provider_reads_is_opaque(block: dict[str, Any], field: str) -> None:
    for tree, how in (
        ({"messages": [{"role": "assistant", "content": [block]}]}, REQUEST),
        ({"content": [block]}, RESPONSE),
    ):
        found = list(walk(tree, how, words=CODEC.contract.words))
        assert [leaf.path[-1] for leaf in found if leaf.leaf.how == "opaque"] == [field]
