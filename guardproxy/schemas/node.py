"""The demands of a schema on a value that is not complete yet.

A value must fit several schemas at once: its own, the targets of its `$ref` and `allOf`, and the schemas that
`properties`, `items` and similar keywords of the enclosing value apply to it. Each of these is a `Node`. If one of
them fails, the whole text is wrong, whatever follows. Other keywords (`anyOf`, `not`, `if`, ...) are left to the
library's validator, which judges the complete value without the structural keywords (`Node.rest`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from guardproxy.schemas.compiled import Compiled
from guardproxy.schemas.drafts import matches
from guardproxy.schemas.reader import Kind

_ANNOTATIONS = (
    "title",
    "description",
    "examples",
    "default",
    "$comment",
    "$id",
    "id",
    "$defs",
    "definitions",
    "format",
)
_STRUCTURE = frozenset(
    (
        *("properties", "patternProperties", "additionalProperties", "items", "prefixItems", "additionalItems"),
        *("allOf", "$ref"),
        *_ANNOTATIONS,
    )
)
_KINDS: dict[str, Kind] = {
    "object": "object",
    "array": "array",
    "string": "string",
    "number": "number",
    "integer": "number",
    "boolean": "boolean",
    "null": "null",
}


def kind_of(value: Any) -> Kind:
    """Returns the kind of a JSON value."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


@dataclass(slots=True, eq=False)
class Node:
    """A schema that a value must fit.

    `rest` judges a complete object or array without the demands that its parts have shown already; `whole` judges any
    other value. They are `None` if nothing is left to be judged.
    """

    compiled: Compiled
    schema: Any
    resolver: Any
    rest: Any = None
    whole: Any = None
    kinds: frozenset[str] | None = None
    choices: tuple[Any, ...] | None = None
    words: tuple[str, ...] = ()  # the strings among the choices
    max_length: float | None = None
    max_items: float | None = None
    max_properties: float | None = None
    names: frozenset[str] | None = None  # the only keys that an object may have
    _keys: dict[str, tuple[Node, ...]] = field(default_factory=dict)
    _items: dict[int, tuple[Node, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        schema = self.schema
        if schema is False:
            return
        types = schema.get("type")
        listed = types if isinstance(types, list) else [types]
        if types is not None:
            self.kinds = frozenset(_KINDS[name] for name in listed)
        if "enum" in schema:
            self.choices = tuple(schema["enum"])
        if "const" in schema and self.compiled.draft.knows("const"):
            self.choices = (schema["const"],)
        if self.choices is not None:
            among = frozenset(kind_of(value) for value in self.choices)
            self.kinds = among if self.kinds is None else self.kinds & among
            self.words = tuple(value for value in self.choices if isinstance(value, str))
        self.max_length = schema.get("maxLength")
        self.max_items = schema.get("maxItems")
        self.max_properties = schema.get("maxProperties")
        if schema.get("additionalProperties") is False and not schema.get("patternProperties"):
            self.names = frozenset(schema.get("properties", ()))
        rest = schema
        if "unevaluatedProperties" not in schema and "unevaluatedItems" not in schema:
            rest = {word: value for word, value in schema.items() if word not in _STRUCTURE}
        known = frozenset(filter(self.compiled.draft.knows, rest))
        if known - {"type", "maxItems", "maxProperties"}:  # these are checked while the text grows
            self.rest = self.compiled.validator(rest, self.resolver)
        if known - {"type", "maxLength"} or "integer" in listed:
            self.whole = self.compiled.validator(schema, self.resolver)

    def errors(self, value: Any, *, container: bool) -> Iterator[Any]:
        """Yields the errors that the validator finds in a complete value."""
        validator = self.rest if container else self.whole
        if validator is not None:
            yield from validator.iter_errors(value)

    def for_key(self, key: str) -> tuple[Node, ...] | None:
        """Returns the nodes that the value of this key must fit; `None` when the key is not allowed."""
        if key in self._keys:
            return self._keys[key]
        schema = self.schema
        inner = [subschema] if (subschema := schema.get("properties", {}).get(key)) is not None else []
        is_named = key in schema.get("properties", {})
        for pattern, subschema in schema.get("patternProperties", {}).items():
            if matches(pattern, key):
                is_named = True
                inner.append(subschema)
        if not is_named and "additionalProperties" in schema:
            more = schema["additionalProperties"]
            if more is False:
                return None
            inner.append(more)
        nodes = self._nodes(inner)
        if key in schema.get("properties", {}):
            self._keys[key] = nodes
        return nodes

    def for_item(self, index: int) -> tuple[Node, ...]:
        """Returns the nodes that the item at `index` must fit."""
        schema = self.schema
        if self.compiled.draft.knows("prefixItems"):
            listed, others = schema.get("prefixItems", ()), schema.get("items")
        elif isinstance(schema.get("items"), list):
            listed, others = schema["items"], schema.get("additionalItems")
        else:
            listed, others = (), schema.get("items")
        at = min(index, len(listed))
        if at not in self._items:
            chosen = listed[at] if at < len(listed) else others
            self._items[at] = self._nodes([] if chosen is None else [chosen])
        return self._items[at]

    def _nodes(self, schemas: list[Any]) -> tuple[Node, ...]:
        nodes: list[Node] = []
        for schema in schemas:
            specification = self.compiled.draft.specification
            inner = self.resolver
            if isinstance(schema, dict):
                inner = inner.in_subresource(specification.create_resource(schema))
            nodes += expand(self.compiled, schema, inner)
        return tuple(nodes)


def roots(compiled: Compiled) -> tuple[Node, ...]:
    """Returns the nodes that a whole text must fit."""
    return tuple(expand(compiled, compiled.schema, compiled.resolver))


def expand(compiled: Compiled, schema: Any, resolver: Any) -> list[Node]:
    """Returns the nodes of a schema: its own and those of its `$ref` and `allOf`."""
    if schema is True or schema == {}:
        return []
    if not compiled.dynamic and id(schema) in compiled.nodes and schema is not False:
        cached: list[Node] = compiled.nodes[id(schema)]
        return cached
    nodes: list[Node] = []
    if schema is False:
        return [Node(compiled, False, resolver)]
    if isinstance(ref := schema.get("$ref"), str):
        target = resolver.lookup(ref)
        nodes += expand(compiled, target.contents, target.resolver)
    if ref is None or not compiled.draft.ref_alone:
        for inner in schema.get("allOf", ()):
            its = resolver
            if isinstance(inner, dict):
                its = resolver.in_subresource(compiled.draft.specification.create_resource(inner))
            nodes += expand(compiled, inner, its)
        nodes.insert(0, Node(compiled, schema, resolver))
    if not compiled.dynamic:
        compiled.nodes[id(schema)] = nodes
    return nodes
