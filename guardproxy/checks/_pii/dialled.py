"""Telephone numbers as people write them, beside those that `phonenumbers` proves.

In: a match of a pattern, in its text. Out: a span of PHONE_NUMBER, or nothing. Kept: nothing.

Presidio finds only numbers that the numbering plan of some country assigns. People also write numbers that have changed,
numbers with a wrong digit, made-up numbers, and local numbers without the code of their area. They are found if they
have one of these forms:

- `INTERNATIONAL`: a plus and the code of a country, with 8 to 15 digits (`+1 280 407 7888`);
- `DIALLED`: 6 to 15 digits in groups. What is needed depends on the form:

  - a form that hardly anything else has (`_CLEAR`: `(560) 228-0113`, `06 39 98 11 22`, `0151/23456789`): no word at all,
    and no word for another number before it (`order no.`);
  - a form that much else has (`_USUAL`: `612 345 678`, `555-0147`, `5558675309`): a word for a telephone, a call or an
    address somewhere before it (`hmu`, `Sure, my number? It's`);
  - any other: a word for a telephone directly before it, which only few other words may stand between (`Tel.: 123456`,
    `my new number is 0151 23456`), as a key, or above it in the table (`column`);

- `NAMED`: digits with such a word directly behind them (`555 0147 (cell)`, `5550147 is my number`);
- `LETTERED`: numbers of North America with letters (`1-800-FLOWERS`).

A date and an address of the internet protocol are no number.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

import regex

from guardproxy.checks._pii.before import NEAR, column, words_before
from guardproxy.checks._pii.engine import Span
from guardproxy.checks._pii.telephone_words import (
    CALLING,
    FILLING,
    NUMBER,
    OTHER,
    OWN,
    REACHING,
    SIGNS,
    THEM,
    TELEPHONE,
)

_SIGN = r"[ .\-/()\u00a0\u2010\u2011\u2013]"
_EXTENSION = (
    r"(?:(?:[ ]?[xX#]|[ ,;]{0,3}\(?(?:[eE][xX][tT](?:\.|[eE][nN][a-z]{1,6})?|[pP]oste|Durchwahl|DW|Apparat|App\.|wew\.|int\.|interno"
    r"|anexo|ramal|toestel|ankn\.))[ =:.]{0,2}#?[0-9]{1,6}\)?)?"
)
_NOT_BEFORE = r"(?<![\w+.$\u20ac\u00a3-])(?<![0-9][:/])"
_DIGITS = rf"(?:0(?:0|11)[ -]?)?\(?[0-9](?:{_SIGN}{{0,3}}[0-9]){{5,14}}"
_NOT_BEHIND = r"(?![\w-]|[.,:/][0-9])"
INTERNATIONAL = rf"(?<![\w+.])\+[ ]?[1-9](?:{_SIGN}{{0,3}}[0-9]){{7,14}}{_EXTENSION}(?!\w)"
DIALLED = rf"{_NOT_BEFORE}{_DIGITS}{_EXTENSION}{_NOT_BEHIND}(?=(?P<more>[ .,/-]{{1,2}}[0-9])?)"
_OWNER = r"(?:my|his|her|our|their|mein\pL{0,2}|mon|ma|mi|il mio|o meu|moj|m[oó]j|mitt|min|mijn)"
_PLACE = (
    r"(?:cell|mobile|mob|home|work|office|phone|tel|fax|whatsapp|handy|mobil|privat|festnetz|b[uü]ro|portable|bureau|domicile|fixe"
    r"|m[oó]vil|casa|trabajo|celular|cellulare|ufficio|fisso|telem[oó]vel|kom[oó]rka|telefon|landline|day|evening|direct)"
)
_THING = (
    r"(?:(?:new|old|home|work|office|cell|mobile|phone|neue|private|nouveau|nuevo|nuovo|novo|nya|nieuwe)[ -])?"
    r"(?:number|cell|mobile|phone|landline|digits|nummer|handynummer|telefonnummer|mobilnummer|num[eé]ro|n[uú]mero|numer"
    r"|telefoonnummer|celular|portable|m[oó]vil)"
)
NAMED = (
    rf"{_NOT_BEFORE}{_DIGITS}{_EXTENSION}(?=(?i:[ ]{{0,2}}[(\[][ ]?{_PLACE}(?:[ ]phone)?[ ]?[)\]]"
    rf"|[ ]{{0,2}}[,\u2013-]?[ ]{{0,2}}(?:(?:that[\u2019']?s|this is|is|was|ist|c'est|est|es|[eèé]|[aä]r|to)[ ])?(?:still[ ])?"
    rf"{_OWNER}[ ]{_THING}(?!\w)|[ ](?:mobile|cell|landline)(?!\w)|[ ](?:call|text|txt|ring)[ ]me(?!\w)))"
)
LETTERED = (
    r"(?<![\w.+-])(?:\+?1[ .-])?\(?8(?:00|33|44|55|66|77|88)\)?[ .-](?:[0-9]{3}[ .-])?[A-Za-z0-9]{1,10}(?:-[A-Za-z0-9]{1,10}){0,3}"
    r"(?![\w-])"
)
_BARE, _WITH_WORD = 0.4, 0.75  # Presidio's scores of a number, without and with such a word
_LEAST_SOLID, _MOST_OF_AREA = 10, 6
_TAIL = regex.compile(r"(?: +[0-9]{1,2}/[0-9]+|[ /]+[0-9])?\Z")  # `call 555-1234 24/7`, `phone 555-1234 2 times`
_DECIMAL = regex.compile(r"\+[0-9]+\.[0-9]+")
_DAY, _MONTH = "(?:0?[1-9]|[12][0-9]|3[01])", "(?:0?[1-9]|1[0-2])"
_DATE_OR_ADDRESS = regex.compile(
    rf"(?:19|20)[0-9]{{2}}(?<y>[ ./-]){_MONTH}\g<y>{_DAY}(?:[ ][0-9]{{1,2}})?"
    rf"|(?:{_DAY}(?<d>[ ./-]){_MONTH}|{_MONTH}(?<d>[ ./-]){_DAY})\g<d>(?:19|20)?[0-9]{{2}}"
    r"|(?:19|20)[0-9]{2} ?[-/\u2013] ?(?:19|20)[0-9]{2}|(?:19|20)[0-9]{12}"
    r"|(?![0-9]{2}\.[0-9]{2}\.[0-9]{2}\.)(?:(?:0|[1-9]|[1-9][0-9]|1[0-9]{2}|2[0-5][0-9])(?:\.|\Z)){4}|[0-9]+\.[0-9]{1,2}"
)
_S = r"[ .\u00a0\u2011-]"
# Each is one number; a group of digits may not follow or precede it.
_CLEAR = regex.compile(
    r"(?:(?:00)?1[ .-]\(?|\(?)[0-9]{3}\)[ .-]?[0-9]{3}[ .-]?[0-9]{4}"  # North America
    r"|(?:(?:00)?1[ .-])?[0-9]{3}(?:-[0-9]{3}-|[ ](?<=[2-9]..[ ])[2-9][0-9]{2}[ -]|\.(?<=[2-9]..\.)[2-9][0-9]{2}\.)[0-9]{4}"
    r"|555-[0-9]{4}"  # kept for stories and examples
    r"|(?:00[ ]?|011[ -])[1-9](?:[ -]?\(?[0-9]\)?){8,13}"  # from abroad
    rf"|0[1-9](?:(?<b>{_S})[0-9]{{2}})(?:\g<b>[0-9]{{2}}){{3}}"  # France, Belgium, Switzerland
    r"|(?=(?:[^0-9]{0,3}[0-9]){10})\(?0[1-9][0-9]{1,4}\)?(?:[ ]?[/-][ ]?|[ ./-])(?:[0-9]{5,8}|[0-9]{2,4}(?:(?<t>[ .-])[0-9]{2,4}){1,3})"  # 0 before an area
    r"|0[1-9][ -][0-9]{8}|0[1-9]\([0-9]{4}\)[0-9]{4}|0[1-9]-[0-9]{4}-[0-9]{4}|\(0[1-9]\)[ ]?[0-9]{4}[ -]?[0-9]{4}"
    r"|0(?:[67][0-9]{8}|7[0-9]{9}|1[567][0-9]{8,9}|4[0-9]{8})"  # mobile phones of Europe and Australia
    r"|\(?[1-9][1-9]\)?[ ]?9[0-9]{4}-[0-9]{4}|\([1-9][1-9]\)[ ]?[2-9][0-9]{3}-[0-9]{4}"  # Brazil
    r"|[6-9][0-9]{4}[ -][0-9]{5}"  # India
    r"|(?:[679][0-9]{2}|3[0-9]{2})(?<m>[ .-])[0-9]{2}\g<m>[0-9]{2}\g<m>[0-9]{2}"  # Spain
    r"|[1-9][0-9](?<p>[ -])[0-9]{3}\g<p>[0-9]{2}\g<p>[0-9]{2}"  # Poland
)
_USUAL = regex.compile(
    r"[0-9]{3}[-.\u2011][0-9]{4}|[0-9]{3}(?<s>[ .-])[0-9]{3}\g<s>[0-9]{3,4}|[2-9][0-9]{2}[ .-]?[2-9][0-9]{6}|[2-9][0-9]{2}[ ][0-9]{4}"
    r"|00[1-9][0-9]{9,12}|00[0-9]{3}[ -][0-9]{5,6}|[0-9]{2}(?:[ .-][0-9]{2}){3,4}|[0-9]{4}[ .-][0-9]{4}"
    r"|0[1-9](?:[ /.-]?[0-9]){7,10}|[1-9][0-9]{1,2}(?:[ .-][0-9]{2,4}){2,3}|[5-9][0-9]{8}"
)
_LETTER = regex.compile(r"[\n|,;/\u2022\u00b7][ \t]*[TPMFHCtpmfhc]:[ ]*\Z")  # `T: 555 0147`
_IN_NUMBER = regex.compile(r"[0-9][ ./-]{1,2}\Z")
_END_OF_SENTENCE, _ABBREVIATED = regex.compile(r"[.!?]\s"), 3
_DASHED = regex.compile(r"[0-9]{3}[-\u2011][0-9]{4}")
_VANITY_LEAST, _VANITY_MOST = 7, 10
_NEAR_SIGNS, _FILLERS, _FAR_WORDS, _NEAR_WORDS = 5, 5, 30, 9


def international(match: Any) -> Span | None:
    """Judges a match of `INTERNATIONAL`."""
    number = match[0].replace("+ ", "+")
    digits, is_solid = _digits(number), number[1:].isdigit()
    if _DECIMAL.fullmatch(number) or not _has_country(digits) or (is_solid and number != match[0]):
        return None  # also a sum: `+ 1234567890`
    is_named = bool(_Before(match.string, match.start()).direct())
    if not is_named and is_solid and len(digits) < _LEAST_SOLID:
        return None
    return _span(match, is_named)


def dialled(match: Any) -> Span | None:
    """Judges a match of `DIALLED`."""
    return _judge(match, match["more"] is not None)


def named(match: Any) -> Span | None:
    """Judges a match of `NAMED`."""
    number = _untailed(match[0])
    if len(_digits(number)) <= _MOST_OF_AREA or _DATE_OR_ADDRESS.fullmatch(number):
        return None
    return _span(match, is_named=True)


def lettered(match: Any) -> Span | None:
    """Judges a match of `LETTERED`."""
    number = match[0]
    prefix, _, tail = regex.split(r"(8[0-9]{2}\)?[ .-])", number, maxsplit=1)
    size, letters = sum(map(str.isalnum, tail)), [letter for letter in tail if letter.isalpha()]
    if not _VANITY_LEAST <= size <= _VANITY_MOST or len(letters) < 2:
        return None
    is_upper = all(map(str.isupper, letters))
    is_named = bool(_Before(match.string, match.start()).direct())
    is_whole = bool(prefix) and not regex.search(" (?=[A-Za-z])", number)
    if is_whole or (is_upper and (prefix or is_named)):
        return _span(match, is_named)
    return None


def _judge(match: Any, has_more: bool) -> Span | None:
    number = _untailed(match[0])
    main = _main(number)
    digits = _digits(main)
    if len(digits) < _MOST_OF_AREA or _DATE_OR_ADDRESS.fullmatch(main):
        return None
    start, text = match.start(), match.string
    before_number = text[max(0, start - 3) : start]
    is_alone = not (has_more or _IN_NUMBER.search(before_number))
    is_clear = is_alone and bool(_CLEAR.fullmatch(main))
    if is_clear and text[max(0, start - 1) : start] == "/" and not text[max(0, start - 2) : start - 1].isspace():
        is_clear = False  # a path
    before = _Before(text, start)
    if before_number[-1:] == "," and before_number[-2:-1].isdigit():
        return _span(match, is_named=True, size=len(number)) if before.is_in_column() else None
    if before.is_other():
        return None
    is_likely = not main.isdigit() if digits[:2] != "00" else _has_country(digits[2:])
    direct = before.direct()
    if (
        direct is _By.TELEPHONE
        or (direct is _By.NUMBER and len(digits) > _MOST_OF_AREA)
        or (direct is _By.CALL and is_likely and len(digits) > _MOST_OF_AREA)
    ):
        return _span(match, is_named=True, size=len(number))
    if is_clear and len(set(digits)) > 2:
        return _span(match, is_named=False, size=len(number))
    if (
        is_alone
        and len(digits) > _MOST_OF_AREA
        and _USUAL.fullmatch(main)
        and before.is_near(is_dashed=bool(_DASHED.fullmatch(main)))
    ):
        return _span(match, is_named=True, size=len(number))
    return None


class _By(Enum):
    """The kinds of words that a number may follow."""

    TELEPHONE = "phone"
    NUMBER = "my number"
    CALL = "call me on"


class _Before:
    """The words before a number."""

    def __init__(self, text: str, start: int) -> None:
        self._text, self._start = text, start
        self._words = words_before(text, start, NEAR)

    def direct(self) -> _By | None:
        """Returns the kind of the word that the number directly follows, if any."""
        sign = self._text[max(0, self._start - 4) : self._start].rstrip("\ufe0f :-")[-1:]
        if sign and sign in SIGNS:
            return _By.TELEPHONE
        if _LETTER.search(self._text, max(0, self._start - 8), self._start):
            return _By.CALL
        words = self._words
        for at, word in enumerate(words[: _FILLERS + 2]):
            if not word.is_near(_NEAR_SIGNS) or "+" in word.behind:
                break
            if TELEPHONE(word.word):
                return _By.TELEPHONE
            if self._is_own_number(at):
                return _By.NUMBER
            if self._is_call(at):
                return _By.CALL
            if word.word not in FILLING:
                break
        return _By.TELEPHONE if self.is_in_column() else None

    def is_other(self) -> bool:
        """Whether a word for another number is directly before the number."""
        for word in self._words[: _FILLERS - 1]:
            if not word.is_near(_NEAR_SIGNS) or TELEPHONE(word.word):
                return False
            if word.word in OTHER:
                return True
            if word.word not in FILLING:
                return False
        return False

    def is_near(self, is_dashed: bool) -> bool:
        """Whether a word for a telephone, a call or an address is nearer than a word for another number.

        `is_dashed`: the word may be further away, in another sentence.
        """
        self._words = words_before(self._text, self._start)
        for at, word in enumerate(self._words[: _FAR_WORDS if is_dashed else _NEAR_WORDS]):
            if word.behind.count("\n") > (2 if is_dashed else 1):
                return False
            if not is_dashed and len(word.word) > _ABBREVIATED and _END_OF_SENTENCE.search(word.behind):
                return False
            if (
                "@" in word.behind
                or TELEPHONE(word.word)
                or word.word in REACHING
                or self._is_call(at)
                or self._is_own_number(at)
            ):
                return True
            if word.word in OTHER:
                return False
            if word.word in NUMBER and is_dashed:
                return at + 1 < len(self._words) and self._words[at + 1].word not in OTHER
        return False

    def _is_call(self, at: int) -> bool:
        word, words = self._words[at].word, self._words
        if word in THEM:
            return bool(at) and words[at - 1].word in ("me", "us", "him", "her", "them")
        return CALLING(word)

    def _is_own_number(self, at: int) -> bool:
        if self._words[at].word not in NUMBER:
            return False
        for owner in self._words[at + 1 : at + 4]:
            if owner.word in OWN:
                return True
            if owner.word not in FILLING:
                break
        return False

    def is_in_column(self) -> bool:
        """Whether the number is in a column of telephone numbers."""
        if not self._words or self._text[max(0, self._start - 1) : self._start] not in tuple(",;\t|\n\"' `"):
            return False
        header = column(self._text, self._start)
        return any(TELEPHONE(word.word) for word in words_before(header, len(header)))


def _untailed(number: str) -> str:
    return number[: _TAIL.search(number).start()]


def _span(match: Any, is_named: bool, size: int | None = None) -> Span:
    """Returns the span of a match, or of its first `size` characters."""
    start, end = match.span()
    return Span(start, end if size is None else start + size, "PHONE_NUMBER", _WITH_WORD if is_named else _BARE, False)


def _main(number: str) -> str:
    """Returns a number without its extension."""
    return regex.split(r"[ ]?[xX#,;]|[ ]?\(?[A-Za-z]", number, maxsplit=1)[0]


def _digits(number: str) -> str:
    """Returns the digits of a number without its extension."""
    return "".join(filter(str.isdigit, _main(number)))


def _has_country(digits: str) -> bool:
    from phonenumbers.phonenumberutil import COUNTRY_CODE_TO_REGION_CODE as CODES  # noqa: PLC0415

    return digits[:1] != "0" and any(int(digits[:size]) in CODES for size in (1, 2, 3))
