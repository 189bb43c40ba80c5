"""Decides whether a value that no check reads could hold a card number, a telephone number or a key.

In: the value of a header, or the name of a model. Out: a boolean.
"""

from __future__ import annotations

import re

_CARD = 13  # digits of the shortest card number
_JOINED = re.compile(r"[ ._:/-]+")
_DIGITS = re.compile(r"[0-9]+")
_LIMIT_DIGITS = 64
_NUMBER = re.compile(r"\d{3}[ .-]\d{2,3}[ .-]\d{4}(?!\d)|\+\d{7}", re.ASCII)  # telephone and social security numbers
_ID = re.compile(  # a UUID (RFC 9562) or a hexadecimal number
    r"(?<![0-9A-Za-z])(?:[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}|[0-9a-f]{16,64})(?![0-9A-Za-z])",
    re.ASCII | re.IGNORECASE,
)
_LETTERS = 4  # random hexadecimal numbers have more digits
_KEY = re.compile(r"(?:AKIA|ASIA|AIza|gh[pousr]_|xox[abpr]-|sk-|eyJ)[A-Za-z0-9_-]{8,}")


def is_harmless(value: str) -> bool:
    """Whether no part of the value looks like a card number, with any separators, or like the key of a known issuer."""
    if "@" in value or _KEY.search(value) or _NUMBER.search(value):
        return False
    runs = _DIGITS.findall(_JOINED.sub("", value))
    return sum(map(len, runs)) <= _LIMIT_DIGITS and not any(map(_is_card, runs))


def without_ids(value: str) -> str:
    """The value without the random identifiers of requests, which may look like card numbers by chance."""
    return _ID.sub(lambda match: "" if sum(map(str.isalpha, match[0])) >= _LETTERS else match[0], value)


def _is_card(digits: str) -> bool:
    """Whether 13 to 19 consecutive digits pass the Luhn test and begin like a card number."""
    for start in range(len(digits) - _CARD + 1):
        if digits[start] not in "23456":
            continue
        for size in range(_CARD, min(19, len(digits) - start) + 1):
            if _passes(digits[start : start + size]):
                return True
    return False


def _passes(digits: str) -> bool:
    total = 0
    for number, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + number % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0
