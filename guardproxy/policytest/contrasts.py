"""Compares two texts word by word. In: two texts. Out: the fragments of each text, marked if they differ."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher

_WORD = re.compile(r"\w+|\s+|.", re.DOTALL)
_KEPT_CHARS = 40


@dataclass(frozen=True, slots=True)
class Fragment:
    """A part of a text. `differs`: whether the other text has another part here."""

    text: str
    differs: bool = False


def contrast(wanted: str, got: str) -> tuple[tuple[Fragment, ...], tuple[Fragment, ...]]:
    """Returns the fragments of both texts. Long common fragments are shortened."""
    left, right = _WORD.findall(wanted), _WORD.findall(got)
    first: list[Fragment] = []
    second: list[Fragment] = []
    for tag, low, high, begin, end in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        old, new = "".join(left[low:high]), "".join(right[begin:end])
        if tag == "equal":
            last = high == len(left) and end == len(right)
            shown = _short(old, first=not low and not begin, last=last)
            first.append(Fragment(shown))
            second.append(Fragment(shown))
            continue
        first += [Fragment(old, True)] if old else []
        second += [Fragment(new, True)] if new else []
    return tuple(first), tuple(second)


def _short(text: str, *, first: bool, last: bool) -> str:
    """Returns a common fragment without its middle. The first and last fragments keep only the side next to a
    difference."""
    head, tail = 0 if first else _KEPT_CHARS, 0 if last else _KEPT_CHARS
    if (first and last) or len(text) <= head + tail + 1:
        return text
    return text[:head] + "…" + text[len(text) - tail :]
