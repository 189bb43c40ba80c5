"""Stored answers and conversations: where requests and answers of a format name them.

In: the maps of a format, whose leaves say what holds an id, and the forms of its ids and paths. Out: the objects of an answer
that have ids, the places of a request that refer to what is stored, and the ids in a request, an answer or a path.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any
from urllib.parse import unquote

from guardproxy.events import Path
from guardproxy.wire.json import Map, MapLeaf

_Places = Mapping[tuple[bytes, ...], frozenset[bytes]]
_DEEPEST = 3  # steps to a reference; gateways merge `extra_body` into the request, which may hold another one
_LONGEST_ID = 512
_ID_CHARS = "[A-Za-z0-9_.=-]{1,400}"
_MOST_IDS = 4  # a request refers to an answer or a conversation; each id is looked up


@dataclass(frozen=True, slots=True)
class StoredIds:
    """The ids of answers and conversations that a provider stores. `request`: the map of every request that can name them, of
    routes without a format too; `answer`: the map of every answer and event that names them. `own`: the places where an answer
    or an event says its own id; `lasting`: the members of a request whose id stays the same over turns. `places`: the objects
    of an answer that have ids: the names of the members that lead to each, with the names of those that hold ids, as bytes.
    `references`: the places of a request that refer to what is stored.

    `made_by`: the routes that read back what is stored, each with the route whose answers it reads back and whose rules hold.

    `prefixes`: how ids begin, such as `resp_`. `collections`: the segments of paths that an id follows, such as `responses`;
    `operations`: the segments there that are no ids. Raises `ValueError` if one of the first two is empty or has an empty
    entry: then no id, or any text, would be sealed."""

    request: Map
    answer: Map
    own: tuple[Path, ...]
    lasting: frozenset[str]
    prefixes: tuple[str, ...]
    collections: tuple[str, ...]
    operations: frozenset[str]
    made_by: Mapping[str, str]
    places: _Places = field(init=False)
    references: tuple[Path, ...] = field(init=False)
    _id: re.Pattern[str] = field(init=False)
    _made_id: re.Pattern[str] = field(init=False)
    _id_bytes: re.Pattern[bytes] = field(init=False)
    _like_id: re.Pattern[str] = field(init=False)
    _begins: tuple[bytes, ...] = field(init=False)  # what stands before the rest of an id in JSON
    _in_path: re.Pattern[str] = field(init=False)
    _about: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        for name, texts in (("prefixes", self.prefixes), ("collections", self.collections)):
            if not texts or not all(texts):
                raise ValueError(f"`{name}` must name at least one text, and no empty one")
        object.__setattr__(self, "places", _places(self.answer, ()))
        object.__setattr__(self, "references", tuple(dict.fromkeys(_references(self.request, ()))))
        form = f"(?:{'|'.join(map(re.escape, self.prefixes))}){_ID_CHARS}"
        object.__setattr__(self, "_id", re.compile(form, re.ASCII))
        object.__setattr__(self, "_id_bytes", re.compile(form.encode()))
        made = f"(?:{'|'.join(map(re.escape, self.prefixes))})[A-Za-z0-9]{{24,200}}"
        object.__setattr__(self, "_made_id", re.compile(made, re.ASCII))
        # Readers strip spaces of Unicode, and some a mark.
        object.__setattr__(self, "_like_id", re.compile(rf"[\s\ufeff]*{form}[\s\ufeff]*"))
        object.__setattr__(self, "_begins", tuple(f'"{prefix}'.encode() for prefix in self.prefixes))
        collection = f"/(?:{'|'.join(map(re.escape, self.collections))})"
        object.__setattr__(self, "_in_path", re.compile(f"{collection}/([^/]+)"))
        object.__setattr__(self, "_about", re.compile(f"{collection}(?:/|$)"))

    def referred(self, tree: Any, *, lasting: bool = False) -> tuple[str, ...]:
        """Returns the ids to which a request refers, without duplicates, up to `_MOST_IDS`. `lasting`: only ids that stay the
        same over turns."""
        paths = (path for path in self.references if not lasting or not self.lasting.isdisjoint(path))
        names = dict.fromkeys(name for path in paths if (name := _id_at(tree, path)))
        return tuple(islice(names, _MOST_IDS))

    def is_id(self, text: str | bytes) -> bool:
        """Whether a text has the form of an id."""
        return bool(self._id_bytes.fullmatch(text) if isinstance(text, bytes) else self._id.fullmatch(text))

    def is_like_id(self, text: str) -> bool:
        """Whether a server could read a text as an id."""
        return self._like_id.fullmatch(text) is not None

    def may_have_ids(self, data: bytes) -> bool:
        """Whether JSON has a string that begins as an id does."""
        return any(begin in data for begin in self._begins)

    def is_about(self, path: str) -> bool:
        """Whether a path is about what is stored."""
        return self._about.search(path) is not None

    def split_path(self, path: str) -> tuple[str, str, str] | None:
        """Returns what precedes the id in a path, the id, and what follows it; `None` if the path has no id."""
        found = self._in_path.search(path)
        if found is None or found[1] in self.operations:
            return None
        # Decoded, as the server decodes it: an id with an escape in it is the same id there.
        return path[: found.start(1)], unquote(found[1]), path[found.end(1) :]

    def without_id(self, path: str, *, sealed: bool) -> str:
        """Returns a path with the word `id` instead of an id, to look for its route: an id has more digits than the parameter
        of a route may have. `sealed`: whether the id is checked later; otherwise it must be as long as only machines write ids,
        so that no number of a person passes for one."""
        parts = self.split_path(path)
        if parts is None or not (sealed or self._made_id.fullmatch(parts[1])):
            return path
        return f"{parts[0]}id{parts[2]}"

    def read_back(self, route: str, path: str) -> str:
        """Returns the id in the path of a request that reads back what is stored; empty for all other requests. `route`: its
        pattern."""
        parts = self.split_path(path) if route in self.made_by else None
        return parts[1] if parts is not None else ""

    def deleted_id(self, path: str) -> str:
        """Returns the id that the path of a `DELETE` names; empty if it is not about a whole answer or conversation."""
        parts = self.split_path(path)
        return parts[1] if parts is not None and not parts[2].strip("/") else ""

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
        # A map that chooses by the value is asked about both: an id, and an object that holds one.
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
