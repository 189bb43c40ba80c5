"""Schemas and documents to judge: from the data folder, from a small corpus of our own, and made up by Hypothesis."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from guardproxy.schemas.compiled import Compiled, SchemaError, compile_schema
from guardproxy.schemas.prefix import Prefix
from guardproxy.wire.json.strict import JsonFault, read
from tests.kit.play import pieces

FOLDER = Path(os.environ.get("GUARDPROXY_DATA", "/nowhere")) / "schema"
SUITE, MASKBENCH = FOLDER / "json_schema_test_suite.jsonl.gz", FOLDER / "maskbench.jsonl.gz"
HAS_DATA = SUITE.exists() and MASKBENCH.exists()

ORDER = {
    "type": "object",
    "properties": {
        "id": {"type": "integer", "minimum": 1},
        "state": {"enum": ["open", "closed", "opening"]},
        "lines": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"sku": {"type": "string", "pattern": "^[A-Z]{2}[0-9]+$"}, "count": {"type": "integer"}},
                "required": ["sku", "count"],
                "additionalProperties": False,
            },
            "maxItems": 3,
        },
        "note": {"anyOf": [{"type": "string", "maxLength": 8}, {"type": "null"}]},
        "parent": {"$ref": "#"},
    },
    "required": ["id", "state"],
    "additionalProperties": False,
}
OWN: list[tuple[Any, Any]] = [
    (ORDER, {"id": 1, "state": "open"}),
    (ORDER, {"id": 1, "state": "opening", "lines": [{"sku": "AB1", "count": 2}], "note": None}),
    (ORDER, {"id": 1, "state": "open", "parent": {"id": 2, "state": "closed", "note": "12345678"}}),
    (ORDER, {"id": 0, "state": "open"}),
    (ORDER, {"id": 1, "state": "ope"}),
    (ORDER, {"id": 1, "state": "open", "lines": [{"sku": "AB1"}]}),
    (ORDER, {"id": 1, "state": "open", "note": "123456789"}),
    (ORDER, {"id": 1, "state": "open", "parent": {"id": 2}}),
    (ORDER, {"id": 1, "state": "open", "extra": 1}),
    (ORDER, [1]),
    ({"oneOf": [{"multipleOf": 2}, {"multipleOf": 3}]}, 6),
    ({"oneOf": [{"multipleOf": 2}, {"multipleOf": 3}]}, 9),
    ({"not": {"required": ["a"]}}, {"a": 1}),
    ({"unevaluatedItems": False, "prefixItems": [{}]}, [1, 2]),
    ({"const": {"a": [1, 2]}}, {"a": [1, 2.0]}),
    ({"oneOf": [{"multipleOf": 2}, {"multipleOf": 3}]}, 4),
    ({"not": {"required": ["a"]}}, {"b": 1}),
    ({"unevaluatedItems": False, "prefixItems": [{}]}, [1]),
    ({"if": {"required": ["card"]}, "then": {"required": ["name"]}}, {"card": "x", "name": "Ann"}),
    ({"if": {"required": ["card"]}, "then": {"required": ["name"]}}, {"card": "x", "sum": 3}),
    ({"$ref": "#/$defs/tree", "$defs": {"tree": {"items": {"$ref": "#/$defs/tree"}, "maxItems": 2}}}, [[], [[[]]]]),
    ({"$ref": "#/$defs/tree", "$defs": {"tree": {"items": {"$ref": "#/$defs/tree"}, "maxItems": 2}}}, [[[], [], []]]),
    ({"patternProperties": {"^x-": {"type": "string"}}, "additionalProperties": False}, {"x-a": "b", "x-": "ö"}),
]


@cache
def compiled(schema: str, draft: str) -> Compiled | None:
    """The compiled schema of a text; `None` if it is refused."""
    try:
        return compile_schema(json.loads(schema), default=draft)
    except SchemaError:
        return None


def rows(path: Path, every: int = 1) -> Iterator[dict[str, Any]]:
    """The rows of a data file, or every n-th row."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for number, line in enumerate(file):
            if number % every == 0:
                row = json.loads(line)
                row["draft"] = row.get("draft", "draft2020-12").removeprefix("draft")
                yield row


def verdict(schema: Compiled, text: str, cuts: Iterable[int] = ()) -> tuple[Any, ...] | None:
    """The place and the kind of the fault in a growing text; `None` if it is valid."""
    reading = Prefix(schema)
    for piece in pieces(text, cuts):
        reading.feed(piece)
    reading.close()
    return (reading.wrong.at, reading.wrong.label, reading.wrong.details) if reading.wrong else None


def is_right(schema: Compiled, text: str) -> bool:
    """The verdict of the validator about the whole text, read strictly."""
    try:
        value = read(text.encode("utf-8", "surrogatepass"))
    except JsonFault:
        return False
    return not schema.judge(value, len(text))


_NAMES = st.sampled_from(["a", "ab", "b", ""])
_WORDS = st.sampled_from(["", "a", "ab", "abc", "b", "é"])
_NUMBERS = st.sampled_from([0, 1, 2, -1, 1.5, 2.0])
SCALARS = st.none() | st.booleans() | _NUMBERS | _WORDS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3), max_leaves=6
)
_TYPES = st.sampled_from(["object", "array", "string", "number", "integer", "boolean", "null"])


def _schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    by_name = st.dictionaries(_NAMES, inner, max_size=3)
    some = st.lists(inner, min_size=1, max_size=2)
    return st.fixed_dictionaries(
        {},
        optional={
            "type": _TYPES | st.lists(_TYPES, min_size=1, max_size=3, unique=True),
            "enum": st.lists(VALUES, min_size=1, max_size=3),
            "const": VALUES,
            "maxLength": st.integers(0, 2),
            "minLength": st.integers(0, 2),
            "pattern": st.sampled_from(["^a", "b$"]),
            "minimum": _NUMBERS,
            "properties": by_name,
            "required": st.lists(_NAMES, max_size=2, unique=True),
            "patternProperties": st.dictionaries(st.sampled_from(["^a", "b"]), inner, max_size=1),
            "additionalProperties": inner,
            "maxProperties": st.integers(0, 2),
            "propertyNames": st.just({"maxLength": 1}),
            "items": inner,
            "prefixItems": some,
            "maxItems": st.integers(0, 2),
            "contains": inner,
            "uniqueItems": st.booleans(),
            "allOf": some,
            "anyOf": some,
            "oneOf": some,
            "not": inner,
            "if": inner,
            "then": inner,
            "else": inner,
            "$ref": st.sampled_from(["#/$defs/x", "#/$defs/y"]),
            "unevaluatedProperties": st.just(False),
            "unevaluatedItems": st.just(False),
        },
    )


SCHEMAS = st.builds(
    lambda root, x, y: {"$defs": {"x": x, "y": y}, **root} if isinstance(root, dict) else root,
    st.recursive(st.booleans() | _schemas(st.booleans()), _schemas, max_leaves=4),
    _schemas(st.booleans() | _schemas(st.booleans()).map(lambda one: {k: v for k, v in one.items() if k != "$ref"})),
    _schemas(st.booleans()).map(lambda one: {key: value for key, value in one.items() if key != "$ref"}),
)
