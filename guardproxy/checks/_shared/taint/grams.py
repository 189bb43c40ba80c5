"""An index of the grams of packed texts: finds where a run of characters stands first.

In: packed texts as codes. Out: for each gram of another packed text the place where it stands first. A gram is any `width`
characters that follow each other.

Each gram is a number of 64 bits: a hash above, its place below. So one sort orders grams by hash, and equal grams by place. The
cost is linear in the characters, apart from the sort of the numbers; eight bytes are kept for each character. Equal hashes are
compared by their characters. If more than `_ROUNDS` other grams have the same hash, which happens only on purpose, the gram
counts as found.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from guardproxy.concurrency import stop_point

MOST_CHARS = 1 << 25
"""The most characters of an index."""
STEP_CHARS = 1 << 15
_PLACE = np.uint64(MOST_CHARS - 1)
_HASH = ~_PLACE
_FACTOR, _MIX = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)
_ROUNDS = 64
_WRITTEN_FOR = {"o": "0", "i": "1", "l": "1", "z": "2", "e": "3", "a": "4", "s": "5", "t": "7", "b": "8", "g": "9"}

Codes = NDArray[np.uint32]
Numbers = NDArray[np.uint64]
Places = NDArray[np.int64]
Mask = NDArray[np.bool_]

_ALIKE: Codes = np.arange(128, dtype=np.uint32)
_ALIKE[[ord(letter) for letter in _WRITTEN_FOR]] = [ord(digit) for digit in _WRITTEN_FOR.values()]


def codes_of(parts: Sequence[str]) -> tuple[Codes, Mask]:
    """Returns the characters of a packed text as numbers, and which of them are digits. A letter that people write for a digit
    has the number of the digit."""
    steps = [np.frombuffer(part.encode("utf-32-le", "surrogatepass"), np.uint32) for part in parts]
    codes = np.concatenate(steps) if steps else np.empty(0, np.uint32)
    return np.where(codes < 128, _ALIKE[codes & 127], codes), (codes >= 48) & (codes < 58)


def counted(mask: Mask, width: int) -> Places:
    """Returns for each gram how many of its characters are in a mask."""
    sums: Places = np.zeros(len(mask) + 1, np.int64)
    np.cumsum(mask, out=sums[1:])
    return sums[width:] - sums[:-width] if len(mask) >= width else np.empty(0, np.int64)


def covered(grams: Mask, width: int) -> Mask:
    """Returns which characters lie in a gram of a mask."""
    changes = np.zeros(len(grams) + width, np.int64)
    hits = np.flatnonzero(grams)
    changes[hits] += 1
    changes[hits + width] -= 1
    return (np.cumsum(changes) > 0)[:-1] if len(grams) else np.zeros(0, np.bool_)


def index_of(codes: Codes, width: int, keep: Mask | None = None) -> Numbers:
    """Returns the index of a text. `keep`: the grams that count; `None`: all."""
    parts = []
    for at in range(0, max(0, len(codes) - width + 1), STEP_CHARS):
        stop_point()
        numbers = _hashes(codes[at : at + STEP_CHARS + width - 1], width)
        numbers |= np.arange(at, at + len(numbers), dtype=np.uint64)
        parts.append(numbers if keep is None else numbers[keep[at : at + len(numbers)]])
    numbers = np.concatenate(parts) if parts else np.empty(0, np.uint64)
    numbers.sort()
    return numbers


def first_places(codes: Codes, width: int, index: Numbers, indexed: Codes) -> Places:
    """Returns for each gram of `codes` its first place in the text `indexed`, or -1."""
    parts = []
    for at in range(0, max(0, len(codes) - width + 1), STEP_CHARS):
        stop_point()
        parts.append(_first_places(codes[at : at + STEP_CHARS + width - 1], width, index, indexed))
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def _first_places(codes: Codes, width: int, index: Numbers, indexed: Codes) -> Places:
    wanted = _hashes(codes, width)
    rows = np.searchsorted(index, wanted)
    places = np.full(len(wanted), -1, np.int64)
    open_grams = np.arange(len(wanted))
    for number in range(_ROUNDS + 1):
        open_grams = open_grams[rows[open_grams] < len(index)]
        open_grams = open_grams[index[rows[open_grams]] & _HASH == wanted[open_grams]]
        if not len(open_grams):
            break
        found = (index[rows[open_grams]] & _PLACE).astype(np.int64)
        is_same = np.full(len(found), number == _ROUNDS)
        if number < _ROUNDS:
            is_same[:] = True
            for step in range(width):
                is_same &= codes[open_grams + step] == indexed[found + step]
        places[open_grams[is_same]] = found[is_same]
        open_grams = open_grams[~is_same]
        rows[open_grams] += 1
    return places


def _hashes(codes: Codes, width: int) -> Numbers:
    """Returns the hash of each gram, in its upper bits."""
    return hashes_of(codes, width) & _HASH


def hashes_of(codes: Codes, width: int) -> Numbers:
    """Returns a hash of each gram, of 64 bits."""
    size = max(0, len(codes) - width + 1)
    wide = codes.astype(np.uint64)
    hashes = wide[:size].copy()
    for at in range(1, width):
        hashes *= _FACTOR
        hashes += wide[at : at + size]
    hashes ^= hashes >> np.uint64(29)
    hashes *= _MIX
    return hashes
