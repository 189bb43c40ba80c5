"""Stored answers and conversations: where requests and answers of a format name them.

In: the maps of a format, whose leaves say what holds an id. Out: the objects of an answer that have ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from guardproxy.wire.json import Map, MapLeaf

_Places = Mapping[tuple[bytes, ...], frozenset[bytes]]


@dataclass(frozen=True, slots=True)
class StoredIds:
    """The ids of answers and conversations that a provider stores. `request`: the map of every request that can name them, of
    routes without a format too; `answer`: the map of every answer and event that names them. `places`: the objects of an
    answer that have ids: the names of the members that lead to each, with the names of those that hold ids, as bytes."""

    request: Map
    answer: Map
    places: _Places = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "places", _places(self.answer, ()))


def _places(how: Map, path: tuple[bytes, ...]) -> dict[tuple[bytes, ...], frozenset[bytes]]:
    places: dict[tuple[bytes, ...], frozenset[bytes]] = {}
    for name, child in how.items() if isinstance(how, dict) else ():
        if isinstance(name, str):
            for inner in (child("x"), child({})) if callable(child) else (child,):
                if isinstance(inner, MapLeaf) and inner.names == "answer":
                    places[path] = places.get(path, frozenset()) | {name.encode()}
                places |= _places(inner, (*path, name.encode()))
    return places
