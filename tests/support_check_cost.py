"""What a scan costs, counted instead of timed, and texts on which a check may cost more than their length.

`work` counts the steps of Python code: lines run and turns of loops, those of comprehensions and generators too.
To these it adds the characters that `guardproxy.checks._engine` hands to RE2, divided by `_CHARACTERS_A_STEP`.
"""

from __future__ import annotations

import base64
import random
import sys
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from guardproxy.checks import Check, _engine
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


class _Counted:
    """A compiled RE2 pattern that counts the characters which it reads."""

    def __init__(self, pattern: Any, count: list[float]) -> None:
        self._pattern, self._count = pattern, count

    def search(self, text: bytes, at: int = 0) -> Any:
        found = self._pattern.search(text, at)
        self._count[0] += max((found.start() + 1 if found else len(text)) - at, 0) / _CHARACTERS_A_STEP
        return found


def work(monkeypatch: pytest.MonkeyPatch, size: int, call: Callable[[], object]) -> float:
    """The steps that `call` takes for a text of `size` characters, of which four take a step at least."""
    count = [float(size) / 4]
    before = sys.gettrace()

    def trace(frame: Any, event: str, argument: Any) -> Any:
        count[0] += 1
        return trace

    compiled = _engine.compiled
    with monkeypatch.context() as patched:
        patched.setattr(_engine, "compiled", lambda pattern: _Counted(compiled(pattern), count))
        sys.settrace(trace)
        try:
            call()
        finally:
            sys.settrace(before)
    return count[0]


def text_of(unit: str, size: int) -> str:
    """`unit` repeated up to `size` characters."""
    return (unit * (size // len(unit) + 1))[:size]


def costs(
    monkeypatch: pytest.MonkeyPatch, check: Check, unit: str, sizes: Iterable[int], streamed: int = 0
) -> list[float]:
    """The steps for texts of these sizes. `streamed`: they come in pieces of so many characters, each scanned."""
    found = []
    for size in sizes:
        text = text_of(unit, size)
        if streamed:
            steps = work(
                monkeypatch, size, lambda text=text: scan_in_chunks(check, text, range(streamed, len(text), streamed))
            )  # type: ignore[misc]
        else:
            steps = work(monkeypatch, size, lambda text=text: whole(check, text))  # type: ignore[misc]
        found.append(steps)
    return found
