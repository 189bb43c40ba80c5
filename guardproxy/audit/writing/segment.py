"""A file of a log: opens, repairs and appends. A record counts as kept only when it is durable.

In: sealed lines. Out: an open file that ends with its last durable record. Kept: the file, its lock, its head and its
size.

A log is a family of files: `NAME.jsonl`, then `NAME.1.jsonl`, `NAME.2.jsonl` and so on. A new file begins when the
previous file cannot be written, or is large or old. The header of each later file has `follows`: the name of the
previous file, its `log`, its last durable record, the reason for the change, and `complete` if no bytes follow this
record. So the chain covers every file, and a removed or renamed file is detected. The Merkle tree of a file, which
checkpoints sign, is kept only with a key.

Two flags describe the state of a file. `torn`: a write failed, and bytes may follow the last durable record; the file
can be truncated. `lost`: a sync failed. The kernel may have dropped the pages and report the next sync as a success,
so the file is not written again.

`NAME.head` holds the head of a file. It is written after a number of records and at close. `NAME.torn` keeps
incomplete lines after crashes.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from guardproxy.audit.proof.checkpoint import CoveredLog
from guardproxy.audit.proof.lines import RootWatch, line_hashes
from guardproxy.audit.proof.tree import Frontier, line_hash
from guardproxy.audit.record.chain import ChainHead, begin, open_line, read_head, verify, write_head
from guardproxy.audit.storage.disk import Disk, folder_lock, put, reason, replace_file, write_file
from guardproxy.audit.storage.ending import last_lines, whole_lines_end
from guardproxy.errors import AuditError

TAIL_BYTES = 1 << 20
_NUMBER = re.compile(r"\.([1-9][0-9]{0,8})")
_log = logging.getLogger(__name__)


class LogInUseError(AuditError):
    """Another process holds the log."""


def path_of(folder: Path, name: str, number: int) -> Path:
    """Returns the path of a file of a log."""
    return folder / (f"{name}.{number}.jsonl" if number else f"{name}.jsonl")


def numbers(folder: Path, name: str) -> list[int]:
    """Returns the sorted numbers of the files of a log, also of files of which only the head exists."""
    file_numbers = set()
    for path in folder.glob(f"{name}*"):
        middle = path.name.removeprefix(name).removesuffix(path.suffix)
        if path.suffix in (".jsonl", ".head") and (not middle or _NUMBER.fullmatch(middle)):
            file_numbers.add(int(middle[1:] or 0))
    return sorted(file_numbers)


def open_last(disk: Disk, folder: Path, name: str, header: Mapping[str, Any], stated: Stated | None = None) -> Segment:
    """Opens the last file of a log, or the first file of a new log. `stated`: the latest statement of a checkpoint about
    a log, by its id; without it the file has no Merkle tree. Raises `AuditError` and `OSError`.

    A file without a durable header, as a crash may leave it, holds no record. It is removed, and the previous file is
    opened.
    """
    disk.make_folder(folder)
    with folder_lock(folder):
        for number in reversed([0, *numbers(folder, name)]):
            segment = Segment(disk, path_of(folder, name, number), number, stated=stated)
            try:
                # Locked before it is looked at: another process might write the header between the look and the removal.
                segment.lock()
                if segment.has_begun() or number == 0:
                    segment.recover(header)
                    return segment
                disk.remove(segment.path)
            except BaseException:
                disk.close(segment.fd)
                raise
            disk.close(segment.fd)
    raise AssertionError("the first file is always tried")


def open_next(
    disk: Disk, before: Segment, name: str, header: Mapping[str, Any], why: str, *, is_complete: bool = False
) -> Segment:
    """Creates a file that follows `before`. `is_complete`: whether `before` holds nothing after its last durable record.
    On failure it leaves nothing behind. Raises `AuditError` and `OSError`."""
    folder = before.path.parent
    disk.make_folder(folder)
    # Behind every file that is there: what is left of a failed attempt is not written to again.
    number = max([before.number, *numbers(folder, name)]) + 1
    head = {"seq": before.head.seq, "hash": before.head.hash}
    follows = {"file": before.path.name, "log": before.origin, **head, "why": why}
    if is_complete:
        follows["complete"] = True
    segment = Segment(disk, path_of(folder, name, number), number, os.O_EXCL, before.stated)
    try:
        segment.lock()
        segment.start({**header, "follows": follows})
    except BaseException:
        with suppress(OSError):
            disk.remove(segment.path)
        disk.close(segment.fd)
        raise
    return segment


Stated = Callable[[str], CoveredLog | None]


class Segment:
    """An open file of a log. `head`: its last durable record. `end`: its size in bytes up to that record. `durable`: the
    head together with the Merkle tree over the lines up to it, for other threads."""

    def __init__(self, disk: Disk, path: Path, number: int, how: int = 0, stated: Stated | None = None) -> None:
        self.disk = disk
        self.path = path
        self._path = os.fspath(path)  # each batch of records asks for it
        self._identity = (0, 0)  # device and inode, once the file is locked
        self.number = number
        self.header: Mapping[str, Any] = {}
        self.head = ChainHead(-1, "")
        self.stated = stated
        self.durable = self.head, Frontier()
        self.end = 0
        self._opened_s = time.time()
        self.torn = False
        self.lost = False
        self.head_kept = -1
        self.fd = disk.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | how)

    @property
    def origin(self) -> str:
        """Returns the id of the log, from the header."""
        return str(self.header.get("log", ""))

    @property
    def began_s(self) -> float:
        """Returns when the file began, in Unix time: from the header, or when it was opened if the header has no time."""
        at = self.header.get("at")
        return at if isinstance(at, int | float) else self._opened_s

    def lock(self) -> None:
        """Locks the file for this process. Raises `LogInUseError` if another process holds the lock."""
        try:
            self.disk.lock(self.fd)
            self._identity = self.disk.stat(self.fd)[:2]
            # The lock is on the file that was opened; by now, the path may lead to another one.
            here = self.disk.stat(self.path)[:2] == self._identity
        except (BlockingIOError, FileNotFoundError):
            here = False
        if not here:
            raise LogInUseError(f"{self.path}: in use by another process")

    def has_begun(self) -> bool:
        """Whether the file has a line, or its head states that it had a line."""
        return self._lines_end(self.disk.stat(self.fd).size_bytes) > 0 or self._expected() is not None

    def is_in_place(self) -> bool:
        """Whether the path still leads to this file, and no other program wrote to it or truncated it. Raises
        `OSError`."""
        try:
            now = self.disk.stat(self._path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        # After a write that failed, nobody knows the size.
        return now[:2] == self._identity and (self.torn or now.size_bytes == self.end)

    def start(self, header: Mapping[str, Any]) -> None:
        """Writes the header of a new file."""
        line, head = begin(header)
        self.append([line], head)
        self.disk.sync_folder(self.path.parent)
        self.header = _read_header(line)

    def append(self, lines: Sequence[bytes], head: ChainHead) -> None:
        """Returns when the lines, which end with the record `head`, are durable. Raises `OSError`; `torn` and `lost`
        then describe the state of the file."""
        data = b"".join(lines)
        # Set before each step, so that they hold if it fails: first bytes may be in the file, then in memory alone.
        self.torn = True
        put(self.disk, self.fd, data)
        self.lost = True
        self.disk.sync(self.fd)
        self.torn = self.lost = False
        self.end += len(data)
        self.head = head
        if self.stated is not None:
            self.durable = head, self.durable[1].extended(map(line_hash, lines))

    def state(self) -> CoveredLog:
        """Returns what a checkpoint states about the durable lines. Any thread may call it."""
        head, tree = self.durable
        return CoveredLog(file=self.path.name, log=self.origin, size=tree.size, root=tree.root.hex(), hash=head.hash)

    def cut(self) -> None:
        """Removes the bytes after the last durable record, and checks this record. Raises `OSError`, or `AuditError`
        if the file does not end with this record."""
        if self.disk.stat(self.fd).size_bytes < self.end:
            self.lost = True
            raise AuditError("another program truncated the log")
        self.disk.truncate(self.fd, self.end)
        self.lost = True
        self.disk.sync(self.fd)
        start, tail = last_lines(self._read, self.end, TAIL_BYTES)
        report = verify(tail.splitlines(keepends=True), self.head, whole=start == 0)
        if report.problems or report.head != self.head:
            raise AuditError("another program changed the log")
        self.torn = self.lost = False

    def keep_head(self) -> None:
        """Replaces `NAME.head`. A failure is logged and does not fail the log; the next call tries again."""
        path = self.path.with_suffix(".head")
        try:
            replace_file(self.disk, path, write_head(self.origin, self.head))
        except OSError as error:
            _log.warning("%s cannot be written: %s", path, reason(error))
        else:
            self.head_kept = self.head.seq

    def close(self) -> None:
        """Closes the file and releases its lock."""
        with suppress(OSError):
            self.disk.close(self.fd)

    # Recovery of a file that an earlier process left.

    def recover(self, header: Mapping[str, Any]) -> None:
        """Reads the end of the file, repairs an incomplete line and verifies the lines before it. Starts an empty
        file."""
        expected = self._expected()
        size = self.disk.stat(self.fd).size_bytes
        self.end = self._lines_end(size)
        if self.end == 0 and expected is None:
            self._set_aside(size)
            self.start(header)
            return
        start, tail = last_lines(self._read, self.end, TAIL_BYTES)
        report = verify(tail.splitlines(keepends=True) if tail else (), expected, whole=start == 0)
        if report.problems or report.head is None:
            problem = report.problems[0].message if report.problems else "no records"
            raise AuditError(
                f"{self.path}: {problem}; see `guardproxy audit verify`, then move the log to another folder"
            )
        self._set_aside(size)
        # Bytes that an earlier process could not sync may come from memory and not from the disk.
        self.disk.sync(self.fd)
        self.header, self.head = _read_header(self._first_line()), report.head
        self.head_kept = self.head.seq
        if self.stated is not None:
            self.durable = self.head, self._grown_tree(self.stated(self.origin))

    def _grown_tree(self, stated: CoveredLog | None) -> Frontier:
        """Returns the Merkle tree over all lines. Raises `AuditError` if a checkpoint states other lines."""
        watch = RootWatch([(stated.size, bytes.fromhex(stated.root))] if stated else [])
        for added in line_hashes(self._pieces()):
            watch.take(added)
        tree = watch.finish()
        if watch.wrong or watch.missing:
            raise AuditError(
                f"{self.path}: it does not hold the {stated.size if stated else 0} lines that the last checkpoint "
                "states; see `guardproxy audit verify`, then move the folder of the log to another place"
            )
        return tree

    def _read(self, size_bytes: int, offset: int) -> bytes:
        return self.disk.read(self.fd, size_bytes, offset)

    def _lines_end(self, size_bytes: int) -> int:
        return whole_lines_end(self._read, size_bytes, TAIL_BYTES)

    def _pieces(self) -> Iterator[bytes]:
        for start in range(0, self.end, TAIL_BYTES):
            yield self._read(min(TAIL_BYTES, self.end - start), start)

    def _expected(self) -> ChainHead | None:
        path = self.path.with_suffix(".head")
        try:
            return read_head(path.read_bytes())
        except FileNotFoundError:
            return None
        except AuditError as error:
            raise AuditError(f"{path}: {error}") from None

    def _first_line(self) -> bytes:
        reach = 1 << 16
        while b"\n" not in (data := self._read(min(reach, self.end), 0)):
            reach *= 2
        return data[: data.index(b"\n") + 1]

    def _set_aside(self, size: int) -> None:
        if self.end == size:
            return
        torn = self._read(size - self.end, self.end)
        write_file(self.disk, self.path.with_suffix(".torn"), torn + b"\n", os.O_APPEND)
        self.disk.truncate(self.fd, self.end)
        self.disk.sync(self.fd)


def _read_header(line: bytes) -> Mapping[str, Any]:
    header = open_line(line)
    if header is None or not isinstance(header.get("log"), str):
        raise AuditError("the log has no header")
    return header
