"""Reads a text span by span with hashed n-grams: the cheapest reading there is, so it reads everything.

In: the token numbers and the text of a query. Out: for each span of `SPAN` tokens the sums of each column of a table. Kept:
the table. An n-gram counts in the span in which it ends, so that no n-gram is lost between two spans, and a span depends on
nothing to its right. Sums are of integers: they do not depend on an order of additions.

The words of an n-gram are the tokenizer's numbers, 1 to 3 of them; its characters are the bytes of the text, 3 to 5 of them,
with small letters instead of capitals and one space instead of a run of white space. Characters let the table read other
alphabets and misspellings, of which the tokenizer makes fragments.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from guardproxy.errors import ConfigError
from guardproxy.inference.folders.spans import SPAN

BITS = 18
BUCKETS = 1 << BITS
"""Rows of the table."""
WORDS, CHARS = (1, 2, 3), (3, 4, 5)
"""Sizes of the n-grams of tokens and of bytes."""
KINDS = len(WORDS) + len(CHARS)
_SPACE = 0x20

# Random odd numbers. A hash is the sum of a number for the kind of n-gram and of each member times the number of its place,
# modulo 2^32; its highest bits name the row of the table.
_WORD_FACTORS = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D)
_CHAR_FACTORS = (0x27D4EB2F, 0x165667B1, 0xD3A2646D, 0xFD7046C5, 0xB55A4F09)
_STARTS = (0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)

Places = NDArray[np.uint32]
Bytes = NDArray[np.uint8]
Numbers = NDArray[np.int64]


def _folding() -> Bytes:
    """Returns for each byte the byte that it is read as."""
    table = np.arange(256, dtype=np.uint8)
    table[ord("A") : ord("Z") + 1] += ord("a") - ord("A")
    table[[ord(sign) for sign in "\t\n\v\f\r"]] = _SPACE
    return table


_FOLDED = _folding()


def token_ends(count: int) -> Numbers:
    """Returns the end of each span of a text of `count` tokens, at least one."""
    return np.minimum(np.arange(1, max(1, -(-count // SPAN)) + 1) * SPAN, count)


def read_bytes(text: str, ends: Sequence[int]) -> tuple[Bytes, Numbers]:
    """Returns the bytes of a text as they are read, and the place in them of each character of `ends`, which rises."""
    content = np.frombuffer(text.encode("utf-8", "replace"), np.uint8)
    places = np.asarray(ends, np.int64)
    if len(content) != len(text):
        starts = np.append(np.flatnonzero((content & 0xC0) != 0x80), len(content))
        places = starts[places]
    folded = _FOLDED[content]
    blank = folded == _SPACE
    kept = np.ones(len(folded), bool)
    np.logical_and(blank[1:], blank[:-1], out=kept[1:])
    np.logical_not(kept[1:], out=kept[1:])
    if kept.all():
        return folded, places
    return folded[kept], np.append(0, np.cumsum(kept))[places]


def _hashes(numbers: NDArray[np.uint32], sizes: Sequence[int], factors: Sequence[int]) -> list[Places]:
    """Returns for each size the sum of each n-gram, in order of its end."""
    total = numbers * np.uint32(factors[0])
    found = [total] if 1 in sizes else []
    for size in range(2, max(sizes) + 1):
        total = total[1:] + numbers[: max(0, len(numbers) - size + 1)] * np.uint32(factors[size - 1])
        if size in sizes:
            found.append(total)
    return found


def grams(ids: Sequence[int], word_ends: Numbers, content: Bytes, byte_ends: Numbers) -> tuple[Places, Numbers]:
    """Returns the rows of the table for all n-grams of a text, kind by kind, and where each span begins and ends among them.

    The second is (kinds, spans + 1): the n-grams of kind i in span k are those from [i, k] to [i, k + 1].
    """
    words = _hashes(np.asarray(ids, np.uint32), WORDS, _WORD_FACTORS)
    chars = _hashes(content.astype(np.uint32), CHARS, _CHAR_FACTORS)
    sums = zip(words + chars, _STARTS, strict=True)
    found = [(total + np.uint32(start)) >> np.uint32(32 - BITS) for total, start in sums]
    borders = np.zeros((KINDS, len(word_ends) + 1), np.int64)
    for kind, size in enumerate((*WORDS, *CHARS)):
        ends = word_ends if kind < len(WORDS) else byte_ends
        np.maximum(ends - (size - 1), 0, out=borders[kind, 1:])
    firsts = np.cumsum([0, *map(len, found[:-1])])
    return np.concatenate(found), borders + firsts[:, None]


def read(text: str, ids: Sequence[int], offsets: Sequence[tuple[int, int]]) -> tuple[Places, Numbers]:
    """Returns the n-grams of a text and the borders of its spans among them, see `grams`. `ids`, `offsets`: of its tokens.

    The characters between two spans belong to the later one, and those after the last token to the last span.
    """
    ends = token_ends(len(ids))
    chars = [offsets[end - 1][1] for end in ends[:-1].tolist()]
    content, byte_ends = read_bytes(
        text, [*accumulate(chars, max), len(text)]
    )  # a tokenizer may give places out of order
    return grams(ids, ends, content, byte_ends)


def root(counts: Numbers) -> NDArray[np.float64]:
    """Returns the numbers to the power of 3/4, at least 1: what the sum of so many weights is divided by.

    A mean would hide an order of five words in its span, and a plain sum makes long words and logs look like attacks. Two
    square roots are rounded alike on every machine.
    """
    first = np.sqrt(np.maximum(counts, 1).astype(np.float64))
    return first * np.sqrt(first)


class NgramTable:
    """The weights of the n-grams: 8 bits for each bucket and column. Any thread may use it."""

    def __init__(self, path: Path, columns: int) -> None:
        """`columns`: numbers of a row. Raises `ConfigError` when the file has another size."""
        content = np.fromfile(path, np.int8)
        if len(content) != BUCKETS * columns:
            raise ConfigError(f"{path} must hold {BUCKETS:,} rows of {columns} bytes, but holds {len(content):,} bytes")
        self._columns = columns
        # A row is gathered as one number of 1, 2, 4 or 8 bytes: many times faster than as an array of bytes.
        width = 1 << (columns - 1).bit_length()
        rows = np.zeros((BUCKETS, width), np.int8)
        rows[:, :columns] = content.reshape(BUCKETS, columns)
        self._rows = rows.view(f"i{width}")[:, 0]

    def sums(self, places: Places, borders: Numbers) -> NDArray[np.float64]:
        """Returns for each span and column the sum of the weights over `root` of their number, (spans, columns)."""
        weights = self._rows.take(places).view(np.int8).reshape(len(places), self._rows.itemsize)[:, : self._columns]
        totals = np.zeros((len(places) + 1, self._columns), np.int64)
        np.cumsum(weights, axis=0, out=totals[1:])
        sums = (totals[borders[:, 1:]] - totals[borders[:, :-1]]).sum(0)
        counts = (borders[:, 1:] - borders[:, :-1]).sum(0)
        found: NDArray[np.float64] = sums / root(counts)[:, None]
        return found
