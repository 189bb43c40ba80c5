"""Counts the cost of a scan in steps, and generates texts that could make a check cost more than their length.

`steps` counts the steps of Python code: executed lines, and turns of loops, comprehensions and generators. It adds the
characters that RE2 reads for a check, divided by `_CHARACTERS_A_STEP`. Work inside of one call of `re` or `regex` is not
counted: `_shared/pii/custom.py` tries the patterns of users, and our own patterns must fail soon at each start.
"""

from __future__ import annotations

import base64
import gc
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from guardproxy.checks import Check, Resources, build, pii
from guardproxy.checks._shared.evasions import unfolding as _unfolding
from guardproxy.checks._shared.evasions.folding import table
from guardproxy.checks._shared.links import allowed as _allowed
from guardproxy.checks._shared.links import search as _links
from guardproxy.checks._shared.patterns import reach as _reach
from guardproxy.checks._shared.pii import engine as _engine
from guardproxy.testing import scan_in_chunks, whole

_CHARACTERS_A_STEP = 32
_RUN = base64.b64encode(random.Random(3).randbytes(6000)).decode()
_SAYS = base64.b64encode(bytes(random.Random(4).choices(range(32, 127), k=6000))).decode()

# name -> what is repeated
UNITS: dict[str, str] = {
    "digits": "1234567890", "one digit": "1", "dots": ".", "addresses without end": "1.2.3.4.", "IP": "1.2.3.4 ",
    "IPv6": "2001:db8:", "colons": ":", "MAC": "aa:bb:cc:", "at": "@", "letter at": "a@", "mails": "jane@example.com ",
    "mail without end": "jane@example.", "local part": "a.b.", "hyphens": "a-b-", "underscores": "a_b_", "digit dot": "1.",
    "digit dash": "1-", "digit space": "1 ", "digit slash": "1/", "pairs of digits": "12-34-", "cards": "4111 1111 1111 1111 ",
    "card lines": "4111\n", "cards joined": "4111-1111-1111-1111-", "stars": "**4111** ", "quoted numbers": '"4111", ',
    "floats": "4.111111111111111e15 ", "phones": "(212) 555-0147 ", "plus": "+", "plus digit": "+1", "abroad": "+49 30 1",
    "extensions": "1 ext ", "parentheses": "(", "digits in parentheses": "(1)", "open parentheses": "(123", "x": "123x",
    "tildes": "1~", "slashes": "/", "hashes": "1#", "dates": "2024-01-02 ", "times": "2024-01-02 12:00", "SSN": "536-22-8726 ",
    "IBAN": "GB82WEST12345698765432", "IBANs": "GB82 WEST ", "base64 of bytes": _RUN, "base64 of text": _SAYS,
    "base64 lines": "\n".join(_SAYS[at : at + 76] for at in range(0, len(_SAYS), 76)), "padded runs": "QUJDREVGR0hJSktM=",
    "runs and signs": "QUJDREVGR0hJSktM=;", "hex": "41", "hex pairs": "41 ", "hex bytes": "0x41,", "percent": "%41",
    "percent of percent": "%2541", "ampersands": "&", "entities": "&#49;", "entities of entities": "&amp;", "backslashes": "\\",
    "escapes": "\\x41", "open escapes": "\\u{000", "spaces": " ", "lines": "\n", "zero width": "\u200b",
    "letters and zero width": "a\u200b", "tags": "\U000e0041", "combining": "a\u0301", "full width": "\uff11\uff0e",
    "Cyrillic": "а", "ligatures": "\ufb01", "controls": "1\x00", "backspaces": "1\b", "braille blanks": "1\u2800",
    "one word": "a", "words": "hello there ", "quotes": "\"'", "brackets": "[", "objects": '{"a":', "assignments": "password=",
    "keys": "sk-", "key ids": "AKIA", "PEM": "-----BEGIN ", "token": "eyJhbGciOiJ.", "URLs": "http://", "spaced": "a b c d ",
    "signed": "a-b-c-", "CJK": "一", "coins": "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "context": "passport 9",
    "colons of words": "to:5 ",
    "IDN": "xn--", "percent at": "a%40b", "open mails": "a@b", "quoted mails": '"a b"@c.d ', "IP literals": "a@[1.2.3.4] ",
}  # fmt: skip

