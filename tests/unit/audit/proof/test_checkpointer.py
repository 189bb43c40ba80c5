"""Checkpoints of a process: at the start, later, at the end; logs that it finds; logs that it removes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from guardproxy.audit.proof import checkpointer
from guardproxy.audit.proof.checkpoint import CoveredLog
from guardproxy.audit.proof.checkpointer import Checkpointer, Signing
from guardproxy.audit.proof.copies import read_copies
from guardproxy.audit.proof.folder import verify_folder, verify_signed_folder
from guardproxy.audit.proof.inventory import CommandLogs
from guardproxy.audit.proof.note import SignedNote
from guardproxy.audit.proof.store import LIST, CheckpointStore
from guardproxy.audit.proof.verification import verify_checkpoints
from guardproxy.audit.record.chain import ChainHead, begin, read_named_head, seal, write_head
from guardproxy.audit.writing.log_file import FileSink, Rotation
from guardproxy.errors import AuditError
from tests.kit.proof import KEY, codes

NEVER_S = 1e6


def written(folder: Path, name: str, count: int) -> None:
    sink = FileSink(folder, name, {"log": f"log-of-{name}"})
    for number in range(count):
        sink.append({"id": f"{name}{number}"}).result(30)
    sink.close()


class Process:
    """A process that writes a log and signs it."""

    def __init__(
        self, folder: Path, name: str = "audit-0", rotation: Rotation | None = None, **options: object
    ) -> None:
        signing = Signing(KEY, **{"every_s": NEVER_S, **options})  # type: ignore[arg-type]
        self.store = CheckpointStore(folder, KEY)
        self.sink = FileSink(
            folder, name, {"log": f"log-of-{name}"}, rotation=rotation or Rotation(), stated=self.store.states.last
        )
        self.checkpointer = Checkpointer(self.store, name, signing, self.sink.states)

    def close(self) -> None:
        self.sink.close()
        self.checkpointer.close()


def notes(folder: Path) -> list[str]:
    report = verify_checkpoints(folder, [KEY.public])
    return [f"{log.file}: {note}" for log in verify_folder(folder, None, report) for note in log.notes]


def test_checkpoints_cover_the_log_from_its_start_to_its_end(tmp_path: Path) -> None:
    process = Process(tmp_path / "audit", copies=(str(tmp_path / "copies"),))
    assert process.store.states.covered["log-of-audit-0"].log.size == 1
    for number in range(3):
        process.sink.append({"id": f"x{number}"}).result(30)
    process.close()
    process.close()
    assert process.store.states.covered["log-of-audit-0"].log.size == 4
    assert [note for _, note in read_copies(tmp_path / "copies")][-1].is_signed_by(KEY.public)
    assert len(read_copies(tmp_path / "copies")) == 2
    assert codes(tmp_path / "audit") == {}
    assert notes(tmp_path / "audit") == []


def test_the_thread_makes_checkpoints_by_time(tmp_path: Path) -> None:
    process = Process(tmp_path, every_s=0.001)
    while process.store.size < 5:  # also while nothing happens
        process.checkpointer._thread.join(0.001)
        assert process.checkpointer._thread.is_alive()
    process.close()
    assert codes(tmp_path) == {}


def test_lines_that_a_start_finds_are_marked(tmp_path: Path) -> None:
    written(tmp_path, "old", 2)
    written(tmp_path, "audit-0", 1)
    Process(tmp_path).close()
    assert codes(tmp_path) == {}
    assert notes(tmp_path) == [
        "audit-0.jsonl: lines 1 to 2 were found at a start of the proxy, and signed from then on",
        "old.jsonl: lines 1 to 3 were found at a start of the proxy, and signed from then on",
    ]
    written(tmp_path, "audit-0", 2)  # without a key, or before a crash
    written(tmp_path, "new", 1)
    Process(tmp_path).close()
    assert codes(tmp_path) == {"new.jsonl": ["uncovered"]}  # only the first start takes logs of other names
    assert "audit-0.jsonl: lines 3 to 4 were found at a start of the proxy, and signed from then on" in notes(tmp_path)


def test_files_between_two_checkpoints_are_covered_by_the_next_start(tmp_path: Path) -> None:
    process = Process(tmp_path, rotation=Rotation(200))
    for number in range(4):
        process.sink.append({"id": f"x{number}"}).result(30)
    process.sink.close()  # and the process is killed
    assert len(list(tmp_path.glob("*.jsonl"))) >= 3
    assert codes(tmp_path) == {}
    Process(tmp_path, rotation=Rotation(200)).close()
    assert codes(tmp_path) == {}
    assert len(CheckpointStore(tmp_path, KEY).states.covered) == len(list(tmp_path.glob("*.jsonl")))


def test_a_log_that_was_changed_while_the_proxy_was_down_is_not_continued(tmp_path: Path) -> None:
    process = Process(tmp_path)
    for number in range(2):
        process.sink.append({"id": f"x{number}"}).result(30)
    process.close()
    log = tmp_path / "audit-0.jsonl"
    whole = log.read_bytes()
    log.with_suffix(".head").unlink()
    line, head = begin({"log": "log-of-audit-0"})
    forged = [line]
    for _ in range(2):
        line, head = seal({"id": "forged"}, head)
        forged.append(line)
    for changed in (b"".join(whole.splitlines(keepends=True)[:2]), b"".join(forged)):
        log.write_bytes(changed)
        with pytest.raises(AuditError, match="it does not hold the 3 lines that the last checkpoint states"):
            Process(tmp_path)
        assert log.read_bytes() == changed
    log.write_bytes(whole + b'{"torn')
    Process(tmp_path).close()
    assert log.read_bytes() == whole


def test_a_checkpoint_that_fails_is_trouble_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = Process(tmp_path / "audit", copies=(str(tmp_path / "none" / "copies"),))
    assert process.checkpointer.fault.endswith("copies: no such file or directory")
    process.checkpointer.check()
    assert [record.getMessage() for record in caplog.records] == [process.checkpointer.fault]
    caplog.clear()
    (tmp_path / "none").mkdir()
    process.checkpointer.check()
    assert process.checkpointer.fault == ""
    with monkeypatch.context() as patch, caplog.at_level(logging.ERROR):
        patch.setattr(CheckpointStore, "write", lambda *_: 1 / 0)
        for _ in range(3):
            process.checkpointer.check()
    assert process.checkpointer.fault == "no checkpoint can be made: zerodivisionerror"
    assert len(caplog.records) == 1
    process.sink.append({"id": "x"}).result(30)
    process.checkpointer.check()
    assert process.checkpointer.fault == ""
    process.close()
    assert codes(tmp_path / "audit") == {}


def test_the_first_checkpoint_must_be_possible(tmp_path: Path) -> None:
    process = Process(tmp_path)
    process.close()
    (tmp_path / LIST).write_bytes(b"")
    with pytest.raises(AuditError, match="not the list"):
        Process(tmp_path)


def test_old_logs_are_removed_and_the_rest_verifies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process(tmp_path, rotation=Rotation(150), retain_s=100.0)
    for number in range(3):
        process.sink.append({"id": f"x{number}"}).result(30)
    process.checkpointer.check()
    files = sorted(path.name for path in tmp_path.glob("*.jsonl"))
    assert len(files) == 3
    real = time.time()
    monkeypatch.setattr(time, "time", lambda: real + 200)
    process.checkpointer.check()
    process.checkpointer.check()
    assert process.checkpointer.fault == ""
    assert [path.name for path in tmp_path.glob("*.jsonl")] == ["audit-0.2.jsonl"]
    assert [path.name for path in tmp_path.glob("*.head")] == []
    assert codes(tmp_path) == {}
    assert "audit-0.1.jsonl was removed by the proxy: not grown for 100 s" in notes(tmp_path)[0]
    process.close()
    (tmp_path / "audit-0.2.jsonl").unlink()
    (tmp_path / "audit-0.2.head").unlink()
    assert codes(tmp_path) == {"audit-0.2.jsonl": ["gone"]}


def two_files(folder: Path) -> Process:
    """A process whose log continues in a second file."""
    process = Process(folder, rotation=Rotation(150), retain_s=100.0)
    for number in range(2):
        process.sink.append({"id": f"x{number}"}).result(30)
    process.checkpointer.check()
    assert sorted(path.name for path in folder.glob("*.jsonl")) == ["audit-0.1.jsonl", "audit-0.jsonl"]
    return process


def test_an_old_log_that_cannot_be_removed_is_removed_later_also_by_the_next_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = two_files(tmp_path)
    real = time.time()
    monkeypatch.setattr(time, "time", lambda: real + 200)
    unlink, gone = Path.unlink, list[str]()

    def stuck(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".jsonl":
            raise PermissionError(13, "Permission denied")
        gone.append(path.name)
        unlink(path, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", stuck)
        for _ in range(2):
            process.checkpointer.check()
            assert process.checkpointer.fault == "the old log audit-0.jsonl cannot be removed: permission denied"
            assert codes(tmp_path) == {}
        process.close()
    assert gone[:2] == ["audit-0.head", "audit-0.torn"], "the log is the last, so that its head never lies there alone"
    assert (tmp_path / "audit-0.jsonl").exists()
    process = Process(tmp_path, rotation=Rotation(150), retain_s=100.0)
    process.checkpointer.check()
    assert not (tmp_path / "audit-0.jsonl").exists()
    assert process.checkpointer.fault == ""
    process.close()
    assert codes(tmp_path) == {}


def test_a_log_that_grew_after_it_was_named_as_removed_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = two_files(tmp_path)
    log = tmp_path / "audit-0.jsonl"
    real, whole = time.time(), log.read_bytes()
    monkeypatch.setattr(time, "time", lambda: real + 200)
    write = CheckpointStore.write

    def grow(store: CheckpointStore, *arguments: object) -> SignedNote:
        if arguments[-1]:
            log.write_bytes(whole + b'{"hash":"another"}\n')
        return write(store, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(CheckpointStore, "write", grow)
    process.checkpointer.check()
    process.checkpointer.check()
    assert log.read_bytes() == whole + b'{"hash":"another"}\n'
    process.close()


def test_a_copy_of_the_head_of_a_log_that_the_proxy_removed_is_no_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, copies = tmp_path / "audit", tmp_path / "copies"
    process = two_files(folder)
    copies.mkdir()
    head = (folder / "audit-0.head").read_bytes()
    (copies / "audit-0.head").write_bytes(head)
    real = time.time()
    monkeypatch.setattr(time, "time", lambda: real + 200)
    process.checkpointer.check()
    assert not (folder / "audit-0.jsonl").exists()
    process.close()

    def problems() -> list[tuple[str, str]]:
        logs = verify_folder(folder, copies, verify_checkpoints(folder, [KEY.public]))
        return [(log.file, problem.code) for log in logs for problem in log.report.problems]

    assert problems() == []
    origin, last = read_named_head(head)
    for changed in (ChainHead(last.seq, "ab" * 32), ChainHead(last.seq + 1, "ab" * 32)):
        (copies / "audit-0.head").write_bytes(write_head(origin, changed))
        assert problems() == [("audit-0.jsonl", "gone")], "the copy states a record that the removed log did not have"


def test_an_old_log_that_a_process_opens_after_all_goes_when_the_process_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = two_files(tmp_path)
    real, held = time.time(), [False, True]
    monkeypatch.setattr(time, "time", lambda: real + 200)
    with monkeypatch.context() as patch:
        patch.setattr(checkpointer, "is_held", lambda path: held.pop(0) if path.name == "audit-0.jsonl" else True)
        process.checkpointer.check()
    assert (tmp_path / "audit-0.jsonl").exists()
    process.checkpointer.check()
    assert not (tmp_path / "audit-0.jsonl").exists()
    process.close()


def test_an_old_log_that_an_operator_removes_first_is_no_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = two_files(tmp_path)
    log, real = tmp_path / "audit-0.jsonl", time.time()
    monkeypatch.setattr(time, "time", lambda: real + 200)
    write = CheckpointStore.write

    def remove(store: CheckpointStore, *arguments: object) -> SignedNote:
        note = write(store, *arguments)  # type: ignore[arg-type]
        if arguments[-1]:
            log.unlink()
        return note

    monkeypatch.setattr(CheckpointStore, "write", remove)
    process.checkpointer.check()
    assert not log.exists()
    assert process.checkpointer.fault == ""
    process.close()
    assert codes(tmp_path) == {}


def test_another_file_with_the_name_of_an_old_log_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process(tmp_path, rotation=Rotation(150), retain_s=100.0)
    for number in range(2):
        process.sink.append({"id": f"x{number}"}).result(30)
    process.checkpointer.check()
    (tmp_path / "audit-0.jsonl").write_bytes(b"another file\n")
    real = time.time()
    monkeypatch.setattr(time, "time", lambda: real + 200)
    process.checkpointer.check()
    assert (tmp_path / "audit-0.jsonl").exists()
    process.close()
    assert "rewritten" in codes(tmp_path)["audit-0.jsonl"] or "cut" in codes(tmp_path)["audit-0.jsonl"]


def test_a_log_without_a_head_or_a_hash_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "junk.jsonl").write_bytes(b"junk\n")
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "empty.jsonl").write_bytes(b"")
    (tmp_path / "half.jsonl").write_bytes(b'{"log":"x"}\n{}\n')
    (tmp_path / "nameless.jsonl").write_bytes(b'{"hash":"x","log":""}\n')
    process = Process(tmp_path)
    assert list(process.store.states.covered) == ["log-of-audit-0"]
    process.close()


def test_commands_that_cannot_be_read_are_the_reason_why_no_checkpoint_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = Process(tmp_path / "audit")

    def fail(*_: object) -> list[CoveredLog]:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(CommandLogs, "states", fail)
        process.checkpointer.check()
        assert "nput/output error" in process.checkpointer.fault
    process.checkpointer.check()
    assert process.checkpointer.fault == ""
    process.close()


READS = ("open", "stat", "read_bytes", "exists", "iterdir")  # of a path, between which logs may be removed


def removing_at(step: int, process: Process, monkeypatch: pytest.MonkeyPatch, checks: int = 2) -> Callable[[], int]:
    """Lets the process remove its old logs before a read with this number. Returns how many reads there were so far."""
    reads = [0]

    def counted(name: str) -> Any:
        real = getattr(Path, name)

        def read(path: Path, *rest: Any, **options: Any) -> Any:
            reads[0] += 1
            if reads[0] == step:
                for _ in range(checks):  # the first names the logs, the second removes them
                    process.checkpointer.check()
            return real(path, *rest, **options)

        return read

    for name in READS:
        monkeypatch.setattr(Path, name, counted(name))
    return lambda: reads[0]


def test_a_log_that_is_removed_while_it_is_verified_is_not_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whenever that happens, between any two reads."""
    real_s, step, count = time.time(), 0, 1
    while step < count:
        step += 1
        folder = tmp_path / str(step)
        process = two_files(folder)
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda: real_s + 200)
            reads = removing_at(step, process, patch)
            signed, logs = verify_signed_folder(folder, [KEY.public])
            count = reads()
        assert signed is not None
        assert signed.problems == []
        assert {log.file: log.report.problems for log in logs if log.report.problems} == {}, step
        assert (folder / "audit-0.jsonl").exists() == (step > count), "it was removed, unless there was no such read"
        process.close()
    assert step > 10


