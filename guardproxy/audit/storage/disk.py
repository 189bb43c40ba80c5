"""The system calls of a log, in one place, so that tests can make each of them fail.

In: paths, file descriptors, bytes. Out: the system's results; its errors are `OSError`.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from guardproxy.errors import AuditError


class Stat(NamedTuple):
    """The identity of a file, and its size in bytes."""

    device: int
    inode: int
    size_bytes: int


class Disk:
    """The real disk. Every method is a single step that can fail."""

    def make_folder(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def open(self, path: Path, flags: int) -> int:
        return os.open(path, flags | os.O_CLOEXEC, 0o600)

    def lock(self, fd: int) -> None:
        """Locks the file for this process. Raises `BlockingIOError` if another process holds the lock."""
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def stat(self, where: Path | str | int) -> Stat:
        status = os.stat(where)
        return Stat(status.st_dev, status.st_ino, status.st_size)

    def read(self, fd: int, size_bytes: int, offset: int) -> bytes:
        return os.pread(fd, size_bytes, offset)

    def write(self, fd: int, data: memoryview) -> int:
        return os.write(fd, data)

    def sync(self, fd: int) -> None:
        """Writes a file's data and size to disk; on some systems also its times."""
        getattr(os, "fdatasync", os.fsync)(fd)

    def truncate(self, fd: int, size_bytes: int) -> None:
        os.ftruncate(fd, size_bytes)

    def replace(self, old: Path, new: Path) -> None:
        old.replace(new)

    def remove(self, path: Path) -> None:
        path.unlink()

    def sync_folder(self, folder: Path) -> None:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def close(self, fd: int) -> None:
        os.close(fd)


def put(disk: Disk, fd: int, data: bytes) -> None:
    """Writes all of `data`, in as many calls as the system needs."""
    rest = memoryview(data)
    while rest:
        size_bytes = disk.write(fd, rest)
        if size_bytes <= 0:
            raise OSError("nothing was written")
        rest = rest[size_bytes:]


def write_file(disk: Disk, path: Path, data: bytes, how: int) -> None:
    """Writes a small file and makes it durable. `how`: `O_TRUNC` or `O_APPEND`."""
    fd = disk.open(path, os.O_WRONLY | os.O_CREAT | how)
    try:
        put(disk, fd, data)
        disk.sync(fd)
    finally:
        disk.close(fd)


def replace_file(disk: Disk, path: Path, data: bytes) -> None:
    """Replaces a small file in one step: after a crash it holds the old bytes or the new ones."""
    new = path.with_name(f"{path.name}.new")
    write_file(disk, new, data, os.O_TRUNC)
    # The bytes are on disk by now. A caller that needs the name to last as well syncs the folder.
    disk.replace(new, path)


def is_inside(path: Path, folder: Path) -> bool:
    """Whether a path, its links followed, is in a folder. A loop of links is not followed, and is in no folder."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def reason(error: BaseException) -> str:
    """Returns the system's message for a failure, without a path and without text of a record."""
    if isinstance(error, AuditError):
        return str(error)
    text = error.strerror if isinstance(error, OSError) else None
    return (text or type(error).__name__).lower()


def is_held(path: Path) -> bool:
    """Whether a process holds the lock of a file. An unreadable file counts as held."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(fd)


@contextmanager
def folder_lock(folder: Path) -> Iterator[bool]:
    """Waits until no other process of guardproxy opens logs in this folder. Yields whether the lock was taken: some
    file systems cannot lock folders."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(fd)
