"""Joins the tags of words to spans, for the taggers that are model folders.

In: for each word of a text its place, its best tag and the share of each label. Out: spans with a label and a score.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from guardproxy.checks import Tag

EDGES = " \t\r\n\"'`“”‘’«»<>()[]{}*_,;:!?|/\\=~"
"""Characters that stand around a name."""


def joined(
    text: str,
    places: Iterable[tuple[int, int]],
    best: Iterable[int],
    shares: Iterable[Sequence[float]],
    labels: Sequence[str],
    edges: str = EDGES,
    steps: int = 1,
) -> Iterator[Tag]:
    """Yields a tag for each name in a text, without `edges` at its ends; it may be empty.

    The tag of a word is 0 for no name; for the label number n it is 1 + 2n where a name begins, and 2 + 2n where one may go on.
    The score is the mean of the label's shares, of which 1 has so many `steps`.
    """
    spans: list[tuple[int, int, list[float]]] = []  # label, start, the share of each word
    ends: list[int] = []
    before = -1
    for (start, end), tag, row in zip(places, best, shares, strict=True):
        label = (tag - 1) // 2 if tag else -1
        if label >= 0 and label == before and tag % 2 == 0:
            spans[-1][2].append(row[label])
            ends[-1] = end
        elif label >= 0:
            spans.append((label, start, [row[label]]))
            ends.append(end)
        before = label
    for (label, start, shared), end in zip(spans, ends, strict=True):
        low, high = _trim(text, start, end, edges)
        yield Tag(low, high, labels[label], round(sum(shared) / len(shared) / steps, 4))


def _trim(text: str, start: int, end: int, edges: str) -> tuple[int, int]:
    while start < end and text[start] in edges:
        start += 1
    while start < end and text[end - 1] in edges:
        end -= 1
    return start, end
