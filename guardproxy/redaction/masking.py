"""Masks a text for the log: replaces spans by placeholders and maps offsets to the masked text.

In: a text and sorted spans. Out: the masked text and a map of offsets, so that the offsets of logged findings refer to the
logged text. Offsets count code points; ends are exclusive. Decision:
docs/decisions/0009-in-a-record-the-placeholder-is-the-value.md
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
Span = tuple[int, int, str]


@dataclass(frozen=True, slots=True)
class OffsetMap:
    """Maps offsets of a text to its masked text.

    `starts`, `ends`: the replaced spans in the text; `masked_starts`, `masked_ends`: their placeholders.
    """

    starts: Sequence[int]
    ends: Sequence[int]
    masked_starts: Sequence[int]
    masked_ends: Sequence[int]

    def translate(self, offset: int) -> int:
        """Returns the corresponding offset in the masked text. For an offset inside a replaced span, it is the start
        of the placeholder."""
        at = bisect_right(self.starts, offset) - 1
        if at < 0:
            return offset
        if offset >= self.ends[at]:
            return self.masked_ends[at] + offset - self.ends[at]
        return self.masked_starts[at]

    def translate_span(self, start: int, end: int) -> tuple[int, int]:
        """Returns the corresponding span in the masked text. A span that overlaps a replaced span includes the
        placeholder."""
        at = bisect_right(self.starts, end) - 1
        inside = at >= 0 and self.starts[at] < end < self.ends[at]
        return self.translate(start), self.masked_ends[at] if inside else self.translate(end)


_UNMOVED = OffsetMap((), (), (), ())


class Moves:
    """Maps offsets of a text whose edits are added over time."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._masked_starts: list[int] = []
        self._masked_ends: list[int] = []
        self._in_bytes: ByteMoves | None = None

    @property
    def in_bytes(self) -> ByteMoves:
        """The moves of offsets that count bytes. They take the edits on their own."""
        self._in_bytes = self._in_bytes or ByteMoves()
        return self._in_bytes

    def take(self, edits: Sequence[Span], number: int) -> None:
        """Adds the first `number` edits; edits that were added before are skipped."""
        for start, end, replacement in islice(edits, len(self._starts), number):
            shift = self._masked_ends[-1] - self._ends[-1] if self._ends else 0
            self._starts.append(start)
            self._ends.append(end)
            self._masked_starts.append(start + shift)
            self._masked_ends.append(start + shift + len(replacement))

    @property
    def there(self) -> OffsetMap:
        """Maps the text to the edited text."""
        return OffsetMap(self._starts, self._ends, self._masked_starts, self._masked_ends)

    @property
    def back(self) -> OffsetMap:
        """Maps the edited text to the text."""
        return OffsetMap(self._masked_starts, self._masked_ends, self._starts, self._ends)


class ByteMoves:
    """Maps offsets that count bytes of UTF-8 of a text whose edits are added over time."""

    def __init__(self) -> None:
        self._moves = Moves()
        self._spans: list[Span] = []
        self._chars = self._bytes = 0  # the end of the last edit

    def take(self, edits: Sequence[Span], number: int, part: Callable[[int, int], str]) -> OffsetMap:
        """Adds the first `number` edits, and returns the map to the edited text. `part(start, end)`: a part of the text."""
        for start, end, replacement in islice(edits, len(self._spans), number):
            first = self._bytes + _size(part(self._chars, start))
            self._chars, self._bytes = end, first + _size(part(start, end))
            self._spans.append((first, self._bytes, "\0" * _size(replacement)))
        self._moves.take(self._spans, len(self._spans))
        return self._moves.there


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def mask(text: str, spans: Sequence[Span]) -> tuple[str, OffsetMap]:
    """Replaces each `(start, end, replacement)` in `text`. Returns the masked text and the map of its offsets.

    Raises `ValueError` for spans that are empty, not in order, overlapping or outside of the text.
    """
    if not spans:
        return text, _UNMOVED
    parts: list[str] = []
    masked_starts: list[int] = []
    masked_ends: list[int] = []
    done = length = 0
    for start, end, replacement in spans:
        if not done <= start < end <= len(text):
            raise ValueError(f"span {start}..{end} is empty, out of order or outside of the text")
        parts += text[done:start], replacement
        masked_starts.append(length + start - done)
        length = masked_starts[-1] + len(replacement)
        masked_ends.append(length)
        done = end
    parts.append(text[done:])
    starts, ends = tuple(start for start, _, _ in spans), tuple(end for _, end, _ in spans)
    return "".join(parts), OffsetMap(starts, ends, tuple(masked_starts), tuple(masked_ends))


def merge(spans: Iterable[tuple[int, int, T]]) -> list[tuple[int, int, T]]:
    """Merges overlapping spans and returns them sorted. The first span, or among equal starts the longest, gives the
    replacement, or whatever is its third part."""
    out: list[tuple[int, int, T]] = []
    for start, end, token in sorted(spans, key=lambda span: (span[0], -span[1])):
        if out and start < out[-1][1]:
            out[-1] = (out[-1][0], max(end, out[-1][1]), out[-1][2])
        else:
            out.append((start, end, token))
    return out


def beside(spans: Iterable[Span], others: Sequence[Span]) -> Iterator[Span]:
    """Yields the parts of `spans` that lie outside of `others`. Both are sorted and without overlaps."""
    first = 0
    for start, end, token in spans:
        while first < len(others) and others[first][1] <= start:
            first += 1
        at, number = start, first
        while number < len(others) and others[number][0] < end:
            if at < others[number][0]:
                yield at, others[number][0], token
            at = others[number][1]
            number += 1
        if at < end:
            yield at, end, token
