"""The maps of contents and messages that formats share."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.findings import Kind
from guardproxy.wire.json import STRUCTURE, TOKEN_IDS, UNMAPPED, Map, MapFields, MapLeaf, part_text, text, unknown, walk
from guardproxy.wire.request.conversation import content, message


def part(kind: Kind, others: MapLeaf) -> Map:
    return {"text": text(kind), "new": others}


@pytest.mark.parametrize(
    ("value", "mapped"),
    [
        ("a text", text("user")),
        (None, text("user")),
        ([{"text": "a"}, "b"], [{"text": text("user"), "new": UNMAPPED}]),
        (["a", "b"], part_text("user", unmapped=True)),
        (["a", None], part_text("user", unmapped=True)),
        ([], part_text("user", unmapped=True)),
        ([1, 2], TOKEN_IDS),
        ([[1], [2]], TOKEN_IDS),
    ],
)
def test_a_content_is_a_text_or_parts_or_token_ids(value: Any, mapped: Map) -> None:
    assert content(part, "user")(value) == mapped


def test_parts_of_unknown_types_have_the_map_that_the_caller_names() -> None:
    assert content(part, "system", unknown("system"))([{}]) == [{"text": text("system"), "new": unknown("system")}]


def test_a_message_is_read_by_its_role() -> None:
    seen: list[Kind] = []

    def fields(kind: Kind, mapped: Map) -> MapFields:
        seen.append(kind)
        return {"role": STRUCTURE, "content": mapped}

    how = message({"system": "system", "bot": "assistant"}, part, fields)
    messages = [
        {"role": "bot", "content": "a"},
        {"role": "system", "content": [{"text": "b"}]},
        {"role": "other", "content": "c", "x_new_field": "d"},
        {"role": ["bot"], "content": "e"},
        {"role": "bot", "content": "f"},
        "g",
    ]
    leaves = [(leaf.text, leaf.leaf.kind, leaf.leaf.unmapped) for leaf in walk(messages, [how]) if not leaf.key]
    assert leaves == [
        ("a", "assistant", False),
        ("b", "system", False),
        ("other", "metadata", False),
        ("c", "user", True),
        ("d", "user", True),
        ("bot", "unmapped", True),
        ("e", "user", True),
        ("f", "assistant", False),
        ("g", "user", True),
    ]
    assert seen == ["assistant", "system", "user"]  # the map of a role is made once
