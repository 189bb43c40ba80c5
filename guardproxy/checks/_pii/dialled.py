"""Telephone numbers as people write them, beside those that `phonenumbers` proves.

In: a match of a pattern, in its text. Out: a span of PHONE_NUMBER, or nothing. Kept: nothing.

Presidio finds only numbers that the numbering plan of some country assigns. People also write numbers that have changed,
numbers with a wrong digit, made-up numbers, and local numbers without the code of their area. They are found if they
have one of these forms:

- `INTERNATIONAL`: a plus and the code of a country, with 8 to 15 digits (`+1 280 407 7888`);
- `AREA`: three groups as in North America (`(560) 228-0113`, `001-426-835-6993 x12`);
- `LOCAL`: six to fifteen digits after a word for a telephone, which only few other words may stand between
  (`Tel.: 555-1234`, `my new number is 0151 23456`).

A date and an address of the internet protocol are no number. The words before a number are read up to `BEFORE`
characters back, which is less than every search has before its place.
"""

from __future__ import annotations

from typing import Any

import regex

from guardproxy.checks._patterns.reach import compile_pattern
from guardproxy.checks._pii.engine import Span

BEFORE = 48
_SIGN = r"[ .\-/()\u00a0\u2010\u2011\u2013]"
_EXTENSION = r"(?:[ ,]{0,2}(?:[xX#]|[eE][xX][tT]\.?)[ ]?[0-9]{1,6})?"
INTERNATIONAL = rf"(?<![\w+.])\+[1-9](?:{_SIGN}{{0,3}}[0-9]){{7,14}}{_EXTENSION}(?!\w)"
AREA = (
    r"(?<![\w.+-])(?:(?:00|\+)?1[ .-])?(?:\([0-9]{3}\)[ .-]?[0-9]{3}[ .-][0-9]{4}|[0-9]{3}-[0-9]{3}-[0-9]{4})"
    rf"{_EXTENSION}(?![\w-]|\.[0-9])"
)
LOCAL = rf"(?<![\w+.,:/-])\(?[0-9](?:{_SIGN}{{0,3}}[0-9]){{5,14}}{_EXTENSION}(?![\w-]|[.,:/][0-9])"
_BARE, _NAMED = 0.4, 0.75  # Presidio's scores of a number, without and with such a word
_LEAST_INTERNATIONAL, _LEAST_SOLID, _MOST_OF_AREA = 8, 10, 6
_TAIL = regex.compile(r"(?: +[0-9]{1,2}/[0-9]+|[ /]+[0-9])?\Z")  # `call 555-1234 24/7`, `phone 555-1234 2 times`
_DECIMAL = regex.compile(r"\+[0-9]+\.[0-9]+")
_DAY, _MONTH = "(?:0?[1-9]|[12][0-9]|3[01])", "(?:0?[1-9]|1[0-2])"
_DATE_OR_ADDRESS = regex.compile(
    rf"(?:19|20)[0-9]{{2}}(?<y>[ ./-]){_MONTH}\g<y>{_DAY}(?:[ ][0-9]{{1,2}})?"
    rf"|(?:{_DAY}(?<d>[ ./-]){_MONTH}|{_MONTH}(?<d>[ ./-]){_DAY})\g<d>(?:19|20)?[0-9]{{2}}"
    r"|(?:19|20)[0-9]{2} ?[-/\u2013] ?(?:19|20)[0-9]{2}|(?:19|20)[0-9]{12}"
    r"|[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9]+\.[0-9]{1,2}"
)
# Words for a telephone, in the languages of the check. Each stands alone or begins a compound (`Telefonnummer`).
_NUMBER = "number|no|nr|nummer|num[eé]ro|n[uú]mero|numero"
_TELEPHONE = (
    r"t[eé]l(?:[eéè](?:ph|f|m)\pL*)?|(?:smart|i|cell|mobile)?phones?|(?:ph|mob|fon|kom)\.|cell(?:ular[eé]?|ulari)?|mobil\pL*"
    r"|m[oó]vil(?:es)?|handy\pL*|rufnummer|durchwahl|fax\pL*|whatsapp|sms|portable|celular|gsm|hotline|dial-?in|kom[oó]rk\pL*"
)
_CALLING = (
    r"call(?:s|ed|ing)?|contact|dial|(?:ring|text|reach)[^\pL](?:me|us|him|her|them)|ruf\pL*|anrufen|appel\pL*|joindre|llam\pL*"
    r"|chiam\pL*|ligu?[ea]r?|bel|bellen|ring(?:a|er)"
    r"|(?:my|our|his|her|their|new|mon|notre|son|mein\pL*|unser\pL*|mi|meu|mio|nuestro|nosso|mijn|mitt)[^\pL]"
    rf"(?:(?:new|own|current|contact|private|nouveau|neue|nuovo|nuevo|novo|nya|nieuwe)[^\pL])?(?:{_NUMBER})"
)
_FILLING = (
    rf"{_NUMBER}|numbers|is|it|its|s|ist|lautet|est|es|è|é|[aä]r|at|on|in|to|or|and|me|us|him|her|them|you|my|our|your|his|new"
    r"|home|work|office|private|direct|contact|line|the|now|back|still|only|of|under|unter|mich|auf|au|le|el|al|um|uns|op|p[aå]"
    r"|a|o|il|sur|tel|m|w|h|cell|mobile|phone|fax|main|day|evening"
)
_GAP, _GAP_IN_LINE = r"[^\pL\pM\pN_+]", r"[^\pL\pM\pN_+\n]"
_FILLED = rf"(?:{_GAP}{{1,5}}(?:{_FILLING})){{0,4}}{_GAP_IN_LINE}{{0,6}}\n?{_GAP_IN_LINE}{{0,6}}"
_AFTER_TELEPHONE, _AFTER_CALLING = (
    compile_pattern(rf"(?i)(?:\A|[^\pL\pM\pN])(?:{words}){_FILLED}\z") for words in (_TELEPHONE, _CALLING)
)


