"""Bounds how much a body may hold, counted before any of it is built: a small body can hold a quarter of a million strings.

In: the bytes of a body or of one event. Out: nothing, or a `JsonFault` that names the setting. `check` reads the bytes in
parts, so that no single step is long; `check_tree` reads the parsed tree.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from guardproxy.errors import ErrorCode
from guardproxy.wire.json import DEPTH_LIMIT, NUMBER_LIMIT, NUMBER_TYPES, JsonFault, bound_nesting

_HOLDERS = (dict, list)
_STEP_BYTES = 1 << 18
_CODES = {
    "texts": ErrorCode.TOO_MANY_TEXTS,
    "values": ErrorCode.TOO_MANY_VALUES,
    "messages": ErrorCode.TOO_MANY_MESSAGES,
    "tools": ErrorCode.TOO_MANY_TOOLS,
    "path_chars": ErrorCode.TOO_MANY_PATH_CHARS,
}
# A string without its end reaches to the end of the data. Searching again from each quote in it would take squared time.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|,', re.DOTALL)

Counted = Literal["messages", "tools"]
"""A list of a request whose length a setting limits."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds of one JSON body; each is a setting named `limit_...`. `texts`: strings, keys included; `values`: strings, keys,
    numbers and other values; `messages` and `tools`: items of those lists; `path_chars`: characters of the keys on the path
    to one place, as the name of each text below the place holds all of them; `depth`: nested objects and arrays."""

    texts: int = 100_000
    values: int = 1_000_000
    messages: int = 20_000
    tools: int = 4_000
    path_chars: int = 4_000
    depth: int = DEPTH_LIMIT

    def check(self, data: bytes) -> None:
        """Checks that `data` may be parsed. Raises `JsonFault`."""
        if self.depth < DEPTH_LIMIT:  # at `DEPTH_LIMIT` the parser itself refuses
            bound_nesting(data, self.depth)
        size_bytes = len(data)
        # So few bytes cannot hold so many strings or values.
        if size_bytes <= self.texts and size_bytes < self.values:
            return
        quotes = commas = 0
        for at in range(0, len(data), _STEP_BYTES):
            part = data[at : at + _STEP_BYTES]
            quotes += part.count(b'"')
            commas += part.count(b",")
        # Quotes and commas inside of strings count here too, so the count is never too low.
        if quotes <= 2 * self.texts and commas < self.values:
            return
        bound_nesting(data, self.depth)  # first, so that a body that is too deep is reported as too deep
        texts = others = 0  # the exact count, as quotes and commas may be inside of strings
        for match in _TOKEN.finditer(data):
            if match[0] == b",":
                others += 1
            else:
                texts += 1
            if texts > self.texts:
                raise self._fault("texts", "strings")
            if others >= self.values:
                raise self._fault("values", "values")

    def check_tree(self, tree: Any, limits: Mapping[Counted, Sequence[str]], size_bytes: int = 1 << 62) -> None:
        """Checks that the texts of a request may be read. `limits`: the fields whose items each limit counts, by the name of
        the limit; `size_bytes`: the size of the body, if it is known. Raises `JsonFault`."""
        if not isinstance(tree, dict):
            return
        for limit, names in limits.items():
            for name in names:
                if name in tree and type(items := tree[name]) is list and len(items) > getattr(self, limit):
                    raise self._fault(limit, limit)
        self.check_places(tree, size_bytes)

    def check_places(self, tree: Any, size_bytes: int = 1 << 62) -> None:
        """Checks that the places of all texts can be named, and that not too many numbers are texts. `size_bytes`: the size of
        the JSON, if it is known: a small one can break neither bound. Raises `JsonFault`."""
        if size_bytes <= self.path_chars and size_bytes <= self.texts:
            return
        numbers = 0
        waiting: list[tuple[Any, int]] = [(tree, 0)]
        while waiting:
            node, above = waiting.pop()
            if type(node) is dict:
                if node and above + max(map(len, node)) > self.path_chars:
                    raise self._fault("path_chars", "characters in the keys that lead to one value")
                for key, child in node.items():
                    kind = type(child)
                    if kind in _HOLDERS:
                        waiting.append((child, above + len(key)))
                    elif kind in NUMBER_TYPES and abs(child) >= NUMBER_LIMIT:
                        numbers += 1
            elif type(node) is list:
                for child in node:
                    kind = type(child)
                    if kind in _HOLDERS:
                        waiting.append((child, above))
                    elif kind in NUMBER_TYPES and abs(child) >= NUMBER_LIMIT:
                        numbers += 1
            if numbers > self.texts:
                raise self._fault("texts", "strings and long numbers")

    def _fault(self, limit: str, words: str) -> JsonFault:
        code = _CODES[limit]
        return JsonFault(code, code.message(f"more than {getattr(self, limit)} {words}"))


BOUNDS = Bounds()
UNBOUNDED = Bounds(*(1 << 62 for _ in fields(Bounds)))
