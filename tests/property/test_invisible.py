"""Tests every code point that displays nothing: inside of values of all kinds it hides no value."""

from __future__ import annotations

import unicodedata
from functools import cache

import pytest
import regex

from guardproxy.checks import Check, Resources, build
from guardproxy.testing import assert_invariant, whole
from tests.kit.evasions import CARD, KEY, MAIL

SSN = "536-22-8726"
VALUES = {
    "CREDIT_CARD": ("pii", CARD),
    "EMAIL_ADDRESS": ("pii", MAIL),
    "US_SSN": ("pii", SSN),
    "AWS_KEY": ("secrets", KEY),
}
SHOWN = "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u08e2\u0890\u0891\U000110bd\U000110cd"  # signs of numbers and verses
PROPERTIES = r"[\p{Cc}\p{Cf}\p{Co}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\p{Noncharacter_Code_Point}\u2800\ufffc]"


def _code_points() -> list[str]:
    """All such code points; of the three areas of private use, every 97th."""
    every = regex.findall(PROPERTIES, "".join(chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000))
    private = [letter for letter in every if unicodedata.category(letter) == "Co"][::97]
    return [
        letter for letter in every if unicodedata.category(letter) != "Co" and letter not in "\t\n\r" + SHOWN
    ] + private


SIGNS = _code_points()


@cache
def check(name: str) -> Check:
    return build(name, name, {}, Resources())


@pytest.mark.parametrize("label", VALUES)
def test_what_shows_nothing_hides_nothing(label: str) -> None:
    name, value = VALUES[label]
    middle = len(value) // 2
    missed = []
    for start in range(0, len(SIGNS), 200):
        lines = [f"see {value[:middle]}{sign}{value[middle:]} ok" for sign in SIGNS[start : start + 200]]
        text = "\n\n".join(lines)
        found = [text[finding.start : finding.end] for finding in whole(check(name), text)]
        joined = "\x07".join(found)
        missed += [hex(ord(line[4 + middle])) for line in lines if line[4:-3] not in joined]
    assert len(SIGNS) > 4000
    assert missed == []


@pytest.mark.parametrize("label", VALUES)
@pytest.mark.parametrize(
    "sign", ["\x00", "\x1b[31m", "\x1b", "\U000e0041", "\ufffc", "\u2800", "\ue000", "\U0010ffff", "\x9b", "\ufdd0"]
)
def test_one_between_all_characters_hides_nothing(label: str, sign: str) -> None:
    name, value = VALUES[label]
    hidden = sign.join(value)
    text = f"see {hidden} ok"
    assert any(text[finding.start : finding.end] == hidden for finding in whole(check(name), text))
    assert_invariant(check(name), text, range(1, len(text)))


@pytest.mark.parametrize("label", VALUES)
def test_what_a_backspace_erases_hides_nothing(label: str) -> None:
    name, value = VALUES[label]
    middle = len(value) // 2
    for hidden in ("".join(f"{letter}x\b" for letter in value), f"{value[:middle]}xyz\b\b\b{value[middle:]}"):
        text = f"see {hidden} ok"
        assert any(
            hidden.rstrip("x\b").startswith(text[finding.start : finding.end].rstrip("x\b"))
            for finding in whole(check(name), text)
        )
        assert_invariant(check(name), text, range(1, len(text)))


def test_ordinary_controls_change_nothing() -> None:
    for text in ("a\tb\r\nc", "colour \x1b[1mbold\x1b[0m text", "page one\x0cpage two", "keep\u00adsake 1\ufe0f\u20e3"):
        assert whole(check("pii"), text) == whole(check("secrets"), text) == []
