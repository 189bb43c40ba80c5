"""The system calls of a log, and the lock of a folder."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from guardproxy.audit.storage.disk import Disk, folder_lock, put, reason, replace_file, write_file
from guardproxy.errors import AuditError
from tests.kit.disk import Faulty


def test_a_small_file_is_written_anew_or_added_to(tmp_path: Path) -> None:
    path = tmp_path / "f"
    for data, how in ((b"one", os.O_TRUNC), (b"two", os.O_APPEND), (b"3", os.O_TRUNC)):
        write_file(Disk(), path, data, how)
    assert path.read_bytes() == b"3"


@pytest.mark.parametrize("at", range(4))  # opens, writes, syncs, replaces
def test_a_small_file_is_replaced_in_one_step(tmp_path: Path, at: int) -> None:
    path = tmp_path / "f"
    replace_file(Disk(), path, b"old")
    with pytest.raises(OSError, match="Input/output error"):
        replace_file(Faulty(at, torn=1), path, b"new")
    assert path.read_bytes() == b"old"
    replace_file(Disk(), path, b"new")
    assert path.read_bytes() == b"new"
    assert [file.name for file in tmp_path.iterdir()] == ["f"]


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
