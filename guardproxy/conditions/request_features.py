"""Says how hard a request is, from its words.

In: the text of a request. Out: whole numbers, and a score. The model `difficulty` has a row of small numbers for each of some
thousand words, and weights over the means of the rows. No library is needed, and a text of any length takes 0.1 ms.

Decision: docs/decisions/0079-difficulty-is-read-from-words.md
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Sequence

FEATURES = 8
"""The numbers in the row of a word."""
UNIT = 1000
"""Steps of a feature, and of a score."""
FIRST_CHARS, LAST_CHARS = 400, 300
MOST_WORDS = 48
"""Words that count at the beginning, and at the end, of a text. What is asked stands there, and not in a text to work on."""
PARAGRAPH = "\n\n"
_WORD = re.compile("[a-z]+")


def words_of(text: str) -> list[str]:
    """Returns the words that count. In a long text with paragraphs a short one at its beginning or its end is the request,
    and the rest is what it is about; of other long texts the beginning and the end count."""
    if len(text) > FIRST_CHARS:
        first, last = text[: text.find(PARAGRAPH) + 1], text[text.rfind(PARAGRAPH) + 1 :]
        request = min((part for part in (first, last) if part.strip()), key=len, default=text)
        if len(request) > FIRST_CHARS:
            return [*_words(text[:FIRST_CHARS]), *_words(text[max(FIRST_CHARS, len(text) - LAST_CHARS) :], of_end=True)]
        text = request
    return _words(text)


def _words(text: str, *, of_end: bool = False) -> list[str]:
    found = _WORD.findall(text.lower())
    return found[-MOST_WORDS:] if of_end else found[:MOST_WORDS]


class RequestFeatures:
    """Features of requests. `weights`: what is added to the score, and the weight of each feature."""

    def __init__(self, words: Sequence[str], rows: bytes, weights: Sequence[float]) -> None:
        """Takes the words and their rows: `FEATURES` signed bytes for each word."""
        self._starts = {word: number * FEATURES for number, word in enumerate(words)}
        self._rows = array("b", rows)
        self.weights = tuple(weights)

    def of(self, text: str) -> tuple[int, ...]:
        """Returns the features of a text: the mean of each column over its known words, in steps of 1/`UNIT`."""
        starts = [start for word in words_of(text) if (start := self._starts.get(word)) is not None]
        if not starts:
            return (0,) * FEATURES
        each = range(FEATURES)
        return tuple(round(sum(self._rows[start + column] for start in starts) * UNIT / len(starts)) for column in each)

    def score(self, features: Sequence[int], weights: Sequence[float] = ()) -> int:
        """Returns how hard a request is, 0 to `UNIT`. `weights`: used instead of the shipped ones, if given."""
        first, *others = weights or self.weights
        total = first + sum(weight * feature for weight, feature in zip(others, features, strict=True)) / UNIT
        return round(UNIT / (1 + math.exp(-max(-60.0, min(60.0, total)))))
