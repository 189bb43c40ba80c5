"""Parses a line of a labelled file into a row.

In: a line of JSON and the names of its keys. Out: a `LabelledRow`. A label is 0 or 1, true or false, or a name whose
meaning the user gives. A line that cannot be read raises `DataError` with file and line, never with its text.
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
    """The names of the keys of a line. `label`: empty if there are no labels. `positive`: the labels that mean an
    attack; if empty, 1 and true do."""

    text: str = "text"
    label: str = "label"
    source: str = "source"
    positive: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class LabelledRow:
    """A text. `attack`: the meaning of its label; `False` without a label. `place`: its file and line. `group`: what is alike,
    such as a conversation, and `kind`: of its channel; empty if the row says neither."""

    text: str
    attack: bool
    source: str
    place: str
    group: str = ""
    kind: str = ""


def rows(lines: Iterable[bytes], path: str, source: str, keys: RowKeys) -> Iterator[LabelledRow]:
    """Yields the rows of a file, without blank lines. `source`: for rows without a source. Raises `DataError`."""
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
        is_attack = _is_attack(row[keys.label], keys.positive)
        if is_attack is None:
            wanted = (
                "a name or a list of names" if keys.positive else "0 or 1, or --positive must say which names count"
            )
            raise DataError(f"`{keys.label}` must be {wanted}", path, number)
        attack = is_attack
    own_source = row.get(keys.source, source)
    group, kind = (value if isinstance(value := row.get(key), str) else "" for key in ("group", "kind"))
    own = own_source if isinstance(own_source, str) and own_source else source
    return LabelledRow(text, attack, own, f"{path}:{number}", group, kind)


def _is_attack(label: Any, positive: frozenset[str]) -> bool | None:
    """Whether a label means an attack; `None` if its meaning is not known."""
    if positive:
        names = label if isinstance(label, list) else [label]
        if not all(isinstance(name, str | int | float) for name in names):
            return None
        return any(_spell(name) in positive for name in names)
    return _WORDS.get(_spell(label)) if isinstance(label, str | int | float) else None


def _spell(name: str | float) -> str:
    """Returns a label as it is written on a command line: 1.0 as 1, `True` as true."""
    if isinstance(name, bool):
        return str(name).lower()
    return f"{name:g}" if isinstance(name, float) else str(name)
