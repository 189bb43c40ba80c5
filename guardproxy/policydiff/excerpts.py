"""Cuts excerpts of a recorded text around its findings.

In: the text as the record shows it (masked), and spans. Out: parts in order, some of them marked. The rest of the text
is never shown.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

AROUND_CHARS = 60
LIMIT_CHARS = 400


class ExcerptPart(NamedTuple):
    """A part of an excerpt. `mark`: the name of the finding; empty for plain text."""

    text: str
    mark: str = ""


def excerpt(text: str, spans: Iterable[tuple[int, int, str]], around: int = AROUND_CHARS) -> tuple[ExcerptPart, ...]:
    """Returns the spans of a text, marked with their names, and `around` characters on both sides. Overlapping spans
    are merged under the name of the first span."""
    merged: list[tuple[int, int, str]] = []
    for start, end, name in sorted(spans):
        if merged and start < merged[-1][1]:
            low, high, first = merged[-1]
            merged[-1] = (low, max(high, end), first)
        else:
            merged.append((start, end, name))
    out: list[ExcerptPart] = []
    at = 0
    for start, end, name in merged:
        out += _between(text, at, start, around, first=at == 0)
        out.append(ExcerptPart(_short(text[start:end]), name))
        at = end
    return (*out, *_after(text, at, around if merged else LIMIT_CHARS))


def _between(text: str, low: int, high: int, around: int, *, first: bool) -> list[ExcerptPart]:
    head = 0 if first else around
    if high - low <= head + around:
        return [ExcerptPart(text[low:high])] if high > low else []
    return [ExcerptPart(text[low : low + head] + "… " + text[high - around : high])]


def _after(text: str, low: int, around: int) -> list[ExcerptPart]:
    if low >= len(text):
        return []
    return [ExcerptPart(text[low : low + around] + (" …" if len(text) - low > around else ""))]


def _short(text: str) -> str:
    return text if len(text) <= LIMIT_CHARS else f"{text[: LIMIT_CHARS // 2]} … {text[-LIMIT_CHARS // 2 :]}"
