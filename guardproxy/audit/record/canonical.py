"""Canonical JSON, the only form in which the audit log writes a value: sorted keys, no spaces, UTF-8.

In: JSON values. Out: their bytes, whole or in pieces.

The encoder holds the interpreter lock during a call, in every thread. A large value is therefore encoded in pieces, so
that other threads run between them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from math import isfinite
from operator import itemgetter
from typing import Any

import orjson

from guardproxy.errors import AuditError

PIECE_WEIGHT = 1 << 16
"""The weight of a piece, about its size in bytes. The encoder takes less than half a millisecond for it (measured)."""
NODE_WEIGHT = 8
GROUP = 32  # number of members of a container that are weighed together
MOST_DEPTH = 256  # the encoder refuses values that are nested deeper, whole or in pieces

Encode = Callable[[Any, int], bytes]
# The plain encoder receives the types whose JSON would not read back as the same JSON, and refuses them.
_OPTIONS = (
    orjson.OPT_SORT_KEYS
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)


def canonical(value: Any) -> bytes:
    """Returns the canonical form of a JSON value. Raises `AuditError` for other values."""
    try:
        return orjson.dumps(value, option=_OPTIONS)
    except TypeError:
        pass
    # orjson does not accept lone surrogates, integers above 64 bits, deep nesting, or subclasses of str and int.
    try:
        plain = json.loads(json.dumps(value, allow_nan=False))
        try:
            return orjson.dumps(plain, option=_OPTIONS)
        except TypeError:
            return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise AuditError(f"a record that is not JSON: {type(error).__name__}") from None


def one_call(value: Any) -> bytes:
    """Returns the canonical form of a JSON value. Raises `TypeError` for a value that orjson cannot write, which may be
    JSON."""
    return orjson.dumps(value, option=_OPTIONS)


def around(record: dict[str, Any], key: str) -> tuple[list[bytes], list[bytes]]:
    """Returns the canonical form of an object that lacks `key`, in pieces: the pieces before the place of `key`, and
    the pieces after it. Raises `TypeError`, `ValueError` or `RecursionError` if orjson cannot write the object."""
    try:
        return _around(record, key, _utf8)
    except TypeError:
        plain = _plain(record)
    try:
        return _around(plain, key, _utf8)
    except TypeError:
        return _around(plain, key, _ascii)


def _around(record: dict[str, Any], key: str, encode: Encode) -> tuple[list[bytes], list[bytes]]:
    before = pieces({name: value for name, value in record.items() if name < key}, encode)
    after = pieces({name: value for name, value in record.items() if name > key}, encode)
    return list(before), list(after)


def _utf8(value: Any, depth: int = 0) -> bytes:
    """Encodes a value in one call. The value is wrapped to its real depth, so that the encoder refuses the same
    nesting."""
    for _ in range(depth):
        value = [value]
    data = orjson.dumps(value, option=_OPTIONS)
    return data[depth : len(data) - depth] if depth else data


def _ascii(value: Any, depth: int = 0) -> bytes:
    """Encodes a value in one call of the plain encoder, which accepts lone surrogates and large integers."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _plain(value: Any, depth: int = 0) -> Any:
    """Returns the value as it reads back from its JSON: a surrogate pair becomes one character, a tuple becomes a list.
    Raises `TypeError` and `ValueError` for values whose JSON is not obvious."""
    kind = type(value)
    if kind is str:
        return (
            value
            if value.isascii()
            else value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        )
    if value is None or kind is int or kind is bool:
        return value
    if kind is float:
        if not isfinite(value):
            raise ValueError("not a finite number")
        return value
    if depth >= MOST_DEPTH or kind not in (dict, list, tuple):
        raise TypeError("not a plain value")
    if kind is dict:
        if not all(type(key) is str for key in value):
            raise TypeError("a key that is not a text")
        return {_plain(key): _plain(child, depth + 1) for key, child in value.items()}
    return [_plain(child, depth + 1) for child in value]


def pieces(value: Any, encode: Encode = _utf8, depth: int = 0) -> Iterator[bytes]:
    """Yields the canonical form of a value in pieces of bounded cost. `encode` writes a piece; `depth` is the number
    of containers around the value. Raises `TypeError` for a value that `encode` cannot write, perhaps after some
    pieces."""
    if depth > MOST_DEPTH:
        raise TypeError("nested too deeply")
    if _weight(value) < PIECE_WEIGHT:
        yield encode(value, depth)
    elif type(value) is str:
        yield b'"'
        for start in range(0, len(value), PIECE_WEIGHT):
            # How JSON writes a character does not depend on its neighbours, so a text may be cut anywhere.
            yield encode(value[start : start + PIECE_WEIGHT], depth)[1:-1]
        yield b'"'
    elif type(value) is dict:
        yield b"{"
        # By code points, as the encoder sorts the keys of a piece: UTF-8 keeps that order.
        yield from _members(sorted(value.items(), key=itemgetter(0)), dict, encode, depth)
        yield b"}"
    else:  # a list or a tuple: other values have no weight
        yield b"["
        yield from _members(value, list, encode, depth)
        yield b"]"


def _members(
    members: Sequence[Any], make: type[list[Any]] | type[dict[str, Any]], encode: Encode, depth: int
) -> Iterator[bytes]:
    """Yields the members of a container in pieces; small members share a piece. `make` builds a container from some
    members."""
    for start in range(0, len(members), GROUP):
        comma = b"," if start else b""
        group = make(members[start : start + GROUP])
        if _weight(group) < PIECE_WEIGHT:
            yield comma + encode(group, depth)[1:-1]
            continue
        for member in members[start : start + GROUP]:
            key, child = member if make is dict else ("", member)
            yield comma + (encode(key, depth) + b":" if make is dict else b"")
            yield from pieces(child, encode, depth + 1)
            comma = b","


def _weight(value: Any) -> int:
    """Returns the weight of a value. For a large value it stops early, at a weight that is at least that of a piece.
    Raises `TypeError` for an object whose keys have no length."""
    weight = 0
    nodes = [value]
    for node in nodes:  # the list grows during the loop
        kind = type(node)
        if kind is str:
            weight += len(node)
        elif kind is dict:
            weight += NODE_WEIGHT * len(node) + sum(map(len, node))
            if weight >= PIECE_WEIGHT:
                break
            nodes += node.values()
        elif kind is list or kind is tuple:
            weight += NODE_WEIGHT * len(node)
            if weight >= PIECE_WEIGHT:
                break
            nodes += node
    return weight
