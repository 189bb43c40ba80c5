"""Fields of a request that policies name: those that bypass the checks, and options to set, strip or refuse.

A `FieldPath` is a text like `store`, `stream_options.include_usage` or `tools.*.strict`. A `.` leads into an object, `*` to
every item of a list. What a server could read as the field is the field:

- Names count without underscores and case, as some servers read `topLogprobs`, `top_logprobs` or `Top_Logprobs` alike.
- A value instead of a list is its only item, as Google's servers read `{"tools": {...}}` like `{"tools": [{...}]}`.
- A field of a body that is nested in the request is a field of the request (`_NESTED`).

In: the tree of a request. Out: the places of a field, or a new tree; a tree is never changed in place. The cost is linear in
the number of values on the way to the field.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.events import Path
from guardproxy.wire.json import OTHERS, Map, MapLeaf, dotted

ITEMS = "*"
_PATH = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]*(?:\.(?:\*|[A-Za-z_$][A-Za-z0-9_$-]*))*", re.ASCII)
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
        """Yields the places of the field that exist in a tree: those of the request first, then those of nested bodies."""
        for path, body in _bodies(tree):
            yield from _places(body, self.steps, path)

    def is_at_top(self, tree: Any) -> bool:
        """Whether the request itself has the field. The bodies that are nested in it do not count."""
        return any(True for _ in _places(tree, self.steps, ()))

    def without(self, tree: Any) -> Any:
        """Returns the tree without the field."""
        return _without_in_bodies(tree, self.steps)

    def written(self, tree: Any, value: Any) -> Any:
        """Returns the tree with this value in the field, as this path spells it: in every item of a list, and in an object
        that is created if it is missing. Other spellings are removed, and so is the field in nested bodies. Raises
        `DownstreamError` (400), which names the place, if a value on the way is not an object."""
        return _written(_with_bodies(tree, self.steps), self.steps, value, ())

    def is_part_of(self, other: FieldPath) -> bool:
        """Whether the field is the other field, or lies in it."""
        size = len(other.steps)
        return tuple(map(_plain, self.steps[:size])) == tuple(map(_plain, other.steps))

    def is_field(self, name: str) -> bool:
        """Whether the path is this field at the top of the request or of a nested body."""
        steps = [plain for step in self.steps if step != ITEMS and (plain := _plain(step)) not in _NESTED]
        return steps == [_plain(name)]


def is_on(value: Any) -> bool:
    """Whether a field with this value asks for its option. `null` and `false` do not."""
    return value is not None and value is not False


def denied_field(tree: Mapping[str, Any], denied: Collection[str], allowed: Collection[str]) -> tuple[str, str] | None:
    """Returns the first field of a request that bypasses the checks: its place, and its name in `denied`. `denied`: the
    names of such fields; `allowed`: the names that policies allow. Fields of nested bodies count too."""
    names, telling = _by_plain_name(tuple(denied))
    if telling.isdisjoint(_plain("\0".join(tree)).split("\0")):  # nearly every request
        return None
    for path, body in _bodies(tree):
        for key, value in body.items():
            name = names.get(_plain(key))
            if name and name not in allowed and is_on(value) and value not in _OFF:
                return dotted((*path, key)), name
    return None


def has_field(how: Map, path: FieldPath) -> bool:
    """Whether a map of requests knows a field. A part of the map that depends on the request may know any field."""
    return _knows(how, path.steps)


def _plain(name: str) -> str:
    """Returns the name without its spelling: `topLogprobs` and `top_logprobs` give the same. Servers that ignore the case read
    the long s and the sign of kelvin as letters, too."""
    return name.replace("_", "").casefold()


_NESTED = frozenset(map(_plain, ("extra_body", "generateContentRequest", "requests")))
"""Fields whose members are fields of the request too. Gateways such as LiteLLM merge `extra_body` into the request. Gemini
counts the tokens of a `generateContentRequest`, and takes several `requests` at once."""


@lru_cache(maxsize=64)
def _by_plain_name(names: tuple[str, ...]) -> tuple[Mapping[str, str], frozenset[str]]:
    """Returns the names by their plain form, and all names that the fields of a request must not have for a quick answer."""
    by_plain_name = {_plain(name): name for name in names}
    return by_plain_name, _NESTED.union(by_plain_name)


def _bodies(tree: Any) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Yields the request, and each body that is nested in it with its place."""
    waiting: list[tuple[Path, Any]] = [((), tree)]
    for path, node in waiting:
        if isinstance(node, dict):
            yield path, node
            waiting += [((*path, key), child) for key, child in node.items() if _is_nested(key, child)]
        elif isinstance(node, list):
            waiting += [((*path, at), item) for at, item in enumerate(node)]


def _is_nested(key: str, value: Any) -> bool:
    return isinstance(value, (dict, list)) and _plain(key) in _NESTED


def _spellings(node: dict[str, Any], name: str) -> list[str]:
    """Returns the keys of an object that spell this name."""
    plain = _plain(name)
    return [key for key in node if key == name or (len(key) <= 2 * len(name) and _plain(key) == plain)]


def _places(node: Any, steps: tuple[str, ...], path: Path) -> Iterator[Path]:
    if not steps:
        yield path
    elif steps[0] == ITEMS:
        if isinstance(node, list):
            for at, item in enumerate(node):
                yield from _places(item, steps[1:], (*path, at))
        elif node is not None:
            yield from _places(node, steps[1:], path)
    elif isinstance(node, dict):
        for key in _spellings(node, steps[0]):
            yield from _places(node[key], steps[1:], (*path, key))


def _without(node: Any, steps: tuple[str, ...]) -> Any:
    step, rest = steps[0], steps[1:]
    if step == ITEMS:
        if not rest:
            return None if node is None else []
        return [_without(item, rest) for item in node] if isinstance(node, list) else _without(node, rest)
    if not isinstance(node, dict) or not (keys := _spellings(node, step)):
        return node
    if rest:
        return {key: _without(value, rest) if key in keys else value for key, value in node.items()}
    return {key: value for key, value in node.items() if key not in keys}


def _without_in_bodies(node: Any, steps: tuple[str, ...]) -> Any:
    """Returns a body without the field, also in the bodies that are nested in it."""
    if isinstance(node, list):
        return [_without_in_bodies(item, steps) for item in node]
    return _with_bodies(_without(node, steps), steps)


def _with_bodies(node: Any, steps: tuple[str, ...]) -> Any:
    """Returns a body whose nested bodies are without the field."""
    if not isinstance(node, dict):
        return node
    nested = {key: _without_in_bodies(child, steps) for key, child in node.items() if _is_nested(key, child)}
    return {**node, **nested} if nested else node


def _written(node: Any, steps: tuple[str, ...], value: Any, path: Path) -> Any:
    if not steps:
        return value
    step, rest = steps[0], steps[1:]
    if step == ITEMS:
        if node is None:
            return node
        if not isinstance(node, list):
            return _written(node, rest, value, path)
        return [_written(item, rest, value, (*path, at)) for at, item in enumerate(node)]
    if node is None:
        node = {}
    if not isinstance(node, dict):
        place = dotted(path)
        message = f"`{place}` must be an object: a policy sets a field in it"
        raise DownstreamError(ErrorCode.INVALID_TYPE, message, place)
    keys = _spellings(node, step)
    before = next((node[key] for key in (step, *keys) if key in node), None)
    inner = _written(before, rest, value, (*path, step))
    if inner is None and rest and step not in node:  # a list that is not there has no items
        return node
    return {**{key: child for key, child in node.items() if key not in keys}, step: inner}


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
