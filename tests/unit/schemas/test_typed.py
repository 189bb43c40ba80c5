"""Which types the keywords of a schema imply."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.schemas import compile_schema, with_types

OTHERS: dict[str, Any] = {"number": 5, "string": "a", "array": [1], "object": {"a": 1}, "null": None, "boolean": True}


@pytest.mark.parametrize(
    ("schema", "passing"),
    [
        ({"maximum": 9}, {"number"}),
        ({"exclusiveMinimum": 1}, {"number"}),
        ({"pattern": "a"}, {"string"}),
        ({"maxItems": 3}, {"array"}),
        ({"required": ["a"]}, {"object"}),
        ({"properties": {"a": {"maximum": 9}}}, {"object"}),
        ({"maximum": 9, "maxLength": 3}, {"number", "string"}),
        ({"anyOf": [{"maximum": 9}, {"maxItems": 3}]}, {"number", "array"}),
        ({"allOf": [{"maximum": 9}, {}, True]}, {"number"}),
        ({"type": ["number", "null"], "maximum": 9}, {"number", "null"}),
        ({"enum": ["a", None], "maxLength": 3}, {"string", "null"}),
        ({"$ref": "#/$defs/x", "$defs": {"x": {"maximum": 9}}}, {"number"}),
        ({"$ref": "#/$defs/x", "maximum": 9, "$defs": {"x": {"title": "x"}}}, {"number"}),
        ({"items": {"maximum": 9}}, {"array"}),
        ({"items": {"pattern": "a"}}, set()),
        ({"prefixItems": [{"pattern": "a"}]}, set()),
        ({"additionalProperties": {"pattern": "a"}}, set()),
        ({"unevaluatedProperties": {"pattern": "a"}}, set()),
        ({"unevaluatedItems": {"pattern": "a"}}, set()),
        ({"not": {"maximum": 3}}, {"number"}),
        ({"title": "all"}, set(OTHERS)),
        (True, set(OTHERS)),
    ],
)
def test_a_limit_holds_for_values_of_its_type_alone(schema: Any, passing: set[str]) -> None:
    judge = compile_schema(with_types(schema)).judge
    assert {name for name, value in OTHERS.items() if not judge(value, 100)} == passing


def test_a_member_that_is_named_like_a_keyword_is_none() -> None:
    schema = {"type": "object", "properties": {"maximum": {"type": "string"}, "items": {"maximum": 3}}}
    typed = with_types(schema)
    assert typed["properties"]["maximum"] == {"type": "string"}
    assert typed["properties"]["items"] == {"maximum": 3, "type": ["number"]}
    assert schema["properties"] == {"maximum": {"type": "string"}, "items": {"maximum": 3}}, "it is a copy"


def test_a_schema_that_is_nested_too_deeply_stays() -> None:
    schema: Any = {"maximum": 3}
    for _ in range(5000):
        schema = {"items": schema}
    typed = with_types(schema)
    for _ in range(201):
        typed = typed["items"]
    assert "type" not in typed
