"""Splits text into words and describes each by its form, for the tagger `fast`.

In: text. Out: the words' offsets and the gap before each; for one word the rows of a table that describe it.

A word is a run of letters, a run of digits, or a single sign. What is not seen (zero-width signs, soft hyphens) and combining
marks count as letters, so that they do not cut a word in two; they and full-width forms are folded when a word is described.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from unicodedata import normalize
from zlib import crc32

MOST_LETTERS = 40
"""A longer run of letters counts as several words."""
_SIGNS = (
    "\\s\\d!-/:-@\\[-`{-~\\x00-\\x1f\\x7f-\\x9f\\xa1-\\xac\\xae-\\xb4\\xb6-\\xb9\\xbb-\\xbf\\xd7\\xf7\\u2010-\\u205f"
    "\\u2065-\\u206f\\u20a0-\\u20cf\\u2190-\\u2bff\\u3000-\\u3004\\u3007-\\u3030\\ufe30-\\ufe4f\\uff01-\\uff20\\uff3b-\\uff40"
    "\\uff5b-\\uff65\\ufffc\\ufffd\\ud800-\\udfff\\U0001f000-\\U0001faff"
)
_LETTERS = rf"[^{_SIGNS}]{{1,{MOST_LETTERS}}}"
WORD = re.compile(rf"['’]s(?![^{_SIGNS}])|{_LETTERS}(?:['’](?!s(?![^{_SIGNS}])){_LETTERS})*|\d{{1,{MOST_LETTERS}}}|\S")
_UNSEEN = re.compile("[\u00ad\u034f\u200b-\u200f\u2060-\u2064\ufe00-\ufe0f\ufeff]")
_RUNS = re.compile(r"(\D)\1{2,}")

HASHED = 1 << 14
"""Rows for hashed parts of words."""
FIXED = 64
"""Rows before them: one for each way to write a word, for lengths, gaps, and the lists that a word stands in."""
NONE, SPACE, LINE = 0, 1, 2
"""What lies before a word: nothing, blanks, or a line end (or the start of the text)."""
LISTS = 8
"""Number of lists of words, one bit each."""
_PROGRAM_SIGNS, _OTHER_SIGNS, _IN_TIMES = frozenset("{}[]<>=;_|*`\\"), frozenset('()"'), frozenset(":/.")
_LIST_ROWS, _LENGTH_ROWS, _UNKNOWN = 16, 32, 63


def words(text: str) -> list[tuple[int, int]]:
    """Returns start and end of each word of a text."""
    return [match.span() for match in WORD.finditer(text)]


def is_of_programs(words: Sequence[str]) -> bool:
    """Whether words are of code, a log, a table or the like: a seventh of them are signs of programs. Digits, quotes, round
    brackets and the times of a chat (`[8:01 PM] Mia: hi`), which people write too, count half and do not suffice."""
    signs = sum(word in _PROGRAM_SIGNS for word in words)
    others = sum(word in _OTHER_SIGNS or word.isdigit() for word in words)
    triples = zip(words, words[1:], words[2:], strict=False)
    chats = 2 * sum(word == "[" and number.isdigit() and sign in _IN_TIMES for word, number, sign in triples)
    return signs > chats and 7 * (2 * signs - chats + others) >= 2 * len(words)


def folded(word: str) -> str:
    """Returns a word without what is not seen, in the plain forms of its letters."""
    if word.isascii():
        return word
    return normalize("NFKC", _UNSEEN.sub("", word)).replace("’", "'")[: 2 * MOST_LETTERS]


def lowered(word: str) -> str:
    """Returns the form under which a folded word is known: small letters, every digit as 0, long repeats cut."""
    return _RUNS.sub(r"\1\1", re.sub(r"\d", "0", word.lower()))


def number(form: str) -> int:
    """Returns the number under which a form is known."""
    return crc32(form.encode("utf-8", "replace"))


def _row(part: str) -> int:
    return FIXED + crc32(part.encode("utf-8", "replace")) % HASHED


def case_of(word: str) -> int:
    """Returns how a folded word is written: 0 a sign, 1 digits, 2 small, 3 Capital, 4 CAPITALS, 5 a single capital, 6
    mIxed, 7 CamelCase, 8 letters without case, 9 letters with digits."""
    if word.isdigit():
        return 1
    if not any(map(str.isalpha, word)):
        return 0
    if any(map(str.isdigit, word)):
        return 9
    if word.islower():
        return 2
    if word.isupper():
        return 5 if len(word) == 1 else 4
    if word[0].isupper():
        return 3 if word[1:].islower() or word.istitle() else 7
    return 6 if any(map(str.isupper, word)) else 8


def parts(word: str, lists: int, known: bool) -> list[int]:
    """Returns the rows that describe a folded word beside the row of its own. `lists`: the lists in which it stands."""
    low = lowered(word)
    rows = [case_of(word), _LENGTH_ROWS + min(len(word), 15)]
    rows += [_LIST_ROWS + at for at in range(LISTS) if lists >> at & 1]
    if not known:
        rows.append(_UNKNOWN)
    rows.append(_row("w" + word))
    if len(low) > 1:
        rows += [_row(f"p{word[:2]}"), _row(f"s{low[-2:]}")]
    for size in (3, 4, 5):
        if len(low) > size:
            rows += [_row("p" + low[:size]), _row("s" + low[-size:])]
    edged = f"<{low}>"
    if 3 < len(edged) <= 24:
        rows += [_row("g" + edged[at : at + 4]) for at in range(len(edged) - 3)]
    return rows
