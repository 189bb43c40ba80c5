"""Numbers of JSON: how they were spelled, and their digits as text for checks to scan.

A number that would be written in another way than it was read (`1e5`, `-0`, `0.1000000000000000055511`) is read as a
`SpelledInt` or a `SpelledFloat`, and written as it was spelled. The digits are those of one JSON number, or of short numbers
that follow each other.

A card number can be written `4.111111111111111e15`, `4111111.111111111` or `[4111, 1111, 1111, 1111]`. In: numbers, as values
or as JSON tokens. Out: their digits in plain decimal form, or an empty text if they are too few to matter.

Decision: docs/decisions/0006-a-number-becomes-a-number-of-the-same-length.md
"""

from __future__ import annotations

import re


class SpelledInt(int):
    """An integer with its token in JSON."""

    token: str


class SpelledFloat(float):
    """A float with its token in JSON."""

    __slots__ = ("token",)
    token: str


NUMBER_TYPES = frozenset((int, float, SpelledInt, SpelledFloat))
"""The types of the numbers of a tree."""
NUMBER_LIMIT = 10**8  # nine digits: shorter numbers cannot hold a card, an account or a social security number
LEAST_DIGITS = 9
_FRACTION_DIGITS = (
    13  # the digits of a card, for numbers with a fraction; computed numbers with fewer digits are not scanned
)
_MOST_INTEGRAL = 10**19
_PART = re.compile(r"[0-9]{1,8}", re.ASCII)
_TOKEN = re.compile(r"-?(\d+)(?:\.(\d+))?(?:[eE]([-+]?\d{1,9}))?", re.ASCII)
LEAST_IN_ARRAY = 9
LEAST_IN_OBJECT = 13  # unrelated numbers of an object look like telephone numbers too easily
MOST_DIGITS = 64  # a longer row is a series of numbers; among thousands, some would look like a card by chance


def digits_of(value: float) -> str:
    """Returns the text to scan of a number; empty if it is too short. An integer keeps its sign."""
    if isinstance(value, int):
        return str(value) if abs(value) >= NUMBER_LIMIT else ""
    return digits_of_token(repr(value))


def digits_of_token(token: str) -> str:
    """Returns the text to scan of a JSON number token; empty if it is too short."""
    match = _TOKEN.fullmatch(token)
    if match is None:
        return token if sum(map(str.isdigit, token)) >= LEAST_DIGITS else ""
    whole, fraction, exponent = match[1], (match[2] or ""), int(match[3] or 0)
    if match[2] is None and match[3] is None:
        return token if len(whole) >= LEAST_DIGITS else ""
    significant = (whole + fraction).strip("0")
    # The place of the decimal point among the significant digits.
    point = len(whole) + exponent - (len(whole + fraction) - len((whole + fraction).lstrip("0")))
    if len(significant) <= point <= 19:
        plain = significant.ljust(point, "0")
        return plain if len(plain) >= LEAST_DIGITS else ""
    if len(significant) >= _FRACTION_DIGITS:
        return _more_like_a_card(significant[: max(point, 0)], significant)
    return significant[:point] if LEAST_DIGITS <= point <= len(significant) else ""


def _more_like_a_card(integral: str, significant: str) -> str:
    """Chooses how to read a number with a fraction: `4111111111111111.5` and `41111111111111.11` hide the same card. A
    finding in the chosen digits replaces the whole number."""
    if _is_card(integral) or (len(integral) >= _FRACTION_DIGITS and not _is_card(significant)):
        return integral
    return significant


def _is_card(digits: str) -> bool:
    """Whether digits have the length and the check digit of a card's number (ISO/IEC 7812-1)."""
    if not 13 <= len(digits) <= 19:
        return False
    doubled = (divmod(2 * int(digit), 10) for digit in digits[-2::-2])
    return (sum(map(sum, doubled)) + sum(map(int, digits[-1::-2]))) % 10 == 0


def part_of(value: object) -> str:
    """Returns the digits of a scalar that can be a part of a longer number; empty if it cannot."""
    if isinstance(value, str):
        return value if _PART.fullmatch(value) else ""
    if isinstance(value, bool):
        return ""
    if isinstance(value, int):
        return str(value) if 0 <= value < NUMBER_LIMIT else ""
    if isinstance(value, float) and 0 <= value < NUMBER_LIMIT and value.is_integer():
        return f"{value:.0f}"
    return ""


def is_row(digits: int, parts: int, *, keyed: bool) -> bool:
    """Whether consecutive parts are scanned as one number. `keyed`: some parts are values of objects."""
    return parts > 1 and (LEAST_IN_OBJECT if keyed else LEAST_IN_ARRAY) <= digits <= MOST_DIGITS


def stand_in(digits: int) -> str:
    """Returns the replacement for a number of this many digits: it keeps the type and the length."""
    return "1" + "0" * (digits - 1)


def stand_ins(text: str) -> str:
    """Replaces each number of a row; the result is a row."""
    return re.sub("[0-9]+", lambda match: stand_in(len(match[0])), text)
