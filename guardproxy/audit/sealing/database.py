"""The file of a key store (SQLite): it is opened, made once, changed as a whole, and recognized.

In: a path. Out: rows. Kept: an open file. Every error of the system and of SQLite becomes a `SealError`.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from guardproxy.audit.storage.disk import Disk, folder_lock
from guardproxy.errors import SealError

BUSY_S = 10.0

_TABLES = (
    "CREATE TABLE about (name TEXT PRIMARY KEY, value BLOB NOT NULL)",
    "CREATE TABLE keys (id TEXT PRIMARY KEY, who BLOB UNIQUE NOT NULL, tenant TEXT NOT NULL, wrapped BLOB NOT NULL)",
    "CREATE INDEX keys_by_tenant ON keys (tenant)",
    "CREATE TABLE erased (id TEXT PRIMARY KEY)",
    "CREATE TABLE events (number INTEGER PRIMARY KEY, entry BLOB NOT NULL)",
)


class KeyDatabase:
    """The file at `path`. `create`: whether to make an empty one if there is none. Raises `SealError`."""

    def __init__(self, path: Path, *, create: bool) -> None:
        self.path = path
        if not create and not path.is_file():
            raise SealError(f"{path}: no key store here")
        with self.faults():
            if create:
                # Made here, as SQLite would give the file the mode that the umask leaves.
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
                Disk().sync_folder(path.parent)
            self._identity = _identity(path)
            self._journal: tuple[int, int] | None = None
            self.rows = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)

    def close(self) -> None:
        """Closes the file. May be called again."""
        with suppress(sqlite3.Error):
            self.rows.close()

    @property
    def is_at_path(self) -> bool:
        """Whether the path still leads to this file. Raises `OSError`."""
        return _identity(self.path) == self._identity

    def require_journal(self) -> None:
        """Raises `SealError` if the journal of this file was taken away: what is written now would be lost with the process."""
        if _identity(self._journal_path) != self._journal:
            raise SealError(f"{self._journal_path}: was removed while it was in use; a restart is needed")

    @property
    def _journal_path(self) -> Path:
        return self.path.with_name(f"{self.path.name}-wal")

    def head(self) -> dict[str, bytes]:
        """Returns the members of the head; none in a file without tables."""
        if self.rows.execute("SELECT 1 FROM sqlite_schema WHERE name = 'about'").fetchone() is None:
            return {}
        return dict(self.rows.execute("SELECT name, value FROM about").fetchall())

    def make(self, head: Mapping[str, bytes]) -> None:
        """Makes the tables and writes the head."""
        with self.change():
            for table in _TABLES:
                self.rows.execute(table)
            self.write_head(head)

    def write_head(self, members: Mapping[str, bytes]) -> None:
        """Writes these members of the head."""
        self.rows.executemany("INSERT OR REPLACE INTO about (name, value) VALUES (?, ?)", members.items())

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Prepares the connection, while no other process makes the file."""
        with self.faults(), folder_lock(self.path.parent):
            # The other journals need no file in memory (`-shm`), but there readers wait for writers, and a commit for several
            # syncs: with four processes that write, the first exchange of an owner waited 5 times as long in the median.
            self.rows.execute("PRAGMA journal_mode = WAL")
            self.rows.execute("PRAGMA synchronous = FULL")  # a commit is on disk when it returns
            self.rows.execute("PRAGMA secure_delete = ON")
            self.head()  # SQLite makes the journal when the file is first read, and keeps it until the last process closes it
            self._journal = _identity(self._journal_path)
            yield

    @contextmanager
    def change(self) -> Iterator[None]:
        """A transaction: all of it is on disk at the end, or nothing."""
        # The right to write is taken at once: a transaction that begins as a reader may be refused when it first
        # writes.
        self.rows.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.rows.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self.rows.execute("ROLLBACK")
            raise

    @contextmanager
    def faults(self) -> Iterator[None]:
        """Turns errors of the system and of SQLite into `SealError`."""
        try:
            yield
        except sqlite3.Error as error:
            raise SealError(f"{self.path}: {error}") from None
        except OSError as error:
            raise SealError(f"{self.path}: {error.strerror}") from None


def _identity(path: Path) -> tuple[int, int] | None:
    """Returns what tells the file at a path from every other file; `None` if there is none."""
    try:
        status = Disk().stat(path)
    except FileNotFoundError:
        return None
    return status.device, status.inode
