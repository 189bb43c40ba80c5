"""Strict JSON: bytes -> tree. Refuses everything that two parsers could read differently.

Refused: duplicate keys, NaN and Infinity, numbers that overflow, lone surrogates, invalid UTF-8, byte order marks, other
encodings, nesting above `DEPTH_LIMIT`. Accepted bytes mean the same to every parser, so they may be sent on unchanged.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any, NoReturn

import orjson

from guardproxy.concurrency import stop_point
from guardproxy.errors import ErrorCode
from guardproxy.wire.json.chunked import decoded
from guardproxy.wire.json.numbers import SpelledFloat, SpelledInt

DEPTH_LIMIT = 100  # far above any SDK's request; below the interpreter's own limit
_PLAIN_DIGITS = 18  # an integer of more digits may have more than the 64 bits that `orjson` writes
_DIGITS_LIMIT = 4000  # CPython refuses to convert more than 4,300
# Bytes or characters of one call. A call holds the interpreter to its end, in whichever thread it runs.
SLICE = 1 << 16
_LONG_BYTES = 1 << 20  # to decode this much takes a millisecond


class JsonFault(ValueError):
    """JSON that is not accepted. The message names the place and never quotes the text."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree = dict(pairs)
    if len(tree) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        name = twice if re.fullmatch(r"\w{1,40}", twice) else "?"
        raise JsonFault(ErrorCode.DUPLICATE_KEY, f"the key `{name}` appears twice in an object")
    return tree


def _constant(_: str) -> NoReturn:
    raise JsonFault(ErrorCode.INVALID_NUMBER, "NaN and Infinity are not JSON")


def _float(digits: str) -> float:
    value = float(digits)
    # It would be written as it came, so its spelling need not be kept.
    if orjson.dumps(value) == digits.encode():
        return value
    spelled = SpelledFloat(_plain_float(digits))
    spelled.token = digits
    return spelled


def _plain_float(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise JsonFault(ErrorCode.INVALID_NUMBER, "a number is too large")
    return value


def _plain_int(digits: str) -> int:
    if len(digits) > _DIGITS_LIMIT:
        raise JsonFault(ErrorCode.INVALID_NUMBER, "a number has too many digits")
    return int(digits)


def _int(digits: str) -> int:
    if len(digits) <= _PLAIN_DIGITS and digits != "-0":
        return int(digits)
    spelled = SpelledInt(_plain_int(digits))
    spelled.token = digits
    return spelled


_decoder = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, parse_int=_int, strict=True
)
_plain_decoder = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_constant, parse_float=_plain_float, parse_int=_plain_int, strict=True
)


_SPACE = " \t\n\r"


def read(data: bytes, *, keeps_spelling: bool = True) -> Any:
    """The tree of `data`. `keeps_spelling`: whether `write` writes each number as it was spelled; without it, long lists of
    numbers are read twice as fast. Raises `JsonFault`."""
    # Fewer brackets cannot nest more deeply, even if all of them are outside of strings.
    if (data.count(b"[") + data.count(b"{") if len(data) <= SLICE else _brackets(data)) > DEPTH_LIMIT:
        bound_nesting(data)
    try:
        text = data.decode("utf-8") if len(data) <= _LONG_BYTES else decoded(data, "utf-8")
    except UnicodeDecodeError:
        raise JsonFault(ErrorCode.INVALID_ENCODING, "the body is not UTF-8") from None
    # RFC 8259, 8.1: a reader may ignore the mark or refuse it, so two servers read two different bodies.
    if text.startswith("\ufeff"):
        raise JsonFault(ErrorCode.INVALID_ENCODING, "the body begins with a byte order mark")
    try:
        decoder = _decoder if keeps_spelling else _plain_decoder
        tree, end = decoder.raw_decode(text, _skip_space(text, 0) if text[:1] in _SPACE else 0)
    except json.JSONDecodeError as error:
        raise JsonFault(ErrorCode.INVALID_JSON, f"not JSON at line {error.lineno} column {error.colno}") from None
    except RecursionError:
        raise JsonFault(ErrorCode.TOO_DEEP, f"nested deeper than {DEPTH_LIMIT}") from None
    if end != len(text) and _skip_space(text, end) != len(text):
        raise JsonFault(ErrorCode.INVALID_JSON, "more text follows the JSON value")
    # The bytes are valid UTF-8, so only an escape can bring one.
    if b"\\u" in data and _has_surrogate(tree):
        raise JsonFault(ErrorCode.INVALID_ENCODING, "a string holds half of a surrogate pair")
    return tree


def read_string(text: str, at: int) -> tuple[str, int]:
    """The string whose first quote is at `at`, and the place behind its last quote. Raises `JsonFault`."""
    try:
        value, end = _decoder.raw_decode(text, at)
    except json.JSONDecodeError:
        raise JsonFault(ErrorCode.INVALID_JSON, "not a string of JSON") from None
    if len(value) + 2 < end - at and _has_half(value):  # only an escape makes it shorter
        raise JsonFault(ErrorCode.INVALID_ENCODING, "a string holds half of a surrogate pair")
    return value, end


