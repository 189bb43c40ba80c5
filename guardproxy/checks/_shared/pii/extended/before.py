"""The words before a place of a text, nearest first.

In: a text and a place in it. Out: words, each with the characters behind it, and the header above a cell of a table. Fewer
characters before the place are read than every search has there. So the result does not depend on how a text was cut.

Words are in lower case and without accents; `#` is one, too. `phoneNumber`, `phone_number` and `PHONE-NUMBER` are two words
each. Attributes of tags are left out.
"""

from __future__ import annotations

import re
from typing import NamedTuple

NEAR, FAR = 64, 160
_TABLE = 1000  # characters in which a header of a table is looked for
_TAG = re.compile(r"<(/?[A-Za-z]+)[^<>\n]{0,60}>")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_WORD = re.compile(r"[^\W\d_]+|[0-9]+|#")
_PLAIN = str.maketrans("áàâäãåąæéèêëęíìîïóòôöõøőúùûüůűýçćčñńłśšźżžğış", "aaaaaaaaeeeeeiiiiooooooouuuuuuycccnnlsszzzgis")
_QUOTED = re.compile(r'"[^"\n]*"')
_NEWLINE, _BETWEEN, _AROUND = "\n", ",;\t|", " \"'`"
_EDGE, _HEADER = 8, 40
_GROUPING = " ./-"
_EDGES = frozenset(f"{_BETWEEN}{_NEWLINE}")
_DIGIT = re.compile(r"\d")


class Word(NamedTuple):
    """A word and the characters between it and the next word, or the place."""

    word: str
    behind: str

    def is_near(self, signs: int) -> bool:
        """Whether at most `signs` characters, spaces aside, and one line end are behind it."""
        behind = self.behind
        return len(behind) <= 1 or (len("".join(behind.split())) <= signs and behind.count(_NEWLINE) < 2)


def words_before(text: str, start: int, size: int = FAR) -> list[Word]:
    """Returns the words in the `size` characters before `start`, nearest first."""
    low = max(0, start - size)
    before = text[low:start]
    if "<" in before:
        before = _TAG.sub(r"<\1>", before)
    before = _HUMP.sub(" ", before).lower()
    if not before.isascii():
        before = before.translate(_PLAIN)
    words: list[Word] = []
    end = len(before)
    for match in reversed(list(_WORD.finditer(before))):
        if low and not match.start():
            break  # it may begin before the characters that were read
        words.append(Word(match[0], before[match.end() : end]))
        end = match.start()
    return words


def follows_digits(text: str, start: int) -> bool:
    """Whether a group of digits is before `start`, so that the digits there may belong to it."""
    before = text[max(0, start - 3) : start]
    return before[-1:] in _GROUPING and before.rstrip(_GROUPING)[-1:].isdigit()


def in_number(text: str, start: int) -> bool:
    """Whether a digit and a comma are directly before `start`, as in `1,234` and in rows of a table."""
    return start > 1 and text[start - 1] == "," and text[start - 2].isdigit()


def column(text: str, start: int) -> str:
    """Returns the header above a cell of a table that begins at `start`, or an empty string.

    A table has a line for each row, and `,`, `;`, `|` or a tabulator between the cells. Its header is its first line, if that
    is near enough.
    """
    if text[max(0, start - _EDGE) : start].rstrip(_AROUND)[-1:] not in _EDGES:
        return ""
    low = max(0, start - _TABLE)
    *above, row = text[low:start].split(_NEWLINE)
    if low:
        above = above[1:]  # the first line may begin before the characters that were read
    row = _QUOTED.sub("", row.rstrip(_AROUND))
    by = row[-1:] if row else next((sign for sign in _BETWEEN if above and sign in above[-1]), "")
    if not by:
        return ""
    at = row.count(by)
    header, size = "", 0
    for line in reversed(above):
        count = (_QUOTED.sub("", line) if '"' in line else line).count(by)
        if count < max(at, 1) or (header and count != size):
            break
        header, size = line, count
    cell = _QUOTED.sub(lambda match: match[0].replace(by, " "), header).split(by)[at].strip() if header else ""
    return cell if len(cell) <= _HEADER and not _DIGIT.search(cell) else ""
