"""What the log keeps of a text: spans replaced by placeholders, and where everything else has moved to.

In: a text and sorted spans. Out: the masked text and a map of offsets, so that findings are logged in the coordinates
of the text that is logged. Kept: nothing. Offsets are code points, end exclusive.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

Span = tuple[int, int, str]


@dataclass(frozen=True, slots=True)
class OffsetMap:
    """Where offsets of a text are in its masked text.

    `starts`, `ends`: the replaced spans in the text; `masked_starts`, `masked_ends`: their placeholders.
    """

    starts: tuple[int, ...]
    ends: tuple[int, ...]
    masked_starts: tuple[int, ...]
    masked_ends: tuple[int, ...]

    def translate(self, offset: int) -> int:
        """The same place in the masked text; an offset inside of a replaced span gives its placeholder's start."""
        at = bisect_right(self.starts, offset) - 1
        if at < 0:
            return offset
        if offset >= self.ends[at]:
            return self.masked_ends[at] + offset - self.ends[at]
        return self.masked_starts[at]

    def translate_span(self, start: int, end: int) -> tuple[int, int]:
        """The same span in the masked text; where it cuts into a replaced span it grows to the whole placeholder."""
        at = bisect_right(self.starts, end) - 1
        inside = at >= 0 and self.starts[at] < end < self.ends[at]
        return self.translate(start), self.masked_ends[at] if inside else self.translate(end)


def mask(text: str, spans: Sequence[Span]) -> tuple[str, OffsetMap]:
    """`text` with each `(start, end, replacement)` replaced, and the map of its offsets.

    Raises `ValueError` for spans that are empty, not in order, overlapping or outside of the text.
    """
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
