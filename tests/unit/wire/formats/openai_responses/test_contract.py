"""What Responses requests demand of their answers, and the parts of an answer."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.findings import Channel, Form
from guardproxy.wire.formats.openai_responses.contract import CONTRACT

S = {"type": "string"}
T = {"type": "object", "properties": {"a": S}}


@pytest.mark.parametrize(
    ("tree", "schema"),
    [
        ({"text": {"format": {"type": "json_schema", "name": "n", "schema": S}}}, S),
        ({"text": {"format": {"type": "json_schema", "name": "n"}}}, {"type": "object"}),
        ({"text": {"format": {"type": "json_object"}}}, {"type": "object"}),
        ({"text": {"format": {"type": "text"}}}, None),
        ({"text": {"format": "json"}}, None),
        ({"text": "json"}, None),
    ],
)
def test_the_schema_of_the_answer(tree: Any, schema: Any) -> None:
    demand = CONTRACT.demand(tree)
    assert demand.answer == (None if schema is None else Form(schema))
    assert demand.tools is None


@pytest.mark.parametrize(
    ("tools", "schemas"),
    [
        ([{"type": "function", "name": "f", "parameters": T}], {"f": T}),
        ([{"type": "function", "name": "f", "parameters": None}], {"f": {}}),
        ([{"type": "custom", "name": "c"}, 7, {"type": "web_search"}], {"c": None}),
        ([{"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "f", "parameters": T}]}], {"f": T}),
    ],
)
def test_the_tools(tools: Any, schemas: Any) -> None:
    demand = CONTRACT.demand({"tools": tools})
    assert demand.tools == {name: None if inner is None else Form(inner, call=True) for name, inner in schemas.items()}


@pytest.mark.parametrize(
    ("kind", "path", "part"),
    [
        ("assistant", "output[1].content[0].text", "answer"),
        ("refusal", "output[1].content[0].text", None),
        ("tool_arguments", "output[12].name", "tool"),
        ("tool_definition", "output[12].name", None),
        ("tool_arguments", "output[12].arguments", "input"),
        ("tool_arguments", "output[12].input", None),
        ("assistant", "audio.transcript", None),
    ],
)
def test_the_parts_of_an_answer(kind: Any, path: str, part: str | None) -> None:
    assert CONTRACT.part(Channel("response", kind, path)) == part
    assert CONTRACT.part(Channel("request", kind, path)) is None


def test_arguments_are_beside_the_name() -> None:
    assert CONTRACT.name_path("output[1].arguments") == "output[1].name"


def test_a_model_answers_on_one_of_the_routes() -> None:
    assert CONTRACT.is_answered("POST /v1/responses")
    assert not CONTRACT.is_answered("POST /v1/responses/input_tokens")
    assert not CONTRACT.is_answered("POST /v1/responses/compact")
