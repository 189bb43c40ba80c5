"""Telephone numbers as people write them, beside those that `phonenumbers` proves.

In: a match of a pattern, in its text. Out: a span of PHONE_NUMBER, or nothing.

Presidio finds only numbers that the numbering plan of some country assigns. People also write numbers that have changed,
numbers with a wrong digit, made-up numbers, and local numbers without the code of their area. They are found if they
have one of these forms:

- `INTERNATIONAL`: a plus and the code of a country, with 8 to 15 digits (`+1 280 407 7888`), or fewer after a word for a
  telephone;
- `DIALLED`: 6 to 15 digits in groups, and an extension. The form says what else is needed:

  - `_CLEAR`, which hardly anything else has (`(560) 228-0113`, `06 39 98 11 22`, `0151/23456789`): nothing, but no word for
    another number before it (`order no.`);
  - `_USUAL`, which other numbers have, too (`612 345 678`, `556-0147`, `5558675309`): a word for a telephone, a call or a
    way to reach somebody before it, not far away (`hmu`, `Sure, my number? It's`);
  - any other form: such a word directly before it or behind it, which only few other words may stand between (`Tel.: 123456`,
    `my new number is 0151 23456`, `5550147 (cell)`), or as a key, or as the header of its column (`before.py`);

- `LETTERED`: numbers of North America with letters (`1-800-FLOWERS`).

A date and an address of the internet protocol are no number.
"""

from __future__ import annotations

from typing import Any

import regex

from guardproxy.checks._shared.pii.engine import Span
from guardproxy.checks._shared.pii.extended.before import follows_digits, in_number
from guardproxy.checks._shared.pii.extended.telephone_words import BEHIND, EXTENSIONS, BeforeNumber, Relation

