"""The tokens of JSON that can come in pieces: a string with its escapes, a number.

In: a text, and an index in it. Out: the index of the first character that the token left; `Malformed` names the character at
which the text cannot be JSON. The results depend on the text alone, never on its pieces.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

DIGITS_LIMIT = 4000

_RUN = re.compile(r'[^"\\\x00-\x1f]+')
_NUMBER_RUN = re.compile(r"[-+.0-9eE]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_NUMBER_BEGUN = re.compile(
    r"-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]+(?:[eE](?:[-+]?[0-9]+|[-+]?))?|\.|[eE](?:[-+]?[0-9]+|[-+]?))?)?"
)
_SIMPLE = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_HEX = frozenset("0123456789abcdefABCDEF")
_LOW_HALF = "the other half of a surrogate pair"
_JSON_NUMBER = "a number as JSON writes them"


class Malformed(Exception):
    """The character `char` at `at` shows that the text is not JSON; `expected` describes what JSON has there."""

    def __init__(self, at: int, expected: str, char: str) -> None:
        super().__init__(expected)
        self.at = at
        self.expected = expected
        self.char = char


class StringToken:
    """A string after its opening quote. `report(run, at)` gets its characters as they come; `at` is the place of the first.
    Only the last character of a run may be an escape. `is_complete`: the closing quote was read."""

    def __init__(self, report: Callable[[str, int], None]) -> None:
        self.is_complete = False
        self._report = report
        self._parts: list[str] = []
        self._hex = ""
        self._high = ""  # the first half of a surrogate pair
        self._state = self._plain

    @property
    def value(self) -> str:
        """The characters so far."""
        return "".join(self._parts)

    def read(self, text: str, index: int, offset: int) -> int:
        """Reads to the closing quote, or to the end of the text. `offset`: the place of the text. Raises `Malformed`."""
        while index < len(text) and not self.is_complete:
            index = self._state(text, index, offset + index)
        return index

    # The states. Each takes the text, an index, and the place of that character.

    def _plain(self, text: str, index: int, at: int) -> int:
        char = text[index]
        if self._high and char != "\\":
            raise Malformed(at, _LOW_HALF, char)
        if run := _RUN.match(text, index):
            self._parts.append(run[0])
            self._report(run[0], at)
            return run.end()
        if char == "\\":
            self._state = self._escape
        elif char == '"':
            self.is_complete = True
        else:
            raise Malformed(at, "an escape such as \\n", char)
        return index + 1

    def _escape(self, text: str, index: int, at: int) -> int:
        char = text[index]
        if char == "u":
            self._hex = ""
            self._state = self._unicode
        elif self._high:
            raise Malformed(at, _LOW_HALF, char)
        elif char in _SIMPLE:
            self._add(_SIMPLE[char], at)
        else:
            raise Malformed(at, "an escape that JSON has", char)
        return index + 1

    def _unicode(self, text: str, index: int, at: int) -> int:
        char = text[index]
        if char not in _HEX:
            raise Malformed(at, "four hexadecimal digits", char)
        self._hex += char
        if len(self._hex) == 4:
            code = int(self._hex, 16)
            if self._high:
                if not 0xDC00 <= code <= 0xDFFF:
                    raise Malformed(at, _LOW_HALF, char)
                low, high = code - 0xDC00, ord(self._high) - 0xD800
                self._high = ""
                self._add(chr(0x10000 + (high << 10) + low), at)
            elif 0xD800 <= code <= 0xDBFF:
                self._high = chr(code)
                self._state = self._plain
            elif 0xDC00 <= code <= 0xDFFF:
                raise Malformed(at, "the first half of a surrogate pair before the second", char)
            else:
                self._add(chr(code), at)
        return index + 1

    def _add(self, char: str, at: int) -> None:
        self._parts.append(char)
        self._state = self._plain
        self._report(char, at)


class NumberToken:
    """A number. Its end is known only from the character after it, or from the end of the text."""

    def __init__(self) -> None:
        self._token = ""

    def read(self, text: str, index: int, offset: int) -> int:
        """Reads the characters that a number may have. `offset`: the place of the text. Raises `Malformed`."""
        run = _NUMBER_RUN.match(text, index)
        assert run is not None  # noqa: S101 - it matches nothing, too
        if run[0]:
            token = self._token + run[0]
            begun = _NUMBER_BEGUN.match(token)
            assert begun is not None  # noqa: S101 - it matches nothing, too
            if begun.end() < len(token) or len(token) > DIGITS_LIMIT:
                wrong = min(begun.end(), DIGITS_LIMIT)
                raise Malformed(offset + index + wrong - len(self._token), _JSON_NUMBER, token[wrong])
            self._token = token
        return run.end()

    def value(self, at: int) -> float:
        """The number, which ends before the character at `at`. Raises `Malformed`."""
        token = self._token
        if not _NUMBER.fullmatch(token):
            raise Malformed(at, _JSON_NUMBER, token[:40])
        if token.lstrip("-").isdigit():
            return int(token)
        value = float(token)
        if math.isinf(value):
            raise Malformed(at, "a smaller number", token[:40])
        return value
