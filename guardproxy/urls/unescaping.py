"""Decodes a growing text to a fixed point: entities of HTML, percent escapes, and escapes of JSON, JavaScript and CSS, in any
nesting (`&amp;#47;`, `&#92;2f`, `%252f`).

In: the text in pieces, in order. Out: the decoded characters, with the span of the text that each came from. Kept: the escapes
at the end that are not complete.

Invariants
- The result depends on the text alone, never on how it is cut into pieces.
- The cost is linear: every character is read once, and every decoded character takes the place of at least two.
- Bounded: an escape has at most `_LIMIT` characters, and at most `_DEPTH` escapes lie in one another. Beyond that the
  characters stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from html.entities import html5
from types import MappingProxyType

import msgspec

_LIMIT = 40
_DEPTH = 8
_SPECIAL = re.compile(r"[&%\\]")
_HEX = frozenset("0123456789abcdefABCDEF")
_LEGACY = ("amp", "lt", "gt", "quot")  # may lack the semicolon
# The names that stand for a single ASCII character, or for one that parsers of addresses drop.
_NAMES: Mapping[str, str] = MappingProxyType(
    {
        name.rstrip(";"): char
        for name, char in html5.items()
        if len(char) == 1 and (char.isascii() or not char.isprintable()) and name.endswith(";")
    }
)
_BEGINNINGS = frozenset(name[:size] for name in _NAMES for size in range(len(name) + 1))

Emit = Callable[[str, int, int], None]
"""Takes decoded text and the span of the text that it came from."""


class _Escape(msgspec.Struct):
    """An escape that is not complete."""

    start: int
    end: int
    text: str
    parts: list[tuple[str, int, int]]  # its characters with their spans, to give back if it is no escape

    def may_hold(self, special: str) -> bool:
        """Whether an escape that begins here may stand for a part of this one, although this one may end here. One whose
        characters came from escapes is likely to go on so."""
        is_nested = any(end - start > 1 for _, start, end in self.parts)
        return special == "%" or is_nested or (special == "&" and self.text[0] == "\\")


class Unescaping(msgspec.Struct):
    """A text decoded so far. `at`: the number of characters that were read."""

    at: int = 0
    _open: list[_Escape] = msgspec.field(default_factory=list)  # each lies in the one before it

    @property
    def start(self) -> int:
        """The offset up to which the decoded text is final."""
        return self._open[0].start if self._open else self.at

    def feed(self, text: str, emit: Emit) -> None:
        """Decodes the next piece of the text."""
        begun, at = self.at, 0
        while at < len(text):
            if not self._open:
                special = _SPECIAL.search(text, at)
                end = special.start() if special else len(text)
                if end > at:
                    emit(text[at:end], begun + at, begun + end)
                    at = end
                    continue
            self._put(text[at], begun + at, begun + at + 1, emit)
            at += 1
        self.at = begun + len(text)

    def finish(self, emit: Emit) -> None:
        """Decodes what is left, as if a character followed that continues no escape."""
        while self._open:
            escape = self._open.pop()
            char, _ = _completed(escape.text, "")
            if char is None:
                self._give_back(escape, emit)
            else:
                self._put(char, escape.start, escape.end, emit)

    def copy(self) -> Unescaping:
        """A copy that goes on by itself."""
        escapes = [msgspec.structs.replace(escape, parts=list(escape.parts)) for escape in self._open]
        return Unescaping(self.at, escapes)

    def _put(self, char: str, start: int, end: int, emit: Emit, *, is_plain: bool = False) -> None:
        """Takes a character of the text, or one that an escape stood for. `is_plain`: it begins no escape."""
        while self._open:
            escape = self._open[-1]
            begins = not is_plain and char in "&%\\" and len(self._open) < _DEPTH
            decoded, is_swallowed = _completed(escape.text, char)
            if decoded is not None and not (begins and escape.may_hold(char)):
                self._open.pop()
                self._put(decoded, escape.start, end if is_swallowed else escape.end, emit)
                if is_swallowed:
                    return
                continue
            if begins:
                self._open.append(_Escape(start, end, char, [(char, start, end)]))
                return
            if _goes_on(escape.text + char):
                escape.text, escape.end = escape.text + char, end
                escape.parts.append((char, start, end))
                return
            self._give_back(self._open.pop(), emit)
        if not is_plain and char in "&%\\":
            self._open.append(_Escape(start, end, char, [(char, start, end)]))
        else:
            emit(char, start, end)

    def _give_back(self, escape: _Escape, emit: Emit) -> None:
        """Gives the characters of an escape that is none to the one around it, which the first of them completes or ends."""
        for char, start, end in escape.parts:
            self._put(char, start, end, emit, is_plain=True)


def _completed(escape: str, char: str) -> tuple[str | None, bool]:
    """Returns what an escape stands for if `char` completes it, and whether `char` belongs to it; otherwise `None`. An empty
    `char` is the end of the text."""
    kind, body = escape[0], escape[1:]
    if kind == "&":
        if body.startswith("#"):
            digits = body[1:].lower()
            is_hex = digits.startswith("x")
            digits = digits.removeprefix("x")
            if not digits or (char in _HEX if is_hex else char.isascii() and char.isdigit()):
                return None, False
            return _char(digits, 16 if is_hex else 10), char == ";"
        if char == ";":
            return _NAMES.get(body), True
        is_name = body.lower() in _LEGACY and not (char and body + char in _BEGINNINGS)
        return (_NAMES[body.lower()], False) if is_name else (None, False)
    if kind == "%":
        done = len(body) == 1 and body in _HEX and char != "" and char in _HEX
        return (_char(body + char, 16), True) if done else (None, False)
    if body[:1] in ("u", "x"):
        done = len(body) == (4 if body[0] == "u" else 2) and char != "" and char in _HEX
        return (_char(body[1:] + char, 16), True) if done else (None, False)
    if not body or (len(body) < 6 and char != "" and char in _HEX):
        return None, False
    # A backslash before the host of an address may be a slash, and its first letters are no escape.
    decoded = _char(body, 16)
    return (decoded, char != "" and char in " \t\n") if decoded.isascii() and decoded.isprintable() else (None, False)


def _goes_on(escape: str) -> bool:
    """Whether more characters can make this an escape."""
    kind, body = escape[0], escape[1:]
    if len(escape) > _LIMIT:
        return False
    if kind == "&":
        if body.startswith("#"):
            return re.fullmatch(r"#(?:[xX][0-9a-fA-F]*|[0-9]*)", body) is not None
        return body in _BEGINNINGS or body.lower() in _LEGACY
    if kind == "%":
        return body in _HEX
    return re.fullmatch(r"u[0-9a-fA-F]{0,3}|x[0-9a-fA-F]?|[0-9a-fA-F]{1,6}", body) is not None


def _char(digits: str, base: int) -> str:
    number = int(digits[-12:], base)
    return chr(number) if 0 < number <= 0x10FFFF else "\ufffd"


def unescaped(text: str) -> str:
    """Returns a text decoded to a fixed point."""
    out: list[str] = []

    def emit(part: str, start: int, end: int) -> None:
        out.append(part)

    unescaping = Unescaping()
    unescaping.feed(text, emit)
    unescaping.finish(emit)
    return "".join(out)
