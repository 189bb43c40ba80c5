"""Stored answers and conversations: where requests and answers of a format name them.

In: the maps of a format, whose leaves say what holds an id. Out: the objects of an answer that have ids, the places of a
request that refer to what is stored, and the ids in a request or an answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from guardproxy.events import Path
from guardproxy.wire.json import Map, MapLeaf

_Places = Mapping[tuple[bytes, ...], frozenset[bytes]]
_DEEPEST = 3  # steps to a reference; gateways merge `extra_body` into the request, which may hold another one
_LONGEST_ID = 512
_MOST_IDS = 4  # a request refers to an answer or a conversation; each id is looked up


@dataclass(frozen=True, slots=True)
class StoredIds:
    """The ids of answers and conversations that a provider stores. `request`: the map of every request that can name them, of
    routes without a format too; `answer`: the map of every answer and event that names them. `own`: the places where an answer
    or an event says its own id; `lasting`: the members of a request whose id stays the same over turns. `places`: the objects
    of an answer that have ids: the names of the members that lead to each, with the names of those that hold ids, as bytes.
    `references`: the places of a request that refer to what is stored."""

    request: Map
    answer: Map
    own: tuple[Path, ...]
    lasting: frozenset[str]
    places: _Places = field(init=False)
    references: tuple[Path, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "places", _places(self.answer, ()))
        object.__setattr__(self, "references", tuple(dict.fromkeys(_references(self.request, ()))))

    def referred(self, tree: Any, *, lasting: bool = False) -> tuple[str, ...]:
        """Returns the ids to which a request refers, without duplicates, up to `_MOST_IDS`. `lasting`: only ids that stay the
        same over turns."""
        paths = (path for path in self.references if not lasting or not self.lasting.isdisjoint(path))
        names = dict.fromkeys(name for path in paths if (name := _id_at(tree, path)))
        return tuple(islice(names, _MOST_IDS))

    def own_id(self, tree: Any) -> str:
        """Returns the id that an answer, or an event of it, gives to itself; empty if it has none."""
        return next((name for path in self.own if (name := _id_at(tree, path))), "")


def _id_at(tree: Any, path: Path) -> str:
    """Returns the id at a place of a tree; empty if there is none."""
    for step in path:
        tree = tree.get(step) if isinstance(tree, dict) else None
    return tree if isinstance(tree, str) and len(tree) <= _LONGEST_ID else ""


def _references(how: Map, path: Path) -> Iterator[Path]:
    if isinstance(how, MapLeaf):
        if how.names == "answer":
            yield path
    elif callable(how):
        yield from _references(how("x"), path)
        yield from _references(how({}), path)
    elif isinstance(how, dict) and len(path) < _DEEPEST:
        for name, child in how.items():
            if isinstance(name, str):
                yield from _references(child, (*path, name))


def _places(how: Map, path: tuple[bytes, ...]) -> dict[tuple[bytes, ...], frozenset[bytes]]:
    places: dict[tuple[bytes, ...], frozenset[bytes]] = {}
    for name, child in how.items() if isinstance(how, dict) else ():
        if isinstance(name, str):
            for inner in (child("x"), child({})) if callable(child) else (child,):
                if isinstance(inner, MapLeaf) and inner.names == "answer":
                    places[path] = places.get(path, frozenset()) | {name.encode()}
                places |= _places(inner, (*path, name.encode()))
    return places