def international(match: Any) -> Span | None:
    """Judges a match of `INTERNATIONAL`."""
    digits = _digits(match[0])
    number, least = match[0], _LEAST_SOLID if match[0][1:].isdigit() else _LEAST_INTERNATIONAL
    if len(digits) < least or _DECIMAL.fullmatch(number) or not _has_country(digits):
        return None
    return _span(match, _is_named(match))


def area(match: Any) -> Span:
    """Judges a match of `AREA`."""
    return _span(match, _is_named(match))


def local(match: Any) -> Span | None:
    """Judges a match of `LOCAL`."""
    number = match[0][: _TAIL.search(match[0]).start()]
    digits = _digits(number)
    is_likely = not number.isdigit() if digits[:2] != "00" else _has_country(digits[2:])
    if len(digits) < _MOST_OF_AREA or _DATE_OR_ADDRESS.fullmatch(number):
        return None
    if not _is_named(match, calling=is_likely and len(digits) > _MOST_OF_AREA):
        return None
    return _span(match, is_named=True, size=len(number))


def _is_named(match: Any, *, calling: bool = True) -> bool:
    """Whether a word for a telephone is before a number; with `calling`, also a word for a call."""
    before = match.string[max(0, match.start() - BEFORE) : match.start()]
    before = before.encode("utf-8", "replace").decode()  # without lone surrogates
    return bool(_AFTER_TELEPHONE.search(before) or (calling and _AFTER_CALLING.search(before)))


def _span(match: Any, is_named: bool, size: int | None = None) -> Span:
    """Returns the span of a match, or of its first `size` characters."""
    start, end = match.span()
    return Span(start, end if size is None else start + size, "PHONE_NUMBER", _NAMED if is_named else _BARE, False)


def _digits(number: str) -> str:
    """Returns the digits of a number without its extension."""
    main = regex.split("[xX#eE,]", number, maxsplit=1)[0]
    return "".join(filter(str.isdigit, main))


def _has_country(digits: str) -> bool:
    from phonenumbers.phonenumberutil import COUNTRY_CODE_TO_REGION_CODE as CODES  # noqa: PLC0415

    return digits[0] != "0" and any(int(digits[:size]) in CODES for size in (1, 2, 3))
