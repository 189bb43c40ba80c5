"""The digits of numbers, however they are written."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.wire.json.numbers import digits_of, digits_of_token, is_row, part_of, stand_ins

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
        (f"{CARD}.5", CARD),
        ("4111111111111111.5", "4111111111111111"),
        ("4111111111111111.3", "4111111111111111"),  # with its fraction it has a check digit too
        ("41111111111111.11", "4111111111111111"),
        ("123456789.5", "123456789"),
        ("12345678", ""),
        ("52.520008", ""),
        ("1e999999999", ""),
        ("1e20", ""),
    ],
)
def test_a_number_has_one_text_of_digits(token: str, digits: str) -> None:
    assert digits_of_token(token) == digits


def _with_check_digit(value: int) -> str:
    """The digits with the one behind them that makes them a card's."""
    total = sum(
        digit if at % 2 else sum(divmod(2 * digit, 10)) for at, digit in enumerate(map(int, reversed(str(value))))
    )
    return f"{value}{-total % 10}"


@given(value=st.integers(3 * 10**14, 7 * 10**14 - 1), exponent=st.integers(-30, 30))
def test_no_exponent_hides_a_card(value: int, exponent: int) -> None:
    card = _with_check_digit(value)
    if card.endswith("0"):  # a float does not tell where it ends
        return
    read = digits_of_token(f"{card}e{exponent}")
    assert read.rstrip("0") == card or _is_prefix_of_a_card(read, card)
    value_read = json.loads(f"{card}e{exponent}")
    if Decimal(repr(value_read)) == Decimal(f"{card}e{exponent}"):  # a float keeps 15 digits of any number, of most 16
        assert digits_of(value_read) == read


@given(value=st.integers(3 * 10**14, 7 * 10**14 - 1), fraction=st.integers(1, 9))
def test_no_fraction_hides_a_card(value: int, fraction: int) -> None:
    card = _with_check_digit(value)
    assert digits_of_token(f"{card}.{fraction}") == card


def _is_prefix_of_a_card(read: str, card: str) -> bool:
    """Whether what was read is a shorter card at the beginning: what is found of it replaces the whole number."""
    return 13 <= len(read) < 16 and card.startswith(read) and _with_check_digit(int(read[:-1])) == read


def test_parts_of_a_row() -> None:
    assert [part_of(value) for value in (4111, "0411", 4111.0, 0)] == ["4111", "0411", "4111", "0"]
    assert [part_of(value) for value in (-1, "4111-", True, None, 10**8, 1.5, "123456789", "")] == [""] * 8
    assert is_row(16, 4, keyed=True)
    assert not is_row(16, 1, keyed=False)
    assert not is_row(65, 20, keyed=False)
    assert not is_row(10, 3, keyed=True)
    assert stand_ins("4111 22 3") == "1000 10 1"


@pytest.mark.parametrize(("token", "digits"), [("+4111111111111111", "+4111111111111111"), ("0x41", "")])
def test_what_no_number_of_json_looks_like_is_read_as_it_stands(token: str, digits: str) -> None:
    assert digits_of_token(token) == digits
