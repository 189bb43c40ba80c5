"""A line of a labelled file becomes a row.

In: a line of JSON and what its keys are called. Out: a `LabelledRow`. A label is 0 or 1, true or false, or a name of which
the user says what it means. A line that cannot be read is a `DataError` with file and line, never with its text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from guardproxy.errors import ConfigError

_WORDS = {"0": False, "1": True, "false": False, "true": True}


class DataError(ConfigError):
    """A file of texts that cannot be used. `str()` gives `file:line: message`; lines start at 1."""

    def __init__(self, message: str, path: str, line: int) -> None:
        super().__init__(f"{path}:{line}: {message}")


@dataclass(frozen=True, slots=True)
class RowKeys:
    """What the keys of a line are called. `label`: empty when there is none to read. `positive`: the labels that mean an
    attack; empty: 1 and true do."""

    text: str = "text"
    label: str = "label"
    source: str = "source"
    positive: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class LabelledRow:
    """A text. `attack`: what its label says, `False` without one. `place`: its file and line."""

    text: str
    attack: bool
    source: str
    place: str


def rows(lines: Iterable[bytes], path: str, source: str, keys: RowKeys) -> Iterator[LabelledRow]:
    """The rows of a file, blank lines left out. `source`: that of a row that names none. Raises `DataError`."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _row(line, path, number, source, keys)


def _row(line: bytes, path: str, number: int, source: str, keys: RowKeys) -> LabelledRow:
    try:
        row = json.loads(line)
    except ValueError:
        raise DataError("not a line of JSON", path, number) from None
    if not isinstance(row, dict):
        raise DataError("not a JSON object", path, number)
    text = row.get(keys.text)
    if not isinstance(text, str):
        raise DataError(f"`{keys.text}` must be a text (--text-key names the key)", path, number)
    attack = False
    if keys.label:
        if keys.label not in row:
            raise DataError(f"there is no `{keys.label}` (--label-key names the key)", path, number)
        means = _means(row[keys.label], keys.positive)
        if means is None:
            wanted = (
                "a name or a list of names" if keys.positive else "0 or 1, or --positive must say which names count"
            )
            raise DataError(f"`{keys.label}` must be {wanted}", path, number)
        attack = means
    named = row.get(keys.source, source)
    return LabelledRow(text, attack, named if isinstance(named, str) and named else source, f"{path}:{number}")


def _means(label: Any, positive: frozenset[str]) -> bool | None:
    """Whether a label means an attack; `None`: nobody said."""
    if positive:
        names = label if isinstance(label, list) else [label]
        if not all(isinstance(name, str | int | float) for name in names):
            return None
        return any(_spelt(name) in positive for name in names)
    return _WORDS.get(_spelt(label)) if isinstance(label, str | int | float) else None


def _spelt(name: str | float) -> str:
    """A label as one writes it on a command line: 1.0 is 1, and true is true."""
    if isinstance(name, bool):
        return str(name).lower()
    return f"{name:g}" if isinstance(name, float) else str(name)
