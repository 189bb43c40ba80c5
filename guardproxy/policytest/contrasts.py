"""Two texts, side by side: what of each is not in the other. In: texts. Out: parts of both."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher

_WORD = re.compile(r"\w+|\s+|.", re.DOTALL)
_KEPT_CHARS = 40


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a text. `differs`: the other text does not have it there."""

    text: str
    differs: bool = False


def contrast(wanted: str, got: str) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """The parts of both, word by word. Long parts that both have are shortened."""
    left, right = _WORD.findall(wanted), _WORD.findall(got)
    first: list[Part] = []
    second: list[Part] = []
    for tag, low, high, begin, end in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        one, other = "".join(left[low:high]), "".join(right[begin:end])
        if tag == "equal":
            last = high == len(left) and end == len(right)
            shown = _short(one, first=not low and not begin, last=last)
            first.append(Part(shown))
            second.append(Part(shown))
            continue
        first += [Part(one, True)] if one else []
        second += [Part(other, True)] if other else []
    return tuple(first), tuple(second)


def _short(text: str, *, first: bool, last: bool) -> str:
    """What both have, with its middle left out; of the first and of the last part, only what is next to a difference."""
    head, tail = 0 if first else _KEPT_CHARS, 0 if last else _KEPT_CHARS
    if (first and last) or len(text) <= head + tail + 1:
        return text
    return text[:head] + "…" + text[len(text) - tail :]
