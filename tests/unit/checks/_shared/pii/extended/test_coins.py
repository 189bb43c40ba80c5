"""Addresses of crypto currencies: by their checksums, by their form, and after a word for a wallet."""

from __future__ import annotations

from functools import partial

import pytest

from guardproxy.checks import Resources, build
from guardproxy.testing import assert_every_split, whole
from tests.kit.check_cost import steps

STRICT, EXTENDED = (
    build("pii", "pii", {"entities": ["CRYPTO"], "evasions": "off", "parity": parity}, Resources())
    for parity in ("strict", "extended")
)
PROVEN = [
    "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t",
    "DH5yaieqoZN36fDVciNyRueRGvGLR3mr7L",
    "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw",
    "abcdef1l7aum6echk45nj3s0wdvt2fg8x9yrzpqzd3ryx",
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "rEb8TK3gBgk5auZkwc6sHnwrGVJH8DuaLh",
    "t1Hsc1LR8yKnbbe3twRp88p6vFfC5t7DLbs",
    "tz1VSUr8wwNhLAzempoch5d6hLRiTh8Cjcjb",
    "15oF4uVJwmo4TdGW7VfQxNLavjCXviqxT9S1MgbjMNHr6Sp5",
    "GAAZI4TCR3TY5OJHCTJC2A4QSY6CJWJH5IAJTGKIN2ER7LBNVKOCCWN7",
    "EQDtFpEwcFAEcRe5mLVh2N6C0x-_hJEM7W61_JLnSF74p4q2",
    "qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a",
    "888tNkZrPN6JsEgekjMnABU4TBzc2Dt29EPAvkRxbANsAnjyPbb3iQ1YBRk1UXcdRsiKc9dhwMVgN5S9cQUiyoogDavup3H",
]
MADE_UP = [
    "1NK6ZbZeim7dErX6y2cV2WKa3CbLZw37xb",
    "3QJ24nYH82H5EBmxRfVZmZ4Bhhoyv5ocQW",
    "LVg2kJoFNg45Nbpy53h7Fe1wKyeXVRhMH8",
    "bc1qn4llt0w7t9mv3au8ztglyv5v7rj63ugvup7z8w",
    "7EcDhSYGxXyscszYEp35KHN8vvw3svAuLKTzXwCFLtV",
]
HARMLESS = [
    f"wallet {'a' * 30}", f"wallet {'1' * 30}", f"wallet {PROVEN[0][:-1]}u", f"wallet {PROVEN[2][:-1]}x", PROVEN[4][:-1],
    f"x{PROVEN[4]}", f"wallet {PROVEN[5][:-1]}g", f"wallet {PROVEN[8][:-1]}4", f"wallet {PROVEN[9][:-1]}A",
    f"wallet {PROVEN[10][:-1]}A",
    f"wallet {PROVEN[11][:-1]}q", f"wallet 48{'A' * 93}", f"wallet z{PROVEN[0]}z", f"wallet{' ' * 50}{MADE_UP[0]}",
    f"1{'z' * 34}", f"wallets: {'z' * 34}1",
]  # fmt: skip


def found(text: str) -> list[str]:
    return [text[finding.start : finding.end] for finding in whole(EXTENDED, text)]


@pytest.mark.parametrize("address", PROVEN)
def test_an_address_is_found(address: str) -> None:
    text = f"see {address}, and *{address}*"
    assert found(text) == [address, address]
    assert_every_split(EXTENDED, text)
    assert not whole(STRICT, text)


@pytest.mark.parametrize("address", MADE_UP)
def test_a_made_up_address_is_found_after_a_word_for_a_wallet(address: str) -> None:
    assert found(f"see {address}") == []
    text = f"Send the coins to {address}."
    assert found(text) == [address]
    assert_every_split(EXTENDED, text)


@pytest.mark.parametrize("text", HARMLESS)
def test_other_words_are_none(text: str) -> None:
    assert found(text) == []


def test_a_long_word_costs_no_more_than_its_length() -> None:
    once, twice = (steps(partial(whole, EXTENDED, "9aZ" * count)) for count in (4_000, 8_000))
    assert twice < 2.5 * once