_SIGN = r"[ .\-/()\u00a0\u2010\u2011\u2013]"
_EXTENSION = rf"(?:(?:[ ]?[xX#]|[ ,;]{{0,3}}\(?(?:{EXTENSIONS}))[ =:.]{{0,2}}#?[0-9]{{1,6}}\)?)?"
INTERNATIONAL = rf"(?<![\w+.])\+[ ]?[1-9](?:{_SIGN}{{0,3}}[0-9]){{7,14}}{_EXTENSION}(?!\w)"
DIALLED = (
    rf"(?<![\w+.$\u20ac\u00a3-])(?<![0-9][:/])(?:0(?:0|11)[ -]?)?\(?[0-9](?:{_SIGN}{{0,3}}[0-9]){{5,14}}{_EXTENSION}"
    rf"(?![\w@-]|[.:/][0-9])(?=(?P<more>[ .,/-]{{1,2}}[0-9])?)(?=(?P<named>{BEHIND})?)"
)
LETTERED = (
    r"(?<![\w.+-])(?P<far>\+?1[ .-])?\(?8(?:00|33|44|55|66|77|88)\)?(?P<by>[ .-])"
    r"(?P<tail>(?:[0-9]{3}[ .-])?[A-Za-z0-9]{1,10}(?:-[A-Za-z0-9]{1,10}){0,3})(?![\w-])"
)
_BARE, _WITH_WORD = 0.4, 0.75  # Presidio's scores of a number, without and with such a word
_LEAST, _LEAST_LOCAL, _LEAST_SOLID = 6, 7, 10
_TAIL = regex.compile(r"(?: +[0-9]{1,2}/[0-9]+|[ /]+[0-9])?\Z")  # `call 555-1234 24/7`, `phone 555-1234 2 times`
_DECIMAL = regex.compile(r"\+[0-9]+\.[0-9]+")
_DAY, _MONTH = "(?:0?[1-9]|[12][0-9]|3[01])", "(?:0?[1-9]|1[0-2])"
_DATE_OR_ADDRESS = regex.compile(
    rf"(?:19|20)[0-9]{{2}}(?<y>[ ./-]){_MONTH}\g<y>{_DAY}(?:[ ][0-9]{{1,2}})?"
    rf"|(?:{_DAY}(?<d>[ ./-]){_MONTH}|{_MONTH}(?<d>[ ./-]){_DAY})\g<d>(?:19|20)?[0-9]{{2}}"
    r"|(?:19|20)[0-9]{2} ?[-/\u2013] ?(?:19|20)[0-9]{2}|(?:19|20)[0-9]{12}"
    r"|(?![0-9]{2}\.[0-9]{2}\.[0-9]{2}\.)(?:(?:[1-9]?[0-9]|1[0-9]{2}|2[0-5][0-9])(?:\.|\Z)){4}|[0-9]+\.[0-9]{1,2}"
)
_BY = r"[ .\u00a0\u2011-]"
_CLEAR_FORMS = (
    # North America, with or without the 1 before the area
    r"(?:(?:00)?1[ .-]\(?|\(?)[0-9]{3}\)[ .-]?[0-9]{3}[ .-]?[0-9]{4}",
    r"(?:(?:00)?1[ .-])?(?:[0-9]{3}-[0-9]{3}-|[2-9][0-9]{2}[ ][2-9][0-9]{2}[ -]|[2-9][0-9]{2}\.[2-9][0-9]{2}\.)[0-9]{4}",
    r"555-[0-9]{4}",  # kept for stories and examples
    # the code of a country after 00 or 011
    r"(?:00[ ]?|011[ -])[1-9](?:[ -]?\(?[0-9]\)?){8,13}",
    # a 0 before the area: pairs; area and number; mobile phones of Europe and Australia
    rf"0[1-9](?<a>{_BY})[0-9]{{2}}(?:\g<a>[0-9]{{2}}){{3}}",
    r"(?=(?:[^0-9]{0,3}[0-9]){10})\(?0[1-9][0-9]{1,4}\)?(?:[ ]?[/-][ ]?|[ ./-])"
    r"(?:[0-9]{5,8}|[0-9]{2,4}(?:(?<b>[ .-])[0-9]{2,4}){1,3})",
    r"0[1-9][ -][0-9]{8}|0[1-9]\([0-9]{4}\)[0-9]{4}|0[1-9]-[0-9]{4}-[0-9]{4}|\(0[1-9]\)[ ]?[0-9]{4}[ -]?[0-9]{4}",
    r"0(?:[67][0-9]{8}|7[0-9]{9}|1[567][0-9]{8,9}|4[0-9]{8})",
    # Brazil, India, Spain, Poland
    r"\(?[1-9][1-9]\)?[ ]?9[0-9]{4}-[0-9]{4}|\([1-9][1-9]\)[ ]?[2-9][0-9]{3}-[0-9]{4}",
    r"[6-9][0-9]{4}[ -][0-9]{5}",
    r"[3679][0-9]{2}(?<c>[ .-])[0-9]{2}\g<c>[0-9]{2}\g<c>[0-9]{2}",
    r"[1-9][0-9](?<d>[ -])[0-9]{3}\g<d>[0-9]{2}\g<d>[0-9]{2}",
)
_USUAL_FORMS = (
    r"(?:[2-9][0-9]{2}|123)[-.\u2011][0-9]{4}|[2-9][0-9]{2}[ ][0-9]{4}|[0-9]{4}[ .-][0-9]{4}",
    r"[0-9]{3}(?<a>[ .-])[0-9]{3}\g<a>[0-9]{3,4}|[2-9][0-9]{2}[ .-]?[2-9][0-9]{6}",
    r"00[1-9][0-9]{9,12}|00[0-9]{3}[ -][0-9]{5,6}|0[1-9](?:[ /.-]?[0-9]){7,10}",
    r"[0-9]{2}(?:[ .-][0-9]{2}){3,4}|[1-9][0-9]{1,2}(?:[ .-][0-9]{2,4}){2,3}|[5-9][0-9]{8}",
)
_CLEAR, _USUAL = (regex.compile("|".join(forms)) for forms in (_CLEAR_FORMS, _USUAL_FORMS))
_AREA = regex.compile(r"\([0-9]{3}\)|[0-9]{3}-[0-9]{3}-[0-9]{4}")  # `Apt 5 (560) 228-0113`
_IN_PATH = regex.compile(r"[^\s/]/\Z")
_DASHED = regex.compile(r"[0-9]{3}[-\u2011][0-9]{4}")
_NUMBER_WITH_LETTERS = range(7, 11)


