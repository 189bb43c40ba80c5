"""Short values: words of a text that stand for a thing, and are too short for a row of `WIDTH` characters.

In: a text. Out: its values of `SHORTEST` to `LONGEST` letters and digits, packed, with their places. A value is a mail address
or a URL, or a word of more characters with a digit or with a sign inside, as a number, a code or a path have. A plain word, a
number of fewer than `LEAST_DIGITS` digits and a date are no values: people and models write the same ones by chance.

Of a target, only a value that is a whole argument is compared, or a mail address or URL in its text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from guardproxy.checks._shared.taint.packing import packed
from guardproxy.checks._shared.taint.small_talk import DATE
from guardproxy.concurrency import stop_point

SHORTEST = 4
LONGEST = 11
LEAST_DIGITS = 5
MOST_CHARS = 40
_WORD = re.compile(r"[^\s\"'`<>()\[\]{},;|\u201c\u201d\u2018\u2019]{4,}")
_ENDS = ".:!?*=_~"
_ADDRESS = re.compile(r"[^@:/]+@[^@]+\.|[a-zA-Z]{2,}://|[^/]+\.[a-zA-Z]{2,}/")
_SIGN = re.compile(r"[^\W_][@._/\\#:+-][^\W_]")
_SPACE = re.compile(r"\s")
_NO_DIGITS = dict.fromkeys(range(48, 58))


def short_values(text: str, *, whole: bool = False) -> Iterator[tuple[str, int, int]]:
    """Yields the values of a text: the packed value, its start and its end. `whole`: only the whole text, and addresses."""
    if whole and len(bare := text.strip()) <= MOST_CHARS and not _SPACE.search(bare):
        start, end = _bare(text, 0, len(text))
        yield from _value(text, start, end)
        return
    for number, match in enumerate(_WORD.finditer(text)):
        if number % 1024 == 0:
            stop_point()
        word = match[0]
        if word.isalpha() or len(word) > MOST_CHARS or word[:-1].isalpha():
            continue
        start, end = match.span()
        if word[-1] in _ENDS or word[0] in _ENDS:
            start, end = _bare(text, start, end)
        if whole and not _ADDRESS.search(text, start, end):
            continue
        yield from _value(text, start, end)
        if not whole and (":" in word or "=" in word):  # `id:12345`
            yield from _value(text, start + max(word.rfind(":"), word.rfind("=")) + 1, end)


def _bare(text: str, start: int, end: int) -> tuple[int, int]:
    """Returns a span without white space and signs at its ends."""
    part = text[start:end].rstrip().rstrip(_ENDS)
    return start + len(part) - len(part.lstrip().lstrip(_ENDS)), start + len(part)


def _value(text: str, start: int, end: int) -> Iterator[tuple[str, int, int]]:
    word = text[start:end]
    value = packed(word)
    if SHORTEST <= len(value) <= LONGEST and _is_value(word, value):
        yield value, start, end


def _is_value(word: str, value: str) -> bool:
    """Whether a word, packed as `value`, stands for a thing."""
    digits = len(value) - len(value.translate(_NO_DIGITS))
    if digits == len(value):
        return digits >= LEAST_DIGITS and not DATE.fullmatch(word)
    if not digits:
        return _SIGN.search(word) is not None and (len(value) > SHORTEST or _ADDRESS.search(word) is not None)
    return len(value) > SHORTEST and not DATE.fullmatch(word)
