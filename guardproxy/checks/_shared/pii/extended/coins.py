"""Addresses of crypto currencies beside those of Bitcoin, which Presidio finds.

In: a match of a pattern, in its text. Out: a span of CRYPTO, or nothing.

- `BASE58`: 25 to 48 characters whose checksum is right (Litecoin, Dogecoin, Dash, Tron, Zcash, Tezos, XRP, Polkadot and
  others), or that follow a word for a wallet and look like an address of Bitcoin, Litecoin or Solana;
- `BECH32`: a word for the network, `1`, and characters whose checksum is right (Litecoin, Cosmos, Cardano and others), or
  `bc1` and `ltc1` after such a word;
- `ETHEREUM`: `0x` and 40 hexadecimal digits;
- `LONG`: addresses of Stellar, TON and Bitcoin Cash, whose checksums are right, and of Monero.
"""

from __future__ import annotations

import base64
import hashlib
from binascii import crc_hqx
from typing import Any

import regex

from guardproxy.checks._shared.pii.engine import Span

_LETTERS = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_SYMBOLS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_XRP_LETTERS = "rpshnaf39wBUDNEGHJKLM4PQRST7VWXYZ2bcdeCg65jkm8oFqi1tuvAxyz"
BASE58 = r"(?<![0-9A-Za-z])[1-9A-HJ-NP-Za-km-z]{25,48}(?![0-9A-Za-z])"
BECH32 = r"(?<![0-9A-Za-z])[a-z]{2,10}1[02-9ac-hj-np-z]{38,98}(?![0-9A-Za-z])"
ETHEREUM = r"(?<![0-9A-Za-z])0x[0-9a-fA-F]{40}(?![0-9A-Za-z])"
LONG = (
    r"(?<![0-9A-Za-z])(?:[48][0-9AB][1-9A-HJ-NP-Za-km-z]{93}(?:[1-9A-HJ-NP-Za-km-z]{11})?|G[A-Z2-7]{55}|[EUk0]Q[0-9A-Za-z_-]{46}"
    r"|[qp][02-9ac-hj-np-z]{41})(?![0-9A-Za-z_-])"
)
BEFORE = 48
_WALLET = regex.compile(
    r"\b(?:wallets?|bitcoins?|btc|litecoins?|ltc|sol|solana|usdc|phantom|coins?|crypto|cartera|portefeuille|geldb[öo]rse|adresse?|address|indirizzo)\b",
    regex.IGNORECASE,
)
_GENERATORS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CONSTANTS = (1, 0x2BC830A3)  # of the two versions of the format
_CASH_GENERATORS = (0x98F2BC8E61, 0x79B76D99E2, 0xF33E5FB3C4, 0xAE2EABE2A8, 0x1E4F43E470)
_BYTES, _BYTES_OF_KEY, _BYTES_OF_SS58 = range(25, 28), 32, range(35, 37)
_LONG_LETTERS, _MOST_USUAL = 56, 35  # of Stellar; of Bitcoin
_LIKELY, _CERTAIN = 0.6, 1.0


def base58(match: Any) -> Span | None:
    """Reads a match of `BASE58`."""
    address = match[0]
    if address.isalpha() or address.isdigit():
        return None  # a long word or number
    data = _base58(address, _LETTERS)
    is_proven = (
        _is_checked(data) or _is_ss58(data) or (address[0] == "r" and _is_checked(_base58(address, _XRP_LETTERS)))
    )
    return _span(match, is_proven, len(data) == _BYTES_OF_KEY or (len(address) <= _MOST_USUAL and address[0] in "13LM"))


def bech32(match: Any) -> Span | None:
    """Reads a match of `BECH32`."""
    return _span(match, _is_bech32(match[0]), match[0].startswith(("bc1", "ltc1")))


def ethereum(match: Any) -> Span:
    """Reads a match of `ETHEREUM`."""
    return Span(match.start(), match.end(), "CRYPTO", _LIKELY, False)


def long(match: Any) -> Span | None:
    """Reads a match of `LONG`."""
    address = match[0]
    if len(address) == _LONG_LETTERS:
        data = base64.b32decode(address)
        return _span(match, crc_hqx(data[:-2], 0) == int.from_bytes(data[-2:], "little"), is_usual=False)
    if len(address) > _LONG_LETTERS:  # of Monero; its checksum needs a hash that is not in the library
        return _span(match, any(map(str.isdigit, address)) and not address.isupper(), is_usual=False)
    if address[1] == "Q":
        data = base64.urlsafe_b64decode(address)
        return _span(match, crc_hqx(data[:-2], 0) == int.from_bytes(data[-2:], "big"), is_usual=False)
    return _span(match, _is_cash(address), is_usual=False)


def _span(match: Any, is_proven: bool, is_usual: bool) -> Span | None:
    start, end = match.span()
    if is_proven:
        return Span(start, end, "CRYPTO", _CERTAIN, True)
    if is_usual and _WALLET.search(match.string, max(0, start - BEFORE), start):
        return Span(start, end, "CRYPTO", _LIKELY, False)
    return None


def _base58(address: str, letters: str) -> bytes:
    number = 0
    for letter in address:
        number = number * 58 + letters.index(letter)
    zeros = len(address) - len(address.lstrip(letters[0]))
    return number.to_bytes((number.bit_length() + 7) // 8 + zeros, "big")


def _is_checked(data: bytes) -> bool:
    return len(data) in _BYTES and hashlib.sha256(hashlib.sha256(data[:-4]).digest()).digest()[:4] == data[-4:]


def _is_ss58(data: bytes) -> bool:
    """Whether data have the checksum of Polkadot and its relatives."""
    return len(data) in _BYTES_OF_SS58 and hashlib.blake2b(b"SS58PRE" + data[:-2]).digest()[:2] == data[-2:]


def _is_cash(address: str) -> bool:
    """Whether the checksum of an address of Bitcoin Cash is right."""
    checksum = 1
    for value in [*(ord(letter) & 31 for letter in "bitcoincash"), 0, *map(_SYMBOLS.index, address)]:
        top = checksum >> 35
        checksum = (checksum & 0x07FFFFFFFF) << 5 ^ value
        for bit, generator in enumerate(_CASH_GENERATORS):
            checksum ^= generator if top >> bit & 1 else 0
    return checksum == 1


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
