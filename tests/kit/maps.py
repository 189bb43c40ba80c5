"""Lists the leaves that the map of a format can reach, each with a body that has a value there.

In: a map (`guardproxy/wire/json/walk.py`) and the words of its format, which functions of the map choose by. Out: the leaves. A
function is asked about an object of every type and role, an object without them, a list, a text and a number. A map that
contains itself is entered once, and a function twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from guardproxy.wire.json import KEYS, Map, MapFields, MapLeaf
from guardproxy.wire.json.opaque import NOT_KEPT

Build = Callable[[Any], Any]
OTHER = "x_other"
"""A key that no map lists."""


@dataclass(frozen=True)
class MapPlace:
    """A leaf of a map. `path`: the names on the way, `[]` for the items of a list, `OTHER` for a key that is not listed. `key`:
    the last name. `build`: returns a body with a value at the place."""

    path: tuple[str, ...]
    leaf: MapLeaf
    build: Build

    @cached_property
    def name(self) -> str:
        """The path as text."""
        return ".".join(self.path).replace(".[]", "[]")

    @cached_property
    def key(self) -> str:
        return next((step for step in reversed(self.path) if step != "[]"), "")


def places(how: Map, words: Any) -> list[MapPlace]:
    """Returns the leaves of a map, one for each path and way to read it. `words`: the words of the format."""
    probes = [
        *({"type": word} for word in sorted(words)),
        *({"role": word} for word in sorted(words)),
        {},
        {"x": 1},
        [{}],
        ["x"],
        [1],
        "x",
        1,
        NOT_KEPT,
    ]
    found: dict[tuple[Any, ...], MapPlace] = {}
    for place in _places(how, (), lambda value: value, probes, ()):
        found.setdefault((place.path, place.leaf), place)
    return list(found.values())


def _places(
    how: Map, path: tuple[str, ...], build: Build, probes: list[Any], entered: tuple[Any, ...]
) -> Iterator[MapPlace]:
    if isinstance(how, MapLeaf):
        yield MapPlace(path, how, build)
    elif isinstance(how, list):
        yield from _places(how[0], (*path, "[]"), lambda value: build([value]), probes, entered)
    elif isinstance(how, dict):
        yield from _members(how, path, build, {}, probes, entered)
    else:
        cells = (cell.cell_contents for cell in getattr(how, "__closure__", None) or ())
        mark = (how.__qualname__, *(cell if isinstance(cell, (str, MapLeaf)) else id(cell) for cell in cells))
        if mark in entered or [name for name, *_ in entered].count(mark[0]) == 2:
            return
        seen: set[Any] = set()
        for probe in probes:
            inner = how(probe)
            while not isinstance(inner, (dict, list, MapLeaf)):
                inner = inner(probe)
            if (sign := _sign(inner)) in seen:
                continue
            seen.add(sign)
            if isinstance(inner, dict):
                if isinstance(probe, dict):
                    yield from _members(inner, path, build, probe, probes, (*entered, mark))
            elif isinstance(inner, list) != isinstance(probe, list) and isinstance(inner, list):
                continue
            else:
                yield from _places(inner, path, build, probes, (*entered, mark))


def _members(
    how: MapFields, path: tuple[str, ...], build: Build, frame: Any, probes: list[Any], entered: tuple[Any, ...]
) -> Iterator[MapPlace]:
    spelled: set[tuple[str, int]] = set()
    for key, child in how.items():
        name = key if isinstance(key, str) else OTHER
        plain = name.replace("_", "").casefold()
        if key is KEYS or (not isinstance(child, MapLeaf) and (plain, id(child)) in spelled):
            continue  # the two spellings of a name have one map
        spelled.add((plain, id(child)))
        yield from _places(child, (*path, name), partial(_member, build, frame, name), probes, entered)


def _member(build: Build, frame: dict[str, Any], name: str, value: Any) -> Any:
    return build({**frame, name: value})


def _sign(how: Map) -> Any:
    """What tells the maps apart that a function gives."""
    if isinstance(how, dict):
        return tuple((str(key), child if isinstance(child, MapLeaf) else "") for key, child in how.items())
    return how if isinstance(how, MapLeaf) else "list"
