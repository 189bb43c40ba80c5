"""Schemas that are refused, and why; schemas that are hostile and bounded."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from guardproxy.schemas.compiled import LIMIT_CHARS, LIMIT_OBJECTS, Compiled, SchemaError, compile_schema
from guardproxy.schemas.drafts import CostError
from guardproxy.schemas.prefix import Prefix
from tests.kit.check_cost import steps

DEEP: Any = {}
for _ in range(101):
    DEEP = {"not": DEEP}


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (7, "must be an object"),
        ({"$schema": "http://example.com/mine"}, "no known draft"),
        ({"$schema": 7}, "no known draft"),
        ({"type": "nothing"}, "fails `anyOf`"),
        ({"properties": {"a": {"minLength": -1}}}, "#/properties/a/minLength: fails `minimum`"),
        ({"properties": {"a": {"$schema": "http://json-schema.org/draft-04/schema#"}}}, "another draft"),
        ({"$ref": "https://example.com/there.json"}, "nothing is fetched"),
        ({"$ref": "http://169.254.169.254/latest/meta-data"}, "nothing is fetched"),
        ({"$ref": "file:///etc/passwd"}, "nothing is fetched"),
        ({"$ref": "#/nowhere"}, "nothing is fetched"),
        ({"$ref": "#nowhere"}, "nothing is fetched"),
        ({"$ref": "#/a/b", "a": [1]}, "nothing is fetched"),
        ({"$ref": "#/a", "a": 7}, "not a schema"),
        ({"$ref": "#/a", "a": {"type": "nothing"}}, "fails `anyOf`"),
        ({"$ref": "#"}, "in a circle"),
        ({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}, "in a circle"),
        ({"allOf": [{"anyOf": [{"$ref": "#"}]}]}, "in a circle"),
        ({"not": {"$ref": "#"}}, "in a circle"),
        ({"dependentSchemas": {"a": {"$ref": "#"}}}, "in a circle"),
        ({"pattern": "(?<=a)b"}, "linear time"),
        ({"properties": {"a": {"patternProperties": {"(a)\\1": {}}}}}, "linear time"),
        ({"unevaluatedProperties": False, "patternProperties": {"(a+)+": {}}}, "may not repeat a repetition"),
        ({"description": "x" * LIMIT_CHARS}, "more than 200000 characters"),
        ({"properties": {f"k{n}": {} for n in range(LIMIT_OBJECTS)}}, "more than 3000 parts"),
        ({"allOf": [DEEP]}, "nested deeper"),
        ({"const": {1, 2}}, "not JSON"),
    ],
)
def test_a_schema_is_refused_with_the_reason(schema: Any, reason: str) -> None:
    with pytest.raises(SchemaError, match=re.escape(reason)):
        compile_schema(schema)


@pytest.mark.parametrize(
    "schema",
    [
        True,
        {},
        {"$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"a": {"const": {"$schema": "x"}}}},
        {"properties": {"child": {"$ref": "#"}}},
        {"items": {"$ref": "#"}, "properties": {"$schema": {"type": "string"}}},
        {"$id": "https://example.com/mine.json", "$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}},
        {"$ref": "https://json-schema.org/draft/2020-12/schema"},
        {"$dynamicRef": "#node", "$defs": {"n": {"$dynamicAnchor": "node", "type": "object"}}},
        {"dependentSchemas": {"a": {"minProperties": 2}}},
        {"properties": {"a": {"$schema": "http://example.com/own"}}},
    ],
)
def test_a_schema_is_accepted(schema: Any) -> None:
    assert isinstance(compile_schema(schema), Compiled)


def test_the_draft_is_that_of_the_schema_or_the_default() -> None:
    legacy = {"$ref": "#/definitions/a", "definitions": {"a": {}}, "type": "string"}
    assert not compile_schema(legacy, default="7").judge(7), "beside `$ref` nothing counts"
    assert compile_schema(legacy, default="2019-09").judge(7)
    assert not compile_schema({"$schema": "http://json-schema.org/draft-04/schema#", "const": 1}).judge(2)


def test_a_schema_may_be_made_of_several_local_files() -> None:
    files = {
        "shapes/street.json": {"type": "string", "maxLength": 3},
        "shapes/address.json": {"properties": {"street": {"$ref": "street.json"}}},
    }
    asked: list[str] = []

    def read(path: str) -> Any:
        asked.append(path)
        return files[path]

    compiled = compile_schema({"$ref": "shapes/address.json"}, path="person.json", read=read)
    assert sorted(asked) == sorted(files)
    assert not compiled.judge({"street": "abc"})
    assert compiled.judge({"street": "abcd"})
    assert sorted(asked) == sorted(files), "nothing is read after the schema was compiled"


def test_only_files_below_the_folder_are_asked_for() -> None:
    def read(path: str) -> Any:
        raise SchemaError(f"no file {path}")

    with pytest.raises(SchemaError, match=r"no file secret\.json"):
        compile_schema({"$ref": "../secret.json"}, path="a.json", read=read)
    with pytest.raises(SchemaError, match="nothing is fetched"):
        compile_schema({"$ref": "https://example.com/x.json"}, path="a.json", read=read)


def exponential() -> dict[str, Any]:
    steps = {f"s{n}": {"anyOf": [{"$ref": f"#/$defs/s{n + 1}"}, {"$ref": f"#/$defs/s{n + 1}"}]} for n in range(40)}
    return {"$ref": "#/$defs/s0", "$defs": {**steps, "s40": {"type": "string"}}}


def test_a_value_that_takes_too_many_steps_is_given_up() -> None:
    compiled = compile_schema(exponential())
    with pytest.raises(CostError):
        compiled.judge(7)
    reading = Prefix(compiled)
    with pytest.raises(CostError):
        reading.feed("[7]")


def test_branching_recursion_is_bounded_by_steps_not_by_depth() -> None:
    branch = {"properties": {"a": {"$ref": "#"}}}
    compiled = compile_schema({"anyOf": [{**branch, "required": ["x"]}, {**branch, "required": ["y"]}, branch]})
    value: Any = {}
    for _ in range(40):
        value = {"a": value}
    with pytest.raises(CostError):
        compiled.judge(value, len(json.dumps(value)))


def test_a_schema_that_takes_too_long_to_check_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guardproxy.schemas.compiled.STEPS", 0)
    with pytest.raises(SchemaError, match="too many steps"):
        compile_schema({})


def test_the_steps_to_compile_grow_with_the_schema() -> None:
    def used(count: int) -> float:
        wide = {"properties": {f"key{n}": {"type": "string", "maxLength": n} for n in range(count)}}
        return steps(lambda: compile_schema(wide).judge({"key5": "123456"}))

    assert used(LIMIT_OBJECTS // 16) < 2.2 * used(LIMIT_OBJECTS // 32)
