"""Finds known values in texts, in time that is linear in the text and nearly independent of the number of values.

In: the sensitive values of an exchange. Out: the places where they occur in a text, with overlaps. Kept: an
Aho-Corasick automaton (A. Aho and M. Corasick, 1975), once a text needs it. Most texts hold no value at all, which a plain
search for each value finds out thirty times as fast as the automaton. Libraries for this task report every occurrence, which
takes quadratic time for values that are suffixes of each other. Here, of the occurrences with the same end only the longest
is reported if there are many, because it covers the others.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Iterator

from guardproxy.concurrency import lazy

# At each place of a text a search may compare a whole value, so these bound what an adversary can make a character cost.
SOUGHT_CHARS = 4096  # up to this total length of values, each is looked for before the automaton is asked
FEW_CHARS = 400  # up to this total length of the values that a text has, their places are searched one by one
_FEW = 12
_SHIFT = 21  # code points are smaller, so a state and a character fit into one key


class ValueMatcher:
    """Finds `values`, which must not be empty texts."""

    def __init__(self, values: Collection[str]) -> None:
        self._values = values
        self._are_sought = sum(map(len, values)) <= SOUGHT_CHARS

    def find(self, text: str) -> Iterable[tuple[int, int]]:
        """Returns spans of values, in no order. Every occurrence of a value lies inside one of them."""
        held = [value for value in self._values if value in text] if self._are_sought else self._values
        if len(held) > _FEW or sum(map(len, held)) > FEW_CHARS:
            return self._automaton.find(text)
        spans: list[tuple[int, int]] = []
        for value in held:
            at, size = text.find(value), len(value)
            while at >= 0:
                spans.append((at, at + size))
                # Values that hold each other may begin at the same places, as many as there are values.
                if len(spans) > len(text):
                    return self._automaton.find(text)
                at = text.find(value, at + 1)
        return spans

    @lazy
    def _automaton(self) -> Automaton:
        return Automaton(self._values)


class Automaton:
    """Finds all `values` in one pass."""

    def __init__(self, values: Collection[str]) -> None:
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
        """Yields the longest value that ends at each place, in order."""
        following, fail, longest = self._next, self._fail, self._longest
        state = 0
        for at, char in enumerate(text, 1):
            code = ord(char)
            while (target := following.get(state << _SHIFT | code)) is None and state:
                state = fail[state]
            state = target or 0
            if size := longest[state]:
                yield at - size, at
