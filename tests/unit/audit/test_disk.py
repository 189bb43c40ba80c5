"""The system calls of a log, and the lock of a folder."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from guardproxy.audit.disk import Disk, folder_lock, put, reason, write_file
from guardproxy.errors import AuditError


def test_a_small_file_is_written_anew_or_added_to(tmp_path: Path) -> None:
    path = tmp_path / "f"
    for data, how in ((b"one", os.O_TRUNC), (b"two", os.O_APPEND), (b"3", os.O_TRUNC)):
        write_file(Disk(), path, data, how)
    assert path.read_bytes() == b"3"


def test_a_write_of_nothing_is_an_error() -> None:
    class Full(Disk):
        def write(self, fd: int, data: memoryview) -> int:
            return 0

    with pytest.raises(OSError, match="nothing was written"):
        put(Full(), 0, b"x")


def test_a_reason_holds_no_path() -> None:
    assert reason(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/secret")) == "no space left on device"
    assert reason(AuditError("the log was changed")) == "the log was changed"
    assert reason(ZeroDivisionError("x")) == "zerodivisionerror"


def test_a_folder_is_locked_where_the_file_system_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with folder_lock(tmp_path) as locked:
        assert locked

    def flock(fd: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", flock)
    with folder_lock(tmp_path) as locked:
        assert not locked
