"""Strict JSON: bytes -> tree. Refuses everything that two parsers could read differently.

Refused: duplicate keys, NaN and Infinity, numbers that overflow, lone surrogates, invalid UTF-8, byte order marks, other
encodings, nesting above `DEPTH_LIMIT`. Accepted bytes mean the same to every parser, so they may be sent on unchanged.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

import orjson

from guardproxy.errors import ErrorCode
from guardproxy.wire.json.numbers import SpelledFloat, SpelledInt

DEPTH_LIMIT = 100  # far above any SDK's request; below the interpreter's own limit
_PLAIN_DIGITS = 18  # an integer of more digits may have more than the 64 bits that `orjson` writes
_DIGITS_LIMIT = 4000  # CPython refuses to convert more than 4,300
_SURROGATE = re.compile("[\ud800-\udfff]")


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
    if data.count(b"[") + data.count(b"{") > DEPTH_LIMIT:
        bound_nesting(data)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise JsonFault(ErrorCode.INVALID_ENCODING, "the body is not UTF-8") from None
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
    if len(value) + 2 < end - at and _SURROGATE.search(value):  # only an escape makes it shorter
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


def bound_nesting(data: bytes, limit: int = DEPTH_LIMIT) -> None:
    """Refuses deep nesting before the parser recurses into it; linear in the size of `data`. Raises `JsonFault`."""
    depth = 0
    for bracket in _STRINGS.sub(b"", data).translate(None, _NO_BRACKETS):
        depth += 1 if bracket in _OPENING else -1
        if depth > limit:
            raise JsonFault(ErrorCode.TOO_DEEP, f"nested deeper than {limit}")


def _has_surrogate(tree: Any) -> bool:
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, str):
            if _SURROGATE.search(node):
                return True
        elif isinstance(node, dict):
            stack.extend(node)
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)
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
    if not data.isascii():
        for char, escape in _LINE_ENDS.items():
            data = data.replace(char, escape)
    return data
