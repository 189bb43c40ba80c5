"""The file of a log: opening, appending in groups, crashes at every byte, failures of the system."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import stat
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from guardproxy.audit.proof.folder import verify_folder
from guardproxy.audit.record.chain import ChainHead, read_head, verify
from guardproxy.audit.storage.disk import Disk
from guardproxy.audit.writing import segment
from guardproxy.audit.writing.log_file import GONE, Entry, FileSink, Rotation
from guardproxy.errors import AuditError
from tests.kit.disk import wait_healthy

HEADER = {"log": "0123abcd", "engine": "0.1.0"}
WAIT_S = 30


def opened(folder: Path, **options: Any) -> FileSink:
    return FileSink(folder, "worker-0", HEADER, **options)


def fill(folder: Path, count: int) -> None:
    sink = opened(folder)
    for index in range(count):
        sink.append({"id": f"x{index}"}).result(WAIT_S)
    sink.close()


def log_of(folder: Path) -> Path:
    return folder / "worker-0.jsonl"


def ids(folder: Path) -> list[str]:
    return [json.loads(line)["id"] for line in log_of(folder).read_bytes().splitlines()[1:]]


def test_records_are_kept_in_order_and_verify(tmp_path: Path) -> None:
    sink = opened(tmp_path / "new" / "folder")
    assert sink.header["log"] == "0123abcd"
    assert sink.head[0] == -1
    futures = [sink.append({"id": f"x{index}"}) for index in range(50)]
    heads = [future.result(WAIT_S) for future in futures]
    assert [seq for seq, _ in heads] == list(range(50))
    assert (sink.head, sink.healthy) == (heads[-1], True)
    sink.close()
    sink.close()
    assert not sink.healthy
    data = sink.path.read_bytes()
    assert verify(data.splitlines(keepends=True), ChainHead(*heads[-1])).problems == ()
    assert read_head(sink.path.with_suffix(".head").read_bytes()) == ChainHead(*heads[-1])
    assert stat.S_IMODE(sink.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(sink.path.parent.stat().st_mode) == 0o700


def test_a_log_goes_on_where_it_ended_and_keeps_its_header(tmp_path: Path) -> None:
    fill(tmp_path, 3)
    sink = FileSink(tmp_path, "worker-0", {"log": "another"})
    assert sink.header["log"] == "0123abcd"
    assert sink.append({"id": "x3"}).result(WAIT_S)[0] == 3
    sink.close()
    assert ids(tmp_path) == ["x0", "x1", "x2", "x3"]
    assert verify(log_of(tmp_path).read_bytes().splitlines(keepends=True)).problems == ()


def test_a_log_without_records_is_opened_again(tmp_path: Path) -> None:
    fill(tmp_path, 0)
    sink = opened(tmp_path)
    assert sink.head[0] == -1
    sink.close()


def test_a_second_opener_is_refused(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    with pytest.raises(AuditError, match=r"worker-0\.jsonl: in use by another process$"):
        opened(tmp_path)
    other = FileSink(tmp_path, "worker-1", HEADER)
    other.close()
    sink.close()
    opened(tmp_path).close()


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a b"])
def test_names_stay_in_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(AuditError, match="the name of a log"):
        FileSink(tmp_path, name, HEADER)


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AuditError, match=r"worker-0\.jsonl: (not a directory|file exists)$"):
        opened(tmp_path / "file")


def test_a_log_that_cannot_be_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(fd: int, how: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(AuditError, match="input/output error"):
        opened(tmp_path)


def test_a_crash_at_every_byte_of_the_last_line(tmp_path: Path) -> None:
    fill(tmp_path, 3)
    log = log_of(tmp_path)
    log.with_suffix(".head").unlink()
    whole = log.read_bytes()
    before = whole[: whole.rstrip(b"\n").rindex(b"\n") + 1]
    for end in range(len(before), len(whole)):
        log.write_bytes(whole[:end])
        log.with_suffix(".torn").unlink(missing_ok=True)
        sink = opened(tmp_path)
        assert sink.append({"id": "after"}).result(WAIT_S)[0] == 2
        sink.close()
        log.with_suffix(".head").unlink()
        assert log.read_bytes().startswith(before)
        assert ids(tmp_path) == ["x0", "x1", "after"]
        assert verify(log.read_bytes().splitlines(keepends=True)).problems == ()
        torn = log.with_suffix(".torn")
        assert (torn.read_bytes() if torn.exists() else b"\n") == whole[len(before) : end] + b"\n"


def test_a_crash_at_every_byte_of_the_header(tmp_path: Path) -> None:
    fill(tmp_path, 0)
    log = log_of(tmp_path)
    whole = log.read_bytes()
    for end in range(len(whole)):
        log.write_bytes(whole[:end])
        log.with_suffix(".head").unlink()
        opened(tmp_path).close()
        assert log.read_bytes() == whole


def test_torn_lines_of_several_crashes_are_all_kept(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    for torn in (b'{"half', b"\x00\x00"):
        with log_of(tmp_path).open("ab") as log:
            log.write(torn)
        opened(tmp_path).close()
    assert (tmp_path / "worker-0.torn").read_bytes() == b'{"half\n\x00\x00\n'


def cut(data: bytes) -> bytes:
    return data[: data.rstrip(b"\n").rindex(b"\n") + 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (cut, "expected record 2, found record 1 as the last: the end was cut off"),
        (lambda data: data[:-1], "expected record 2, found record 1 as the last: the end was cut off"),
        (lambda data: b"", "found an empty file"),
        (lambda data: data.replace(b"x2", b"y2"), "the record was changed"),
        (lambda data: data.replace(b"x0", b"y0"), "the record was changed"),
        (lambda data: data + b"junk\n", "not a sealed record"),
    ],
    ids=["cut", "torn", "emptied", "last edited", "first edited", "longer"],
)
def test_a_log_that_does_not_verify_is_not_continued(
    tmp_path: Path, change: Callable[[bytes], bytes], message: str
) -> None:
    fill(tmp_path, 3)
    changed = change(log_of(tmp_path).read_bytes())
    log_of(tmp_path).write_bytes(changed)
    for _ in range(2):
        with pytest.raises(AuditError, match=message):
            opened(tmp_path)
    assert log_of(tmp_path).read_bytes() == changed


def test_a_deleted_log_is_not_begun_anew(tmp_path: Path) -> None:
    fill(tmp_path, 3)
    log_of(tmp_path).unlink()
    with pytest.raises(AuditError, match="found an empty file"):
        opened(tmp_path)


def test_a_broken_head_file(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    (tmp_path / "worker-0.head").write_text("junk")
    with pytest.raises(AuditError, match=r"worker-0\.head: not the head of a log$"):
        opened(tmp_path)


def test_a_header_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="a header needs `log`"):
        FileSink(tmp_path, "worker-0", {})
    opened(tmp_path).close()


def test_a_long_log_is_verified_at_its_end_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment, "TAIL_BYTES", 64)
    fill(tmp_path, 5)
    for size in (70_000, 1000, 1):
        sink = opened(tmp_path)
        sink.append({"id": "x", "more": "m" * size}).result(WAIT_S)
        sink.close()
    with log_of(tmp_path).open("ab") as log:
        log.write(b"t" * 500)
    sink = opened(tmp_path)
    assert sink.head[0] == 7
    assert sink.header["log"] == "0123abcd"
    sink.close()
    data = log_of(tmp_path).read_bytes()
    assert verify(data.splitlines(keepends=True)).problems == ()
    log_of(tmp_path).write_bytes(data.replace(b"mm", b"nn", 1))
    opened(tmp_path).close()
    log_of(tmp_path).write_bytes(b"[" + data[1:])
    with pytest.raises(AuditError, match="the log has no header"):
        opened(tmp_path)


def test_a_long_header_is_read_again(tmp_path: Path) -> None:
    header = {**HEADER, "more": "m" * 200_000}
    for _ in range(2):
        sink = FileSink(tmp_path, "worker-0", header)
        assert sink.header["more"] == header["more"]
        sink.close()


class Scripted(Disk):
    """The system's calls; held syncs wait for `go`."""

    def __init__(self) -> None:
        self.writes: list[int] = []
        self.syncs = 0
        self.fail = ""
        self.most = 1 << 30
        self.syncing = Event()
        self.go = Event()
        self.go.set()

    def write(self, fd: int, data: memoryview) -> int:
        if self.fail == "write":
            raise OSError(28, "No space left on device")
        if self.fail == "nothing":
            return 0
        self.writes.append(bytes(data).count(b"\n"))
        return os.write(fd, data[: self.most])

    def sync(self, fd: int) -> None:
        self.syncing.set()
        self.go.wait(WAIT_S)
        self.syncs += 1
        if self.fail == "sync":
            raise OSError(5, "Input/output error")
        if self.fail == "bug":
            raise ZeroDivisionError
        os.fdatasync(fd)


