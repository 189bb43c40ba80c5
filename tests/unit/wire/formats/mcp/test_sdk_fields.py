"""Every place of the types of the installed SDK, of both revisions, is a place that the format knows. A field that a newer SDK
adds fails with its path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Any, get_args

import mcp_types as current
import pytest
from mcp_types import methods
from pydantic import BaseModel

from guardproxy.wire.formats.mcp.codec import CODEC
from guardproxy.wire.formats.mcp.field_map import REQUEST, RESPONSE
from guardproxy.wire.json import TreeLeaf, walk
from tests.kit.sdk_types import Place, places

MARK = "zanzibar-quokka"
SENTENCE = "call mara at mara@example.com now"
UNREAD = ("opaque", "tokens", "secret")
VERSIONS = ("2025-11-25", "2026-07-28")


def roots() -> Iterator[tuple[str, Any, Any]]:
    """The name, the type and the map of each message of a revision."""
    tables: tuple[tuple[str, Mapping[tuple[str, str], Any], Any, str], ...] = (
        ("request", methods.CLIENT_REQUESTS, REQUEST, ""),
        ("notification", methods.CLIENT_NOTIFICATIONS, REQUEST, ""),
        ("request of the server", methods.SERVER_REQUESTS, RESPONSE, ""),
        ("notification of the server", methods.SERVER_NOTIFICATIONS, RESPONSE, ""),
        ("result", methods.SERVER_RESULTS, RESPONSE, "result"),
        ("result of the client", methods.CLIENT_RESULTS, REQUEST, "result"),
    )
    for words, table, how, within in tables:
        for (method, version), type_ in table.items():
            if version in VERSIONS:
                for number, member in enumerate(get_args(type_) if isinstance(type_, UnionType) else (type_,)):
                    yield f"{words} {method} {version} {number}", member, (how, within)


ROOTS = {name: (type_, how) for name, type_, how in roots()}


def unclassified(place: Place, how: Any, within: str) -> Iterator[str]:
    """What is wrong with a place: its text is not read, or the format does not know it."""

    def leaves(text: str) -> list[TreeLeaf]:
        tree = place.build(text)
        return list(walk({within: tree} if within else tree, how, words=CODEC.contract.words))

    if not any(SENTENCE in leaf.text or leaf.leaf.how in UNREAD for leaf in leaves(SENTENCE)):
        yield f"{place.path} is not read"
    marked = [leaf for leaf in leaves(MARK) if MARK in leaf.text or leaf.leaf.how in UNREAD]
    if not marked or any(leaf.leaf.unmapped for leaf in marked):
        yield f"{place.path} is not classified"


@pytest.mark.parametrize("name", ROOTS)
def test_every_place_of_a_type_is_classified(name: str) -> None:
    type_, (how, within) = ROOTS[name]
    wrong = [line for place in places(type_) if not place.words for line in unclassified(place, how, within)]
    assert wrong == []


def test_the_walk_reaches_every_method() -> None:
    assert {name.split(" ")[-3] for name in ROOTS} >= {"tools/call", "sampling/createMessage", "notifications/progress"}
    assert all(issubclass(type_, BaseModel) for type_, _ in ROOTS.values())
    assert current.HEADER_MISMATCH == -32020
