"""The digits of numbers, however they are written."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.wire.numbers import digits_of, digits_of_token, is_row, part_of, stand_ins

CARD = "4111222233334444"


@pytest.mark.parametrize(
    ("token", "digits"),
    [
        (CARD, CARD),
        (f"-{CARD}", f"-{CARD}"),
        ("4.111222233334444e15", CARD),
        ("4.111222233334444E+15", CARD),
        ("4111222233334444e0", CARD),
        ("4111222233334444.0", CARD),
        ("41112222.33334444", CARD),
        ("0.4111222233334444", CARD),
        ("0.4111222233334444e16", CARD),
        ("4.111222233334444e20", CARD),
        ("4.111222233334444e-9", CARD),
        ("41112222333344440e-1", CARD),
        ("123456789.5", "123456789"),
        ("12345678", ""),
        ("52.520008", ""),
        ("1e999999999", ""),
        ("1e20", ""),
    ],
)
def test_a_number_has_one_text_of_digits(token: str, digits: str) -> None:
    assert digits_of_token(token) == digits


@given(value=st.integers(10**12, 10**15 - 1), exponent=st.integers(-30, 30))
def test_no_exponent_hides_a_number(value: int, exponent: int) -> None:
    digits = str(value).rstrip("0")
    if len(digits) > 12:
        assert digits in digits_of_token(f"{value}e{exponent}")
        assert digits in digits_of(json.loads(f"{value}e{exponent}"))


def test_parts_of_a_row() -> None:
    assert [part_of(value) for value in (4111, "0411", 4111.0, 0)] == ["4111", "0411", "4111", "0"]
    assert [part_of(value) for value in (-1, "4111-", True, None, 10**8, 1.5, "123456789", "")] == [""] * 8
    assert is_row(16, 4, keyed=True)
    assert not is_row(16, 1, keyed=False)
    assert not is_row(65, 20, keyed=False)
    assert not is_row(10, 3, keyed=True)
    assert stand_ins("4111 22 3") == "1000 10 1"
