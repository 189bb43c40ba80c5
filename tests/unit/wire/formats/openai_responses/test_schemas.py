"""The schemas in a request, and the texts that each applies to."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.redaction import NAME
from guardproxy.wire.formats.openai_responses.field_map import JSON_RESPONSE, REQUEST
from guardproxy.wire.formats.openai_responses.schemas import shape_of, shapes_of
from guardproxy.wire.json import dotted, walk

S: dict[str, Any] = {"type": "object"}
REQUEST_TREE: dict[str, Any] = {
    "tools": [
        {"type": "function", "name": "f", "parameters": S},
        {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "g", "parameters": S}, 5]},
        {"type": "custom", "name": "c"},
    ],
    "tool_choice": {"type": "function", "name": "f"},
    "text": {"format": {"type": "json_schema", "name": "x", "schema": S}},
    "input": [{"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}],
}


def test_the_schemas_of_a_request() -> None:
    shapes = shapes_of(REQUEST_TREE)
    assert {name: shape.where for name, shape in shapes.tools.items()} == {"f": "tools[0]", "g": "tools[1].tools[0]"}
    assert shapes.answer is not None
    assert (shapes.answer.where, shapes.answer.schema) == ("text.format", S)
    assert shapes_of({"text": {"format": {"type": "text"}}, "tools": 5}).answer is None


def test_the_texts_of_a_request() -> None:
    shapes = shapes_of(REQUEST_TREE)
    shaped = {
        dotted(leaf.path): shape
        for leaf in walk(REQUEST_TREE, REQUEST)
        if (shape := shape_of(shapes, REQUEST_TREE, leaf))
    }
    assert shaped == {
        **dict.fromkeys(("tools[0].name", "tools[1].name", "tools[2].name", "tool_choice.name", "input[0].name"), NAME),
        "input[0].arguments": shapes.tools["f"],
    }


@pytest.mark.parametrize("name", ["f", "other"])
def test_the_texts_of_an_answer(name: str) -> None:
    shapes = shapes_of(REQUEST_TREE)
    tree = {
        "output": [
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "{}"}]},
            {"type": "function_call", "call_id": "call_1", "name": name, "arguments": "{}"},
            {"type": "mcp_call", "id": "call_2", "name": name, "arguments": "{}"},
        ]
    }
    shaped = {dotted(leaf.path): shape for leaf in walk(tree, JSON_RESPONSE) if (shape := shape_of(shapes, tree, leaf))}
    arguments = {"output[1].arguments": shapes.tools["f"]} if name == "f" else {}
    assert shaped == {"output[0].content[0].text": shapes.answer, "output[1].name": NAME, **arguments}
