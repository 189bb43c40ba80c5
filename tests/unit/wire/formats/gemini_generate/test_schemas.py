"""The schemas of Gemini's requests: Google's form becomes JSON Schema, and each text finds its own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardproxy.events import Text
from guardproxy.findings import Form
from guardproxy.wire.formats.gemini_generate.codec import CODEC
from guardproxy.wire.formats.gemini_generate.schemas import demand, json_schema, shapes_of


@pytest.mark.parametrize(
    ("google", "standard"),
    [
        (
            {"type": "OBJECT", "properties": {"type": {"type": "STRING"}}},
            {"type": "object", "properties": {"type": {"type": "string"}}},
        ),
        (
            {"type": "ARRAY", "items": {"type": "INTEGER", "format": "int64"}, "minItems": "1"},
            {"type": "array", "items": {"type": "integer"}, "minItems": 1},
        ),
        ({"type": "STRING", "nullable": True}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        (
            {"any_of": [{"type": "NUMBER"}, {"ref": "#/$defs/a"}], "defs": {"a": {"type": "NULL"}}},
            {"anyOf": [{"type": "number"}, {"$ref": "#/$defs/a"}], "$defs": {"a": {"type": "null"}}},
        ),
        (
            {"type": "TYPE_UNSPECIFIED", "format": "date-time", "propertyOrdering": ["a"], "max_length": "x"},
            {"format": "date-time", "maxLength": "x"},
        ),
        (
            {"additionalProperties": {"type": "BOOLEAN"}, "required": ["a"]},
            {"additionalProperties": {"type": "boolean"}, "required": ["a"]},
        ),
        (True, True),
    ],
)
def test_the_form_of_google_becomes_json_schema(google: Any, standard: Any) -> None:
    assert json_schema(google) == standard


GOOGLE = {"type": "OBJECT", "properties": {"a": {"type": "STRING", "maxLength": "3"}}}
STANDARD = {"type": "object", "properties": {"a": {"type": "string", "maxLength": 3}}}


@pytest.mark.parametrize(
    ("config", "schema"),
    [
        ({"responseMimeType": "application/json", "responseSchema": GOOGLE}, STANDARD),
        ({"response_mime_type": "application/json", "response_json_schema": STANDARD}, STANDARD),
        ({"responseMimeType": "application/json"}, {}),
        ({"responseFormat": [{"text": {"mimeType": "application/json", "schema": STANDARD}}]}, STANDARD),
        ({"responseSchema": GOOGLE}, None),
        ({"responseMimeType": "text/x.enum", "responseSchema": {"type": "STRING"}}, None),
        ({}, None),
    ],
)
def test_the_schema_of_an_answer(config: dict[str, Any], schema: Any) -> None:
    tree = {"contents": [], "generationConfig": config}
    wanted = demand(tree).answer
    assert wanted == (None if schema is None else Form(schema))
    shape = shapes_of(tree).answer
    assert (shape.schema if shape else None) == schema


def test_the_schemas_of_functions() -> None:
    functions = [
        {"name": "a", "parameters": GOOGLE},
        {"name": "b", "parametersJsonSchema": STANDARD},
        {"name": "c"},
        {"name": 7},
    ]
    tree = {"tools": [{"functionDeclarations": functions}, {"googleSearch": {}}]}
    forms = demand(tree).tools
    assert forms is not None
    assert {name: form.schema if form else None for name, form in forms.items()} == {
        "a": STANDARD,
        "b": STANDARD,
        "c": {},
    }
    assert demand({"tools": [{"codeExecution": {}}]}).tools is None
    assert set(shapes_of(tree).tools) == {"a", "b"}


def test_each_text_finds_its_demand() -> None:
    tree = {
        "contents": [{"role": "model", "parts": [{"functionCall": {"name": "a", "args": {"a": "so"}}}]}],
        "tools": [{"functionDeclarations": [{"name": "a", "parameters": GOOGLE}]}],
    }
    events = CODEC.read_request("/v1/models/m:generateContent", "", json.dumps(tree).encode()).events()
    shapes = {event.channel.path: event.shape for event in events if isinstance(event, Text) and event.shape}
    assert set(shapes) == {
        "contents[0].parts[0].functionCall.name",
        "contents[0].parts[0].functionCall.args.a",
        "tools[0].functionDeclarations[0].name",
    }
    (limit,) = shapes["contents[0].parts[0].functionCall.args.a"].constraints()
    assert limit.longest == 3
