"""Compiles a JSON schema for judging values, or refuses it with a reason.

Refused are schemas above the limits of size or depth, schemas that the meta-schema of their draft rejects, custom
dialects, references that lead out of the given documents or in a circle, and patterns without a bound on their time.
The work is linear in the size of the schema, so the limits on size also bound the compile time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from guardproxy.schemas.drafts import (
    LATEST,
    STEPS,
    CostError,
    Draft,
    allowed_steps,
    draft,
    draft_name,
    is_tame,
    limit_steps,
    spend,
)
from guardproxy.schemas.patterns import PatternError, searcher

LIMIT_CHARS = 200_000
LIMIT_DEPTH = 100
LIMIT_OBJECTS = 3000
FILES = "file:///"
_PLAIN = frozenset(("const", "enum", "default", "examples"))  # their members are values, not schemas
_INSIDE = ("allOf", "anyOf", "oneOf")  # keywords whose schemas judge the same value
_SAME = ("not", "if", "then", "else")  # as `_INSIDE`, but with a single schema
_BY_KEY = ("dependentSchemas", "dependencies")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")

Read = Callable[[str], Any]
"""Returns a document by its path below the folder of the schema's own file. Raises `SchemaError`."""


class SchemaError(ValueError):
    """A schema that cannot be used. The message gives the reason and the place in the schema, without quoting its
    text."""


@dataclass(slots=True, eq=False)
class Compiled:
    """A schema that is ready for use. `errors` judges complete values; `Prefix` walks `schema` with `resolver`."""

    schema: Any
    draft: Draft
    resolver: Any
    nodes: dict[int, Any] = field(default_factory=dict)  # see node.py
    dynamic: bool = False  # whether the target of a reference depends on the path to it
    names: set[str] = field(default_factory=set)  # every key that the schema names
    _base: Any = None
    _whole: Any = None

    def __post_init__(self) -> None:
        from referencing import Registry  # noqa: PLC0415

        self._base = self.draft.validator({}, registry=Registry())

    def validator(self, schema: Any, resolver: Any) -> Any:
        """Returns the library's validator for a part of the schema. Use inside `limit_steps`."""
        return self._base.evolve(schema=schema, _resolver=resolver)

    def errors(self, value: Any) -> Iterator[Any]:
        """Yields the errors of a complete value. Use inside `limit_steps`."""
        if self._whole is None:
            self._whole = self.validator(self.schema, self.resolver)
        errors: Iterator[Any] = self._whole.iter_errors(value)
        return errors

    def judge(self, value: Any, chars: int = 0) -> list[Any]:
        """Returns all errors of a complete value whose text has `chars` characters. Raises `CostError`."""
        with limit_steps(allowed_steps(chars)):
            return list(self.errors(value))


def compile_schema(schema: Any, *, default: str = LATEST, path: str = "", read: Read | None = None) -> Compiled:
    """Compiles a schema.

    `default`: the draft if `$schema` names none. `path`: the schema's own file. `read`: returns other documents from
    that file's folder. Raises `SchemaError`.
    """
    try:
        return _compile(schema, default, path, read)
    except (CostError, RecursionError):
        raise SchemaError("the schema takes too many steps to check") from None


def _compile(schema: Any, default: str, path: str, read: Read | None) -> Compiled:
    from jsonschema_specifications import REGISTRY  # noqa: PLC0415
    from referencing import Registry  # noqa: PLC0415

    chosen = _draft(schema, default)
    documents: dict[str, Any] = {}
    closed = False

    def retrieve(uri: str) -> Any:
        if uri not in documents:
            if not closed and (meta := REGISTRY.get(uri)) is not None:
                documents[uri] = _own_copy(meta.contents, chosen)
            elif closed or read is None or not uri.startswith(FILES):
                raise LookupError(uri)
            else:
                documents[uri] = _own_copy(read(uri.removeprefix(FILES)), chosen)
        return chosen.specification.create_resource(documents[uri])

    own = _own_copy(schema, chosen)
    documents[FILES + path] = own
    registry: Any = Registry(retrieve=retrieve)  # type: ignore[call-arg]
    resource = chosen.specification.create_resource(own)
    resolver = registry.with_resource(FILES + path, resource).crawl().resolver(FILES + path).in_subresource(resource)
    compiled = Compiled(own, chosen, resolver)
    _check_shape(own, chosen)
    _walk(compiled, documents)
    closed = True
    return compiled


def _draft(schema: Any, default: str) -> Draft:
    if not isinstance(schema, (dict, bool)):
        raise SchemaError("a schema must be an object, or true or false")
    uri = schema.get("$schema") if isinstance(schema, dict) else None
    name = default if uri is None else draft_name(uri) if isinstance(uri, str) else None
    if name is None:
        raise SchemaError("`$schema` names no known draft (2020-12, 2019-09, 7, 6, 4)")
    return draft(name)


def _own_copy(schema: Any, chosen: Draft) -> Any:
    """Returns a copy without `$schema`: the library would use its own validator class for a schema that names it."""
    try:
        text = json.dumps(schema)
    except (TypeError, ValueError, RecursionError):
        raise SchemaError("the schema is not JSON") from None
    if len(text) > LIMIT_CHARS:
        raise SchemaError(f"the schema has more than {LIMIT_CHARS} characters")
    if text.count("{") > LIMIT_OBJECTS:
        raise SchemaError(f"the schema has more than {LIMIT_OBJECTS} parts")
    return _copy(schema, chosen, plain=False, depth=0)


