"""Says the types that the keywords of a JSON Schema imply.

In: a schema. Out: the same, in which a part that limits numbers holds for numbers alone, one that limits texts for texts alone,
and so on. JSON Schema lets every other value pass: `maximum` says nothing of the text `"5000"`, which many readers take for a
number. A part that states a type or values stays as it is, and so does what is under `not` and `if`.

It does not let less pass everywhere: `contains` with `maxContains`, `oneOf`, and a reference from `not` to a part. So who wants
no more than a schema lets pass judges by both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_DEEPEST = 200  # a schema that is nested deeper is refused when it is compiled
_IMPLIED: Mapping[str, frozenset[str]] = {
    "number": frozenset(("maximum", "minimum", "exclusiveMaximum", "exclusiveMinimum", "multipleOf")),
    "string": frozenset(("pattern", "maxLength", "minLength")),
    "array": frozenset(
        (
            *("items", "prefixItems", "additionalItems", "unevaluatedItems", "contains"),
            *("maxItems", "minItems", "uniqueItems"),
        )
    ),
    "object": frozenset(
        (
            *("properties", "patternProperties", "additionalProperties", "propertyNames", "required"),
            *("unevaluatedProperties", "maxProperties", "minProperties"),
            *("dependentRequired", "dependentSchemas", "dependencies"),
        )
    ),
}
_STATED = frozenset(("type", "enum", "const"))
_ONE = frozenset(
    (
        *("additionalProperties", "unevaluatedProperties", "items", "additionalItems", "unevaluatedItems"),
        *("contains", "then", "else"),
    )
)
_MANY = frozenset(("allOf", "anyOf", "oneOf", "prefixItems", "items"))
_NAMED = frozenset(("properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"))


def with_types(schema: Any, depth: int = 0) -> Any:
    """Returns a schema with the types that its keywords imply. `depth`: of the schema in a larger one."""
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return schema
    typed = {key: _below(key, value, depth + 1) for key, value in schema.items()}
    implied = [name for name, keys in _IMPLIED.items() if not keys.isdisjoint(schema)]
    if implied and _STATED.isdisjoint(schema):
        typed["type"] = implied
    return typed


def _below(key: str, value: Any, depth: int) -> Any:
    if key in _MANY and isinstance(value, list):
        return [with_types(child, depth) for child in value]
    if key in _NAMED and isinstance(value, dict):
        return {name: with_types(child, depth) for name, child in value.items()}
    return with_types(value, depth) if key in _ONE else value
