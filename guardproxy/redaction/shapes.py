"""Shapes: the demands of a request's JSON schema on one place in a JSON text (tool arguments, a JSON answer).

In: a schema and a path. Out: the constraints on the string at that path. Only local `$ref`s are followed. Where a
schema allows alternatives (`anyOf`, an optional field), each alternative gives its own constraint.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from math import inf
from typing import Any

Path = tuple[str | int, ...]
Way = tuple[Mapping[str, Any], ...]  # schemas that all apply to the same value
WAYS_LIMIT = 64
SHORT_CHARS = 80  # a place with a lower limit may be too short for a placeholder, which has at most 56 characters


@dataclass(frozen=True, slots=True)
class Constraint:
    """What one alternative of a schema demands of a string or a number. `fixed`: only listed values are allowed."""

    fixed: bool = False
    formats: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    shortest: int = 0
    longest: int | None = None
    least: float = -inf
    most: float = inf
    multiple: float = 0

    @property
    def free(self) -> bool:
        """Whether every text with a placeholder in it is allowed, apart from its length."""
        return not (self.fixed or self.formats or self.patterns) and (self.longest or SHORT_CHARS) >= SHORT_CHARS

    def takes(self, number: float) -> bool:
        """Whether a number outside a fixed list of values is allowed."""
        whole = not self.multiple or number % self.multiple == 0
        return not self.fixed and self.least <= number <= self.most and whole

    def has_length(self, text: str) -> bool:
        return self.shortest <= len(text) and (self.longest is None or len(text) <= self.longest)


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """A schema, the place of the schema in the request (`where`), and the path of a text in the described value
    (`at`)."""

    where: str
    schema: Any
    at: Path = ()

    def constraints(self, path: Path = (), *kinds: str) -> tuple[Constraint, ...]:
        """Returns the constraints on the value at `path`, one for each alternative that allows one of `kinds` (default:
        `string`)."""
        ways = [
            way for way in self._ways((*self.at, *path)) if any(_may_be(way, kind) for kind in kinds or ("string",))
        ]
        return tuple(dict.fromkeys(map(_constraint, ways))) or (Constraint(),)

    def declares(self, path: Path) -> bool:
        """Whether the last step of the path is a property that is listed in the schema."""
        *before, last = (*self.at, *path)
        ways = self._ways(before)
        return any(last in _object(schema.get("properties")) for way in ways for schema in way)

    @property
    def shown_path(self) -> Path:
        """Returns `at` as a record may show it: a key that is not in the schema comes from a text and becomes `*`."""
        steps = enumerate(self.at, 1)
        return tuple(
            step if isinstance(step, int) or Shape("", self.schema, self.at[:end]).declares(()) else "*"
            for end, step in steps
        )

    def _ways(self, path: Iterable[str | int]) -> list[Way]:
        ways = _spread(self.schema, self.schema)
        for step in path:
            ways = _step(self.schema, ways, step)
        return ways


@dataclass(frozen=True, slots=True)
class Shapes:
    """The schemas of a request for its answer.

    `tools`: the arguments of each tool by its name. `answer`: the whole text, if it is JSON. `documents`: the texts
    that the answer may cite, by the paths of their documents; empty for a document that is not plain text.
    """

    tools: Mapping[str, Shape] = field(default_factory=dict)
    answer: Shape | None = None
    documents: tuple[str, ...] = ()

    def tool(self, name: Any, at: Path = ()) -> Shape | None:
        shape = self.tools.get(name) if isinstance(name, str) else None
        return Shape(shape.where, shape.schema, at) if shape and at else shape

    def shape_at(self, where: str, at: Iterable[str | int]) -> Shape | None:
        """Returns the shape with this place in the request, which a record holds, and this path."""
        every = (*self.tools.values(), *((self.answer,) if self.answer else ()), NAME)
        return next((Shape(shape.where, shape.schema, tuple(at)) for shape in every if shape.where == where), None)


NO_SHAPES = Shapes()
NAME = Shape("name", {"type": "string", "pattern": "^[a-zA-Z0-9_-]{1,64}$"})  # names of tools that the APIs accept


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _spread(root: Any, schema: Any, done: dict[int, list[Way]] | None = None) -> list[Way]:
    """Returns the alternatives of a schema with references and combinations resolved.

    `done`: the results so far. A schema that leads back to itself adds no demand, and a schema with many references to
    it is read once.
    """
    if not isinstance(schema, dict):
        return [()]
    done = {} if done is None else done
    if id(schema) in done:
        return done[id(schema)]
    done[id(schema)] = [()]
    parts: list[list[Way]] = [[(schema,)]]
    if isinstance(schema.get("$ref"), str):
        parts.append(_spread(root, _resolve(root, schema["$ref"]), done))
    parts += (_spread(root, subschema, done) for subschema in _list(schema.get("allOf")))
    for key in ("anyOf", "oneOf"):
        if options := _list(schema.get(key)):
            parts.append([way for option in options for way in _spread(root, option, done)][:WAYS_LIMIT])
    done[id(schema)] = _both(parts)
    return done[id(schema)]


def _both(parts: Iterable[list[Way]]) -> list[Way]:
    """Returns every combination of the alternatives of all parts; a schema that several parts name appears once."""
    start: list[Way] = [()]
    return reduce(
        lambda done, more: [_join_ways(first, second) for first in done for second in more][:WAYS_LIMIT], parts, start
    )


def _join_ways(first: Way, second: Way) -> Way:
    return tuple({id(schema): schema for schema in (*first, *second)}.values())[:WAYS_LIMIT]


def _resolve(root: Any, reference: str) -> Any:
    if not reference.startswith("#"):
        return None
    node = root
    for step in reference[1:].split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        node = node.get(name) if isinstance(node, dict) else None
    return node


def _step(root: Any, ways: list[Way], step: str | int) -> list[Way]:
    """Returns the alternatives of the child at `step`. Alternatives that name the child win over those that only allow
    it."""
    kind = "array" if isinstance(step, int) else "object"
    children_by_way: list[Way] = []
    for way in ways:
        children = [child for schema in way for child in _children(schema, step)]
        if children and _may_be(way, kind):
            children_by_way += _both(_spread(root, child) for child in children)
    return children_by_way[:WAYS_LIMIT] or [()]


def _children(schema: Mapping[str, Any], step: str | int) -> list[Any]:
    if isinstance(step, str):
        if step in (properties := _object(schema.get("properties"))):
            return [properties[step]]
        return [schema["additionalProperties"]] if isinstance(schema.get("additionalProperties"), dict) else []
    first = _list(schema.get("prefixItems")) or _list(schema.get("items"))
    if step < len(first):
        return [first[step]]
    return [schema["items"]] if isinstance(schema.get("items"), dict) else []


def _may_be(way: Way, kind: str) -> bool:
    return all(
        kind in (kinds if isinstance(kinds := schema["type"], list) else [kinds]) for schema in way if "type" in schema
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _constraint(way: Way) -> Constraint:
    def words(key: str) -> tuple[str, ...]:
        return tuple(schema[key] for schema in way if isinstance(schema.get(key), str))

    def sizes(*keys: str) -> list[Any]:
        return [schema[key] for key in keys for schema in way if _is_number(schema.get(key))]

    return Constraint(
        fixed=any("enum" in schema or "const" in schema for schema in way),
        formats=tuple(known for name in words("format") if (known := FORMATS.get(name))),
        patterns=words("pattern"),
        shortest=max(sizes("minLength"), default=0),
        longest=min(sizes("maxLength"), default=None),
        least=max(sizes("minimum", "exclusiveMinimum"), default=-inf),
        most=min(sizes("maximum", "exclusiveMaximum"), default=inf),
        multiple=max(sizes("multipleOf"), default=0),
    )


# Maps names of formats to the format whose stand-in fits. Validators do not check other formats either.
FORMATS: Mapping[str, str] = {
    **dict.fromkeys(("email", "idn-email"), "email"),
    **dict.fromkeys(("uri", "url", "uri-reference", "iri", "iri-reference", "uri-template"), "uri"),
    **dict.fromkeys(("hostname", "idn-hostname"), "hostname"),
    **dict.fromkeys(("uuid", "uuid4", "guid"), "uuid"),
    **dict.fromkeys(("ipv4", "ipvanyaddress", "ipvanyinterface", "ipv4interface"), "ipv4"),
    **dict.fromkeys(("ipv4network", "ipvanynetwork"), "ipv4network"),
    **dict.fromkeys(("ipv6", "ipv6interface"), "ipv6"),
    **dict.fromkeys(("byte", "binary", "base64", "base64url"), "base64"),
    **{name: name for name in ("date", "time", "date-time", "duration", "ipv6network", "json-pointer", "regex")},
}
