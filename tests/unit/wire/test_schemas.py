"""Which schema of a request is for which text of it and of its answer."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.redaction.shapes import NAME, Path, Shape
from guardproxy.wire.json.walk import Found, MapLeaf, text
from guardproxy.wire.schemas import chat_shape_of, chat_shapes, messages_shape_of, messages_shapes

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
MESSAGES: dict[str, Any] = {
    "tools": [{"name": "send", "input_schema": SCHEMA}, {"name": 5}, {"name": "f"}],
    "messages": [{"content": [{"name": "send", "input": {}}, {"name": "f"}]}],
}


def test_the_schemas_of_a_chat_request() -> None:
    shapes = chat_shapes(CHAT)
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
        answer = chat_shapes({"response_format": wanted}).answer
        assert answer
        assert (answer.where, answer.schema) == ("response_format", schema)
    assert chat_shapes({"response_format": {"type": "text"}, "tools": "x", "functions": {}}).answer is None
    assert chat_shapes({"response_format": "json"}).answer is None


def test_the_schemas_of_a_messages_request() -> None:
    shapes = messages_shapes(MESSAGES)
    assert {name: one.where for name, one in shapes.tools.items()} == {"send": "tools[0]"}
    for wanted in ({"output_format": {"type": "json_schema", "schema": SCHEMA}},
                   {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}):  # fmt: skip
        answer = messages_shapes(wanted).answer
        assert answer
        assert answer.schema == SCHEMA
    for other in ({"output_format": 5}, {"output_config": 5}, {"output_config": {"format": {"type": "x"}}}):
        assert messages_shapes(other).answer is None


CALLS = ("messages", 0, "tool_calls")


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
    shapes = chat_shapes({**CHAT, "response_format": {"type": "json_object"}})
    found = chat_shape_of(shapes, CHAT, Found(path, "x", leaf))
    assert (found.where if found else None) == expected
    assert chat_shape_of(shapes, CHAT, Found(path, "x", leaf, key=True)) is None


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
    found = messages_shape_of(messages_shapes(MESSAGES), MESSAGES, Found(path, "x", text(kind)))
    assert (found and (found.where, found.at)) == (expected and (expected.where, expected.at))


def test_an_answer_that_is_json() -> None:
    shapes = messages_shapes({"output_format": {"type": "json_schema", "schema": SCHEMA}})
    leaf = MapLeaf("json", "assistant")
    assert messages_shape_of(shapes, {}, Found(("content", 0, "text"), "x", leaf)) is shapes.answer