def skim(data: bytes) -> Any:
    """Parses JSON that is not inspected and is sent on unchanged. Fast and not strict. Raises `JsonFault`."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        raise JsonFault(ErrorCode.INVALID_JSON, "not JSON") from None


def _skip_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at


# A string without its end reaches to the end of the data. Searching again from each quote in it would take squared time.
_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_OPENING = frozenset(b"[{")


def _brackets(data: bytes) -> int:
    """Counts the opening brackets of long data, until there are too many."""
    count = 0
    for at in range(0, len(data), SLICE):
        count += data.count(b"[", at, at + SLICE) + data.count(b"{", at, at + SLICE)
        if count > DEPTH_LIMIT:
            break
    return count


def bound_nesting(data: bytes, limit: int = DEPTH_LIMIT) -> None:
    """Refuses deep nesting before the parser recurses into it; linear in the size of `data`. Raises `JsonFault`."""
    depth = 0
    for outside in _outside_strings(data):
        for bracket in outside.translate(None, _NO_BRACKETS):
            depth += 1 if bracket in _OPENING else -1
            if depth > limit:
                raise JsonFault(ErrorCode.TOO_DEEP, f"nested deeper than {limit}")


def _outside_strings(data: bytes) -> Iterator[bytes]:
    """Yields what stands outside of strings, slice by slice. Behind the first fault of broken JSON it is a guess: the parser
    ends there."""
    at, is_inside = 0, False
    while at < len(data):
        stop_point()
        end = at + SLICE
        piece = data[at:end]
        # No escape is cut in two: its second half could be taken for the end of the string.
        if (len(piece) - len(piece.rstrip(b"\\"))) % 2:
            end += 1
            piece = data[at:end]
        at = end
        # The bracket at the end is gone if it belongs to an open string, before which JSON has no such bracket.
        outside = _STRINGS.sub(b"", b'"%b]' % piece if is_inside else b"%b]" % piece)
        is_inside = not outside.endswith(b"]")
        yield outside if is_inside else outside[:-1]


def _has_surrogate(tree: Any) -> bool:
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, str):
            if _has_half(node):
                return True
        elif isinstance(node, dict):
            stack.extend(node)
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)
    return False


def _has_half(text: str) -> bool:
    """Whether a text holds half of a surrogate pair."""
    if text.isascii():
        return False
    try:
        # Only such a half cannot be encoded. A search for it would take ten times as long.
        for at in range(0, len(text), SLICE):
            text[at : at + SLICE].encode()
    except UnicodeEncodeError:
        return True
    return False


def write(tree: Any) -> bytes:
    """Returns compact UTF-8 JSON. Numbers stay as they were spelled, and integers of any size stay exact."""
    try:
        return orjson.dumps(tree, _written, orjson.OPT_PASSTHROUGH_SUBCLASS)
    except TypeError:
        tree = _with_big_integers(tree)
    try:
        return orjson.dumps(tree, _written, orjson.OPT_PASSTHROUGH_SUBCLASS)
    except TypeError:  # nested more deeply than `orjson` writes
        return json.dumps(tree, ensure_ascii=False, separators=(",", ":")).encode()


def _written(value: Any) -> Any:
    """Returns what `orjson` writes for a value of a derived type."""
    if isinstance(value, (SpelledInt, SpelledFloat)):
        return orjson.Fragment(value.token)
    match value:
        case str():
            return str(value)
        case dict():
            return dict(value)
        case list():
            return list(value)
        case int():
            return int(value)
    raise TypeError


def _with_big_integers(node: Any) -> Any:
    """Returns a tree whose integers `orjson` can write, however large they are."""
    if isinstance(node, dict):
        return {key: _with_big_integers(child) for key, child in node.items()}
    if isinstance(node, list):
        return [_with_big_integers(child) for child in node]
    return _int(str(node)) if type(node) is int else node


_LINE_ENDS = {char.encode(): f"\\u{ord(char):04x}".encode() for char in "\u0085\u2028\u2029"}


def write_line(tree: Any) -> bytes:
    """Returns `write(tree)` with the line ends of Unicode as escapes, as some readers of streams take them for the end of a
    line."""
    data = write(tree)
    if data.isascii():
        return data
    return _on_one_line(data) if len(data) <= SLICE else b"".join(map(_on_one_line, _in_characters(data)))


def _on_one_line(data: bytes) -> bytes:
    for char, escape in _LINE_ENDS.items():
        data = data.replace(char, escape)
    return data


def _in_characters(data: bytes) -> Iterator[bytes]:
    """Yields slices of UTF-8, none of which ends within a character."""
    at = 0
    while at < len(data):
        stop_point()
        end = at + SLICE
        while data[end : end + 1] and data[end] & 0xC0 == 0x80:
            end += 1
        yield data[at:end]
        at = end
