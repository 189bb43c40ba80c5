"""What requests ask their answers to look like, in each dialect."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.findings import Channel, Form
from guardproxy.wire.wanted import NOTHING, inputs, name_path, part, read

S = {"type": "string"}
T = {"type": "object", "properties": {"a": S}}


@pytest.mark.parametrize(
    ("codec", "tree", "schema"),
    [
        ("openai_chat", {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": S}}}, S),
        ("openai_chat", {"response_format": {"type": "json_schema", "json_schema": 7}}, {"type": "object"}),
        ("openai_chat", {"response_format": {"type": "json_object"}}, {"type": "object"}),
        ("openai_chat", {"response_format": {"type": "json_object", "schema": S}}, S),
        ("openai_chat", {"response_format": {"type": "text"}}, None),
        ("openai_chat", {"response_format": "json"}, None),
        ("openai_responses", {"text": {"format": {"type": "json_schema", "name": "n", "schema": S}}}, S),
        ("openai_responses", {"text": {"format": {"type": "json_object"}}}, {"type": "object"}),
        ("openai_responses", {"text": 7}, None),
        ("anthropic_messages", {"output_config": {"format": {"type": "json_schema", "schema": S}}}, S),
        ("anthropic_messages", {"output_format": {"type": "json_schema", "schema": S}}, S),
        ("anthropic_messages", {"output_config": {"effort": "low"}}, None),
        ("another", {"response_format": {"type": "json_object"}}, None),
    ],
)
def test_the_schema_of_the_answer(codec: str, tree: Any, schema: Any) -> None:
    found = read(codec, tree)
    assert found.answer == (None if schema is None else Form(schema))
    assert found.tools is None
    assert found.tool_names is None


@pytest.mark.parametrize(
    ("codec", "tree", "tools"),
    [
        ("openai_chat", {"tools": [{"type": "function", "function": {"name": "f", "parameters": T}}]}, {"f": T}),
        ("openai_chat", {"tools": [{"type": "function", "function": {"name": "f"}}]}, {"f": {}}),
        ("openai_chat", {"tools": [{"type": "custom", "custom": {"name": "c"}}, 7]}, {"c": None}),
        ("openai_chat", {"functions": [{"name": "f", "parameters": T}, {"name": 7}]}, {"f": T}),
        ("openai_responses", {"tools": [{"type": "function", "name": "f", "parameters": T}]}, {"f": T}),
        ("openai_responses", {"tools": [{"type": "custom", "name": "c"}, {"type": "web_search"}]}, {"c": None}),
        ("anthropic_messages", {"tools": [{"name": "f", "input_schema": T}]}, {"f": T}),
        (
            "anthropic_messages",
            {"tools": [{"type": "code_execution_1", "name": "code_execution"}]},
            {"code_execution": None, "bash_code_execution": None, "text_editor_code_execution": None},
        ),
    ],
)
def test_the_tools(codec: str, tree: Any, tools: Any) -> None:
    found = read(codec, tree)
    assert found.tools == {name: None if schema is None else Form(schema, call=True) for name, schema in tools.items()}
    assert found.tool_names is not None
    assert found.tool_names.words == tuple(sorted(tools))


def test_every_schema_is_named() -> None:
    tree = {
        "response_format": {"type": "json_object"},
        "tools": [
            {"type": "function", "function": {"name": "f", "parameters": T}},
            {"type": "custom", "custom": {"name": "c"}},
        ],
    }
    assert [(name, form.schema) for name, form in read("openai_chat", tree).forms()] == [
        ("the answer", {"type": "object"}),
        ("the tool `f`", T),
    ]
    assert list(NOTHING.forms()) == []


@pytest.mark.parametrize(
    ("codec", "kind", "path", "found"),
    [
        ("openai_chat", "assistant", "choices[0].message.content", "answer"),
        ("openai_chat", "refusal", "choices[0].message.content", None),
        ("openai_chat", "tool_arguments", "choices[1].message.tool_calls[12].function.name", "tool"),
        ("openai_chat", "tool_arguments", "choices[1].message.tool_calls[12].custom.name", "tool"),
        ("openai_chat", "tool_arguments", "choices[1].message.tool_calls[12].custom.input", None),
        ("openai_chat", "tool_arguments", "choices[0].message.function_call.arguments", "input"),
        ("openai_chat", "assistant", "choices[0].message.audio.transcript", None),
        ("openai_responses", "assistant", "output[0].content[0].text", "answer"),
        ("openai_responses", "tool_arguments", "output[1].arguments", "input"),
        ("anthropic_messages", "assistant", "content[0].text", "answer"),
        ("anthropic_messages", "tool_arguments", "content[3].name", "tool"),
        ("anthropic_messages", "tool_arguments", "content[3].input", "input"),
        ("anthropic_messages", "tool_arguments", "content[3].input.city", None),
        ("another", "assistant", "content[0].text", None),
    ],
)
def test_the_parts_of_an_answer(codec: str, kind: Any, path: str, found: str | None) -> None:
    assert part(codec, Channel("response", kind, path)) == found
    assert part(codec, Channel("request", kind, path)) is None


def test_arguments_stand_beside_the_name() -> None:
    assert name_path("content[3].input") == "content[3].name"
    assert (
        name_path("choices[0].message.tool_calls[1].function.arguments")
        == "choices[0].message.tool_calls[1].function.name"
    )


def test_arguments_that_are_an_object() -> None:
    tree = {"content": [{"type": "text", "text": "a"}, {"type": "tool_use", "name": "f", "input": {"é": 1}}, 7]}
    assert list(inputs("anthropic_messages", tree)) == [(("content", 1, "input"), "content[1].input", '{"é": 1}')]
    assert list(inputs("openai_chat", tree)) == []
    assert list(inputs("anthropic_messages", {"content": "x"})) == []
    assert list(inputs("anthropic_messages", None)) == []
    assert list(inputs("anthropic_messages", {"content": [{"type": "tool_use", "input": "x"}]})) == []