def on_disk(folder: Path, disk: Scripted, **options: Any) -> FileSink:
    sink = opened(folder, disk=disk, **options)
    disk.writes.clear()
    disk.syncs = 0
    disk.syncing.clear()
    return sink


def test_what_gathers_during_a_sync_is_one_batch(tmp_path: Path) -> None:
    disk = Scripted()
    sink = on_disk(tmp_path, disk)
    disk.go.clear()
    first = sink.append({"id": "first"})
    assert disk.syncing.wait(WAIT_S)
    rest = [sink.append({"id": f"x{index}"}) for index in range(40)]
    assert not first.done()
    assert sink.head[0] == -1
    disk.go.set()
    assert [future.result(WAIT_S)[0] for future in [first, *rest]] == list(range(41))
    assert (disk.writes, disk.syncs) == ([1, 40], 2)
    sink.close()


def test_short_writes_are_gone_on_with(tmp_path: Path) -> None:
    disk = Scripted()
    disk.most = 7
    sink = on_disk(tmp_path, disk)
    sink.append({"id": "x0"}).result(WAIT_S)
    assert disk.syncs == 1
    sink.close()
    assert verify(log_of(tmp_path).read_bytes().splitlines(keepends=True)).problems == ()


REASONS = {
    "write": "no space left on device",
    "sync": "input/output error",
    "nothing": "oserror",
    "bug": "zerodivisionerror",
}


