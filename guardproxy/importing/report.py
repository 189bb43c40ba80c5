"""The report of an import: what became of every key of a file.

In: notes about paths while a file is converted. Out: a note for every value of the file. Kept: the notes. A note about a
mapping or a list covers all that is in it. A value that no note covers is reported as not possible, so nothing is lost in
silence. No value of the file is in a note, as it could be a secret.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from guardproxy.importing.source import ImportSource, Path, shown

Result = Literal["taken", "changed", "not possible"]
UNKNOWN = "guardproxy has nothing for it"


@dataclass(frozen=True, slots=True, order=True)
class ImportNote:
    """What became of a key. `line`: in the file; `path`: of the key; `text`: where it went, or why it could not be taken.
    `is_loss`: whether something is not served, guarded, limited or admitted as the file says, or nobody knows."""

    line: int
    path: str
    result: Result
    text: str
    is_loss: bool = False


class ImportReport:
    """Gathers the notes about a file. `reasons`: why a key is not possible, by its shown path without indexes, for the values
    that get no other note. `needless`: those of them of which nothing is missing in the result."""

    def __init__(
        self, source: ImportSource, reasons: Mapping[str, str], needless: Collection[str] = frozenset()
    ) -> None:
        self._source = source
        self._reasons = reasons
        self._needless = needless
        self._notes: dict[Path, ImportNote] = {}

    def taken(self, text: str, *path: str | int) -> None:
        """Notes that a key means the same in guardproxy. `text`: where it went."""
        self._note("taken", text, path)

    def changed(self, text: str, *path: str | int) -> None:
        """Notes that a key was taken with another meaning, or needs a step by hand."""
        self._note("changed", text, path)

    def impossible(self, text: str, *path: str | int) -> None:
        """Notes that a key could not be taken, and why. The result lacks it."""
        self._note("not possible", text, path, is_loss=True)

    def needless(self, text: str, *path: str | int) -> None:
        """Notes that a key could not be taken, and why the result is good without it."""
        self._note("not possible", text, path)

    def notes(self) -> list[ImportNote]:
        """Returns a note for every value, in the order of the file."""
        noted = dict(self._notes)
        for path in self._source.leaves():
            if not any(path[:length] in noted for length in range(1, len(path) + 1)):
                key = self._key(path)
                text = self._reasons.get(key, UNKNOWN)
                # What is off or empty asks for nothing.
                is_loss = key not in self._needless and bool(self._source.get(*path))
                noted[path] = self._made("not possible", text, path, is_loss=is_loss)
        return sorted(noted.values())

    def _key(self, path: Path) -> str:
        """Returns the longest beginning of a path that has a reason; empty if there is none."""
        names = [str(step) for step in path if isinstance(step, str)]
        found = (".".join(names[:length]) for length in range(len(names), 0, -1))
        return next((key for key in found if key in self._reasons), "")

    def _note(self, result: Result, text: str, path: Path, *, is_loss: bool = False) -> None:
        if path in self._source.lines:
            self._notes[path] = self._made(result, text, path, is_loss=is_loss)

    def _made(self, result: Result, text: str, path: Path, *, is_loss: bool) -> ImportNote:
        return ImportNote(self._source.lines[path], shown(path), result, text, is_loss)