# For the checks of what attacks its reader; most other texts say little of their cost.
READER_UNITS: dict[str, str] = {
    "links": "[a](https://a/)",
    "images": "![a](",
    "targets": "](",
    "definitions": "]: ",
    "long address": "https://a" + "/a" * 4000,
    "tags of HTML": "<a href='a:b",
    "elements": "<a b=c>",
    "colon and slashes": "://",
    "hosts": "a.example/",
    "www": "www.",
    "zeros": "&#0000000000",
    "dropped": ":\t",
    "allowed": "https://a.example/?u=",
    "scripts": "javascript:",
    "terminal": "\x1b[31m",
    "titles": "\x1b]0;a",
    "flags": "\U0001f3f4\U000e0067",
    "selectors": "a\ufe00",
    "tokens": "<|a|>",
    "token begins": "<|",
    "brackets of tokens": "[INST",
    **{
        name: UNITS[name]
        for name in ("slashes", "colons", "ampersands", "entities", "backslashes", "escapes", "percent")
    },
    **{
        name: UNITS[name]
        for name in ("spaces", "lines", "letters and zero width", "tags", "controls", "words", "brackets")
    },
}


_count = [0.0]


class _Counted:
    """A compiled RE2 pattern that counts the characters it reads."""

    def __init__(self, pattern: Any) -> None:
        self._pattern = pattern

    def search(self, text: Any, at: int = 0, end: int | None = None) -> Any:
        end = len(text) if end is None else min(end, len(text))
        found = self._pattern.search(text, at, end)
        _count[0] += max((found.end() if found else end) - at, 0) / _CHARACTERS_A_STEP
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pattern, name)


@contextmanager
def counted() -> Iterator[None]:
    """Makes the checks that are built and used inside of the block count the characters that RE2 reads."""
    with pytest.MonkeyPatch.context() as patched:
        for module in (_engine, _reach):
            compile_pattern = module.compile_pattern
            patched.setattr(module, "compile_pattern", lambda pattern, real=compile_pattern: _Counted(real(pattern)))
        yield


@contextmanager
def short_blocks() -> Iterator[None]:
    """Makes the blocks that checks work in a sixteenth as long, so that a text of a few thousand characters has many, and what
    views may read to look for a place that all agree on.

    Within one block the cost of a stream is squared by design, as an open match is looked at again with each piece. That is
    a constant for each character: a block's length divided by a piece's. Texts of less than a few blocks show the square.
    """
    with pytest.MonkeyPatch.context() as patched:
        for module, name in (
            (pii, "MOST"),
            (_reach, "CHAIN"),
            (_reach, "_BLOCK"),
            (_unfolding, "_PATIENCE"),
            (_unfolding, "_AGAIN"),
            (_unfolding, "_ROUND_CHARS"),
            (_links, "LIMIT"),
            (_allowed, "_LIMIT"),
        ):
            patched.setattr(module, name, getattr(module, name) // 16)
        yield


def built(use: str, options: Mapping[str, Any], word_limit: int | None = None) -> Check:
    """A check that has built its parts. `word_limit`: the length in characters from which on a word is too long to be read."""
    check = build(use, use, options, Resources())
    if word_limit is not None and isinstance(check, _unfolding.Unfolding):
        check = replace(check, using=table(check.using.strict, word_limit))
    whole(check, "ada@example.org +1 212 555 0147 4111 1111 1111 1111 \u200b a b c d e f g h 41 41 41")
    return check


def steps(call: Callable[[], object]) -> float:
    """The steps that a call takes, without those of garbage collection."""
    before = sys.gettrace()
    _count[0] = 0

    def trace(frame: Any, event: str, argument: Any) -> Any:
        _count[0] += 1
        return trace

    gc.disable()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
        gc.enable()
    return _count[0]


def text_of(unit: str, size: int) -> str:
    """`unit` repeated up to `size` characters."""
    return (unit * (size // len(unit) + 1))[:size]


def cost(check: Check, unit: str, size: int, piece: int = 0) -> float:
    """The steps for a text of this size, of which four characters take one at least: so cheap a text may grow as it will.
    `piece`: it comes in pieces of so many characters, each scanned."""
    text = text_of(unit, size)
    if piece:
        return size / 4 + steps(lambda: scan_in_chunks(check, text, range(piece, size, piece)))
    return size / 4 + steps(lambda: whole(check, text))
