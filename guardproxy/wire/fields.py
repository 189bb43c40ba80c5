"""Fields of a request that policies name: those that lead round the checks, and options to set, strip or refuse.

A `FieldPath` is a text like `store`, `stream_options.include_usage` or `tools.*.strict`. A `.` leads into an object, `*` to
every item of a list. Names in camelCase and in snake_case are the same name, as some servers read both.

In: the tree of a request. Out: the places of a field, or a new tree; a tree is never changed in place. The cost is linear in
the number of values on the way to the field.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.events import Path
from guardproxy.wire.json import OTHERS, Map, MapLeaf, dotted

ITEMS = "*"
_PATH = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]*(?:\.(?:\*|[A-Za-z_$][A-Za-z0-9_$-]*))*", re.ASCII)
NESTED_BODY = "extra_body"
"""A field whose members are fields of the request too: gateways such as LiteLLM merge them into it."""
_OFF: tuple[Any, ...] = ("", [], {})


@dataclass(frozen=True, slots=True)
class FieldPath:
    """The path of a field. Raises `ValueError` if the text is not a path."""

    text: str
    steps: tuple[str, ...] = field(init=False, compare=False)
    name: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        if not _PATH.fullmatch(self.text):
            raise ValueError(
                f"`{self.text}` is no field; write one like `store`, `stream_options.include_usage`, `tools.*.strict`"
            )
        object.__setattr__(self, "steps", tuple(self.text.split(".")))
        object.__setattr__(self, "name", self.steps[0])

    def places(self, tree: Any) -> Iterator[Path]:
        """Yields the places of the field that exist in a tree, in the order of the tree."""
        return _places(tree, self.steps, ())

    def without(self, tree: Any) -> Any:
        """Returns the tree without the field."""
        return _without(tree, self.steps)

    def written(self, tree: Any, value: Any) -> Any:
        """Returns the tree with this value in the field: in every item of a list, and in an object that is created if it is
        missing. Raises `DownstreamError` (400), which names the place, if a value on the way is no object or list."""
        return _written(tree, self.steps, value, ())

    def is_part_of(self, other: FieldPath) -> bool:
        """Whether the field is the other field, or lies in it."""
        size = len(other.steps)
        return tuple(map(_plain, self.steps[:size])) == tuple(map(_plain, other.steps))


def is_on(value: Any) -> bool:
    """Whether a field with this value asks for its option. `null` and `false` do not."""
    return value is not None and value is not False


def denied_field(
    tree: Mapping[str, Any], denied: Mapping[str, str], allowed: Collection[str]
) -> tuple[str, str] | None:
    """Returns the first field of a request that leads round the checks: its place, and what it does. `denied`: what each such
    field does, by its name; `allowed`: the names that policies allow. Members of `extra_body` count as fields too."""
    nested = tree.get(NESTED_BODY)
    bodies = ((tree, ""), (nested, f"{NESTED_BODY}.")) if isinstance(nested, dict) else ((tree, ""),)
    for body, prefix in bodies:
        for name in denied.keys() & body.keys():
            if name not in allowed and is_on(value := body[name]) and value not in _OFF:
                return prefix + name, denied[name]
    return None


def has_field(how: Map, path: FieldPath) -> bool:
    """Whether a map of requests knows a field. A part of the map that depends on the request may know any field."""
    return _knows(how, path.steps)


def _plain(name: str) -> str:
    """Returns the name without its spelling: `topLogprobs` and `top_logprobs` give the same."""
    return name.replace("_", "").lower()


def _spellings(node: dict[str, Any], name: str) -> list[str]:
    """Returns the keys of an object that spell this name."""
    plain = _plain(name)
    return [key for key in node if key == name or (len(key) <= 2 * len(name) and _plain(key) == plain)]


def _places(node: Any, steps: tuple[str, ...], path: Path) -> Iterator[Path]:
    if not steps:
        yield path
    elif steps[0] == ITEMS:
        for at, item in enumerate(node if isinstance(node, list) else ()):
            yield from _places(item, steps[1:], (*path, at))
    elif isinstance(node, dict):
        for key in _spellings(node, steps[0]):
            yield from _places(node[key], steps[1:], (*path, key))


def _without(node: Any, steps: tuple[str, ...]) -> Any:
    step, rest = steps[0], steps[1:]
    if step == ITEMS:
        if not isinstance(node, list):
            return node
        return [_without(item, rest) for item in node] if rest else []
    if not isinstance(node, dict) or not (keys := _spellings(node, step)):
        return node
    if rest:
        return {key: _without(value, rest) if key in keys else value for key, value in node.items()}
    return {key: value for key, value in node.items() if key not in keys}


def _written(node: Any, steps: tuple[str, ...], value: Any, path: Path) -> Any:
    if not steps:
        return value
    step, rest = steps[0], steps[1:]
    if step == ITEMS:
        if node is None:
            return node
        if not isinstance(node, list):
            raise _wrong(path, "a list")
        return [_written(item, rest, value, (*path, at)) for at, item in enumerate(node)]
    if node is None:
        node = {}
    if not isinstance(node, dict):
        raise _wrong(path, "an object")
    keys = _spellings(node, step)
    key = keys[0] if len(keys) == 1 else step
    inner = _written(node.get(key), rest, value, (*path, key))
    if inner is None and rest and key not in node:  # a list that is not there has no items
        return node
    others = {name: item for name, item in node.items() if name == key or name not in keys}
    return {**others, key: inner}


def _wrong(path: Path, form: str) -> DownstreamError:
    place = dotted(path)
    return DownstreamError(ErrorCode.INVALID_TYPE, f"`{place}` must be {form}: a policy sets a field in it", place)


def _knows(how: Map, steps: tuple[str, ...]) -> bool:
    if not steps:
        return True
    if isinstance(how, MapLeaf):
        return how.how == "text"
    if isinstance(how, list):
        return steps[0] == ITEMS and _knows(how[0], steps[1:])
    if isinstance(how, dict):
        plain = _plain(steps[0])
        inner = (child for key, child in how.items() if isinstance(key, str) and _plain(key) == plain)
        known = next(inner, how.get(OTHERS))
        return known is not None and _knows(known, steps[1:])
    return True
