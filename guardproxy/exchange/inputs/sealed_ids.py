"""Seals the ids of stored answers and conversations with their holder, a client or its tenant, so that nobody else can name
them.

In: ids of an upstream (`resp_abc`), and ids that clients send. Out: `resp_abc_` with 16 hexadecimal digits that only the key of
the proxy can compute for this holder, and back. Kept: nothing, so no store is needed. For a holder, an id has one sealed form,
so a client may compare ids.

The map of the format says which places hold ids. An answer is sealed as bytes, only at those places. An answer repeats what a
client sent (`metadata`, schemas of tools) and what servers of its tools said. If an id in there were sealed, a client could
have the ids of others sealed for itself. A request is read as a tree, so no spelling of a member gets past. At a place that the
map does not list, a server could read an id, so everything with the form of an id must be one of the holder there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import Any

import msgspec

from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.events import Path
from guardproxy.wire.contract import StoredIds
from guardproxy.wire.json import UNMAPPED, TreeLeaf, dotted, edited, naming_places, write
from guardproxy.wire.request import read_body, refuse_other_case

_SEAL_CHARS = 16
_DEEPEST = 8  # no object with ids is deeper in an answer
_NO_NAMES: frozenset[bytes] = frozenset()
_IN_STRING = rb'(?:[^"\\]++|\\.)*+'
_STRING_END = re.compile(_IN_STRING, re.DOTALL)
_STEP = re.compile(rb'[^"{}\[\]]*+(?:([{}\[\]])|"(' + _IN_STRING + rb')"\s*+(:)?)', re.DOTALL)
_OTHER = re.compile(rb'(?:[^"{}\[\]]++|"' + _IN_STRING + rb'")*+', re.DOTALL)
_MATCH_BYTES = 512  # no name and no id is longer


class SealedIds(msgspec.Struct, frozen=True):
    """The ids of a holder. `seal`: a keyed digest; `holder`: the pseudonym of a client, or what stands for its tenant;
    `stored`: where ids are; `accepts_unsealed`: whether an id without a seal is sent on, for the time after the setting was
    changed. `former`: the pseudonym of the client, whose ids are accepted too where the holder is its tenant."""

    seal: Callable[[bytes], str]
    holder: str
    stored: StoredIds
    accepts_unsealed: bool = False
    former: str = ""

    def sealed(self, data: bytes) -> bytes:
        """Returns whole frames, or a whole answer, with sealed ids."""
        if not self.stored.may_have_ids(data):
            return data
        stream = IdStream(self)
        return stream.feed(data) + stream.end()

    def opened(self, tree: dict[str, Any]) -> dict[str, Any]:
        """Returns the tree of a request with the ids of the upstream; the same tree if it names none. Raises `DownstreamError`:
        404 for an id that is not the holder's, 400 for what is no id and for a reference to a stored item, which has no sealed
        form."""
        opened: list[tuple[TreeLeaf, str]] = []
        for place in naming_places(tree, self.stored.request, in_conversations=True):
            field = dotted(place.path)
            if place.leaf.names == "item":
                member = str(place.path[0])
                message = f"`{member}` refers to a stored item; send the item itself, as ids are sealed"
                raise DownstreamError(ErrorCode.INVALID_VALUE, message, member)
            if place.leaf.names == "answer":
                opened.append((TreeLeaf(place.path, "", UNMAPPED), self._opened_text(place.value, field)))
            elif not place.is_listed:
                opened += self._opened_below(place.path, place.value, field)
        return edited(tree, opened) if opened else tree

    def _opened_below(self, path: Path, value: Any, field: str) -> Iterator[tuple[TreeLeaf, str]]:
        """Yields the ids at and below a place that the map does not list, each with the upstream's."""
        waiting: list[tuple[Path, Any]] = [(path, value)]
        for at, node in waiting:
            if isinstance(node, dict):
                for key, child in node.items():
                    if self.stored.is_like_id(key):
                        raise DownstreamError(ErrorCode.UNKNOWN_ID, field=field)
                    waiting.append(((*at, key), child))
            elif isinstance(node, list):
                waiting += [((*at, number), child) for number, child in enumerate(node)]
            elif isinstance(node, str) and self.stored.is_like_id(node):
                yield TreeLeaf(at, "", UNMAPPED), self.opened_id(node, field)

    def _opened_text(self, name: object, field: str) -> str:
        """Returns the id that the upstream gave. Raises `DownstreamError`, also for what is not text, in which a lenient server
        could read an id."""
        if not isinstance(name, str):
            raise DownstreamError(ErrorCode.INVALID_TYPE, f"`{field}` must be an id", field)
        return self.opened_id(name, field)

    def opened_body(self, body: bytes) -> bytes:
        """Returns the body of a request with the ids of the upstream; the same bytes if it names none. Raises
        `DownstreamError`, also 400 for a body that is not a JSON object, and for a known field in other letters: routes without
        a format have no other reader that refuses it."""
        if not body:
            return body
        tree = read_body(body)
        refuse_other_case(tree, self.stored.request)
        opened = self.opened(tree)
        return body if opened is tree else write(opened)

    def opened_path(self, path: str) -> str:
        """Returns the path of a request with the id of the upstream. Raises `DownstreamError` (404)."""
        parts = self.stored.split_path(path)
        return path if parts is None else f"{parts[0]}{self.opened_id(parts[1], 'id')}{parts[2]}"

    def opened_id(self, name: str, field: str) -> str:
        """Returns the id that the upstream gave. Raises `DownstreamError` (404) for an id of another holder, and for one that
        was made up."""
        known, _, seal = name.rpartition("_")
        if self.stored.is_id(known):
            holders = (self.holder, self.former) if self.former else (self.holder,)
            if any(compare_digest(seal.encode(), self._seal_for(holder, known).encode()) for holder in holders):
                return known
        if self.accepts_unsealed and self.stored.is_id(name):
            return name
        raise DownstreamError(ErrorCode.UNKNOWN_ID, field=field)

    def seal_of(self, name: str) -> str:
        """Returns the digits that seal an id."""
        return self._seal_for(self.holder, name)

    def _seal_for(self, holder: str, name: str) -> str:
        return self.seal(f"id:{holder}:{name}".encode())[:_SEAL_CHARS]


