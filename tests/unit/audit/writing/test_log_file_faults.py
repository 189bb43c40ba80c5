"""A disk that fails at every step: no acknowledged record is lost, the log recovers, and it verifies."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from guardproxy.audit.record.chain import begin, seal
from guardproxy.audit.storage.disk import Disk
from guardproxy.audit.writing.log_file import FileSink, Rotation
from guardproxy.errors import AuditError
from tests.kit.disk import Faulty, kept, problems, wait_healthy

HEADER = {"log": "0123abcd"}
WAIT_S = 30
RECORDS = 3
CODES = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS, errno.EACCES)


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guardproxy.audit.writing.log_file.RETRY_MOST_S", 0.002)


def opened(folder: Path, disk: Disk) -> FileSink:
    return FileSink(folder, "a", HEADER, head_every=2, retry_s=0.0001, watch_s=600.0, disk=disk)


def work(folder: Path, disk: Disk) -> tuple[list[str], bool]:
    """Appends each record until it is acknowledged. Gives the acknowledged ids, and whether the log could be opened."""
    try:
        sink = opened(folder, disk)
    except AuditError:
        return [], False
    done: list[str] = []
    for number in range(RECORDS):
        name = f"x{number}"
        for _ in range(10_000):
            try:
                sink.append({"id": name}).result(WAIT_S)
            except AuditError:
                wait_healthy(sink)
                continue
            done.append(name)
            break
    assert len(done) == RECORDS
    sink.close()
    return done, True


def steps(folder: Path) -> int:
    disk = Faulty(-10)
    work(folder, disk)
    return disk.steps


@pytest.mark.parametrize("lasting", [0, 40])
def test_every_step_fails_once_or_for_long(tmp_path: Path, lasting: int) -> None:
    count = steps(tmp_path / "counted")
    assert count > 30
    for at in range(count):
        folder = tmp_path / f"at-{at}"
        done, is_open = work(folder, Faulty(at, CODES[at % len(CODES)], lasting=lasting))
        again, _ = work(folder, Disk())  # the next start, on a disk that works
        assert len(again) == RECORDS, at
        assert set(done) <= set(kept(folder)), at
        assert kept(folder).count(f"x{RECORDS - 1}") >= 1 + is_open, at
        assert problems(folder) == [], at


def test_a_write_is_torn_at_every_byte(tmp_path: Path) -> None:
    line = seal({"id": "x0"}, begin(HEADER)[1])[0]
    for torn in range(1, len(line)):
        folder = tmp_path / f"torn-{torn}"
        sink = opened(folder, disk := Faulty(-10))
        stats_before_the_write = 1
        disk.at, disk.torn = disk.steps + stats_before_the_write, torn
        with pytest.raises(AuditError, match="input/output error"):
            sink.append({"id": "x0"}).result(WAIT_S)
        wait_healthy(sink)
        assert sink.append({"id": "x1"}).result(WAIT_S)[0] == 1  # after the gap
        sink.close()
        assert kept(folder) == ["x1"]
        assert problems(folder) == []


def test_a_sync_that_fails_is_never_tried_again_on_that_file(tmp_path: Path) -> None:
    class Watched(Disk):
        fail = False
        bad: int | None = None

        def sync(self, fd: int) -> None:
            assert fd != self.bad
            if self.fail:
                self.fail, self.bad = False, fd
                raise OSError(errno.EIO, "Input/output error")
            super().sync(fd)

        def write(self, fd: int, data: memoryview) -> int:
            assert fd != self.bad
            return super().write(fd, data)

        def close(self, fd: int) -> None:
            self.bad = None if fd == self.bad else self.bad
            super().close(fd)

    disk = Watched()
    sink = opened(tmp_path, disk)
    sink.append({"id": "x0"}).result(WAIT_S)
    disk.fail = True
    with pytest.raises(AuditError):
        sink.append({"id": "x1"}).result(WAIT_S)
    wait_healthy(sink)
    sink.append({"id": "x2"}).result(WAIT_S)
    sink.close()
    assert sink.path.name == "a.1.jsonl"
    assert problems(tmp_path) == []


def test_a_disk_that_fills_up_again_and_again_grows_no_heap_of_gaps(tmp_path: Path) -> None:
    """Room for the record of the gap, and for nothing else: each further try waits longer."""

    class Nearly(Disk):
        full = True

        def write(self, fd: int, data: memoryview) -> int:
            if self.full and b"gap" not in bytes(data):
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(fd, data)

    disk = Nearly()
    disk.full = False
    sink = opened(tmp_path, disk)
    disk.full = True
    waits = []
    for _ in range(5):
        wait_healthy(sink)
        with pytest.raises(AuditError):
            sink.append({"id": "x"}).result(WAIT_S)
        waits.append(sink._wait_s)
    assert waits == sorted(waits)
    assert waits[-1] >= 8 * waits[0]
    disk.full = False
    wait_healthy(sink)
    sink.append({"id": "y"}).result(WAIT_S)
    assert sink._wait_s == sink._retry_s
    sink.close()
    assert problems(tmp_path) == []


def test_a_large_log_that_cannot_continue_in_a_new_file_goes_on_and_says_so_once(tmp_path: Path) -> None:
    class Full(Disk):
        is_full = False

        def open(self, path: Path, flags: int) -> int:
            if self.is_full:
                raise OSError(errno.EMFILE, "Too many open files")
            return super().open(path, flags)

    disk = Full()
    sink = FileSink(tmp_path, "a", HEADER, watch_s=600.0, disk=disk, rotation=Rotation(1))
    disk.is_full = True
    for number in range(3):
        sink.append({"id": f"x{number}"}).result(WAIT_S)
    assert sink.warnings == ("audit log a.jsonl cannot continue in a new file: too many open files",)
    assert (sink.fault, sink.path.name) == ("", "a.jsonl")
    disk.is_full = False
    sink.append({"id": "x3"}).result(WAIT_S)
    assert sink.path.name == "a.1.jsonl"
    sink.close()
    assert sorted(kept(tmp_path)) == ["x0", "x1", "x2", "x3"]
    assert problems(tmp_path) == []
