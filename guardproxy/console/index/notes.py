"""What reviewers wrote about exchanges, in a file beside the index: `notes.sqlite`.

In: notes. Out: notes by the id of their exchange. Kept: the file. Any thread and several processes may use it.

A note is what a person typed, so it may hold personal data. It is in no log, which is never shortened, and not in the
index, which is made again. It is deleted when the key of its exchange is destroyed, and when its exchange is no longer in
the log. What is deleted is overwritten with zeros (`secure_delete`), and the journal is cut to size 0. Copies of the file
are out of reach."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from guardproxy.console.index.database import FOLDER
from guardproxy.errors import QueryError

LIMIT_NOTE_CHARS = 4000
LIMIT_NOTES = 1000
NAME = "notes.sqlite"
_TIMEOUT_S = 5.0
_SETUP = """
PRAGMA secure_delete = ON;
PRAGMA journal_mode = TRUNCATE;
CREATE TABLE IF NOT EXISTS notes (exchange TEXT, by TEXT, at_s REAL, text TEXT, PRIMARY KEY (exchange, by)) STRICT;
"""


@dataclass(frozen=True, slots=True)
class ReviewNote:
    """What a person wrote about an exchange. `at_s`: Unix time in seconds."""

    exchange: str
    by: str
    at_s: float
    text: str


class ReviewNotes:
    """The notes beside the log in `folder`; `None`: there is no log, and there are no notes. Methods raise `QueryError`."""

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder / FOLDER / NAME

    def put(self, note: ReviewNote) -> None:
        """Keeps a note. It takes the place of the earlier note of this person about this exchange; an empty one deletes it."""
        text = note.text.strip()
        if len(text) > LIMIT_NOTE_CHARS:
            raise QueryError(f"a note has at most {LIMIT_NOTE_CHARS:,} characters")
        # Half surrogate pairs cannot be stored.
        text, exchange, by = (part.encode("utf-8", "replace").decode() for part in (text, note.exchange, note.by))
        with self._open(create=True) as database:
            if database is None:
                raise QueryError("there is no log, so there is no place for notes")
            if text:
                row = exchange, by, note.at_s, text
                database.execute("INSERT OR REPLACE INTO notes VALUES (?, ?, ?, ?)", row)
            else:
                database.execute("DELETE FROM notes WHERE exchange = ? AND by = ?", (exchange, by))

    def of(self, exchanges: Collection[str]) -> dict[str, tuple[ReviewNote, ...]]:
        """Returns the notes about exchanges by their ids, the oldest first."""
        wanted = list(exchanges)[:LIMIT_NOTES]
        holes = ", ".join("?" * len(wanted))
        found: dict[str, tuple[ReviewNote, ...]] = {}
        for note in self._read(f"WHERE exchange IN ({holes}) ORDER BY at_s, by", wanted):
            found[note.exchange] = (*found.get(note.exchange, ()), note)
        return found

    def newest(self, limit: int = 50) -> tuple[ReviewNote, ...]:
        """Returns the newest notes."""
        return tuple(self._read("ORDER BY at_s DESC, exchange, by LIMIT ?", [max(1, min(limit, LIMIT_NOTES))]))

    def exchanges(self) -> tuple[str, ...]:
        """Returns the ids of the exchanges that have a note."""
        with self._open() as database:
            if database is None:
                return ()
            return tuple(name for (name,) in database.execute("SELECT DISTINCT exchange FROM notes ORDER BY exchange"))

    def drop(self, exchanges: Collection[str]) -> int:
        """Deletes all notes about exchanges. Returns their number."""
        with self._open() as database:
            if database is None or not exchanges:
                return 0
            return sum(database.execute("DELETE FROM notes WHERE exchange = ?", (name,)).rowcount for name in exchanges)

    def _read(self, rest: str, values: Sequence[object]) -> list[ReviewNote]:
        with self._open() as database:
            if database is None:
                return []
            rows = database.execute(f"SELECT exchange, by, at_s, text FROM notes {rest}", values)
            return [ReviewNote(exchange, by, at_s, text) for exchange, by, at_s, text in rows]

    @contextmanager
    def _open(self, *, create: bool = False) -> Iterator[sqlite3.Connection | None]:
        """Yields the file, whose changes are kept at the end; `None` if there is none."""
        if self._path is None or not (create or self._path.exists()):
            yield None
            return
        try:
            if create:
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                os.close(os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
            database = sqlite3.connect(self._path, timeout=_TIMEOUT_S)
        except (OSError, sqlite3.Error) as error:
            raise QueryError(f"the notes cannot be opened: {_reason(error)}") from None
        try:
            database.executescript(_SETUP)
            with database:
                yield database
        except sqlite3.Error as error:
            raise QueryError(f"the notes cannot be used: {_reason(error)}") from None
        finally:
            database.close()


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else str(error)) or type(error).__name__
