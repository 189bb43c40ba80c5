"""Seals the ids of stored answers and conversations with their tenant, so that no other tenant can name them.

In: ids of an upstream (`resp_abc`), and ids that clients send. Out: `resp_abc_` with 16 hexadecimal digits that only the key of
the proxy can compute for this tenant, and back. Kept: nothing, so no store is needed. For a tenant, an id has one sealed form,
so a client may compare ids.

An answer is sealed as bytes, frame by frame: a match begins at the name of a member, whose quotes a text inside a JSON string
cannot have. A request is read as a tree, so no spelling of a member gets past.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hmac import compare_digest
from typing import Any
from urllib.parse import unquote

import msgspec

from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.wire import read_body
from guardproxy.wire.json import write

_SEAL_CHARS = 16
_ID = r"(?:resp|conv)_[A-Za-z0-9_.=-]{1,400}"
_SENT = re.compile(
    rb'("(?:id|response_id|previous_response_id|conversation|conversation_id)"\s{0,16}:\s{0,16}")('
    + _ID.encode()
    + rb')(?=")'
)
_MATCH_BYTES = 512  # no match is longer
_KNOWN = re.compile(_ID, re.ASCII)
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
        return _SENT.sub(self._seal_match, data)

    def sealed_to(self, data: bytes, end: int) -> bytes:
        """Returns the bytes up to `end` with sealed ids. The end is not within an id, and the sign behind it is in `data`."""
        out, done = [], 0
        for found in _SENT.finditer(data):
            if found.end() > end:
                break
            out += [data[done : found.start()], self._seal_match(found)]
            done = found.end()
        return b"".join([*out, data[done:end]])

    def opened(self, tree: dict[str, Any]) -> dict[str, Any]:
        """Returns the tree of a request with the ids of the upstream; the same tree if it names none. Raises `DownstreamError`:
        404 for an id that is not the tenant's, 400 for a reference to a stored item, which has no sealed form."""
        for member in _ITEMS:
            if isinstance(items := tree.get(member), list) and any(map(_is_reference, items)):
                message = f"`{member}` refers to a stored item; send the item itself, as ids are sealed"
                raise DownstreamError(ErrorCode.INVALID_VALUE, message, member)
        changed: dict[str, Any] = {}
        if isinstance(previous := tree.get("previous_response_id"), str):
            changed["previous_response_id"] = self.opened_id(previous, "previous_response_id")
        conversation = tree.get("conversation")
        if isinstance(conversation, str):
            changed["conversation"] = self.opened_id(conversation, "conversation")
        elif isinstance(conversation, dict) and isinstance(name := conversation.get("id"), str):
            changed["conversation"] = {**conversation, "id": self.opened_id(name, "conversation.id")}
        if isinstance(more := tree.get("extra_body"), dict) and (inner := self.opened(more)) is not more:
            changed["extra_body"] = inner  # gateways merge it into the request
        return {**tree, **changed} if changed else tree

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
        if _KNOWN.fullmatch(known) and compare_digest(seal.encode(), self._seal_of(known).encode()):
            return known
        if self.accepts_unsealed and _KNOWN.fullmatch(name):
            return name
        raise DownstreamError(ErrorCode.UNKNOWN_ID, field=field)

    def _seal_match(self, found: re.Match[bytes]) -> bytes:
        return found[1] + found[2] + b"_" + self._seal_of(found[2].decode()).encode()

    def _seal_of(self, name: str) -> str:
        return self.seal(f"id:{self.tenant}:{name}".encode())[:_SEAL_CHARS]


@dataclass(slots=True)
class IdStream:
    """Seals the ids in bytes that come in any pieces. Less than `_MATCH_BYTES` are held back."""

    ids: SealedIds
    _held: bytes = b""

    def feed(self, data: bytes) -> bytes:
        """Returns the bytes in which every id is complete."""
        data = self._held + data
        end = max(0, len(data) - _MATCH_BYTES)
        for found in _SENT.finditer(data, max(0, end - _MATCH_BYTES)):
            end = max(end, found.end()) if found.start() < end else end
        self._held = data[end:]
        return self.ids.sealed_to(data, end)

    def end(self) -> bytes:
        """Returns the rest."""
        data, self._held = self._held, b""
        return self.ids.sealed(data)


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
