"""The files of the checkpoints are damaged while a process signs, or a process is killed while it signs: nothing false is
signed, the reason is said, and the other processes go on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from guardproxy.audit.proof.checkpoint import TreeHead
from guardproxy.audit.proof.store import LIST, NOTE, CheckpointStore
from guardproxy.errors import AuditError
from tests.kit.disk import Faulty
from tests.kit.proof import KEY, SignedFolder, codes

WRONG = "it is not the list that the newest checkpoint signs"


def without_a_line(data: bytes) -> bytes:
    return b"".join(data.splitlines(keepends=True)[:-1])


def without_a_byte(data: bytes) -> bytes:
    return data[:-1]


def without_its_first_line(data: bytes) -> bytes:
    return b"".join(data.splitlines(keepends=True)[1:])


def empty(data: bytes) -> bytes:
    return b""


@pytest.mark.parametrize("damage", [without_a_line, without_a_byte, without_its_first_line, empty])
def test_a_list_that_is_shortened_while_a_process_signs(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    signed = SignedFolder(tmp_path)
    signed.write("a", ["x0"])
    signed.sign()
    signed.write("a", ["x1"])
    signed.sign()
    whole, note = (tmp_path / LIST).read_bytes(), (tmp_path / NOTE).read_bytes()
    (tmp_path / LIST).write_bytes(damage(whole))
    signed.write("a", ["x2"])  # records are kept all the same
    for _ in range(2):
        with pytest.raises(AuditError, match=WRONG):
            signed.sign()
    with pytest.raises(AuditError, match=WRONG):  # a start says the same
        CheckpointStore(tmp_path, KEY)
    assert (tmp_path / NOTE).read_bytes() == note
    assert "checkpoint" in codes(tmp_path)
    (tmp_path / LIST).write_bytes(whole)
    assert codes(tmp_path) == {}
    signed.sign()
    signed.close()
    assert codes(tmp_path, copies=signed.notes) == {}
    assert signed.store.size == 4


def test_a_list_that_is_removed_while_a_process_signs(tmp_path: Path) -> None:
    signed = SignedFolder(tmp_path)
    signed.write("a", ["x0"])
    signed.sign()
    (tmp_path / LIST).rename(tmp_path / "taken")
    with pytest.raises(AuditError, match="no such file"):
        signed.sign()
    (tmp_path / "taken").rename(tmp_path / LIST)
    signed.sign()
    signed.close()
    assert codes(tmp_path, copies=signed.notes) == {}


def test_a_list_that_is_changed_while_a_process_signs_is_found(tmp_path: Path) -> None:
    """The process signs what it knows, not what the file holds by now."""
    signed = SignedFolder(tmp_path)
    signed.write("a", ["x0"])
    signed.sign()
    whole = (tmp_path / LIST).read_bytes()
    (tmp_path / LIST).write_bytes(whole.replace(b"1800000010", b"1800000011"))
    signed.sign()
    assert "checkpoint" in codes(tmp_path)
    changed = (tmp_path / LIST).read_bytes()
    (tmp_path / LIST).write_bytes(whole + changed[len(whole) :])
    signed.close()
    assert codes(tmp_path, copies=signed.notes) == {}


@pytest.mark.parametrize("kill", ["before", "after"])
def test_a_worker_that_is_killed_while_it_signs_stops_no_other(tmp_path: Path, kill: str) -> None:
    """At every step of signing: the other worker was there before, and its next checkpoint continues what was published."""
    counted = Faulty(-10)
    CheckpointStore(tmp_path / "counted", KEY, disk=counted).write([], 1.0)
    assert counted.steps > 8
    for at in range(counted.steps):
        folder = tmp_path / f"{kill}-{at}"
        other = SignedFolder(folder)
        other.write("a", ["x0"])
        other.sign()
        if (pid := os.fork()) == 0:
            CheckpointStore(folder, KEY, disk=Faulty(at, kill=kill)).write([], 5.0)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) in (0, -signal.SIGKILL)
        other.write("a", ["x1"])
        other.sign()
        other.close()
        assert codes(folder, copies=other.notes) == {}, at
        sizes = [TreeHead.read(note.text).size for note in other.notes]
        assert sizes[1] - sizes[0] in (1, 2)  # with the checkpoint of the killed worker, if it was published
