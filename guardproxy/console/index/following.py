"""Follows the log: reads what is new in its files into the index, and drops what is no longer there.

In: the folder of the log and the database of the index. Out: tables that hold the confirmed lines. Kept: what is known of each
file.

A file that grew is read from its last whole line on. A file that shrank, that has another header, or whose last indexed line is
another now, is dropped and read again. A file that is gone is dropped: the proxy removes old files (`audit_retain_s`). Lines
after the record that the header of the next file names were never confirmed, and are no records.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from guardproxy.audit import logs_of, open_line
from guardproxy.console.index.database import LATER_COLUMNS, ROW_COLUMNS, STORED, IndexDatabase
from guardproxy.console.index.parts import PART_BYTES, ColumnsWork, LogPart, PartColumns
from guardproxy.engine import LocalEngine

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

LIMIT_HEADER_BYTES = 1 << 24
BATCH_BYTES = 1 << 25
"""Rows that go into the database together, in bytes of JSON."""
WORTH_A_LINE_BYTES = 1 << 28
"""So much of the log takes seconds, so its progress is logged."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class IndexProgress:
    """How far the index is. `done_bytes` of `total_bytes` of the log are read; `problem`: why it cannot go on, in words."""

    done_bytes: int = 0
    total_bytes: int = 0
    problem: str = ""

    @property
    def is_complete(self) -> bool:
        """Whether everything that was in the log at the last look is in the index."""
        return not self.problem and self.done_bytes >= self.total_bytes

    @property
    def percent(self) -> int:
        """Returns the share of the log that is in the index, from 0 to 100; 100 only if it is complete."""
        if self.done_bytes >= self.total_bytes:
            return 100
        return min(99, 100 * self.done_bytes // self.total_bytes)


@dataclass(frozen=True, slots=True)
class IndexedFile:
    """A file of the log, as far as it is in the index. `size`: the bytes of its whole lines; `last_start`, `last_digest`:
    its last line; `confirmed`: the number of its last confirmed record, -2 if no file follows it; `stamp`: its state at the
    last look."""

    number: int
    name: str
    origin: str
    size: int = 0
    last_start: int = -1
    last_digest: str = ""
    confirmed: int = -2
    unread: int = 0
    stamp: tuple[int, ...] = ()


@dataclass(slots=True)
class _FolderLook:
    """What a look at the folder found: headers and sizes of files by name."""

    stamps: dict[str, tuple[int, ...]] = field(default_factory=dict)
    headers: dict[str, Mapping[str, object]] = field(default_factory=dict)


class LogFollower:
    """Follows the log in `folder`. One thread calls it. `engine`: reads large parts of the log."""

    def __init__(self, folder: Path, database: IndexDatabase, engine: LocalEngine | None = None) -> None:
        self.folder = folder
        self.progress = IndexProgress(0, 1)
        self.version = 0
        self._database = database
        self._engine = engine or LocalEngine()
        self._files: dict[str, IndexedFile] | None = None
        self._headers: dict[str, tuple[tuple[int, ...], Mapping[str, object]]] = {}

    def step(self) -> bool:
        """Reads what is new. Returns whether anything changed. Raises `OSError` and the errors of DuckDB."""
        cursor = self._database.cursor()
        try:
            return self._step(cursor)
        finally:
            cursor.close()

    def forget(self) -> None:
        """Reads the state of the files again from the database, as after an error."""
        self._files = None

    def _step(self, cursor: DuckDBPyConnection) -> bool:
        if self._files is None:
            self._files = _stored(cursor)
        seen = self._look()
        gone = [file for name, file in self._files.items() if seen.stamps.get(name) is None]
        changed = [name for name, stamp in seen.stamps.items() if not self._is_as_before(name, stamp)]
        self.progress = replace(self.progress, problem="")
        if not gone and not changed:
            if not self.progress.is_complete:
                self.progress = IndexProgress()
            return False
        for file in gone:
            self._drop(cursor, file)
        for name in changed:
            self._take(cursor, name, seen)
        self._confirm(cursor, seen)
        self._read(cursor, seen)
        self.version += 1
        return True

    def _is_as_before(self, name: str, stamp: tuple[int, ...]) -> bool:
        assert self._files is not None  # noqa: S101 - a step has read it
        file = self._files.get(name)
        return file is not None and file.stamp == stamp

    def _look(self) -> _FolderLook:
        """Reads the headers of files that changed since the last look."""
        seen = _FolderLook()
        for path in logs_of(self.folder):
            try:
                status = path.stat()
                stamp = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
                known, header = self._headers.get(path.name, ((), {}))
                if known != stamp or not header:
                    header = header_at(path)
            except OSError:  # it was removed meanwhile, or cannot be read: its rows go
                continue
            if not header:
                continue  # a start in progress
            self._headers[path.name] = stamp, header
            seen.stamps[path.name] = stamp
            seen.headers[path.name] = header
        self._headers = {name: known for name, known in self._headers.items() if name in seen.stamps}
        # A copy of a log has the same id. Its exchanges are in the index already.
        owners: dict[object, str] = {}
        for name in sorted(seen.stamps, key=lambda name: (name not in (self._files or {}), name)):
            owners.setdefault(seen.headers[name]["log"], name)
        for name in set(seen.stamps) - set(owners.values()):
            del seen.stamps[name]
        return seen

    def _take(self, cursor: DuckDBPyConnection, name: str, seen: _FolderLook) -> None:
        """Decides whether a file that changed goes on, or is another file now."""
        assert self._files is not None  # noqa: S101 - a step has read it
        origin = str(seen.headers[name]["log"])
        file = self._files.get(name)
        if file is not None and (file.origin != origin or not self._goes_on(file, seen.stamps[name][2])):
            _log.warning("console index: %s is not the file that was read before; it is read again", name)
            self._drop(cursor, file)
            file = None
        if file is None:
            number = cursor.execute("SELECT coalesce(max(number), 0) + 1 FROM files").fetchall()[0][0]
            file = IndexedFile(number, name, origin)
            cursor.execute("INSERT INTO files VALUES (?, ?, ?, 0, -1, '', -2, 0)", [number, name, origin])
            self._files[name] = file

    def _goes_on(self, file: IndexedFile, size: int) -> bool:
        """Whether a file still holds the last line that was read of it."""
        if size < file.size:
            return False
        if file.last_start < 0:
            return True
        return line_digest(self.folder / file.name, file.last_start, file.size) == file.last_digest

    def _drop(self, cursor: DuckDBPyConnection, file: IndexedFile) -> None:
        assert self._files is not None  # noqa: S101 - a step has read it
        with transaction(cursor):
            for table in ("exchanges", "findings", "later", "erased"):
                cursor.execute(f"DELETE FROM {table} WHERE file = ?", [file.number])
            cursor.execute("DELETE FROM files WHERE number = ?", [file.number])
        del self._files[file.name]

    def _confirm(self, cursor: DuckDBPyConnection, seen: _FolderLook) -> None:
        """Drops lines that were never confirmed, as a later file says."""
        assert self._files is not None  # noqa: S101 - a step has read it
        by_origin = {file.origin: file for file in self._files.values()}
        for header in seen.headers.values():
            follows = header.get("follows")
            if not isinstance(follows, Mapping):
                continue
            before, last = by_origin.get(str(follows.get("log"))), follows.get("seq")
            if type(last) is not int or before is None or before.confirmed == last:
                continue
            lost = "file = ? AND seq > ?"
            place = [before.number, last]
            with transaction(cursor):
                cursor.execute("UPDATE files SET confirmed = ? WHERE number = ?", place[::-1])
                cursor.execute(
                    f"DELETE FROM findings WHERE number IN (SELECT number FROM exchanges WHERE {lost})", place
                )
                for table in ("exchanges", "later"):
                    cursor.execute(f"DELETE FROM {table} WHERE {lost}", place)
            self._files[before.name] = replace(before, confirmed=last)

    def _read(self, cursor: DuckDBPyConnection, seen: _FolderLook) -> None:
        """Reads what is new in all files, the newest files first, so that pages have the newest exchanges at once."""
        assert self._files is not None  # noqa: S101 - a step has read it
        sizes = {name: stamp[2] for name, stamp in seen.stamps.items()}
        total = sum(sizes.values())
        newest = sorted(self._files.values(), key=lambda file: -seen.stamps[file.name][3])
        parts = [
            LogPart(
                file.number,
                self.folder / file.name,
                start,
                min(start + PART_BYTES, sizes[file.name]),
                start == file.size,
            )
            for file in newest
            for start in range(file.size, sizes[file.name], PART_BYTES)
        ]
        rest = sum(sizes[file.name] - file.size for file in newest)
        self.progress = IndexProgress(total - rest, total)
        by_number = {file.number: file.name for file in newest}
        waiting: list[PartColumns] = []
        logged = -1
        for found in self._engine.each(ColumnsWork(), parts):
            waiting.append(found)
            if sum(len(columns.rows) + len(columns.later) for columns in waiting) < BATCH_BYTES:
                continue
            self._store(cursor, waiting, by_number)
            done = self.progress.done_bytes + sum(columns.part.end - columns.part.start for columns in waiting)
            waiting.clear()
            self.progress = IndexProgress(min(done, total), total)
            self.version += 1
            if rest > WORTH_A_LINE_BYTES and self.progress.percent // 10 != logged:
                logged = self.progress.percent // 10
                _log.info("console index: %d %% of %d MB", self.progress.percent, total >> 20)
        self._store(cursor, waiting, by_number)
        if rest > WORTH_A_LINE_BYTES:
            _log.info("console index: 100 %% of %d MB", total >> 20)
        for name, stamp in seen.stamps.items():
            self._files[name] = replace(self._files[name], stamp=stamp)
        self.progress = IndexProgress(total, total)

    def _store(self, cursor: DuckDBPyConnection, found: Sequence[PartColumns], names: Mapping[int, str]) -> None:
        """Puts parts into the tables, together with how far their files were read."""
        assert self._files is not None  # noqa: S101 - a step has read it
        files = dict(self._files)
        with transaction(cursor):
            for number in dict.fromkeys(columns.part.file for columns in found):
                parts = [columns for columns in found if columns.part.file == number]
                file = files[names[number]]
                _insert(cursor, self._database.spool, file, parts)
                end, start = max((columns.end, columns.last_start) for columns in parts)
                unread = file.unread + sum(columns.unread for columns in parts)
                file = replace(file, unread=unread)
                if start >= 0:
                    digest = line_digest(self.folder / file.name, start, end)
                    file = replace(file, size=end, last_start=start, last_digest=digest)
                cursor.execute(
                    "UPDATE files SET size = ?, last_start = ?, last_digest = ?, unread = ? WHERE number = ?",
                    [file.size, file.last_start, file.last_digest, file.unread, number],
                )
                files[file.name] = file
        self._files = files


def header_at(path: Path) -> Mapping[str, object]:
    """Returns the header of a file; empty if it has none. Raises `OSError`."""
    with path.open("rb") as lines:
        line = lines.readline(LIMIT_HEADER_BYTES)
    header = open_line(line) if line.endswith(b"\n") else None
    return header if header is not None and isinstance(header.get("log"), str) and "seq" not in header else {}


def _insert(cursor: DuckDBPyConnection, spool: Path, file: IndexedFile, parts: Sequence[PartColumns]) -> None:
    """Inserts the rows of parts of one file. They go through a file, which DuckDB reads faster than values."""
    limit = "" if file.confirmed < -1 else f"WHERE seq <= {int(file.confirmed)}"
    if any(columns.rows for columns in parts):
        _write(spool, (columns.rows for columns in parts))
        names = ", ".join(f'"{name}"' for name in STORED)
        cursor.execute(
            f"CREATE OR REPLACE TEMP TABLE staged AS SELECT nextval('numbers') AS number, * "
            f"FROM {_json(spool, ROW_COLUMNS)} {limit}"
        )
        cursor.execute(f"INSERT INTO exchanges SELECT number, {int(file.number)}, {names} FROM staged")
        cursor.execute(
            f'INSERT INTO findings SELECT number, {int(file.number)}, part."check", part.label, part.score '
            "FROM (SELECT number, unnest(found) AS part FROM staged)"
        )
        cursor.execute("DROP TABLE staged")
    if any(columns.later for columns in parts):
        _write(spool, (columns.later for columns in parts))
        cursor.execute(f"INSERT INTO later SELECT {int(file.number)}, * FROM {_json(spool, LATER_COLUMNS)} {limit}")
    keys = [key for columns in parts for key in columns.erased]
    if keys:
        cursor.executemany("INSERT INTO erased VALUES (?, ?)", [[file.number, key] for key in keys])
    spool.unlink(missing_ok=True)


def _write(spool: Path, pieces: Iterator[bytes]) -> None:
    with spool.open("wb") as out:
        spool.chmod(0o600)
        out.writelines(pieces)


def _json(path: Path, columns: Mapping[str, str]) -> str:
    declared = ", ".join(f"'{name}': '{kind}'" for name, kind in columns.items())
    quoted = str(path).replace("'", "''")
    return (
        f"read_json('{quoted}', format = 'newline_delimited', columns = {{{declared}}}, maximum_object_size = 67108864)"
    )


def _stored(cursor: DuckDBPyConnection) -> dict[str, IndexedFile]:
    rows = cursor.execute(
        "SELECT number, name, origin, size, last_start, last_digest, confirmed, unread FROM files"
    ).fetchall()
    return {row[1]: IndexedFile(*row) for row in rows}


def line_digest(path: Path, start: int, end: int) -> str:
    """Returns a digest of bytes of a file. Raises `OSError`."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(start)
        rest = end - start
        while rest > 0 and (piece := file.read(min(rest, 1 << 20))):
            digest.update(piece)
            rest -= len(piece)
    return digest.hexdigest() if not rest else ""


@contextmanager
def transaction(cursor: DuckDBPyConnection) -> Iterator[None]:
    """Keeps all changes or none."""
    cursor.execute("BEGIN")
    try:
        yield
    except BaseException:
        cursor.execute("ROLLBACK")
        raise
    cursor.execute("COMMIT")
