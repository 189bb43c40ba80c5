"""Addresses of crypto currencies beside those of Bitcoin, which Presidio finds.

In: a match of a pattern, in its text. Out: a span of CRYPTO, or nothing. Kept: nothing.

- `BASE58`: 26 to 35 characters whose checksum is right (Litecoin, Dogecoin, Dash, Tron and others), or that follow a word
  for a wallet and look like an address of Bitcoin or Litecoin;
- `BECH32`: a word for the network, `1`, and characters whose checksum is right (Litecoin, Cosmos, Cardano and others), or
  `bc1` and `ltc1` after such a word;
- `ETHEREUM`: `0x` and 40 hexadecimal digits.
"""

from __future__ import annotations

import hashlib
from typing import Any

import regex

from guardproxy.checks._pii.engine import Span

_LETTERS = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_SYMBOLS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
BASE58 = r"(?<![0-9A-Za-z])[1-9A-HJ-NP-Za-km-z]{26,35}(?![0-9A-Za-z])"
BECH32 = r"(?<![0-9A-Za-z])[a-z]{2,10}1[02-9ac-hj-np-z]{38,98}(?![0-9A-Za-z])"
ETHEREUM = r"(?<![0-9A-Za-z])0x[0-9a-fA-F]{40}(?![0-9A-Za-z])"
BEFORE = 48
_WALLET = regex.compile(
    r"\b(?:wallets?|bitcoins?|btc|litecoins?|ltc|coins?|crypto|cartera|portefeuille|geldb[öo]rse|adresse?|address|indirizzo)\b",
    regex.IGNORECASE,
)
_GENERATORS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CONSTANTS = (1, 0x2BC830A3)  # of the two versions of the format
_BYTES = 25
_LIKELY, _CERTAIN = 0.6, 1.0


def base58(match: Any) -> Span | None:
    """Judges a match of `BASE58`."""
    address = match[0]
    if address.isalpha() or address.isdigit():
        return None  # a long word or number
    return _span(match, _is_base58(address), address[0] in "13LM")


def bech32(match: Any) -> Span | None:
    """Judges a match of `BECH32`."""
    return _span(match, _is_bech32(match[0]), match[0].startswith(("bc1", "ltc1")))


def ethereum(match: Any) -> Span:
    """Judges a match of `ETHEREUM`."""
    return Span(match.start(), match.end(), "CRYPTO", _LIKELY, False)


def _span(match: Any, is_proven: bool, is_usual: bool) -> Span | None:
    start, end = match.span()
    if is_proven:
        return Span(start, end, "CRYPTO", _CERTAIN, True)
    if is_usual and _WALLET.search(match.string, max(0, start - BEFORE), start):
        return Span(start, end, "CRYPTO", _LIKELY, False)
    return None


def _is_base58(address: str) -> bool:
    number = 0
    for letter in address:
        number = number * 58 + _LETTERS.index(letter)
    zeros = len(address) - len(address.lstrip("1"))
    if (number.bit_length() + 7) // 8 + zeros != _BYTES:
        return False
    data = number.to_bytes(_BYTES, "big")
    return hashlib.sha256(hashlib.sha256(data[:-4]).digest()).digest()[:4] == data[-4:]


def _is_bech32(address: str) -> bool:
    network, _, data = address.rpartition("1")
    values = [*(ord(letter) >> 5 for letter in network), 0, *(ord(letter) & 31 for letter in network)]
    checksum = 1
    for value in [*values, *map(_SYMBOLS.index, data)]:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_GENERATORS):
            checksum ^= generator if top >> bit & 1 else 0
    return checksum in _CONSTANTS
