"""Packs texts: reduces a text to its letters and digits, so that copies of it are equal in many spellings.

In: a text. Out: its readings, each packed, with a way back to the offsets in the text.

The packed form has no case, accents, separators or invisible characters. Characters of all scripts that look alike are one
character in it. So `ν` and `n` are one character, as both are a capital `N`; two digits never are. The readings of a text are
the text itself, the text with its escapes and encoded runs decoded (`_shared/evasions`), and the text with words of digits as
digits. A packed form is for comparing only: it says nothing about the value.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import cache

from guardproxy.checks._shared.evasions.folding import table
from guardproxy.checks._shared.evasions.readings import other_views
from guardproxy.checks._shared.evasions.views import TextView, holds_code
from guardproxy.checks._shared.taint.numerals import digits_in_words
from guardproxy.concurrency import stop_point

STEP_CHARS = 1 << 9  # small, as the place of a character is looked for in its step
PIECE_CHARS = 1 << 14
OVERLAP_CHARS = 1 << 10
_REMEMBERED = 1 << 16  # the characters that a table keeps
_TAGS = range(0xE0020, 0xE007F)
_TAG_SHIFT = 0xE0000


def pieces(text: str) -> Iterator[tuple[int, str]]:
    """Yields a text in pieces that overlap, each with its offset: no step of reading a piece holds the interpreter for long."""
    for at in range(0, max(1, len(text) - OVERLAP_CHARS), PIECE_CHARS):
        stop_point()
        yield at, text[at : at + PIECE_CHARS + OVERLAP_CHARS]


def readings(text: str) -> list[TextView]:
    """Returns the readings of a text, the text itself first."""
    views = [TextView(text)]
    if _may_hide(text):
        views += other_views(text, "strict")
    return views + [
        edited for view in views if (edited := view.edit(view.text, digits_in_words(view.text))) is not view
    ]


def _may_hide(text: str) -> bool:
    """Whether a text may hold encoded text, also with invisible or look-alike characters in the code."""
    using = table(strict=True)
    if text.isascii():
        return holds_code(text, using)
    return holds_code("".join(part.translate(_THIN) for part in _steps(text)), using)


def packed(text: str) -> str:
    """Returns the packed form of a text."""
    return "".join(packed_steps(text))


def packed_steps(text: str) -> list[str]:
    """Returns the packed form of a text in parts, one for each `STEP_CHARS` characters of the text."""
    return [part.translate(_PACKED) for part in _steps(text)]


def offsets(text: str) -> list[int]:
    """Returns for each character of the packed form its offset in the text."""
    at_of: list[int] = []
    for at, char in enumerate(text):
        if at % STEP_CHARS == 0:
            stop_point()
        size = len(_PACKED[ord(char)] or "")
        if size == 1:
            at_of.append(at)
        elif size:
            at_of += [at] * size
    return at_of


def _steps(text: str) -> Iterator[str]:
    for at in range(0, len(text), STEP_CHARS):
        stop_point()
        yield text[at : at + STEP_CHARS]


class _Packing(dict[int, str | None]):
    """A table for `str.translate`, made as characters come: a character -> its packed form."""

    def __missing__(self, code: int) -> str | None:
        form = _form(code) or None
        if len(self) < _REMEMBERED:
            self[code] = form
        return form


class _Thinning(dict[int, str | None]):
    """The same for `_may_hide`: look-alikes as ASCII characters, nothing for invisible ones, signs as they are."""

    def __missing__(self, code: int) -> str | None:
        using = table(strict=True)
        char = chr(code)
        form: str | None = using.same.get(code) or using.look_alikes.get(code) or using.longer.get(char) or char
        if char in using.chars and not char.isascii() and form == char:
            form = None
        if len(self) < _REMEMBERED:
            self[code] = form
        return form


_PACKED = _Packing()
_THIN = _Thinning()


def _form(code: int) -> str:
    """Returns the packed form of a character; empty for one that is neither letter nor digit."""
    using = table(strict=True)
    char = chr(code - _TAG_SHIFT if code in _TAGS else code)
    value = unicodedata.numeric(char, None)
    if value is not None and value in range(10):
        return str(int(value))
    char = using.same.get(ord(char)) or using.longer.get(char) or char
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", char).casefold())
    return "".join(_classes().get(letter, letter) for letter in plain if letter.isalnum())


@cache
def _classes() -> dict[str, str]:
    """Returns for each letter that looks like others, as a small letter or as a capital, the character that stands for all."""
    leader: dict[str, str] = {}

    def find(letter: str) -> str:
        while letter in leader:
            letter = leader[letter]
        return letter

    for code, to in table(strict=True).look_alikes.items():
        # An ASCII character leads, a digit before a letter: digits count as such.
        first, second = sorted((find(chr(code).casefold()), find(to.casefold())), key=_rank)
        if first != second:
            leader[second] = first
    return {letter: find(letter) for letter in leader}


def _rank(letter: str) -> tuple[bool, str]:
    return not letter.isascii(), letter
