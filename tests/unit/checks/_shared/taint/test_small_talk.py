"""What says nothing of its origin: dates, times, common words, the labels of placeholders."""

from __future__ import annotations

import pytest

from guardproxy.checks._shared.taint.small_talk import DATE, saying
from guardproxy.redaction import mint


@pytest.mark.parametrize(
    "text",
    [
        *("2026-11-30", "20261130", "30.11.2026", "11/30/26", "30 November 2026", "30th of Nov", "November 30, 2026"),
        *("Nov 2026", "2026-11-30T09:15:00Z", "2026-11-30 09:15", "9:15 am", "09:15:30+01:00", "7 mars 2026"),
    ],
)
def test_dates_and_times(text: str) -> None:
    assert DATE.fullmatch(text)
    assert not saying(text).any()


@pytest.mark.parametrize("text", ["4111 1111", "12345678", "2026", "99-99-99", "Marble"])
def test_other_numbers_and_words(text: str) -> None:
    assert not DATE.fullmatch(text)
    assert saying(text).any()


def said(text: str) -> str:
    return "".join(char for char, says in zip(text, saying(text), strict=True) if says and char.isalnum())


def test_common_words_say_nothing() -> None:
    assert said("Thank you for the update. Don\u2019t pay Mallory on 2026-11-30!") == "payMallory"


def test_of_a_placeholder_only_its_letters_say_something() -> None:
    token = mint(b"k" * 16, "", "EMAIL_ADDRESS", "anna@mail.example")
    assert said(f"to {token}") == token.rpartition("_")[2].strip("]")
