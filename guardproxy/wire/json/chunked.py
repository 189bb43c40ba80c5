"""Processes long strings in slices. A single call on a long string would hold the interpreter, in whichever thread it runs.
Between two slices other threads run, and a step that is no longer needed can stop.

In: strings and bytes of any length. Out: the result of one call on the whole. All steps are linear.
"""

from __future__ import annotations

import binascii
import codecs
import re
from collections.abc import Iterator
from typing import TypeVar
from urllib.parse import unquote_to_bytes

from guardproxy.concurrency import stop_point

Long = TypeVar("Long", str, bytes)

SLICE = 3 << 15
"""The length of a slice, in characters or bytes: no call takes more than a millisecond. It holds whole groups of base64 and
of UTF-16, which are groups of 4, and whole groups of bytes that base64 is made of, which are groups of 3."""

ESCAPED_SLICE = 1 << 14
"""The same for text with percent escapes, each of which becomes an object while it is decoded. At least 4."""

_STANDARD = bytes.maketrans(b"-_", b"+/")
_SPACES = bytes(code for code in range(128) if chr(code).isspace())
_PRINTABLE = bytes(range(0x20, 0x7F))
_RUNS = re.compile(rb"[\x20-\x7e]{8,}")
_LEAST_RUN_BYTES = 8


def slices(whole: Long, overlap: int = 0) -> Iterator[Long]:
    """The slices of a string, in order. `overlap`: the number of characters that a slice shares with the next."""
    for start in range(0, len(whole), SLICE):
        stop_point()
        yield whole[start : start + SLICE + overlap]


def has(pattern: re.Pattern[Long], whole: Long, longest: int = 1) -> bool:
    """Whether a pattern is found in a string. `longest`: the number of characters of its longest match."""
    return any(pattern.search(piece) for piece in slices(whole, longest - 1))


def is_blank_before(whole: str, word: str) -> bool:
    """Whether a string begins with a word in any case, perhaps after spaces. `word`: in lower case."""
    if len(whole) <= SLICE:
        return whole.lstrip()[: len(word)].lower() == word
    for start in range(0, len(whole), SLICE):
        stop_point()
        rest = whole[start : start + SLICE].lstrip()
        if rest:
            at = min(start + SLICE, len(whole)) - len(rest)
            return whole[at : at + len(word)].lower() == word
    return False


def from_base64(payload: Long) -> bytes | None:
    """Decodes base64 in the standard alphabet, with its padding; `None` if the payload is not valid."""
    if len(payload) <= SLICE:
        try:
            return binascii.a2b_base64(payload, strict_mode=True)
        except (binascii.Error, ValueError):
            return None
    parts = []
    last = (len(payload) - 1) // SLICE
    for at, piece in enumerate(slices(payload)):
        try:
            parts.append(binascii.a2b_base64(piece, strict_mode=True))
        except (binascii.Error, ValueError):
            return None
        if at != last and 3 * len(piece) != 4 * len(parts[-1]):  # only the end may have padding
            return None
    return b"".join(parts)


def to_base64(data: bytes) -> str:
    """Encodes bytes as base64 in the standard alphabet."""
    return "".join(binascii.b2a_base64(piece, newline=False).decode() for piece in slices(data))


def standard_base64(payload: str) -> bytes:
    """Converts ASCII text from the URL alphabet of base64 to the standard alphabet, without spaces and with padding."""
    pieces = slices(payload) if len(payload) > SLICE else (payload,)
    body = b"".join([piece.encode().translate(_STANDARD, _SPACES) for piece in pieces]).rstrip(b"=")
    return body + b"=" * (-len(body) % 4)


def decoded(data: bytes, coding: str, errors: str = "strict") -> str:
    """Decodes bytes to text. Raises `UnicodeDecodeError` if `errors` is `strict`."""
    decoder = codecs.getincrementaldecoder(coding)(errors)
    parts = [decoder.decode(piece) for piece in slices(data)]
    return "".join([*parts, decoder.decode(b"", final=True)])


def begun(data: bytes) -> str | None:
    """Decodes UTF-8 that may be cut off within its last character; `None` if it is not valid."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        return "".join([decoder.decode(piece) for piece in slices(data)])
    except UnicodeDecodeError:
        return None


def zeros(data: bytes, first: int) -> int:
    """Counts the zero bytes at the offsets `first`, `first` + 2, and so on. `first`: 0 or 1."""
    return sum(piece[first::2].count(0) for piece in slices(data))


def runs(data: bytes) -> Iterator[bytes]:
    """Yields the longest runs of eight or more printable ASCII characters, in order."""
    if len(data) <= SLICE:
        yield from _RUNS.findall(data)
        return
    open_run: list[bytes] = []  # the parts of a run that may continue
    for piece in slices(data):
        inner = piece.lstrip(_PRINTABLE)
        open_run.append(piece[: len(piece) - len(inner)])
        if not inner:
            continue
        yield from _long_enough(open_run)
        rest = inner.rstrip(_PRINTABLE)
        yield from _RUNS.findall(rest)
        open_run = [inner[len(rest) :]]
    yield from _long_enough(open_run)


def _long_enough(parts: list[bytes]) -> Iterator[bytes]:
    run = b"".join(parts)
    if len(run) >= _LEAST_RUN_BYTES:
        yield run


def unquoted(text: str) -> bytes:
    """Decodes percent-encoded text. Raises `UnicodeEncodeError` for lone surrogates."""
    parts = []
    start = 0
    while start < len(text):
        stop_point()
        end = start + ESCAPED_SLICE
        # An escape has three characters, and none may be cut in two.
        if end < len(text) and (at := text.find("%", end - 2, end)) >= 0:
            end = at
        parts.append(unquote_to_bytes(text[start:end]))
        start = end
    return b"".join(parts)
