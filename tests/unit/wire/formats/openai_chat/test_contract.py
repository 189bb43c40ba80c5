"""What OpenAI chat requests demand of their answers, and the parts of an answer."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.findings import Channel, Form
from guardproxy.wire.contract.contract import NO_DEMAND
from guardproxy.wire.formats.openai_chat.contract import CONTRACT

S = {"type": "string"}
T = {"type": "object", "properties": {"a": S}}


@pytest.mark.parametrize(
    ("tree", "schema"),
    [
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": S}}}, S),
        ({"response_format": {"type": "json_schema", "json_schema": 7}}, {"type": "object"}),
        ({"response_format": {"type": "json_object"}}, {"type": "object"}),
        ({"response_format": {"type": "json_object", "schema": S}}, S),
        ({"response_format": {"type": "text"}}, None),
        ({"response_format": "json"}, None),
    ],
)
def test_the_schema_of_the_answer(tree: Any, schema: Any) -> None:
    demand = CONTRACT.demand(tree)
    assert demand.answer == (None if schema is None else Form(schema))
    assert demand.tools is None
    assert demand.tool_names is None


@pytest.mark.parametrize(
    ("tree", "tools"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": T}}]}, {"f": T}),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, {"f": {}}),
        ({"tools": [{"type": "custom", "custom": {"name": "c"}}, 7]}, {"c": None}),
        ({"functions": [{"name": "f", "parameters": T}, {"name": 7}]}, {"f": T}),
    ],
)
def test_the_tools(tree: Any, tools: Any) -> None:
    demand = CONTRACT.demand(tree)
    assert demand.tools == {name: None if schema is None else Form(schema, call=True) for name, schema in tools.items()}
    assert demand.tool_names is not None
    assert demand.tool_names.words == tuple(sorted(tools))


def test_every_schema_is_named() -> None:
    tree = {
        "response_format": {"type": "json_object"},
        "tools": [
            {"type": "function", "function": {"name": "f", "parameters": T}},
            {"type": "custom", "custom": {"name": "c"}},
        ],
    }
    assert [(name, form.schema) for name, form in CONTRACT.demand(tree).forms()] == [
        ("the answer", {"type": "object"}),
        ("the tool `f`", T),
    ]
    assert list(NO_DEMAND.forms()) == []


@pytest.mark.parametrize(
    ("kind", "path", "part"),
    [
        ("assistant", "choices[0].message.content", "answer"),
        ("refusal", "choices[0].message.content", None),
        ("tool_arguments", "choices[1].message.tool_calls[12].function.name", "tool"),
        ("tool_arguments", "choices[1].message.tool_calls[12].custom.name", "tool"),
        ("tool_arguments", "choices[1].message.tool_calls[12].custom.input", None),
        ("tool_arguments", "choices[0].message.function_call.arguments", "input"),
        ("assistant", "choices[0].message.audio.transcript", None),
    ],
)
def test_the_parts_of_an_answer(kind: Any, path: str, part: str | None) -> None:
    assert CONTRACT.part(Channel("response", kind, path)) == part
    assert CONTRACT.part(Channel("request", kind, path)) is None


def test_arguments_stand_beside_the_name_as_text() -> None:
    call = "choices[0].message.tool_calls[1].function"
    assert CONTRACT.name_path(f"{call}.arguments") == f"{call}.name"
    assert CONTRACT.calls.written({"name": "f", "arguments": "{}"}, streamed=False) is None


def test_choices_are_told_apart() -> None:
    assert CONTRACT.choice_of("choices[12].message.content") == "choices[12]"
    assert CONTRACT.choice_of("error.message") == ""


def test_tokens_are_counted_under_the_names_of_every_server() -> None:
    assert CONTRACT.tokens({"prompt_tokens": 7, "completion_tokens": 3}) == (7, 3)
    assert CONTRACT.tokens({"input_tokens": 7, "output_tokens": 3}) == (7, 3)
    assert CONTRACT.tokens({}) == (None, None)
