"""The file of the index: a DuckDB database in the folder `.console` beside the log.

In: the folder of the log. Out: connections. Kept: the open database and its lock.

The index can always be made again from the log. So a file that is damaged, of another version or of another log is deleted, and
the index starts empty. One process writes a file: a second proxy with the same folder gets a file of its own.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from guardproxy.console.index.columns import TABLES
from guardproxy.errors import QueryError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

FOLDER = ".console"
LIMIT_FILES = 8
"""Processes that may have an index beside a log at the same time."""
MEMORY_MB = 256
RESERVE_BYTES, RESERVE_SHARE = 1 << 28, 0.02
"""What is left to the log: so many bytes, and on a small disk this share of it."""
_VERSION = 1  # of what columns mean; a change of their names or types counts by itself
_TYPES = {str: "VARCHAR", int: "BIGINT", float: "DOUBLE", bool: "BOOLEAN"}


def _columns(kind: type) -> dict[str, str]:
    """Returns the columns of a struct with their types."""
    found = {}
    for name, hint in get_type_hints(kind).items():
        text = str(hint)
        plain = next(sql for plain, sql in _TYPES.items() if plain.__name__ in text)
        found[name] = f"{plain}[]" if "Sequence" in text else plain
    return found


def quoted(columns: Mapping[str, str]) -> dict[str, str]:
    """Returns columns with their names as SQL writes them."""
    return {f'"{name}"': kind for name, kind in columns.items()}


COLUMNS: Mapping[str, dict[str, str]] = {name: _columns(kind) for name, kind in TABLES.items()}
"""The columns of the tables with their types."""
FILES: Mapping[str, str] = {
    "number": "BIGINT",
    "name": "VARCHAR",
    "origin": "VARCHAR",
    "size": "BIGINT",
    "last_start": "BIGINT",
    "last_digest": "VARCHAR",
    "confirmed": "BIGINT",
    "unread": "BIGINT",
    "chain_seq": "BIGINT",
    "chain_hash": "VARCHAR",
    "broken": "BIGINT",
    "stamp": "BIGINT[]",
}
_STATEMENTS = (
    "CREATE TABLE about (version VARCHAR)",
    *(
        f"CREATE TABLE {table} ({', '.join(f'{name} {kind}' for name, kind in quoted(columns).items())})"
        for table, columns in {"files": FILES, **COLUMNS}.items()
    ),
)
VERSION = hashlib.sha256("\n".join([str(_VERSION), *_STATEMENTS]).encode()).hexdigest()[:16]


def require_room(folder: Path, size_bytes: int = 0) -> None:
    """Raises `OSError` if a disk has no room for so many bytes beside what the log may need: a proxy that cannot write its log
    refuses all traffic."""
    disk = os.statvfs(folder)
    free, whole = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
    if free < size_bytes + min(RESERVE_BYTES, int(whole * RESERVE_SHARE)):
        raise OSError(errno.ENOSPC, "Too little space is left on the disk; it is left to the log")


class IndexDatabase:
    """The database of a folder of logs. Raises `QueryError` without DuckDB or if every file is in use, and `OSError`."""

    def __init__(self, logs: Path) -> None:
        self.folder = logs / FOLDER
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        # A lock file beside the database: DuckDB's own lock ends with the connection, and the file is deleted and made
        # again.
        self._lock, self.path = _locked(self.folder)
        self.connection: DuckDBPyConnection
        try:
            if not self._open_old():
                self._begin()
            self._inode = self.path.stat().st_ino
        except BaseException:
            os.close(self._lock)
            raise

    @property
    def spool(self) -> Path:
        """Returns the path of the file through which rows go into the database."""
        return self.path.with_suffix(".rows")

    def cursor(self) -> DuckDBPyConnection:
        """Returns a connection for one thread."""
        return self.connection.cursor()

    @property
    def is_in_place(self) -> bool:
        """Whether the file is still the one that was opened."""
        try:
            return self.path.stat().st_ino == self._inode
        except OSError:
            return False

    def close(self, *, is_damaged: bool = False) -> None:
        """Closes the database, and deletes the file of one that is damaged. May be called again."""
        with suppress(Exception):
            self.connection.close()
        if self._lock >= 0:
            if is_damaged:
                self._delete()
            os.close(self._lock)
            self._lock = -1

    def _open_old(self) -> bool:
        """Whether the file is there and is an index of this version; it is then open."""
        import duckdb  # noqa: PLC0415

        if not self.path.exists():
            return False
        try:
            self.connection = _connect(self.path)
            rows = self.connection.execute("SELECT version FROM about").fetchall()
        except duckdb.Error:
            rows = []
        if rows == [(VERSION,)]:
            return True
        with suppress(Exception):
            self.connection.close()
        return False

    def _delete(self) -> None:
        for path in (self.path, self.path.with_suffix(".duckdb.wal"), self.spool):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.path.with_suffix(".duckdb.tmp"), ignore_errors=True)

    def _begin(self) -> None:
        self._delete()
        self.connection = _connect(self.path)
        self.connection.execute("BEGIN")
        for statement in _STATEMENTS:
            self.connection.execute(statement)
        self.connection.execute("INSERT INTO about VALUES (?)", [VERSION])
        self.connection.execute("COMMIT")
        self.path.chmod(0o600)


def is_damage(error: BaseException) -> bool:
    """Whether an error says that the file of the index cannot be used, which a new one mends. A full disk is no damage."""
    import duckdb  # noqa: PLC0415

    # After a fatal error DuckDB refuses every further query of the process until the file is opened again.
    kinds = (duckdb.FatalException, duckdb.InternalException, duckdb.IOException, duckdb.SerializationException)
    return isinstance(error, kinds) and "No space left" not in str(error)


def _connect(path: Path) -> DuckDBPyConnection:
    try:
        import duckdb  # noqa: PLC0415
    except ImportError:
        raise QueryError('the console needs DuckDB: pip install "guardproxy[console]"') from None
    settings: dict[str, Any] = {
        # DuckDB would fetch extensions from the network, for example when a query reads JSON.
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "memory_limit": f"{MEMORY_MB}MB",
        "threads": 2,
        # Keeping the order would keep all rows of an insert in memory. Queries name their order.
        "preserve_insertion_order": False,
    }
    database = duckdb.connect(str(path), config=settings)
    database.execute("SET TimeZone = 'UTC'")
    return database


def _locked(folder: Path) -> tuple[int, Path]:
    """Returns the lock of a file of the index, and the path of the file: the first that no other process has."""
    for number in range(LIMIT_FILES):
        name = f"index.{number}" if number else "index"
        lock = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            continue
        return lock, folder / f"{name}.duckdb"
    raise QueryError(f"{folder}: {LIMIT_FILES} other processes have an index here")
