"""Commands about sealed texts in a folder with signed checkpoints: while the proxy runs, and while it does not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from os import mkfifo
from pathlib import Path

import pytest

from guardproxy.audit.proof import inventory as module
from guardproxy.audit.proof.checkpoint import CoveredLog
from guardproxy.audit.proof.checkpointer import Checkpointer, Signing
from guardproxy.audit.proof.folder import verify_folder
from guardproxy.audit.proof.inventory import CommandLogs, found_state, found_states
from guardproxy.audit.proof.store import CheckpointStore
from guardproxy.audit.proof.tree import line_hash
from guardproxy.audit.proof.verification import verify_checkpoints
from guardproxy.audit.record.chain import begin, open_line, seal
from guardproxy.audit.record.document import Record
from guardproxy.audit.record.versions import entries_of
from guardproxy.audit.sealing.key_access import KeyAccess
from guardproxy.audit.sealing.sealer import Sealer
from guardproxy.audit.writing.log_file import FileSink, Rotation
from tests.kit.logs import write_log
from tests.kit.proof import KEY, codes
from tests.kit.sealing import OPERATOR, OTHER, private, store_at

UNSIGNED = "no checkpoint covers this log of commands yet: it is not signed"


class Proxy:
    """A process that seals and signs its log. Checkpoints are made when a test asks for them."""

    def __init__(self, folder: Path, operators: tuple[object, ...] = (OPERATOR, OTHER)) -> None:
        self.keys = store_at(folder, operators)  # type: ignore[arg-type]
        store = CheckpointStore(folder, KEY)
        self.sink = FileSink(
            folder, "audit-0", {"log": "x"}, sealing=Sealer(self.keys), stated=store.states.last, rotation=Rotation()
        )
        self.checkpointer = Checkpointer(store, "audit-0", Signing(KEY, every_s=1e6), self.sink.states)

    def close(self) -> None:
        self.sink.close()
        self.checkpointer.close()
        self.keys.close()


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    """A running proxy whose log has an exchange of Ann and one of Bob."""
    running = Proxy(tmp_path)
    for user in ("ann", "bob"):
        running.sink.append(private(user=user)).result(30)
    running.checkpointer.check()
    yield running
    running.close()


def command(folder: Path, name: str) -> None:
    """Runs a command as another process does."""
    store = store_at(folder, (OPERATOR, OTHER))
    access = KeyAccess(folder, store, "test", "eve", "ticket 7", lambda: 5.0)
    match name:
        case "erase":
            assert access.erase(subject="ann") == 1
        case "rotate":
            assert access.rotate(OTHER) >= 1
        case "unseal":
            *_, record = (entry for entry in entries_of(folder / "audit-0.jsonl") if isinstance(entry, Record))
            access.unseal(record)
    store.close()


def notes(folder: Path) -> list[str]:
    reports = verify_folder(folder, None, verify_checkpoints(folder, [KEY.public]))
    return [note for log in reports if log.file.startswith("operator") for note in log.notes]


def signed(lines: int) -> str:
    return f"commands wrote it: its first {lines} lines were signed after they were written"


def covered(folder: Path) -> dict[str, int]:
    states = CheckpointStore(folder, KEY).states.covered.values()
    return {state.log.file: state.log.size for state in states}


COMMANDS = ["erase", "rotate", "unseal"]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_next_checkpoint_of_a_running_proxy_covers_a_command(tmp_path: Path, proxy: Proxy, name: str) -> None:
    command(tmp_path, name)
    assert (codes(tmp_path), notes(tmp_path)) == ({}, [UNSIGNED])
    proxy.checkpointer.check()
    assert not proxy.checkpointer.fault
    assert covered(tmp_path)["operator.jsonl"] == 2
    assert (codes(tmp_path), notes(tmp_path)) == ({}, [signed(2)])
    command(tmp_path, "unseal")
    later = "1 records after record 0 are newer than the newest checkpoint"
    assert (codes(tmp_path), notes(tmp_path)) == ({}, [later, signed(2)])
    proxy.checkpointer.check()
    assert (codes(tmp_path), notes(tmp_path)) == ({}, [signed(3)])


@pytest.mark.parametrize("name", COMMANDS)
def test_the_next_start_covers_a_command(tmp_path: Path, proxy: Proxy, name: str) -> None:
    proxy.close()
    command(tmp_path, name)
    assert (codes(tmp_path), notes(tmp_path)) == ({}, [UNSIGNED])
    again = Proxy(tmp_path)
    assert (codes(tmp_path), notes(tmp_path)) == ({}, [signed(2)])
    again.close()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_checkpoint_that_is_asked_for_covers_a_command(tmp_path: Path, proxy: Proxy, name: str) -> None:
    command(tmp_path, name)
    store = CheckpointStore(tmp_path, KEY)
    store.write(found_states(tmp_path, "*.jsonl", store.states), time.time())
    assert (codes(tmp_path), notes(tmp_path)) == ({}, [signed(2)])
    proxy.checkpointer.check()
    assert (codes(tmp_path), notes(tmp_path)) == ({}, [signed(2)])


def test_the_end_of_a_proxy_covers_a_command(tmp_path: Path, proxy: Proxy) -> None:
    command(tmp_path, "unseal")
    proxy.close()
    assert (codes(tmp_path), notes(tmp_path)) == ({}, [signed(2)])


def test_a_signed_command_cannot_be_removed_or_changed(tmp_path: Path, proxy: Proxy) -> None:
    command(tmp_path, "erase")
    command(tmp_path, "unseal")
    proxy.checkpointer.check()
    log = tmp_path / "operator.jsonl"
    whole = log.read_bytes()
    for changed in (whole.replace(b"ticket 7", b"ticket 8"), b"".join(whole.splitlines(keepends=True)[:2])):
        log.write_bytes(changed)
        assert "operator.jsonl" in codes(tmp_path)
        proxy.checkpointer.check()  # a later checkpoint does not hide it
        assert "operator.jsonl" in codes(tmp_path)
    log.unlink()
    assert "gone" in codes(tmp_path)["operator.jsonl"]


def test_other_entries_under_the_name_of_the_log_are_never_signed(tmp_path: Path, proxy: Proxy) -> None:
    sink = FileSink(tmp_path, "operator", {"log": "forged"})
    sink.append({"id": "an exchange", "kind": "exchange"}).result(30)
    sink.close()
    for _ in range(2):
        assert codes(tmp_path) == {"operator.jsonl": ["uncovered"]}
        proxy.checkpointer.check()
    assert "operator.jsonl" not in covered(tmp_path)


def test_a_log_that_a_command_holds_is_read_later(tmp_path: Path) -> None:
    sink = FileSink(tmp_path, "operator", {"log": "x"})
    sink.append({"kind": "gap"}).result(30)
    logs = CommandLogs(tmp_path)
    assert logs.states() == []
    sink.close()
    (state,) = logs.states()
    assert (state.file, state.size, state.found) == ("operator.jsonl", 2, True)


def test_each_line_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []

    def hashed(line: bytes) -> bytes:
        read.append(line)
        return line_hash(line)

    monkeypatch.setattr(module, "line_hash", hashed)
    logs = CommandLogs(tmp_path)
    for number in range(4):
        write_log(tmp_path, "operator", {"kind": "gap", "number": number})
        for _ in range(2):
            (state,) = logs.states()
        assert state == found_state_of(tmp_path)
    log = tmp_path / "operator.jsonl"
    assert read == log.read_bytes().splitlines(keepends=True)
    with log.open("ab") as file:
        file.write(b'{"kind":"gap","torn')
    assert logs.states() == [state]


def found_state_of(folder: Path) -> CoveredLog:
    """The state of the log of commands, read as a whole."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "line_hash", line_hash)
        found = found_state(folder / "operator.jsonl")
    assert found is not None
    return found


