"""Seals the ids of stored answers and conversations with their tenant, so that no other tenant can name them.

In: ids of an upstream (`resp_abc`), and ids that clients send. Out: `resp_abc_` with 16 hexadecimal digits that only the key of
the proxy can compute for this tenant, and back. Kept: nothing, so no store is needed. For a tenant, an id has one sealed form,
so a client may compare ids.

An answer is sealed as bytes, only at the places where it says which answer or conversation it is. An answer repeats what a
client sent (`metadata`, schemas of tools) and what servers of its tools said. If an id in there were sealed, a tenant could
have the ids of others sealed for itself. A request is read as a tree, so no spelling of a member gets past.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import Any
from urllib.parse import unquote

import msgspec

from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.wire import read_body
from guardproxy.wire.json import write

_SEAL_CHARS = 16
_ID = r"(?:resp|conv)_[A-Za-z0-9_.=-]{1,400}"
_NAMES = frozenset((b"id", b"response_id", b"previous_response_id", b"conversation", b"conversation_id"))
_WHOLE = b"$"  # stands for a whole answer, or a whole event of a stream
_PLACES = frozenset(
    (
        (_WHOLE,),
        (_WHOLE, b"response"),
        (_WHOLE, b"conversation"),
        (_WHOLE, b"response", b"conversation"),
    )
)
"""The objects whose members name an answer or a conversation: the names of the members that lead to them."""
_DEEPEST = max(map(len, _PLACES))
_IN_STRING = rb'(?:[^"\\]++|\\.)*+'
_STRING_END = re.compile(_IN_STRING, re.DOTALL)
_STEP = re.compile(rb'[^"{}\[\]]*+(?:([{}\[\]])|"(' + _IN_STRING + rb')"\s*+(:)?)', re.DOTALL)
_OTHER = re.compile(rb'(?:[^"{}\[\]]++|"' + _IN_STRING + rb'")*+', re.DOTALL)
_MATCH_BYTES = 512  # no name and no id is longer
_KNOWN = re.compile(_ID, re.ASCII)
_SENT = re.compile(_ID.encode())
_STORED = re.compile(r"/(?:responses|conversations)/([^/]+)")
_ITEMS = ("input", "items")  # the members that list items: of a request for an answer, and of one for a conversation
_NEW = ("input_tokens", "compact")  # segments of routes that are no ids


class SealedIds(msgspec.Struct, frozen=True):
    """The ids of a tenant. `seal`: a keyed digest; `tenant`: the pseudonym of the tenant; `accepts_unsealed`: whether an id
    without a seal is sent on, for the time after the setting was changed."""

    seal: Callable[[bytes], str]
    tenant: str
    accepts_unsealed: bool = False

    def sealed(self, data: bytes) -> bytes:
        """Returns whole frames, or a whole answer, with sealed ids."""
        if b'"resp_' not in data and b'"conv_' not in data:
            return data
        stream = IdStream(self)
        return stream.feed(data) + stream.end()

    def opened(self, tree: dict[str, Any]) -> dict[str, Any]:
        """Returns the tree of a request with the ids of the upstream; the same tree if it names none. Raises `DownstreamError`:
        404 for an id that is not the tenant's, 400 for what is no id and for a reference to a stored item, which has no sealed
        form."""
        for member in _ITEMS:
            if isinstance(items := tree.get(member), list) and any(map(_is_reference, items)):
                message = f"`{member}` refers to a stored item; send the item itself, as ids are sealed"
                raise DownstreamError(ErrorCode.INVALID_VALUE, message, member)
        changed: dict[str, Any] = {}
        if (previous := tree.get("previous_response_id")) is not None:
            changed["previous_response_id"] = self._opened_text(previous, "previous_response_id")
        conversation = tree.get("conversation")
        if isinstance(conversation, dict) and [name for name in conversation if name.casefold() == "id"] == ["id"]:
            changed["conversation"] = {**conversation, "id": self._opened_text(conversation["id"], "conversation.id")}
        elif conversation is not None:
            changed["conversation"] = self._opened_text(conversation, "conversation")
        if isinstance(more := tree.get("extra_body"), dict) and (inner := self.opened(more)) is not more:
            changed["extra_body"] = inner  # gateways merge it into the request
        return {**tree, **changed} if changed else tree

    def _opened_text(self, name: object, field: str) -> str:
        """Returns the id that the upstream gave. Raises `DownstreamError`, also for what is no text, in which a lenient server
        could read an id."""
        if not isinstance(name, str):
            raise DownstreamError(ErrorCode.INVALID_TYPE, f"`{field}` must be an id", field)
        return self.opened_id(name, field)

    def opened_body(self, body: bytes) -> bytes:
        """Returns the body of a request with the ids of the upstream; the same bytes if it names none. Raises
        `DownstreamError`, also 400 for a body that is not a JSON object."""
        if not body:
            return body
        opened = self.opened(tree := read_body(body))
        return body if opened is tree else write(opened)

    def opened_path(self, path: str) -> str:
        """Returns the path of a request with the id of the upstream. Raises `DownstreamError` (404)."""
        found = _STORED.search(path)
        if found is None or found[1] in _NEW:
            return path
        name = self.opened_id(unquote(found[1]), "id")
        return f"{path[: found.start(1)]}{name}{path[found.end(1) :]}"

    def opened_id(self, name: str, field: str) -> str:
        """Returns the id that the upstream gave. Raises `DownstreamError` (404) for an id of another tenant, and for one that
        was made up."""
        known, _, seal = name.rpartition("_")
        if _KNOWN.fullmatch(known) and compare_digest(seal.encode(), self.seal_of(known).encode()):
            return known
        if self.accepts_unsealed and _KNOWN.fullmatch(name):
            return name
        raise DownstreamError(ErrorCode.UNKNOWN_ID, field=field)

    def seal_of(self, name: str) -> str:
        """Returns the digits that seal an id."""
        return self.seal(f"id:{self.tenant}:{name}".encode())[:_SEAL_CHARS]


@dataclass(slots=True)
class IdStream:
    """Seals the ids in the JSON of an answer that comes in any pieces. Less than a name, or an id, is held back."""

    ids: SealedIds
    _held: bytes = b""
    _open: list[bytes] = field(default_factory=list)  # the names of the objects around the next byte; empty for a list
    _name: bytes = b""  # of the member whose value comes next
    _is_place: bool = False
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
                if self._is_place and self._name in _NAMES and _SENT.fullmatch(found[2]):
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
        if self._is_place or not (found := _OTHER.match(data, at)):
            return at
        return found.end()

    def _step(self, bracket: bytes) -> None:
        """Notes that an object or a list begins or ends."""
        if bracket in b"{[":
            self._open.append(b"" if bracket == b"[" else self._name if self._open else _WHOLE)
        elif self._open:
            self._open.pop()
        self._name = b""
        self._is_place = len(self._open) <= _DEEPEST and tuple(self._open) in _PLACES


def _is_reference(item: object) -> bool:
    """Whether an item stands for a stored item. The type of a reference may be missing or `null`, and a generated image
    without its data is one, too."""
    if not isinstance(item, Mapping):
        return False
    kind = item.get("type")
    if kind == "image_generation_call":
        return not item.get("result")
    return kind == "item_reference" or not (kind or item.get("role"))


def without_id(path: str) -> str:
    """Returns a path with the word `id` in place of an id, to look for its route: an id of a provider has more digits than the
    parameter of a route may have, and `opened_path` proves that it is an id."""
    found = _STORED.search(path)
    return path if found is None or found[1] in _NEW else f"{path[: found.start(1)]}id{path[found.end(1) :]}"


def is_about_stored(path: str) -> bool:
    """Whether a route is about stored answers or conversations."""
    return re.search(r"/(?:responses|conversations)(?:/|$)", path) is not None