def _copy(node: Any, chosen: Draft, *, plain: bool, depth: int) -> Any:
    if depth > LIMIT_DEPTH:
        raise SchemaError(f"the schema is nested deeper than {LIMIT_DEPTH}")
    if isinstance(node, dict):
        out = {}
        for key, child in node.items():
            if key == "$schema" and isinstance(child, str) and not plain:
                if draft_name(child) not in (None, chosen.name):
                    raise SchemaError("a part of the schema names another draft")
                continue
            out[key] = _copy(child, chosen, plain=plain or key in _PLAIN, depth=depth + 1)
        return out
    if isinstance(node, list):
        return [_copy(child, chosen, plain=plain, depth=depth + 1) for child in node]
    return node


def _check_shape(schema: Any, chosen: Draft) -> None:
    """Checks a schema against its draft's meta-schema, except for formats: `searcher` checks the patterns."""
    from referencing import Registry  # noqa: PLC0415

    meta = chosen.validator(chosen.validator.META_SCHEMA, registry=Registry())
    with limit_steps(STEPS):
        spend(1)
        error = next(meta.iter_errors(schema), None)
    if error is not None:
        raise SchemaError(f"the schema is not valid: {_pointer(error.absolute_path)}: fails `{error.validator}`")


def _pointer(path: Any) -> str:
    return "#" + "".join(f"/{str(step)[:40]}" for step in path)


def _walk(compiled: Compiled, documents: dict[str, Any]) -> None:
    """Visits every schema that a value can meet: resolves references, compiles patterns, finds circles."""
    edges: dict[int, list[int]] = {}
    waiting: list[tuple[Any, Any]] = [(compiled.schema, compiled.resolver)]
    unevaluated = False
    patterns: set[str] = set()
    checked = {id(compiled.schema)}
    while waiting:
        schema, resolver = waiting.pop()
        if not isinstance(schema, dict) or id(schema) in edges:
            continue
        inside = edges[id(schema)] = []
        for word in _REFERENCES:
            if isinstance(ref := schema.get(word), str) and compiled.draft.knows(word):
                compiled.dynamic |= word != "$ref"
                target = _resolve(resolver, ref)
                if isinstance(target.contents, (dict, bool)) and id(target.contents) not in checked:
                    checked.add(id(target.contents))
                    if any(target.contents is document for document in documents.values()) or word == "$ref":
                        _check_shape(target.contents, compiled.draft)
                elif not isinstance(target.contents, (dict, bool)):
                    raise SchemaError(f"a `{word}` leads to something that is not a schema")
                waiting.append((target.contents, target.resolver))
                if word == "$ref":
                    inside.append(id(target.contents))
        if "$ref" in schema and compiled.draft.ref_alone:
            continue
        compiled.names.update(schema.get("properties", ()))
        unevaluated |= "unevaluatedProperties" in schema
        patterns.update(schema.get("patternProperties", ()))
        _check_patterns(schema)
        inside += (id(inner) for inner in _in_place(schema))
        children = compiled.draft.specification.create_resource(schema).subresources()
        waiting += ((child.contents, resolver.in_subresource(child)) for child in children)
    if unevaluated and not all(is_tame(pattern) for pattern in patterns):
        raise SchemaError("beside `unevaluatedProperties` a pattern of `patternProperties` may not repeat a repetition")
    _refuse_circles(edges)


def _resolve(resolver: Any, ref: str) -> Any:
    from referencing import exceptions  # noqa: PLC0415

    try:
        return resolver.lookup(ref)
    except (
        exceptions.Unresolvable,
        exceptions.Unretrievable,
        LookupError,
        ValueError,
        TypeError,
        AttributeError,
    ) as error:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, SchemaError):  # `read` failed
                raise cause from None
            cause = cause.__cause__
        raise SchemaError("a reference has no target in the schema or its local files; nothing is fetched") from None


def _check_patterns(schema: dict[str, Any]) -> None:
    own = [schema["pattern"]] if isinstance(schema.get("pattern"), str) else []
    for pattern in (*own, *schema.get("patternProperties", ())):
        try:
            searcher(pattern)
        except PatternError as error:
            raise SchemaError(str(error)) from None


def _in_place(schema: dict[str, Any]) -> Iterator[Any]:
    """Yields the subschemas that judge the same value."""
    for word in _INSIDE:
        yield from schema.get(word, ())
    for word in _SAME:
        if word in schema:
            yield schema[word]
    for word in _BY_KEY:
        yield from (inner for inner in schema.get(word, {}).values() if isinstance(inner, dict))


def _refuse_circles(edges: dict[int, list[int]]) -> None:
    """Refuses a schema that refers to itself without a step into the value: its judgement would never end."""
    done: set[int] = set()
    for start, inside in edges.items():
        path: dict[int, Iterator[int]] = {} if start in done else {start: iter(inside)}
        while path:
            last = next(reversed(path))
            step = next((inner for inner in path[last] if inner in edges and inner not in done), None)
            if step is None:
                done.add(last)
                del path[last]
            elif step in path:
                raise SchemaError("the schema refers to itself in a circle, without a step into the value")
            else:
                path[step] = iter(edges[step])