@pytest.mark.parametrize("fail", REASONS)
def test_a_failure_refuses_records_until_the_log_can_be_written(tmp_path: Path, fail: str) -> None:
    disk = Scripted()
    sink = on_disk(tmp_path, disk, retry_s=0.001)
    sink.append({"id": "kept"}).result(WAIT_S)
    head = sink.head
    disk.syncing.clear()
    disk.go.clear()
    held = sink.append({"id": "held"})
    assert disk.syncing.wait(WAIT_S)
    bad = sink.append({"seq": 1})
    waiting = [sink.append({"id": "waiting"}) for _ in range(3)]
    disk.fail = fail
    disk.go.set()
    # a failing sync takes down the held batch, a failing write the one after it
    failed = [held] if fail in ("sync", "bug") else waiting
    for future in failed:
        with pytest.raises(AuditError, match=rf"worker-0\.jsonl: the log cannot be written: {REASONS[fail]}$"):
            future.result(WAIT_S)
    with pytest.raises(AuditError):
        bad.result(WAIT_S)
    for future in waiting:
        with pytest.raises(AuditError, match=f"the log cannot be written: {REASONS[fail]}$"):
            future.result(WAIT_S)
    assert not sink.healthy
    assert sink.fault == f"the log cannot be written: {REASONS[fail]}"
    with pytest.raises(AuditError, match=REASONS[fail]):
        sink.append({"id": "later"}).result(WAIT_S)
    if held in failed:
        assert sink.head == head
    disk.fail = ""
    wait_healthy(sink)
    assert sink.append({"id": "after"}).result(WAIT_S)
    assert (sink.fault, sink.failing_s, sink.recoveries) == ("", 0.0, 1)
    sink.close()
    assert whole(tmp_path) == []
    assert {"kept", "after"} <= set(every_id(tmp_path))
    assert "later" not in every_id(tmp_path)
    if fail == "write":
        (gap,) = [entry for entry in entries(log_of(tmp_path)) if entry.get("kind") == "gap"]
        assert (gap["why"], gap["since"] <= gap["at"]) == (REASONS[fail], True)
    if held in failed:  # after a failed sync nothing is written to that file again
        (follows,) = [entry["follows"] for entry in entries(tmp_path / "worker-0.1.jsonl") if "follows" in entry]
        assert (follows["file"], follows["seq"], follows["why"]) == ("worker-0.jsonl", head[0], REASONS[fail])
    again = opened(tmp_path)
    assert again.append({"id": "again"}).result(WAIT_S)
    again.close()


