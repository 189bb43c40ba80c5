"""Which schema of an OpenAI chat request is for which text of it and of its answer."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.redaction.shapes import Path
from guardproxy.wire.formats.openai_chat.schemas import shape_of, shapes_of
from guardproxy.wire.json.walk import MapLeaf, TreeLeaf, text

SCHEMA = {"properties": {"a": {"format": "email"}}}
CHAT: dict[str, Any] = {
    "tools": [
        {"function": {"name": "send", "parameters": SCHEMA}},
        5,
        {"function": {"name": 5}},
        {"function": {"name": "f"}},
    ],
    "functions": [{"name": "old", "parameters": SCHEMA}],
    "messages": [
        {"tool_calls": [{"function": {"name": "send"}}, {"custom": {"name": "g"}}], "function_call": {"name": "old"}}
    ],
    "tool_choice": {"function": {"name": "send"}},
}
CALLS = ("messages", 0, "tool_calls")


def test_the_schemas_of_a_chat_request() -> None:
    shapes = shapes_of(CHAT)
    assert {name: (one.where, one.schema) for name, one in shapes.tools.items()} == {
        "send": ("tools[0]", SCHEMA),
        "old": ("functions[0]", SCHEMA),
    }
    assert shapes.answer is None
    for wanted, schema in (
        ({"type": "json_schema", "json_schema": {"schema": SCHEMA}}, SCHEMA),
        ({"type": "json_schema"}, None),
        ({"type": "json_object"}, None),
    ):
        answer = shapes_of({"response_format": wanted}).answer
        assert answer
        assert (answer.where, answer.schema) == ("response_format", schema)
    assert shapes_of({"response_format": {"type": "text"}, "tools": "x", "functions": {}}).answer is None
    assert shapes_of({"response_format": "json"}).answer is None


@pytest.mark.parametrize(
    ("path", "leaf", "expected"),
    [
        ((*CALLS, 0, "function", "arguments"), MapLeaf("json", "tool_arguments"), "tools[0]"),
        ((*CALLS, 0, "function", "name"), text("tool_arguments"), "name"),
        ((*CALLS, 1, "custom", "name"), text("tool_arguments"), "name"),
        ((*CALLS, 1, "custom", "input"), text("tool_arguments"), None),
        (("messages", 0, "function_call", "arguments"), MapLeaf("json", "tool_arguments"), "functions[0]"),
        (("tools", 0, "function", "name"), text("tool_definition"), "name"),
        (("tools", 0, "function", "description"), text("tool_definition"), None),
        (("functions", 0, "name"), text("tool_definition"), "name"),
        (("tool_choice", "function", "name"), text("tool_definition"), "name"),
        (("tool_choice", "name"), text("tool_definition"), "name"),
        (("function_call", "name"), text("tool_definition"), "name"),
        (("metadata", "function", "name"), text("metadata"), None),
        (("user",), text("metadata"), None),
        (("choices", 0, "message", "content"), MapLeaf("json", "assistant"), "response_format"),
        (("choices", 0, "message", "content"), text("assistant"), None),
    ],
)
def test_a_text_of_a_chat(path: Path, leaf: MapLeaf, expected: str | None) -> None:
    shapes = shapes_of({**CHAT, "response_format": {"type": "json_object"}})
    found = shape_of(shapes, CHAT, TreeLeaf(path, "x", leaf))
    assert (found.where if found else None) == expected
    assert shape_of(shapes, CHAT, TreeLeaf(path, "x", leaf, key=True)) is None
