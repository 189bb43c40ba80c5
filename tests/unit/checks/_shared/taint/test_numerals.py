"""Digits that are written as words."""

from __future__ import annotations

import pytest

from guardproxy.checks._shared.taint.numerals import digits_in_words


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("call four one one one two now", "41112"),
        ("FOUR, ONE - One... one", "4111"),
        ("vier eins null sieben", "4107"),
        ("quatre un zéro sept", "4107"),
        ("четыре один ноль семь", "4107"),
        ("п\u2019ять один нуль сім", "5107"),
        ("أربعة واحد صفر سبعة", "4107"),
        ("चार एक शून्य सात", "4107"),
        ("ארבע אחת אפס שבע", "4107"),
    ],
)
def test_rows_of_words_become_digits(text: str, digits: str) -> None:
    ((start, end, found),) = digits_in_words(text)
    assert found == digits
    assert text[start:end] == text.removeprefix("call ").removesuffix(" now")


@pytest.mark.parametrize(
    "text", ["", "one two three", "one day, two nights and three meals for four", "someone twofold"]
)
def test_other_words_stay(text: str) -> None:
    assert digits_in_words(text) == []


def test_rows_end_at_other_words_and_at_wide_gaps() -> None:
    text = "one two three four dogs one two three four ------ five six seven eight"
    assert [found for *_, found in digits_in_words(text)] == ["1234", "1234", "5678"]
