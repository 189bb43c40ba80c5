"""One file of a log: opened, repaired, appended to, durable before a record counts as kept.

In: sealed lines. Out: an open file that ends with its last durable record. Kept: the file, its lock, its head and its size.

A log is a family of files: `NAME.jsonl`, then `NAME.1.jsonl`, `NAME.2.jsonl` and so on, where a file could not be written any
more. The header of each later file has `follows`: the file before it, that file's `log`, its last durable record, and why it
ended. So a file that was removed or renamed is named in the chain.

What a file can still be trusted with is in two flags. `torn`: a write failed, and bytes may stand after the last durable
record; the file can be cut back. `lost`: a sync failed. The kernel may have dropped the pages and call the next sync a
success, so nothing is ever written to that file again.

`NAME.head` holds the head of a file, written every so many records and at close. `NAME.torn` keeps the unfinished lines that
crashes left.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from guardproxy.audit.chain import Head, begin, open_line, read_head, verify, write_head
from guardproxy.audit.disk import Disk, folder_lock, put, reason, write_file
from guardproxy.errors import AuditError

TAIL_BYTES = 1 << 20
_NUMBER = re.compile(r"\.([1-9][0-9]{0,8})")
_log = logging.getLogger(__name__)


def path_of(folder: Path, name: str, number: int) -> Path:
    """The path of one file of a log."""
    return folder / (f"{name}.{number}.jsonl" if number else f"{name}.jsonl")


def numbers(folder: Path, name: str) -> list[int]:
    """The files of a log that the folder has, or has the head of, by their numbers, in order."""
    found = set()
    for path in folder.glob(f"{name}*"):
        middle = path.name.removeprefix(name).removesuffix(path.suffix)
        if path.suffix in (".jsonl", ".head") and (not middle or _NUMBER.fullmatch(middle)):
            found.add(int(middle[1:] or 0))
    return sorted(found)


def open_last(disk: Disk, folder: Path, name: str, header: Mapping[str, Any]) -> Segment:
    """The last file of a log, ready to go on, or a new log's first. Raises `AuditError` and `OSError`.

    A file that a crash left before its header was durable holds no record. It is removed, and the file before it goes on.
    """
    disk.make_folder(folder)
    with folder_lock(folder):
        for number in reversed([0, *numbers(folder, name)]):
            segment = Segment(disk, path_of(folder, name, number), number)
            try:
                segment.lock()
                if segment.begun() or number == 0:
                    segment.recover(header)
                    return segment
                disk.remove(segment.path)
            except BaseException:
                disk.close(segment.fd)
                raise
            disk.close(segment.fd)
    raise AssertionError("the first file is always tried")


def open_next(disk: Disk, before: Segment, name: str, header: Mapping[str, Any], why: str) -> Segment:
    """A new file that follows `before`. Leaves nothing behind where that fails. Raises `AuditError` and `OSError`."""
    folder = before.path.parent
    disk.make_folder(folder)
    number = max([before.number, *numbers(folder, name)]) + 1
    head = {"seq": before.head.seq, "hash": before.head.hash}
    follows = {"file": before.path.name, "log": before.origin, **head, "why": why}
    segment = Segment(disk, path_of(folder, name, number), number, os.O_EXCL)
    try:
        segment.lock()
        segment.start({**header, "follows": follows})
    except BaseException:
        with suppress(OSError):
            disk.remove(segment.path)
        disk.close(segment.fd)
        raise
    return segment


class Segment:
    """An open file. `head`: its last durable record; `end`: its size in bytes up to that record."""

    def __init__(self, disk: Disk, path: Path, number: int, how: int = 0) -> None:
        self.disk = disk
        self.path = path
        self.number = number
        self.header: Mapping[str, Any] = {}
        self.head = Head(-1, "")
        self.end = 0
        self.torn = False
        self.lost = False
        self.head_kept = -1
        self.fd = disk.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | how)

    @property
    def origin(self) -> str:
        """The id that the header gives the log."""
        return str(self.header.get("log", ""))

    def lock(self) -> None:
        """Takes the file for this process. Raises `AuditError` where another process has it."""
        try:
            self.disk.lock(self.fd)
            here = self.disk.stat(self.path)[:2] == self.disk.stat(self.fd)[:2]
        except (BlockingIOError, FileNotFoundError):
            here = False
        if not here:
            raise AuditError(f"{self.path}: in use by another process")

    def begun(self) -> bool:
        """Whether the file has a line, or a head says that it had one."""
        return self._whole_lines(self.disk.stat(self.fd).size_bytes) > 0 or self._expected() is not None

    def in_place(self) -> bool:
        """Whether the path still leads to this file, and nobody else wrote to it or cut it. Raises `OSError`."""
        try:
            found = self.disk.stat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        own = self.disk.stat(self.fd)
        return found[:2] == own[:2] and (self.torn or own.size_bytes == self.end)

    def start(self, header: Mapping[str, Any]) -> None:
        """Writes the header of a new file."""
        line, head = begin(header)
        self.append(line, head)
        self.disk.sync_folder(self.path.parent)
        self.header = _opened(line)

    def append(self, data: bytes, head: Head) -> None:
        """Returns when `data`, which ends with the record `head`, is durable. Raises `OSError`, and then `torn` and `lost`
        say what the file can still be trusted with."""
        self.torn = True
        put(self.disk, self.fd, data)
        self.lost = True
        self.disk.sync(self.fd)
        self.torn = self.lost = False
        self.end += len(data)
        self.head = head

    def cut(self) -> None:
        """Takes away what stands after the last durable record, and shows that this record is there. Raises `OSError`, or
        `AuditError` where the file does not end with that record."""
        if self.disk.stat(self.fd).size_bytes < self.end:
            self.lost = True
            raise AuditError("the log was cut by something else")
        self.disk.truncate(self.fd, self.end)
        self.lost = True
        self.disk.sync(self.fd)
        start, tail = self._tail(self.end)
        report = verify(tail.splitlines(keepends=True), self.head, whole=start == 0)
        if report.problems or report.head != self.head:
            raise AuditError("the log was changed by something else")
        self.torn = self.lost = False

    def keep_head(self) -> None:
        """Replaces `NAME.head`. Its failure is no failure of the log: it says so, and the next call tries again."""
        path = self.path.with_suffix(".head")
        new = path.with_suffix(".head.new")
        try:
            write_file(self.disk, new, write_head(self.origin, self.head), os.O_TRUNC)
            self.disk.replace(new, path)
        except OSError as error:
            _log.warning("%s cannot be written: %s", path, reason(error))
        else:
            self.head_kept = self.head.seq

    def close(self) -> None:
        """Gives the file and its lock back."""
        with suppress(OSError):
            self.disk.close(self.fd)

    # What an earlier process left.

    def recover(self, header: Mapping[str, Any]) -> None:
        """Reads the end of the file, repairs an unfinished line, verifies what is before it. Starts an empty file."""
        expected = self._expected()
        size = self.disk.stat(self.fd).size_bytes
        self.end = self._whole_lines(size)
        if self.end == 0 and expected is None:
            self._set_aside(size)
            self.start(header)
            return
        start, tail = self._tail(self.end)
        report = verify(tail.splitlines(keepends=True) if tail else (), expected, whole=start == 0)
        if report.problems or report.head is None:
            found = report.problems[0].message if report.problems else "no records"
            raise AuditError(
                f"{self.path}: {found}; see `guardproxy audit verify`, then move the log to another folder"
            )
        self._set_aside(size)
        self.disk.sync(
            self.fd
        )  # what an earlier process wrote and could not sync is read from memory, not from the disk
        self.header, self.head = _opened(self._first_line()), report.head
        self.head_kept = self.head.seq

    def _expected(self) -> Head | None:
        path = self.path.with_suffix(".head")
        try:
            return read_head(path.read_bytes())
        except FileNotFoundError:
            return None
        except AuditError as error:
            raise AuditError(f"{path}: {error}") from None

    def _whole_lines(self, size: int) -> int:
        """The offset after the last newline."""
        end = size
        while end > 0:
            start = max(0, end - TAIL_BYTES)
            at = self.disk.read(self.fd, end - start, start).rfind(b"\n")
            if at >= 0:
                return start + at + 1
            end = start
        return 0

    def _tail(self, end: int) -> tuple[int, bytes]:
        """The last whole lines before `end`, at least one, and the offset where they begin."""
        reach = TAIL_BYTES
        while True:
            start = max(0, end - reach)
            data = self.disk.read(self.fd, end - start, start)
            skip = data.find(b"\n") + 1 if start else 0
            if start == 0 or skip < len(data):
                return start + skip, data[skip:]
            reach *= 2

    def _first_line(self) -> bytes:
        reach = 1 << 16
        while b"\n" not in (data := self.disk.read(self.fd, min(reach, self.end), 0)):
            reach *= 2
        return data[: data.index(b"\n") + 1]

    def _set_aside(self, size: int) -> None:
        if self.end == size:
            return
        torn = self.disk.read(self.fd, size - self.end, self.end)
        write_file(self.disk, self.path.with_suffix(".torn"), torn + b"\n", os.O_APPEND)
        self.disk.truncate(self.fd, self.end)
        self.disk.sync(self.fd)


def _opened(line: bytes) -> Mapping[str, Any]:
    header = open_line(line)
    if header is None or not isinstance(header.get("log"), str):
        raise AuditError("the log has no header")
    return header