def international(match: Any) -> Span | None:
    """Reads a match of `INTERNATIONAL`."""
    number = match[0].replace("+ ", "+")
    digits, is_solid = _digits(_main(number)), number[1:].isdigit()
    if _DECIMAL.fullmatch(number) or not _has_country(digits) or (is_solid and number != match[0]):
        return None  # the last is a sum: `+ 1234567890`
    is_named = BeforeNumber(match.string, match.start()).relation() is not None
    if not is_named and is_solid and len(digits) < _LEAST_SOLID:
        return None
    return _span(match, is_named, match.end())


def dialled(match: Any) -> Span | None:
    """Reads a match of `DIALLED`."""
    text, start = match.string, match.start()
    is_named = match["named"] is not None
    if not is_named and follows_digits(text, start) and not _AREA.match(match[0]):
        return None
    number = match[0][: _TAIL.search(match[0]).start()]
    main = _main(number)
    digits = _digits(main)
    if len(digits) < _LEAST or _DATE_OR_ADDRESS.fullmatch(main):
        return None
    end = start + len(number)
    before = BeforeNumber(text, start)
    if in_number(text, start):
        return _span(match, True, end) if before.is_in_column() else None
    if before.is_other():
        return None
    if (is_named and len(digits) >= _LEAST_LOCAL) or _is_direct(main, digits, before.relation()):
        return _span(match, True, end)
    if match["more"] is not None or len(digits) < _LEAST_LOCAL:
        return None
    if _CLEAR.fullmatch(main) and len(set(digits)) > 2 and not _IN_PATH.search(text[max(0, start - 2) : start]):
        return _span(match, False, end)
    if _USUAL.fullmatch(main) and before.is_near(is_dashed=bool(_DASHED.fullmatch(main))):
        return _span(match, True, end)
    return None


def _is_direct(main: str, digits: str, relation: Relation | None) -> bool:
    """Whether the word directly before a number is enough."""
    if relation is Relation.CALL:
        is_likely = not main.isdigit() if digits[:2] != "00" else _has_country(digits[2:])
        return is_likely and len(digits) >= _LEAST_LOCAL
    return relation is Relation.TELEPHONE or (relation is Relation.NUMBER and len(digits) >= _LEAST_LOCAL)


def lettered(match: Any) -> Span | None:
    """Reads a match of `LETTERED`."""
    tail = match["tail"]
    letters = [letter for letter in tail if letter.isalpha()]
    if sum(map(str.isalnum, tail)) not in _NUMBER_WITH_LETTERS or len(letters) < 2:
        return None
    is_named = BeforeNumber(match.string, match.start()).relation() is not None
    has_shape = match["far"] is not None and match["by"] != " " and " " not in tail
    if has_shape or (all(map(str.isupper, letters)) and (match["far"] is not None or is_named)):
        return _span(match, is_named, match.end())
    return None


def _span(match: Any, is_named: bool, end: int) -> Span:
    return Span(match.start(), end, "PHONE_NUMBER", _WITH_WORD if is_named else _BARE, False)


def _main(number: str) -> str:
    """Returns a number without its extension."""
    return str(regex.split(r"[ ]?[xX#,;]|[ ]?\(?[A-Za-z]", number, maxsplit=1)[0])


def _digits(number: str) -> str:
    return "".join(filter(str.isdigit, number))


def _has_country(digits: str) -> bool:
    from phonenumbers.phonenumberutil import COUNTRY_CODE_TO_REGION_CODE as CODES  # noqa: PLC0415

    return digits[:1] != "0" and any(int(digits[:size]) in CODES for size in (1, 2, 3))