def test_a_log_that_somebody_else_removed_is_missing(tmp_path: Path) -> None:
    process = two_files(tmp_path)
    process.checkpointer.check()
    (tmp_path / "audit-0.jsonl").unlink()
    _, logs = verify_signed_folder(tmp_path, [KEY.public])
    missing = {log.file for log in logs if any(problem.code == "gone" for problem in log.report.problems)}
    assert "audit-0.jsonl" in missing
    process.close()


def test_a_file_that_is_missing_for_another_reason_is_an_error(tmp_path: Path) -> None:
    class Losing:
        def each(self, work: object, tasks: object) -> Iterator[Any]:
            raise FileNotFoundError(2, "No such file or directory", "audit-0.jsonl")

    process = two_files(tmp_path)
    with pytest.raises(FileNotFoundError, match="audit-0"):
        verify_signed_folder(tmp_path, [KEY.public], engine=Losing())
    process.close()


def test_a_folder_without_checkpoints_is_looked_at_once(tmp_path: Path) -> None:
    written(tmp_path, "a", 2)
    signed, logs = verify_signed_folder(tmp_path)
    assert signed is None
    assert [log.report.problems for log in logs] == [()]
    (tmp_path / "a.jsonl").unlink()
    _, logs = verify_signed_folder(tmp_path)
    assert [problem.code for log in logs for problem in log.report.problems] == ["gone"]
