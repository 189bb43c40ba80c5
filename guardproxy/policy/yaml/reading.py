"""Reads typed values from the tree of a policy file: each method returns a value or adds an error.

In: nodes of one file. Out: strings, tuples, booleans; `None` for an invalid value. Kept: the errors, so that the user
sees every error of the file at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from guardproxy.checks import hint
from guardproxy.errors import PolicyError
from guardproxy.policy.yaml.tree import FilePlace, YamlNode
from guardproxy.wire import Formats, installed

LATER = "is not available in this version"

_NAME = re.compile(r"[a-z0-9-]+")

Choice = TypeVar("Choice", bound=str)


class FileReading:
    """Reads the nodes of a file. `errors`: the errors so far. `formats`: the wire formats that the file may name."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.errors: list[PolicyError] = []
        self.formats: Formats = installed()

    def fail(self, place: FilePlace, message: str) -> None:
        self.errors.append(PolicyError(message, place.path or self.path, place.line, place.column))

    def unexpected(self, node: YamlNode, wanted: str) -> None:
        """Adds an error for a value of the wrong type. Unquoted numbers and booleans are the usual cause."""
        hint = "; quote it" if isinstance(node.value, bool | int | float) and "word" in wanted else ""
        self.fail(node.place, f"expected {wanted}, found {node.describe()}{hint}")

    def entries(
        self, node: YamlNode, wanted: str, allowed: Sequence[str], needed: Sequence[str] = (), place: str = ""
    ) -> Mapping[str, YamlNode]:
        """Returns the allowed entries of a mapping. Adds errors for unknown keys and for missing `needed` keys. `place`: the
        place of keys in the table of foreign words."""
        entries = self.mapping(node, wanted)
        if entries is None:
            return {}
        hints = ""
        for key, value in entries.items():
            if key not in allowed:
                hint = did_you_mean(key, allowed, place, value.plain() if isinstance(value.value, bool) else None)
                hints += hint
                self.fail(value.key, f"unknown key `{key}`{hint} (allowed here: {join(allowed)})")
        for key in needed:
            if key not in entries and f"`{key}`" not in hints:  # a second error for the same mistake helps nobody
                self.fail(node.place, f"`{key}` is missing")
        return {key: value for key, value in entries.items() if key in allowed}

    def mapping(self, node: YamlNode, wanted: str) -> Mapping[str, YamlNode] | None:
        if isinstance(node.value, Mapping):
            return node.value
        self.unexpected(node, wanted)
        return None

    def items(self, node: YamlNode, wanted: str) -> tuple[YamlNode, ...]:
        if isinstance(node.value, tuple):
            return node.value
        self.unexpected(node, wanted)
        return ()

    def word(self, node: YamlNode | None, wanted: str = "a word") -> str | None:
        if node is None:
            return None
        if isinstance(node.value, str) and node.value.strip():
            return node.value
        if isinstance(node.value, str):
            self.fail(node.place, f"expected {wanted}, found an empty text")
        else:
            self.unexpected(node, wanted)
        return None

    def name(self, node: YamlNode | None) -> str | None:
        """Reads a name that is safe in logs, headers and metrics."""
        name = self.word(node)
        if node is not None and name is not None and not _NAME.fullmatch(name):
            self.fail(node.place, "a name has only the characters a-z, 0-9 and `-`")
            return None
        return name

    def words(self, node: YamlNode, wanted: str = "a list of words") -> tuple[str, ...]:
        words = (self.word(item) for item in self.items(node, wanted))
        return tuple(word for word in words if word is not None)

    def word_or_words(self, node: YamlNode | None) -> tuple[str, ...]:
        if node is None:
            return ()
        if isinstance(node.value, str):
            word = self.word(node)
            return () if word is None else (word,)
        return self.words(node, "a word or a list of words")

    def choice(
        self, node: YamlNode | None, options: tuple[Choice, ...], later: Sequence[str] = (), place: str = ""
    ) -> Choice | None:
        """Returns one of `options`, or `None`. `place`: the place of the value in the table of foreign words."""
        word = self.word(node, f"one of {join(options)}")
        if node is None or word is None:
            return None
        for option in options:
            if option == word:
                return option
        if word in later:
            self.fail(node.place, f"`{word}` {LATER}; use one of {join(options)}")
        else:
            hint = did_you_mean(word, options, place)
            self.fail(node.place, f"unknown word `{word}`{hint} (expected one of {join(options)})")
        return None

    def number(self, node: YamlNode | None, least: float, most: float, *, whole: bool = False) -> float | None:
        """Returns a number from `least` to `most`, or `None`."""
        if node is None:
            return None
        value = node.value
        fine = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
        if not fine:
            self.unexpected(node, "a whole number" if whole else "a number")
            return None
        number = float(value)  # type: ignore[arg-type]
        if not least <= number <= most:
            self.fail(node.place, f"expected a number from {least:g} to {most:g}")
            return None
        return number

    def boolean(self, node: YamlNode | None) -> bool | None:
        if node is None or isinstance(node.value, bool):
            return None if node is None else bool(node.value)
        if node.value in ("yes", "no", "on", "off"):
            right = "true" if node.value in ("yes", "on") else "false"
            self.fail(node.place, f"expected true or false, found the word `{node.value}`; write `{right}`")
        else:
            self.unexpected(node, "true or false")
        return None


def did_you_mean(word: str, options: Sequence[str], place: str = "", value: Any = None) -> str:
    """Returns what to write instead of an unknown word; see `checks.hint`."""
    return hint(word, options, place, value)


def join(words: Sequence[str]) -> str:
    return ", ".join(words)
