"""Finds known values in texts, in time that is linear in the text however many values there are.

In: the sensitive values of an exchange. Out: where they occur in a text, overlaps included. Kept: an Aho-Corasick
automaton (A. Aho and M. Corasick, 1975), or a regular expression where the values are few and short. The libraries that
search for many values report every occurrence: of values that are suffixes of each other that is squared again. Here, of
the occurrences that end at one place only the longest counts, for it covers the others.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Collection, Iterator

FEW_CHARS = 400  # so many characters of values are tried at each place of a text in less time than the automaton takes
_FEW = 12
_SHIFT = 21  # a code point fits below: a state and a character are one key


class ValueMatcher:
    """Finds `values`, of which none may be empty."""

    def __init__(self, values: Collection[str]) -> None:
        self._pattern: re.Pattern[str] | None = None
        if len(values) <= _FEW and sum(map(len, values)) <= FEW_CHARS:
            longest_first = "|".join(map(re.escape, sorted(values, key=len, reverse=True)))
            self._pattern = re.compile(f"(?=({longest_first}))" if values else r"(?!)")
            return
        self._next: dict[int, int] = {}
        self._fail = array("l", [0])
        self._longest = array("l", [0])  # of each state, the length of the longest value that ends there
        self._build(values)

    def _build(self, values: Collection[str]) -> None:
        following, fail, longest = self._next, self._fail, self._longest
        edges: list[tuple[int, int, int]] = []  # from, character, to; a state comes after those that lead to it
        depths = array("l", [0])
        for value in values:
            state = 0
            for char in value:
                key = state << _SHIFT | ord(char)
                if (known := following.get(key)) is None:
                    known = following[key] = len(fail)
                    fail.append(0)
                    longest.append(0)
                    depths.append(depths[state] + 1)
                    edges.append((state, ord(char), known))
                state = known
            longest[state] = len(value)
        # By depth, so that what a state falls back to is known before the state.
        edges.sort(key=lambda edge: depths[edge[2]])
        for state, code, child in edges:
            if state:
                back = fail[state]
                while (found := following.get(back << _SHIFT | code)) is None and back:
                    back = fail[back]
                fail[child] = found or 0
            longest[child] = longest[child] or longest[fail[child]]

    def find(self, text: str) -> Iterator[tuple[int, int]]:
        """Where values are. Every occurrence of a value lies inside one of those that are given."""
        if self._pattern is not None:
            for match in self._pattern.finditer(text):
                yield match.span(1)
            return
        following, fail, longest = self._next, self._fail, self._longest
        state = 0
        for at, char in enumerate(text, 1):
            code = ord(char)
            while (found := following.get(state << _SHIFT | code)) is None and state:
                state = fail[state]
            state = found or 0
            if size := longest[state]:
                yield at - size, at
