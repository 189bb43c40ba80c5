"""Patterns of words that may be misspelled.

In: words in lower case. Out: patterns in RE2 syntax, without captures, whose matches have a bounded length.
"""

from __future__ import annotations

from collections.abc import Iterable

import re2

SHORTEST = 5
"""Shorter words are matched as they are: a short word with a slip in it is another word too often."""


def tolerant(word: str) -> str:
    """Returns a pattern for a word, and for the word with a slip at a single place.

    A slip is a letter that is missing, wrong or too many, or two neighbours that are swapped. The first letter is right, but
    for a swap. After the last letter nothing is too many but the letter again: `ignored` is not `ignore`. A word shorter than
    `SHORTEST` has no slip. A space in a word stands for a space, a hyphen or nothing.
    """
    if len(word) < SHORTEST or not word.isalpha():
        return _exact(word)
    choices = [rf"{_exact(word)}{_exact(word[-1])}?", _exact(word[:-1]), _exact(f"{word[:-2]}{word[-1]}{word[-2]}")]
    for at in range(1, len(word) - 1):
        before, letter, after = word[:at], word[at], word[at + 1 :]
        choices.append(rf"{_exact(before)}(?:\w{_exact(letter)}?)?{_exact(after)}")
        choices.append(_exact(f"{word[: at - 1]}{letter}{word[at - 1]}{after}"))
    choices.append(rf"{_exact(word[:-1])}\w{_exact(word[-1])}")
    return f"(?:{'|'.join(choices)})"


def any_of(misspelled: Iterable[str], exact: Iterable[str] = ()) -> str:
    """Returns a pattern for words: those that may be misspelled, and those that may not."""
    return f"(?:{'|'.join([*map(tolerant, misspelled), *map(_exact, exact)])})"


def _exact(word: str) -> str:
    return "[ -]?".join(re2.escape(part) for part in word.split(" "))
