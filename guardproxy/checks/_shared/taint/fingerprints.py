"""Fingerprints: what is kept of a text, so that copies of it are recognized when the text is gone.

In: a passage, and a secret number. Out: its fingerprint, which is small and says nothing of the text without the number; later
a group of fingerprints, which is asked which characters of a target they know.

A fingerprint has a hash of `GRAM` letters and digits in a row from every `STRIDE`th place of each reading of the text, and a
hash of each short value. Hence a copy of `GRAM + STRIDE - 1`, which is 12, is always recognized, and one of `GRAM` sometimes. A
hash has `HASH_BYTES`, so of a million grams and a million kept hashes one pair is equal by chance. Of a longer text the first
`MOST_GRAMS` grams and the first `MOST_WORDS` short values are kept; `is_whole` says whether that was all.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from guardproxy.checks._shared.taint.fingerprint import HASH_BYTES, Fingerprint
from guardproxy.checks._shared.taint.grams import Codes, Numbers, Places, codes_of, hashes_of
from guardproxy.checks._shared.taint.packing import packed_steps, pieces, readings
from guardproxy.checks._shared.taint.short_values import short_values

GRAM = 9
STRIDE = 4
MOST_GRAMS = 4096
MOST_WORDS = 512
_HASH_BITS = np.uint64(8 * HASH_BYTES)
"""Of a hash of 64 bits, the upper bits are kept."""


def hashes_in(text: str, salt: int) -> tuple[list[int], list[int], bool]:
    """Returns the hashes of a text for its fingerprint, of grams and of short values, and whether they are all."""
    grams: dict[int, None] = {}
    words: dict[int, None] = {}
    for _, piece in pieces(text):
        for view in readings(piece):
            codes, _ = codes_of(packed_steps(view.text))
            grams |= dict.fromkeys(_salted(hashes_of(codes, GRAM)[::STRIDE], salt).tolist())
            words |= dict.fromkeys(word_hash(value, salt) for value, _, _ in short_values(view.text))
        if len(grams) > MOST_GRAMS:
            break
    is_whole = len(grams) <= MOST_GRAMS and len(words) <= MOST_WORDS
    return list(grams)[:MOST_GRAMS], list(words)[:MOST_WORDS], is_whole


def word_hash(value: str, salt: int) -> int:
    """Returns the hash of a short value."""
    codes, _ = codes_of([value])
    padded = np.concatenate((codes, np.array([len(codes), 0x110000], np.uint32)))
    return int(_salted(hashes_of(padded, len(padded)), salt)[0])


class Fingerprints:
    """Some fingerprints in the order of the conversation. They note which of their hashes a target had."""

    def __init__(self, fingerprints: Sequence[tuple[int, Fingerprint]]) -> None:
        self._by_salt: dict[int, tuple[Numbers, Places]] = {}
        self._words: dict[tuple[int, int], int] = {}
        self._all = dict(fingerprints)
        by_salt: dict[int, list[tuple[NDArray[np.uint64], int]]] = {}
        for number, fingerprint in fingerprints:
            by_salt.setdefault(fingerprint.salt, []).append((_read(fingerprint.grams), number))
            for word in _read(fingerprint.words).tolist():
                self._words.setdefault((fingerprint.salt, word), number)
        for salt, its in by_salt.items():
            hashes = np.concatenate([grams for grams, _ in its])
            numbers = np.concatenate([np.full(len(grams), number, np.int64) for grams, number in its])
            order = np.argsort(hashes, kind="stable")
            self._by_salt[salt] = hashes[order], numbers[order]

    def known(self, codes: Codes) -> Places:
        """Returns for each character of a target the number of the first fingerprint that has a gram with it, or -1."""
        first = np.full(len(codes), -1, np.int64)
        plain = hashes_of(codes, GRAM)
        for salt, (hashes, numbers) in self._by_salt.items():
            wanted = _salted(plain, salt)
            rows = np.searchsorted(hashes, wanted)
            at = np.flatnonzero(rows < len(hashes))
            at = at[hashes[rows[at]] == wanted[at]]
            for place, number in zip(at.tolist(), numbers[rows[at]].tolist(), strict=True):
                span = first[place : place + GRAM]
                span[(span < 0) | (span > number)] = number
                self._all[number].met_grams.add(int(wanted[place]))
        return first

    def word(self, value: str) -> int:
        """Returns the number of the first fingerprint that has a short value, or -1."""
        hashed = {salt: word_hash(value, salt) for salt in self._by_salt}
        numbers = {salt: self._words[salt, word] for salt, word in hashed.items() if (salt, word) in self._words}
        for salt, number in numbers.items():
            self._all[number].met_words.add(hashed[salt])
        return min(numbers.values(), default=-1)


def _salted(hashes: NDArray[np.uint64], salt: int) -> NDArray[np.uint64]:
    """Returns hashes that only those who know the number can compute."""
    mixed = hashes ^ np.uint64(salt)
    for shift in (29, 32):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64((salt << 1 | 1) & 0xFFFF_FFFF_FFFF_FFFF)
    mixed ^= mixed >> np.uint64(31)
    return (mixed * np.uint64(0x9E3779B97F4A7C15)) >> (np.uint64(64) - _HASH_BITS)


def _read(text: str) -> NDArray[np.uint64]:
    data = np.frombuffer(base64.b64decode(text), np.uint8)
    rows = data[: len(data) // HASH_BYTES * HASH_BYTES].reshape(-1, HASH_BYTES).astype(np.uint64)
    value = np.zeros(len(rows), np.uint64)
    for column in range(HASH_BYTES):
        value = (value << np.uint64(8)) | rows[:, column]
    return value
