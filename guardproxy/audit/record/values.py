"""Finds known values in texts, in time that is linear in the text and independent of the number of values.

In: the sensitive values of an exchange. Out: the places where they occur in a text, with overlaps. Kept: an
Aho-Corasick automaton (A. Aho and M. Corasick, 1975), or a regular expression for a few short values. Libraries for
this task report every occurrence, which takes quadratic time for values that are suffixes of each other. Here, of the
occurrences with the same end only the longest is reported, because it covers the others.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Collection, Iterator

FEW_CHARS = 400  # up to this total length of values, trying each value at each place is faster than the automaton
_FEW = 12
_SHIFT = 21  # code points are smaller, so a state and a character fit into one key


class ValueMatcher:
    """Finds `values`, which must not be empty texts."""

    def __init__(self, values: Collection[str]) -> None:
        self._pattern: re.Pattern[str] | None = None
        if len(values) <= _FEW and sum(map(len, values)) <= FEW_CHARS:
            longest_first = "|".join(map(re.escape, sorted(values, key=len, reverse=True)))
            self._pattern = re.compile(f"(?=({longest_first}))" if values else r"(?!)")
            return
        self._next: dict[int, int] = {}
        self._fail = array("l", [0])
        self._longest = array("l", [0])  # for each state, the length of the longest value that ends there
        self._build(values)

    def _build(self, values: Collection[str]) -> None:
        following, fail, longest = self._next, self._fail, self._longest
        edges: list[tuple[int, int, int]] = []  # from, character, to; the states that lead to a state come before it
        depths = array("l", [0])
        for value in values:
            state = 0
            for char in value:
                key = state << _SHIFT | ord(char)
                if (child := following.get(key)) is None:
                    child = following[key] = len(fail)
                    fail.append(0)
                    longest.append(0)
                    depths.append(depths[state] + 1)
                    edges.append((state, ord(char), child))
                state = child
            longest[state] = len(value)
        # Sorted by depth, so that the fallback of a state is known before the state.
        edges.sort(key=lambda edge: depths[edge[2]])
        for state, code, child in edges:
            if state:
                back = fail[state]
                while (target := following.get(back << _SHIFT | code)) is None and back:
                    back = fail[back]
                fail[child] = target or 0
            longest[child] = longest[child] or longest[fail[child]]

    def find(self, text: str) -> Iterator[tuple[int, int]]:
        """Yields spans of values. Every occurrence of a value lies inside a yielded span."""
        if self._pattern is not None:
            for match in self._pattern.finditer(text):
                yield match.span(1)
            return
        following, fail, longest = self._next, self._fail, self._longest
        state = 0
        for at, char in enumerate(text, 1):
            code = ord(char)
            while (target := following.get(state << _SHIFT | code)) is None and state:
                state = fail[state]
            state = target or 0
            if size := longest[state]:
                yield at - size, at
