"""Follows the log: reads what is new in its files into the index, and drops what is no longer there.

In: the folder of the log and the database of the index. Out: tables that hold the confirmed lines. Kept: what is known of each
file.

A file that grew is read from its last whole line on. A file that shrank, that has another header, whose last indexed line is
another now, or that was written to and did not grow, is dropped and read again. A file that is gone is dropped: the proxy
removes old files (`audit_retain_s`). Lines after the record that the header of the next file names were never confirmed, and
are no records.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from guardproxy.audit import open_line
from guardproxy.console.index.columns import TABLES, number_of
from guardproxy.console.index.database import COLUMNS, FILES, IndexDatabase, require_room
from guardproxy.console.index.parts import PART_BYTES, ColumnsWork, LogPart, PartColumns
from guardproxy.engine import LocalEngine

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

LIMIT_HEADER_BYTES = 1 << 24
BATCH_BYTES = 1 << 23
"""Rows that go into the database together, in bytes of JSON."""
WORTH_A_LINE_BYTES = 1 << 28
"""So much of the log takes seconds, so its progress is logged."""
NO_END = -2
BEFORE_HEADER = -2  # the number before that of a header
_ENCODER = msgspec.json.Encoder()
_log = logging.getLogger(__name__)

Stamp = tuple[int, int, int, int]
"""The state of a file: device, inode, size in bytes, time of the last change in nanoseconds."""


@dataclass(frozen=True, slots=True)
class IndexProgress:
    """How far the index is. `done_bytes` of `total_bytes` of the log are read; `problem`: why it cannot go on, in words;
    `unread`: lines that are no lines of a log; `broken`: lines that are not what was written, or that do not follow the line
    before. The chain holds if both are 0; whether the end of the log is there, and who wrote it, only heads and checkpoints can
    tell (`guardproxy audit verify`)."""

    done_bytes: int = 0
    total_bytes: int = 0
    problem: str = ""
    unread: int = 0
    broken: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether everything that was in the log at the last look is in the index."""
        return not self.problem and self.done_bytes >= self.total_bytes

    @property
    def percent(self) -> int:
        """Returns the share of the log that is in the index, from 0 to 100; 100 only if all of it is."""
        if self.done_bytes >= self.total_bytes:
            return 100
        return min(99, 100 * self.done_bytes // self.total_bytes)


@dataclass(frozen=True, slots=True)
class IndexedFile:
    """A file of the log, as far as it is in the index. `size`: the bytes of its whole lines; `last_start`, `last_digest`: its
    last line; `confirmed`: the number of its last confirmed record, `NO_END` if no file follows it; `chain_seq`, `chain_hash`:
    the number and the hash of the last line, `None` if it cannot be read; `stamp`: its state at the last look."""

    number: int
    name: str
    origin: str
    size: int = 0
    last_start: int = -1
    last_digest: str = ""
    confirmed: int = NO_END
    unread: int = 0
    chain_seq: int | None = BEFORE_HEADER
    chain_hash: str = ""
    broken: int = 0
    stamp: Stamp = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class PresentFile:
    """A file in the folder. `follows`: the id of the log before it and the number of its last confirmed record."""

    path: Path
    stamp: Stamp
    origin: str
    follows: tuple[str, int] | None

    @property
    def size(self) -> int:
        return self.stamp[2]


@dataclass(slots=True)
class LogFollower:
    """Follows the log in `folder`. One thread calls it at a time. `engine`: reads large parts of the log. `version`: grows with
    each change."""

    folder: Path
    database: IndexDatabase
    engine: LocalEngine = field(default_factory=LocalEngine)
    progress: IndexProgress = IndexProgress(0, 1)
    version: int = 0
    _files: dict[str, IndexedFile] | None = None
    _present: dict[str, PresentFile] = field(default_factory=dict)
    _headless: int = 0

    def step(self) -> bool:
        """Reads what is new. Returns whether anything changed. Raises `OSError` and the errors of DuckDB."""
        cursor = self.database.cursor()
        try:
            if self._files is None:
                self._files = _stored(cursor)
            return self._step(cursor, self._files)
        except BaseException:
            # What this process remembers of the files may be ahead of the database, whose transaction was rolled back.
            self._files = None  # the database knows what is in it
            raise
        finally:
            cursor.close()

    def _step(self, cursor: DuckDBPyConnection, files: dict[str, IndexedFile]) -> bool:
        present = self._look(files)
        gone = [file for name, file in files.items() if name not in present]
        changed = [found for name, found in present.items() if name not in files or files[name].stamp != found.stamp]
        if not gone and not changed:
            total = sum(found.size for found in present.values())
            self.progress = self._progress_of(total, total, files)
            return False
        for file in gone:
            _drop(cursor, files, file)
        for found in changed:
            _take(cursor, files, found)
        by_origin = {file.origin: file for file in files.values()}
        for found in present.values():
            if found.follows is not None and (before := by_origin.get(found.follows[0])) is not None:
                _confirm(cursor, files, before, found.follows[1])
        self._read(cursor, files, [found for found in present.values() if found in changed], present)
        self.version += 1
        return True

    def _progress_of(self, done: int, total: int, files: Mapping[str, IndexedFile]) -> IndexProgress:
        """Returns how far the index is, with the lines of all files that are not as they should be."""
        unread = self._headless + sum(file.unread for file in files.values())
        return IndexProgress(done, total, unread=unread, broken=sum(file.broken for file in files.values()))

    def _look(self, files: Mapping[str, IndexedFile]) -> dict[str, PresentFile]:
        """Returns the files of the folder by name. A header is read again if its file changed since the last look."""
        found: dict[str, PresentFile] = {}
        try:
            with os.scandir(self.folder) as entries:
                names = sorted(entry.name for entry in entries if entry.name.endswith(".jsonl"))
        except FileNotFoundError:
            names = []
        for name in names:
            path = self.folder / name
            try:
                status = path.stat()
                stamp = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
                known = self._present.get(name)
                now = known if known is not None and known.stamp == stamp else _present(path, stamp)
            except OSError:  # it was removed meanwhile, or cannot be read: it has no rows
                continue
            if now is not None:
                found[name] = now
        self._present = dict(found)
        # A file whose first line is no header is in no list, and is counted.
        self._headless = sum(not now.origin for now in found.values())
        found = {name: now for name, now in found.items() if now.origin}
        # A copy of a log has the same id, and its exchanges are in the index already.
        # A file that is indexed already keeps its place, so that a copy with a name before it does not take its rows.
        owners: dict[str, str] = {}
        for name in sorted(found, key=lambda name: (name not in files, name)):
            owners.setdefault(found[name].origin, name)
        return {name: now for name, now in found.items() if owners[now.origin] == name}

    def _read(
        self,
        cursor: DuckDBPyConnection,
        files: dict[str, IndexedFile],
        changed: Sequence[PresentFile],
        present: Mapping[str, PresentFile],
    ) -> None:
        """Reads what is new in files, the newest files first, so that pages have the newest exchanges at once."""
        newest = sorted(changed, key=lambda found: found.stamp[3], reverse=True)
        parts = [part for found in newest for part in _parts(files[found.path.name], found)]
        by_number = {files[found.path.name].number: found for found in newest}
        total = sum(found.size for found in present.values())
        rest = sum(part.end - part.start for part in parts)
        is_large = rest > WORTH_A_LINE_BYTES
        done, logged = total - rest, -1
        self.progress = self._progress_of(done, total, files)
        for batch in _batches(self.engine.each(ColumnsWork(), parts)):
            self._store(cursor, files, batch, by_number)
            done += sum(columns.part.end - columns.part.start for columns in batch)
            self.progress = self._progress_of(done, total, files)
            self.version += 1
            if is_large and self.progress.percent // 10 > logged:
                logged = self.progress.percent // 10
                _log.info("console index: %d %% of %d MB of the log", self.progress.percent, total >> 20)
        without_parts = [found for found in newest if files[found.path.name].stamp != found.stamp]
        looked_at = {found.path.name: replace(files[found.path.name], stamp=found.stamp) for found in without_parts}
        if looked_at:
            with transaction(cursor):
                self._insert(cursor, "files", [_ENCODER.encode_lines(list(looked_at.values()))])
            files.update(looked_at)
        self.progress = self._progress_of(total, total, files)

    def _store(
        self,
        cursor: DuckDBPyConnection,
        files: dict[str, IndexedFile],
        batch: Sequence[PartColumns],
        by_number: Mapping[int, PresentFile],
    ) -> None:
        """Puts parts into the tables, together with how far their files were read."""
        require_room(self.database.folder, 2 * BATCH_BYTES if len(batch) > 1 else 0)
        read: dict[str, IndexedFile] = {}
        for columns in batch:
            found = by_number[columns.part.file]
            file = read.get(found.path.name) or files[found.path.name]
            file = _chained(file, columns)
            if columns.last_start >= 0:
                file = replace(file, size=columns.end, last_start=columns.last_start)
            if columns.part.end >= found.size:
                file = replace(file, stamp=found.stamp)
            read[file.name] = file
        for name, file in read.items():
            if file.last_start >= 0:
                digest = line_digest(self.folder / name, file.last_start, file.size)
                read[name] = replace(file, last_digest=digest)
        with transaction(cursor):
            for table in TABLES:
                self._insert(cursor, table, [columns.tables.get(table, b"") for columns in batch])
            self._insert(cursor, "files", [_ENCODER.encode_lines(list(read.values()))])
        files.update(read)

    def _insert(self, cursor: DuckDBPyConnection, table: str, pieces: Sequence[bytes]) -> None:
        """Inserts lines of JSON; those of files replace older ones. They go through a file, which DuckDB reads faster than
        values."""
        if not any(pieces):
            return
        spool = self.database.spool
        columns = FILES if table == "files" else COLUMNS[table]
        rows = _json(spool, columns)
        try:
            write_lines(spool, pieces)
            if table == "files":
                cursor.execute(f"DELETE FROM files WHERE number IN (SELECT number FROM {rows})")
            cursor.execute(f"INSERT INTO {table} SELECT * FROM {rows}")
        finally:
            spool.unlink(missing_ok=True)


def _present(path: Path, stamp: Stamp) -> PresentFile | None:
    """Returns a file with what its header says, without an origin if its first line is no header; `None` if it has no line, as
    at a start that is in progress. Raises `OSError`."""
    with path.open("rb") as lines:
        line = lines.readline(LIMIT_HEADER_BYTES)
    # The proxy may be writing this line. It counts once its end is there.
    if not line.endswith(b"\n"):
        return None
    header = open_line(line)
    if header is None or not isinstance(header.get("log"), str) or "seq" in header:
        return PresentFile(path, stamp, "", None)
    follows = header.get("follows")
    before, last = (follows.get("log"), follows.get("seq")) if isinstance(follows, Mapping) else (None, None)
    is_named = isinstance(before, str) and type(last) is int
    return PresentFile(path, stamp, header["log"], (str(before), int(last or 0)) if is_named else None)


def _take(cursor: DuckDBPyConnection, files: dict[str, IndexedFile], found: PresentFile) -> None:
    """Decides whether a file that changed goes on, or is read from its start."""
    name = found.path.name
    file = files.get(name)
    if file is not None and not _goes_on(file, found):
        _log.warning("console index: %s is not as it was when it was read; it is read again", name)
        _drop(cursor, files, file)
        file = None
    if file is None:
        number = 1 + max((file.number for file in files.values()), default=0)
        files[name] = IndexedFile(number, name, found.origin)


def _goes_on(file: IndexedFile, found: PresentFile) -> bool:
    """Whether a file still holds what was read of it, as far as its last line tells. A file that was written to and did not
    grow was changed."""
    is_rewritten = file.stamp[2] == found.size and file.stamp != (0, 0, 0, 0)
    if file.origin != found.origin or found.size < file.size or is_rewritten:
        return False
    return file.last_start < 0 or line_digest(found.path, file.last_start, file.size) == file.last_digest


def _drop(cursor: DuckDBPyConnection, files: dict[str, IndexedFile], file: IndexedFile) -> None:
    with transaction(cursor):
        for table in TABLES:
            cursor.execute(f"DELETE FROM {table} WHERE number >= ? AND number < ?", _range(file))
        cursor.execute("DELETE FROM files WHERE number = ?", [file.number])
    del files[file.name]


def _range(file: IndexedFile) -> list[int]:
    """Returns the least number of a line of a file, and the first one after them."""
    return [number_of(file.number, 0), number_of(file.number + 1, 0)]


def _confirm(cursor: DuckDBPyConnection, files: dict[str, IndexedFile], before: IndexedFile, last: int) -> None:
    """Drops the lines of a file that were never confirmed. `last`: the number of the last confirmed record."""
    if before.confirmed == last:
        return
    files[before.name] = replace(before, confirmed=last)
    if not before.size:
        return
    lost = [*_range(before), last]
    with transaction(cursor):
        chosen = "SELECT number FROM {} WHERE number >= ? AND number < ? AND seq > ?"
        cursor.execute(f"DELETE FROM findings WHERE number IN ({chosen.format('exchanges')})", lost)
        for table in ("exchanges", "later"):
            cursor.execute(f"DELETE FROM {table} WHERE number IN ({chosen.format(table)})", lost)
        cursor.execute("UPDATE files SET confirmed = ? WHERE number = ?", [last, before.number])


def _parts(file: IndexedFile, found: PresentFile) -> Iterator[LogPart]:
    for start in range(file.size, found.size, PART_BYTES):
        end = min(start + PART_BYTES, found.size)
        last = None if file.confirmed == NO_END else file.confirmed
        yield LogPart(file.number, found.path, start, end, begins=start == file.size, last=last)


def _batches(found: Iterable[PartColumns]) -> Iterator[list[PartColumns]]:
    """Gathers parts until they are worth a change of the database."""
    batch: list[PartColumns] = []
    size = 0
    for columns in found:
        batch.append(columns)
        size += sum(map(len, columns.tables.values()))
        if size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def write_lines(spool: Path, pieces: Iterable[bytes]) -> None:
    with open(os.open(spool, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.writelines(pieces)


def _json(path: Path, columns: Mapping[str, str]) -> str:
    declared = ", ".join(f"'{name}': '{kind}'" for name, kind in columns.items())
    quoted = str(path).replace("'", "''")
    return (
        f"read_json('{quoted}', format = 'newline_delimited', columns = {{{declared}}}, maximum_object_size = 67108864)"
    )


def _stored(cursor: DuckDBPyConnection) -> dict[str, IndexedFile]:
    rows = cursor.execute(f"SELECT {', '.join(FILES)} FROM files").fetchall()
    files = [msgspec.convert(dict(zip(FILES, row, strict=True)), IndexedFile) for row in rows]
    return {file.name: file for file in files}


def _chained(file: IndexedFile, columns: PartColumns) -> IndexedFile:
    """Returns a file with the chain of its next part."""
    chain = columns.chain
    broken = file.broken + chain.broken
    if chain.first is not None and file.chain_seq is not None:
        broken += chain.first != (file.chain_seq + 1, file.chain_hash)
    last_seq, last_hash = (file.chain_seq, file.chain_hash) if not chain.lines else chain.last or (None, "")
    return replace(file, unread=file.unread + columns.unread, broken=broken, chain_seq=last_seq, chain_hash=last_hash)


def line_digest(path: Path, start: int, end: int) -> str:
    """Returns a digest of bytes of a file; empty if it does not have them. Raises `OSError`."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(start)
        rest = end - start
        while rest > 0 and (piece := file.read(min(rest, 1 << 20))):
            digest.update(piece)
            rest -= len(piece)
    return "" if rest else digest.hexdigest()


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