@dataclass(slots=True)
class IdStream:
    """Seals the ids in the JSON of an answer that comes in any pieces. Less than a name, or an id, is held back."""

    ids: SealedIds
    _held: bytes = b""
    _open: list[bytes] = field(default_factory=list)  # the names of the objects around the next byte; empty for a list
    _name: bytes = b""  # of the member whose value comes next
    _names: frozenset[bytes] = _NO_NAMES  # of the members of the object around the next byte that hold ids
    _is_in_text: bool = False  # whether the next byte is in a string that is too long to be held

    def feed(self, data: bytes) -> bytes:
        """Returns the bytes in which every id is complete."""
        return self._sealed(self._held + data, is_end=False)

    def end(self) -> bytes:
        """Returns the rest."""
        return self._sealed(self._held, is_end=True)

    def _sealed(self, data: bytes, *, is_end: bool) -> bytes:
        out: list[bytes] = []
        done = at = 0
        while True:
            at = self._passed(data, at)
            if self._is_in_text:
                break
            found = _STEP.match(data, at)
            may_go_on = found is None or (found.end() == len(data) and found[1] is None and not found[3])
            if may_go_on:  # a quote or a colon may follow
                start = data.find(b'"', at)
                at = len(data) if start < 0 else start
                # Short enough to wait for the bytes that decide. What is longer is neither a name nor an id, and passes.
                if len(data) - at <= _MATCH_BYTES and not is_end:
                    break
            if found is None:
                if at == len(data):
                    break
                at, self._is_in_text, self._name = at + 1, True, b""
                continue
            at = found.end()
            if found[1] is not None:
                self._step(found[1])
            elif found[3]:
                self._name = found[2]
            else:
                if self._name in self._names and self.ids.stored.is_id(found[2]):
                    out += [data[done : found.end(2)], b"_", self.ids.seal_of(found[2].decode()).encode()]
                    done = found.end(2)
                self._name = b""
        end = len(data) if is_end else at
        self._held = data[end:]
        return b"".join([*out, data[done:end]])

    def _passed(self, data: bytes, at: int) -> int:
        """Returns the end of what cannot have an id: the rest of a long string, and all of an object that is no place."""
        if self._is_in_text and (found := _STRING_END.match(data, at)):
            at = found.end()
            if data[at : at + 1] != b'"':
                return at
            at, self._is_in_text = at + 1, False
        if self._names or not (found := _OTHER.match(data, at)):
            return at
        return found.end()

    def _step(self, bracket: bytes) -> None:
        """Notes that an object or a list begins or ends."""
        if bracket in b"{[":
            self._open.append(b"" if bracket == b"[" else self._name)
        elif self._open:
            self._open.pop()
        self._name = b""
        is_deep = not 0 < len(self._open) <= _DEEPEST
        self._names = _NO_NAMES if is_deep else self.ids.stored.places.get(tuple(self._open[1:]), _NO_NAMES)