def test_what_is_no_log_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a file may come and go between two looks at it."""
    log = tmp_path / "operator.jsonl"
    logs = CommandLogs(tmp_path)
    mkfifo(log)
    assert logs.states() == []
    log.unlink()
    for text in ("", "junk", "junk\n", '{"no":"id"}\n'):
        log.write_text(text)
        assert logs.states() == []
    log.unlink()
    write_log(tmp_path, "operator", {"kind": "gap"})
    (state,) = logs.states()
    log.unlink()
    log.symlink_to(tmp_path / "nowhere")
    assert logs.states() == [state]
    monkeypatch.setattr(CommandLogs, "_is_changed", lambda logs, path: True)
    assert logs.states() == [state]


def test_a_log_that_was_written_anew_is_reported_after_later_checkpoints(tmp_path: Path, proxy: Proxy) -> None:
    command(tmp_path, "erase")
    proxy.checkpointer.check()
    log = tmp_path / "operator.jsonl"
    line, head = begin({"log": (open_line(log.read_bytes().splitlines(keepends=True)[0]) or {})["log"]})
    forged = [line]
    for number in range(3):
        line, head = seal({"kind": "gap", "number": number}, head)
        forged.append(line)
    log.with_suffix(".head").unlink()
    for write in (log.write_bytes, lambda data: log.with_suffix(".new").write_bytes(data)):
        write(b"".join(forged))
        if log.with_suffix(".new").exists():
            log.with_suffix(".new").replace(log)
        proxy.checkpointer.check()
        assert "rewritten" in codes(tmp_path)["operator.jsonl"]
