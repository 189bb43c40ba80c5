"""What a schema asks of a place: found through references, combinations, lists and ways that are open."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from guardproxy.redaction.shapes import NAME, NO_SHAPES, Constraint, Path, Shape, Shapes

FREE = Constraint()
EMAIL = Constraint(formats=("email",))


def asked(schema: Any, *path: str | int, at: Path = ()) -> tuple[Constraint, ...]:
    return Shape("x", schema, at).constraints(path)


ADDRESS = {"type": "string", "format": "email"}
TREE = {"properties": {"to": ADDRESS, "n": {"type": "integer"}, "deep": {"properties": {"list": {"items": ADDRESS}}}}}


@pytest.mark.parametrize(
    ("schema", "path", "expected"),
    [
        (ADDRESS, (), (EMAIL,)),
        (TREE, ("to",), (EMAIL,)),
        (TREE, ("n",), (FREE,)),
        (TREE, ("else",), (FREE,)),
        (TREE, ("deep", "list", 3), (EMAIL,)),
        (TREE, (0,), (FREE,)),
        ({"additionalProperties": ADDRESS}, ("any",), (EMAIL,)),
        ({"additionalProperties": False}, ("any",), (FREE,)),
        ({"prefixItems": [ADDRESS, {}], "items": ADDRESS}, (1,), (FREE,)),
        ({"prefixItems": [ADDRESS, {}], "items": ADDRESS}, (2,), (EMAIL,)),
        ({"items": [ADDRESS]}, (0,), (EMAIL,)),
        ({"items": [ADDRESS]}, (1,), (FREE,)),
        ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": ADDRESS}}, (), (EMAIL,)),
        ({"properties": {"p": {"$ref": "#/$defs/m"}}, "$defs": {"m": TREE}}, ("p", "to"), (EMAIL,)),
        ({"$ref": "#/$defs/none"}, (), (FREE,)),
        ({"$ref": "#/a/b", "a": [1]}, (), (FREE,)),
        ({"$ref": "https://elsewhere.example/schema"}, (), (FREE,)),
        ({"allOf": [ADDRESS, {"maxLength": 30}]}, (), (Constraint(formats=("email",), longest=30),)),
        ({"anyOf": [ADDRESS, {"type": "null"}]}, (), (EMAIL,)),
        ({"oneOf": [ADDRESS, {"type": ["string", "null"]}]}, (), (EMAIL, FREE)),
        ({"anyOf": [{"type": "null"}, TREE, {"type": "object"}]}, ("to",), (EMAIL,)),
        ({"anyOf": [{"type": "array", "items": {}}, {"type": "object", **TREE}]}, ("to",), (EMAIL,)),
        ({"type": "integer"}, (), (FREE,)),
        ({"enum": ["a"]}, (), (Constraint(fixed=True),)),
        ({"const": "a"}, (), (Constraint(fixed=True),)),
        ({"pattern": "a", "minLength": 2, "maxLength": 9.0}, (), (Constraint(False, (), ("a",), 2, 9.0),)),  # type: ignore[arg-type]
        ({"format": "phone", "maxLength": "9", "minLength": True}, (), (FREE,)),
        ({"properties": [], "anyOf": {}, "allOf": "x", "items": 4}, ("to",), (FREE,)),
        (True, ("a",), (FREE,)),
        (None, (), (FREE,)),
    ],
)
def test_what_is_asked(schema: Any, path: Path, expected: tuple[Constraint, ...]) -> None:
    assert asked(schema, *path) == expected
    if path:
        assert asked(schema, at=path) == expected, "a shape may stand inside of what its schema describes"


def test_numbers() -> None:
    schema = {"type": "integer", "minimum": 5, "exclusiveMaximum": 10, "multipleOf": 2}
    (found,) = Shape("x", schema).constraints((), "number", "integer")
    assert (found.least, found.most, found.multiple) == (5, 10, 2)
    assert [number for number in range(12) if found.takes(number)] == [6, 8, 10]
    assert FREE.takes(10**15)
    assert (FREE.least, FREE.most) == (-inf, inf)
    assert not Constraint(fixed=True).takes(1)


def test_what_is_free() -> None:
    assert [FREE.free, Constraint(longest=80).free, Constraint(shortest=9).free] == [True] * 3
    assert not any(
        one.free for one in (EMAIL, Constraint(fixed=True), Constraint(longest=79), Constraint(patterns=("a",)))
    )
    assert [Constraint(shortest=2, longest=3).has_length(text) for text in ("a", "ab", "abc", "abcd")] == [
        *(False, True, True, False)
    ]


def test_a_schema_that_goes_in_circles_is_left_in_time() -> None:
    circle: dict[str, Any] = {"$ref": "#", "properties": {"a": {"$ref": "#"}}}
    wide = {"anyOf": [{"$ref": "#"}, {"$ref": "#"}], "properties": {"a": {"$ref": "#"}}}
    twins = {"$ref": "#/d/a", "d": {"a": {"anyOf": [{"$ref": "#/d/a"}, {"format": "email"}]}}}
    assert asked(circle, *["a"] * 50) == (FREE,)
    assert asked(twins) == (FREE, EMAIL)
    assert asked({**wide, "anyOf": [{"$ref": "#/x"}] * 99}, "a") == (FREE,)


def test_what_it_names() -> None:
    shape = Shape("x", TREE)
    assert shape.declares(("to",))
    assert shape.declares(("deep", "list"))
    assert not shape.declares(("deep", "to"))
    assert Shape("x", TREE, ("deep", "list")).declares(())
    assert Shape("x", TREE, ("to", "list", 3, "deep")).shown_path == ("to", "*", 3, "*")


def test_the_shapes_of_a_request() -> None:
    shapes = Shapes({"send": Shape("tools[0]", TREE)}, Shape("format", ADDRESS))
    assert shapes.tool("other") is shapes.tool(3) is NO_SHAPES.answer
    assert shapes.tool("send") is shapes.tools["send"]
    inside = shapes.tool("send", ("to",))
    assert inside
    assert (inside.where, inside.at, inside.constraints()) == ("tools[0]", ("to",), (EMAIL,))
    again = shapes.shape_at("tools[0]", ["to"])
    assert again
    assert again.constraints() == (EMAIL,)
    named = shapes.shape_at("name", ())
    assert named
    assert named.constraints() == NAME.constraints()
    assert NO_SHAPES.shape_at("format", ()) is None