def entries(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_bytes().splitlines()]


def every_id(folder: Path) -> list[str]:
    return [entry["id"] for log in sorted(folder.glob("*.jsonl")) for entry in entries(log) if "id" in entry]


def whole(folder: Path) -> list[str]:
    """What verifying the folder finds wrong."""
    return [problem.message for found in verify_folder(folder) for problem in found.report.problems]


@pytest.mark.parametrize("idle", [True, False])
@pytest.mark.parametrize("how", ["removed", "renamed", "replaced", "emptied", "added to", "folder removed"])
def test_a_log_that_is_taken_away_is_noticed_and_named(tmp_path: Path, how: str, idle: bool) -> None:
    folder = tmp_path / "logs"
    sink = opened(folder, watch_s=0.001 if idle else 600.0)
    seq, digest = sink.append({"id": "before"}).result(WAIT_S)
    log = log_of(folder)
    match how:
        case "removed":
            log.unlink()
        case "renamed":
            log.rename(folder / "elsewhere.jsonl")
        case "replaced":
            other = folder / "other"
            other.write_bytes(log.read_bytes())
            other.rename(log)
        case "emptied":
            os.truncate(log, 0)
        case "added to":
            with log.open("ab") as file:
                file.write(b"x")
        case _:
            shutil.rmtree(folder)
    while idle and not sink.warnings:
        sink._thread.join(0.0005)
        assert sink._thread.is_alive()
    assert sink.append({"id": "after"}).result(WAIT_S)[0] == 0
    assert sink.healthy
    assert sink.warnings == (f"audit log worker-0.jsonl ended ({GONE}); records continue in worker-0.1.jsonl",)
    sink.close()
    header, after = entries(folder / "worker-0.1.jsonl")
    assert header["follows"] == {"file": "worker-0.jsonl", "log": "0123abcd", "seq": seq, "hash": digest, "why": GONE}
    assert after["id"] == "after"
    found = " ".join(whole(folder))
    said = {"renamed": "which was renamed", "replaced": "", "emptied": "not here", "added to": ""}
    assert said.get(how, "not here") in found
    assert bool(found) is (
        how not in ("replaced", "added to")
    )  # an equal copy is the same log; what was added is not a record
    if how in ("replaced", "added to"):
        opened(folder).close()


def test_a_log_that_vanishes_under_a_batch_keeps_the_batch(tmp_path: Path) -> None:
    class Vanishing(Disk):
        armed = False

        def sync(self, fd: int) -> None:
            super().sync(fd)
            if self.armed:
                self.armed = False
                log_of(tmp_path).unlink()

    disk = Vanishing()
    sink = opened(tmp_path, disk=disk)
    disk.armed = True
    assert sink.append({"id": "x0"}).result(WAIT_S)[0] == 0
    sink.close()
    assert every_id(tmp_path) == ["x0"]
    assert sink.path.name == "worker-0.1.jsonl"


