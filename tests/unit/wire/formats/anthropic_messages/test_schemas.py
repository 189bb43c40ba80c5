"""Which schema of an Anthropic Messages request is for which text of it and of its answer."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.redaction.shapes import NAME, Path, Shape
from guardproxy.wire.formats.anthropic_messages.schemas import shape_of, shapes_of
from guardproxy.wire.json.walk import MapLeaf, TreeLeaf, text

SCHEMA = {"properties": {"a": {"format": "email"}}}
MESSAGES: dict[str, Any] = {
    "tools": [{"name": "send", "input_schema": SCHEMA}, {"name": 5}, {"name": "f"}],
    "messages": [{"content": [{"name": "send", "input": {}}, {"name": "f"}]}],
}


def test_the_schemas_of_a_messages_request() -> None:
    shapes = shapes_of(MESSAGES)
    assert {name: one.where for name, one in shapes.tools.items()} == {"send": "tools[0]"}
    for wanted in ({"output_format": {"type": "json_schema", "schema": SCHEMA}},
                   {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}):  # fmt: skip
        answer = shapes_of(wanted).answer
        assert answer
        assert answer.schema == SCHEMA
    for other in ({"output_format": 5}, {"output_config": 5}, {"output_config": {"format": {"type": "x"}}}):
        assert shapes_of(other).answer is None


@pytest.mark.parametrize(
    ("path", "kind", "expected"),
    [
        (("messages", 0, "content", 0, "input", "a"), "tool_arguments", Shape("tools[0]", SCHEMA, ("a",))),
        (("messages", 0, "content", 0, "name"), "tool_arguments", NAME),
        (("messages", 0, "content", 1, "input", "a"), "tool_arguments", None),
        (("messages", 0, "content", 0, "id"), "tool_arguments", None),
        (("messages", 0, "content"), "user", None),
        (("messages", 0, "content", 0, "text"), "user", None),
        (("tools", 0, "name"), "tool_definition", NAME),
        (("tools", 0, "description"), "tool_definition", None),
        (("tool_choice", "name"), "tool_definition", NAME),
        (("system",), "system", None),
    ],
)
def test_a_text_of_messages(path: Path, kind: Any, expected: Shape | None) -> None:
    found = shape_of(shapes_of(MESSAGES), MESSAGES, TreeLeaf(path, "x", text(kind)))
    assert (found and (found.where, found.at)) == (expected and (expected.where, expected.at))


def test_an_answer_that_is_json() -> None:
    shapes = shapes_of({"output_format": {"type": "json_schema", "schema": SCHEMA}})
    leaf = MapLeaf("json", "assistant")
    assert shape_of(shapes, {}, TreeLeaf(("content", 0, "text"), "x", leaf)) is shapes.answer
