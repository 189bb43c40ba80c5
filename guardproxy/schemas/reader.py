"""A JSON parser that takes a text in pieces of any size and knows at each character whether it can still be JSON.

It reads what `wire/json/strict.py` reads: no duplicate keys, no half surrogate pairs, no numbers that overflow, nesting up to
`DEPTH_LIMIT`. A subclass gets a call when a value begins, for the characters of a string as they come, for keys and for
complete values; it raises `Wrong` to end the reading. The calls depend on the text alone, never on its pieces.

It is a parser of our own because the maintained ones report too late: jiter reads the whole text again for each piece, ijson
yields a string when it is complete, and neither says which character is wrong.

The states are methods: each takes the text and an index and gives the index of the first character that it left. Strings and
numbers are read by `tokens.py`.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from guardproxy.concurrency import stop_point
from guardproxy.findings import Detail
from guardproxy.schemas.tokens import Malformed, NumberToken, StringToken

DEPTH_LIMIT = 100
_STOP_CHARS = 1000  # between two stop points
MALFORMED = "malformed"
INCOMPLETE = "incomplete"
DUPLICATE_KEY = "duplicate_key"

Kind = Literal["object", "array", "string", "number", "boolean", "null"]

_SPACE = re.compile(r"[ \t\n\r]*")
_LITERALS: dict[str, tuple[str, Any]] = {"t": ("true", True), "f": ("false", False), "n": ("null", None)}
_KINDS: dict[str, Kind] = {"{": "object", "[": "array", '"': "string", "t": "boolean", "f": "boolean", "n": "null"}


def alike(first: str, second: str) -> int:
    """The length of the longest common beginning of two texts."""
    shorter = min(len(first), len(second))
    return next((at for at in range(shorter) if first[at] != second[at]), shorter)


class Wrong(Exception):
    """The text cannot become what it should be: the character at `at` (counted in the whole text) shows it."""

    def __init__(self, at: int, label: str, details: tuple[Detail, ...] = ()) -> None:
        super().__init__(label)
        self.at = at
        self.label = label
        self.details = details


class Reader:
    """One text. `at`: how many characters were read; `wrong`: the verdict that ended the reading; `complete`: the value
    has its end (a number at the top never has, before the text ends)."""

    def __init__(self) -> None:
        self.at = 0
        self.wrong: Wrong | None = None
        self.value: Any = None
        self.complete = False
        self.stack: list[Any] = []  # the open objects and arrays
        self.keys: list[str] = []  # of each open object the key that is being read
        self._state = self._value
        self._string_token = StringToken(self._report_text)
        self._number_token = NumberToken()
        self._is_key = False
        self._literal: tuple[str, Any] = ("", None)
        self._literal_chars = 0

    # What a reading is asked for.

    def begin(self, kind: Kind, at: int) -> None:
        """A value begins."""

    def text(self, run: str, at: int, *, key: bool) -> None:
        """Characters of a string or key; `at` is the place of the first. Only the last of `run` may be an escape."""

    def key(self, key: str, at: int) -> None:
        """A key of the innermost object is complete; `at` is its closing quote."""

    def end(self, kind: Kind, value: Any, at: int) -> None:
        """A value is complete: `at` is its last character, or the one after a number."""

    def finish(self, at: int) -> None:
        """The whole value is complete."""

    # The reading.

    def feed(self, text: str) -> None:
        """The next characters. After `wrong` was set they are passed over."""
        if self.wrong is None:
            try:
                index = stop = 0
                while index < len(text):
                    if index > stop:
                        stop_point()
                        stop = index + _STOP_CHARS
                    index = self._state(text, index)
            except Malformed as fault:
                self.wrong = self._malformed(fault.at, fault.expected, fault.char)
            except Wrong as wrong:
                self.wrong = wrong
        self.at += len(text)

    def close(self) -> None:
        """The text has ended."""
        if self.wrong is None:
            last = max(0, self.at - 1)
            try:
                if self._state == self._number and not self.stack:
                    self._end_number(last)
                if not self.complete:
                    raise Wrong(last, INCOMPLETE, (Detail("", "", "a complete JSON value", "a text that ends early"),))
            except Malformed as fault:
                self.wrong = self._malformed(fault.at, fault.expected, fault.char)
            except Wrong as wrong:
                self.wrong = wrong

    def _malformed(self, at: int, expected: str, char: str) -> Wrong:
        return Wrong(at, MALFORMED, (self.detail(expected, "another character", char),))

    def detail(self, expected: str, found: str, said: str = "") -> Detail:
        """Returns an error at the current value."""
        place, shown = self.place()
        return Detail(place, shown, expected, found, said)

    def place(self) -> tuple[str, str]:
        """The path of the current value, and the same path without keys that come from the text."""
        path, keys = "", iter(self.keys)
        for container in self.stack:
            path += f"[{len(container)}]" if isinstance(container, list) else f".{next(keys)}"
        return path.strip("."), path.strip(".")

    def _value(self, text: str, index: int) -> int:
        index = self._skip(text, index)
        if index == len(text):
            return index
        char, at = text[index], self.at + index
        if (kind := _KINDS.get(char)) is None:
            if char != "-" and not "0" <= char <= "9":
                raise self._malformed(at, "a JSON value", char)
            kind = "number"
        if char in "{[" and len(self.stack) >= DEPTH_LIMIT:
            raise self._malformed(at, f"at most {DEPTH_LIMIT} levels of nesting", char)
        self.begin(kind, at)
        match kind:
            case "object":
                self.stack.append({})
                self.keys.append("")
                self._state = self._first_key
            case "array":
                self.stack.append([])
                self._state = self._first_item
            case "string":
                self._open_string(is_key=False)
            case "number":
                self._number_token = NumberToken()
                self._state = self._number
                return index
            case _:
                self._literal = _LITERALS[char]
                self._literal_chars = 1
                self._state = self._word
        return index + 1

    def _skip(self, text: str, index: int) -> int:
        space = _SPACE.match(text, index)
        assert space is not None  # noqa: S101 - it matches nothing, too
        return space.end()

    def _first_item(self, text: str, index: int) -> int:
        index = self._skip(text, index)
        if index < len(text):
            if text[index] == "]":
                self._close_container(self.at + index)
                return index + 1
            self._state = self._value
        return index

    def _first_key(self, text: str, index: int) -> int:
        index = self._skip(text, index)
        if index < len(text):
            if text[index] == "}":
                self._close_container(self.at + index)
                return index + 1
            self._state = self._next_key
        return index

    def _next_key(self, text: str, index: int) -> int:
        index = self._skip(text, index)
        if index < len(text):
            if text[index] != '"':
                raise self._malformed(self.at + index, "a key between double quotes", text[index])
            self.begin_key(self.at + index)
            self._open_string(is_key=True)
            return index + 1
        return index

    def begin_key(self, at: int) -> None:
        """A key of the innermost object begins."""

    def _colon(self, text: str, index: int) -> int:
        index = self._skip(text, index)
        if index < len(text):
            if text[index] != ":":
                raise self._malformed(self.at + index, "a colon", text[index])
            self._state = self._value
            return index + 1
        return index

    def _after(self, text: str, index: int) -> int:
        index = self._skip(text, index)
        if index == len(text):
            return index
        char, at = text[index], self.at + index
        if not self.stack:
            raise self._malformed(at, "nothing after the JSON value", char)
        inside = self.stack[-1]
        if char == ("}" if isinstance(inside, dict) else "]"):
            self._close_container(at)
        elif char == ",":
            self._state = self._next_key if isinstance(inside, dict) else self._value
        else:
            raise self._malformed(
                at, f"a comma, or the end of the {'object' if isinstance(inside, dict) else 'array'}", char
            )
        return index + 1

    # Strings.

    def _open_string(self, *, is_key: bool) -> None:
        self._is_key = is_key
        self._string_token = StringToken(self._report_text)
        self._state = self._string

    def _report_text(self, run: str, at: int) -> None:
        self.text(run, at, key=self._is_key)

    def _string(self, text: str, index: int) -> int:
        index = self._string_token.read(text, index, self.at)
        if self._string_token.is_complete:
            self._close_string(self.at + index - 1)
        return index

    def _close_string(self, at: int) -> None:
        text = self._string_token.value
        if not self._is_key:
            self._end("string", text, at)
            return
        if text in self.stack[-1]:
            raise Wrong(at, DUPLICATE_KEY, (self.detail("each key once", "a key that was there before", text),))
        self.key(text, at)
        self.keys[-1] = text
        self._state = self._colon

    # Numbers and words.

    def _number(self, text: str, index: int) -> int:
        index = self._number_token.read(text, index, self.at)
        if index < len(text):
            self._end_number(self.at + index)
        return index

    def _end_number(self, at: int) -> None:
        self._end("number", self._number_token.value(at), at)

    def _word(self, text: str, index: int) -> int:
        word, value = self._literal
        if text[index] != word[self._literal_chars]:
            raise self._malformed(self.at + index, f"`{word}`", text[index])
        self._literal_chars += 1
        if self._literal_chars == len(word):
            self._end("null" if value is None else "boolean", value, self.at + index)
        return index + 1

    # Ends.

    def _close_container(self, at: int) -> None:
        inside = self.stack.pop()
        if isinstance(inside, dict):
            self.keys.pop()
        self._end("object" if isinstance(inside, dict) else "array", inside, at)

    def _end(self, kind: Kind, value: Any, at: int) -> None:
        self._state = self._after
        self.end(kind, value, at)
        if not self.stack:
            self.value = value
            self.complete = True
            self.finish(at)
        elif isinstance(self.stack[-1], dict):
            self.stack[-1][self.keys[-1]] = value
        else:
            self.stack[-1].append(value)