def test_a_log_that_vanishes_again_and_again_is_no_endless_loop(tmp_path: Path) -> None:
    class Vanishing(Disk):
        armed = False

        def sync(self, fd: int) -> None:
            super().sync(fd)
            if self.armed:
                for path in tmp_path.glob("*.jsonl"):
                    path.unlink()

    disk = Vanishing()
    sink = opened(tmp_path, disk=disk, retry_s=0.001)
    disk.armed = True
    with pytest.raises(AuditError):
        sink.append({"id": "x0"}).result(WAIT_S)
    disk.armed = False
    wait_healthy(sink)
    assert sink.append({"id": "x1"}).result(WAIT_S)
    sink.close()
    assert every_id(tmp_path) == ["x1"]


def test_a_failure_while_a_log_begins(tmp_path: Path) -> None:
    disk = Scripted()
    disk.fail = "sync"
    with pytest.raises(AuditError, match="input/output error"):
        on_disk(tmp_path, disk)
    opened(tmp_path).close()


def test_a_record_that_is_not_json_fails_alone(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    bad: list[Future[tuple[int, str]]] = [sink.append({"id": object()}), sink.append({"seq": 3})]
    assert sink.append({"id": "good"}).result(WAIT_S)[0] == 0
    for future in bad:
        with pytest.raises(AuditError, match="a record"):
            future.result(WAIT_S)
    assert sink.healthy
    sink.close()


def test_a_closed_log_takes_nothing_and_keeps_what_it_took(tmp_path: Path) -> None:
    disk = Scripted()
    sink = on_disk(tmp_path, disk)
    disk.go.clear()
    futures = [sink.append({"id": f"x{index}"}) for index in range(10)]
    assert disk.syncing.wait(WAIT_S)
    closing = Thread(target=sink.close)
    closing.start()
    while sink.healthy:
        pass
    with pytest.raises(AuditError, match="the log is closed"):
        sink.append({"id": "late"}).result(WAIT_S)
    disk.go.set()
    closing.join(WAIT_S)
    assert [future.result(WAIT_S)[0] for future in futures] == list(range(10))
    assert len(ids(tmp_path)) == 10


async def test_a_record_is_kept_when_nobody_waits_for_it_any_more(tmp_path: Path) -> None:
    disk = Scripted()
    sink = on_disk(tmp_path, disk)
    disk.go.clear()
    waiter = asyncio.wrap_future(sink.append({"id": "abandoned_intents"}))
    waiter.cancel()
    disk.go.set()
    assert (await asyncio.wrap_future(sink.append({"id": "next"})))[0] == 1
    sink.close()
    assert ids(tmp_path) == ["abandoned_intents", "next"]


def test_the_head_is_written_every_so_many_records(tmp_path: Path) -> None:
    sink = opened(tmp_path, head_every=3)
    path = tmp_path / "worker-0.head"
    kept = []
    for index in range(8):
        sink.append({"id": f"x{index}"}).result(WAIT_S)
        # the head follows the answer; what comes after it in the queue comes after it on disk
        with pytest.raises(AuditError):
            sink.append({"seq": 0}).result(WAIT_S)
        kept.append(read_head(path.read_bytes()).seq if path.exists() else None)
    assert kept == [None, None, 2, 2, 2, 5, 5, 5]
    sink.close()
    assert read_head(path.read_bytes()).seq == 7
    assert sorted(path.name for path in tmp_path.iterdir()) == ["worker-0.head", "worker-0.jsonl"]


def test_a_head_that_cannot_be_written_is_said_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sink = opened(tmp_path, head_every=1)
    blocker = tmp_path / "worker-0.head.new"
    blocker.mkdir()
    sink.append({"id": "x0"}).result(WAIT_S)
    with pytest.raises(AuditError):
        sink.append({"seq": 0}).result(WAIT_S)
    assert "worker-0.head cannot be written: is a directory" in caplog.text
    assert sink.healthy
    blocker.rmdir()
    sink.append({"id": "x1"}).result(WAIT_S)
    sink.close()
    assert read_head((tmp_path / "worker-0.head").read_bytes()).seq == 1


def test_a_record_that_was_refused_is_not_sealed_again_in_the_next_file(tmp_path: Path) -> None:
    """The file is taken away while a batch is made durable, so the batch is written once more."""
    batch: list[Future[tuple[int, str]]] = []

    class Taken(Scripted):
        def sync(self, fd: int) -> None:
            super().sync(fd)
            if batch and self.syncs == 2:
                log_of(tmp_path).unlink()

    disk = Taken()
    sink = on_disk(tmp_path, disk)
    disk.go.clear()
    first = sink.append({"id": "first"})
    assert disk.syncing.wait(WAIT_S)
    refused, kept = sink.append({"id": object()}), sink.append({"id": "kept"})
    batch += [refused, kept]
    disk.go.set()
    assert first.result(WAIT_S)[0] == 0
    assert kept.result(WAIT_S)[0] == 0, "the first record of the next file"
    with pytest.raises(AuditError):
        refused.result(WAIT_S)
    sink.close()


def test_a_log_that_was_taken_away_while_in_trouble_gets_no_head_at_the_end(tmp_path: Path) -> None:
    disk = Scripted()
    sink = on_disk(tmp_path, disk, retry_s=600.0)
    disk.fail = "write"
    with pytest.raises(AuditError):
        sink.append({"id": "x"}).result(WAIT_S)
    log_of(tmp_path).unlink()
    head = log_of(tmp_path).with_suffix(".head")
    head.unlink(missing_ok=True)
    sink.close()
    assert not head.exists()


def test_a_record_has_one_result() -> None:
    entry = Entry({"id": "x"})
    entry.settle(ChainHead(1, "a"))
    entry.settle(AuditError("too late"))
    assert entry.result == ChainHead(1, "a")


def test_a_caller_whose_code_fails_leaves_no_other_waiting(tmp_path: Path) -> None:
    disk = Scripted()
    sink = on_disk(tmp_path, disk)
    disk.go.clear()
    sink.append({"id": "first"})
    assert disk.syncing.wait(WAIT_S)
    told: list[object] = []

    def fail(kept: Sequence[Entry]) -> None:
        raise ValueError

    entries = [Entry({"id": name}) for name in ("a", "b")]
    sink.put(entries[:1], fail)
    sink.put(entries[1:], lambda kept: told.append(kept[0].result))
    disk.go.set()
    sink.close()
    assert [type(result) for result in told] == [ChainHead]


def test_records_that_are_queued_together_are_reported_with_one_call(tmp_path: Path) -> None:
    reported: list[list[object]] = []
    entries: list[Entry] = [Entry({"id": "x"}), Entry({"id": {1, 2}}), Entry({"id": "y"})]
    sink = opened(tmp_path)
    sink.put(entries, lambda kept: reported.append([type(entry.result) for entry in kept]))
    sink.close()
    sink.put(
        [Entry({"id": "z"}), Entry({"id": "late"})],
        lambda kept: reported.append([type(entry.result) for entry in kept]),
    )
    assert reported == [[ChainHead, AuditError, ChainHead], [AuditError, AuditError]]


def test_a_file_ends_at_its_limits() -> None:
    never = Rotation()
    assert never.due(1 << 60, 1e12) == ""
    both = Rotation(limit_bytes=100, limit_s=60)
    assert both.due(99, 59.9) == ""
    assert both.due(100, 0) == "the file has 100 bytes or more"
    assert both.due(0, 60) == "the file is 60 s old or older"
