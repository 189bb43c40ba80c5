"""Judges a growing JSON text by a schema: reports the first character from which no continuation fits.

A text is wrong at the character that breaks JSON; at the first character of a value of the wrong type, or of an item
or key above the limit; where a string leaves every allowed word or exceeds its length; where a key ends that is not
allowed, or leaves every allowed key; and where a value ends that the library's validator refuses. A text that the
validator would accept is never wrong, and the verdict on a complete text is the validator's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from guardproxy.schemas.compiled import Compiled
from guardproxy.schemas.drafts import Budget, allowed_steps, spend, spending_from
from guardproxy.schemas.node import Node, roots
from guardproxy.schemas.reader import Kind, Reader, Wrong, alike
from guardproxy.schemas.wording import details, keys, kinds, words

WRONG_TYPE = "wrong_type"
WRONG_VALUE = "wrong_value"
UNKNOWN_KEY = "unknown_key"
TOO_MUCH = "too_much"
INVALID = "invalid"
_WORDS_A_STEP = 16


class Prefix(Reader):
    """Reads a text and judges it by `compiled`."""

    def __init__(self, compiled: Compiled) -> None:
        super().__init__()
        self._compiled = compiled
        self._roots = roots(compiled)
        self._budget = Budget(allowed_steps(0))
        self._nodes: list[tuple[Node, ...]] = []  # of each open object and array
        self._current: tuple[Node, ...] = ()  # of the current value
        self._coming: tuple[Node, ...] = self._roots  # of the next value
        self._words: list[tuple[str, ...]] = []  # for each node the values that the current string may have
        self._fitting: list[tuple[str, ...]] = []  # those of them that begin as the string has begun
        self._limit: float | None = None
        self._length = 0
        self._begun = ""

    def feed(self, text: str) -> None:
        """Reads the next characters. Raises `CostError`."""
        self._budget.steps += allowed_steps(self.at + len(text)) - allowed_steps(self.at)
        with spending_from(self._budget):
            super().feed(text)

    def close(self) -> None:
        """Ends the text. Raises `CostError`."""
        with spending_from(self._budget):
            super().close()

    def place(self) -> tuple[str, str]:
        path = shown = ""
        keys = iter(self.keys)
        for container in self.stack:
            if isinstance(container, list):
                path += f"[{len(container)}]"
                shown += f"[{len(container)}]"
                continue
            if key := next(keys):
                path += f".{key}"
                shown += f".{key}" if key in self._compiled.names else ".*"
        return path.lstrip("."), shown.lstrip(".")

    def _refuse(self, at: int, label: str, expected: str, found: str, said: str = "") -> Wrong:
        return Wrong(at, label, (self.detail(expected, found, said),))

    def begin(self, kind: Kind, at: int) -> None:
        inside = self.stack[-1] if self.stack else None
        nodes = self._coming
        if isinstance(inside, list):
            nodes = ()
            for node in self._nodes[-1]:
                if node.max_items is not None and len(inside) >= node.max_items:
                    raise self._refuse(at, TOO_MUCH, f"at most {node.max_items} items", "one more")
                nodes += node.for_item(len(inside))
        for node in nodes:
            if node.schema is False:
                raise self._refuse(at, INVALID, "nothing here", "a value")
            if node.kinds is not None and kind not in node.kinds:
                expected = kinds(sorted(node.kinds))
                if node.choices is not None:
                    expected = f"one of {words(node.choices)}"
                raise self._refuse(at, WRONG_TYPE, expected, kinds([kind]))
        self._current = nodes
        if kind in ("object", "array"):
            self._nodes.append(nodes)
        elif kind == "string":
            self._watch(
                [node.words for node in nodes if node.choices is not None],
                min((node.max_length for node in nodes if node.max_length is not None), default=None),
            )

    def _watch(self, allowed: Sequence[tuple[str, ...]], limit: float | None = None) -> None:
        self._words = self._fitting = list(allowed)
        if allowed:
            spend(1 + sum(map(len, allowed)) // _WORDS_A_STEP)
        self._limit = limit
        self._length = 0
        self._begun = ""

    def begin_key(self, at: int) -> None:
        count = len(self.stack[-1])
        self.keys[-1] = ""
        for node in self._nodes[-1]:
            if node.max_properties is not None and count >= node.max_properties:
                raise self._refuse(at, TOO_MUCH, f"at most {node.max_properties} keys", "one more")
        self._watch([tuple(node.names) for node in self._nodes[-1] if node.names is not None])

    def text(self, run: str, at: int, *, key: bool) -> None:
        self._length += len(run)
        if self._words:
            self._begun += run
            begun = self._begun
            self._fitting = [tuple(word for word in fitting if word.startswith(begun)) for fitting in self._fitting]
            if not all(self._fitting):
                held = [max(alike(begun, word) for word in (*allowed, "")) for allowed in self._words]
                least = min(held)
                place = at + least - (len(self._begun) - len(run))
                allowed = self._words[held.index(least)]
                begun = self._begun[: least + 1]
                if key:
                    raise self._refuse(place, UNKNOWN_KEY, keys(allowed), "a key that begins with", begun)
                raise self._refuse(place, WRONG_VALUE, f"one of {words(allowed)}", "a string that begins with", begun)
        if not key and self._limit is not None and self._length > self._limit:
            before = self._length - len(run)
            raise self._refuse(at + int(self._limit) - before, TOO_MUCH, f"at most {self._limit} characters", "more")

    def key(self, key: str, at: int) -> None:
        coming: tuple[Node, ...] = ()
        for node in self._nodes[-1]:
            inner = node.for_key(key)
            if inner is None:
                raise self._refuse(at, UNKNOWN_KEY, keys(node.schema.get("properties", ())), "another key", key)
            coming += inner
        self._coming = coming

    def end(self, kind: Kind, value: Any, at: int) -> None:
        container = kind in ("object", "array")
        nodes = self._nodes.pop() if container else self._current
        errors = [error for node in nodes for error in node.errors(value, container=container)]
        if errors:
            raise Wrong(at, INVALID, details(errors, self.place(), self._compiled.names))

    def finish(self, at: int) -> None:
        if isinstance(self.value, (dict, list)):
            errors = list(self._compiled.errors(self.value))
            if errors:
                raise Wrong(at, INVALID, details(errors, ("", ""), self._compiled.names))
