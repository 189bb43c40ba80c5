"""The files of checkpoints: several writers, crashes between the writes, files that somebody changed."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from guardproxy.audit.proof.checkpoint import CoveredLog, TreeHead
from guardproxy.audit.proof.store import LIST, NOTE, CheckpointStore, read_note, write_note
from guardproxy.audit.storage.disk import Disk
from guardproxy.errors import AuditError
from tests.kit.disk import Faulty
from tests.kit.proof import KEY, OTHER

DIGEST = "ab" * 32


def state(log: str, size: int) -> CoveredLog:
    return CoveredLog(file=f"{log}.jsonl", log=log, size=size, root=DIGEST, hash=DIGEST)


def listed(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / LIST).read_bytes().splitlines()]


def test_a_note_that_was_written_is_durable(tmp_path: Path) -> None:
    steps: list[str] = []

    class Noted(Disk):
        def sync(self, fd: int) -> None:
            steps.append("sync")

        def replace(self, old: Path, new: Path) -> None:
            steps.append("replace")
            super().replace(old, new)

        def sync_folder(self, folder: Path) -> None:
            steps.append(f"sync {folder.name}")

    note = CheckpointStore(tmp_path / "audit", KEY).write([state("a", 1)], 1.0)
    (tmp_path / "witness").mkdir()
    write_note(tmp_path / "witness" / NOTE, note, Noted())
    assert read_note(tmp_path / "witness") == note
    assert steps == ["sync", "replace", "sync witness"]


def test_several_writers_continue_one_list(tmp_path: Path) -> None:
    first, second = CheckpointStore(tmp_path, KEY), CheckpointStore(tmp_path, KEY)
    assert read_note(tmp_path) is None
    notes = [
        first.write([state("a", 1)], 1.0),
        second.write([state("b", 1), state("a", 1)], 2.0),
        first.write([state("a", 3)], 3.0),
        second.write([], 4.0),
    ]
    heads = [TreeHead.read(note.text) for note in notes]
    assert [head.size for head in heads] == [2, 3, 4, 5]
    assert len({head.origin for head in heads}) == 1
    assert heads[0].origin.startswith("guard.example/")
    assert read_note(tmp_path) == notes[-1]
    header, *entries = listed(tmp_path)
    assert header == {"origin": heads[0].origin, "v": 1}
    assert [[log["log"] for log in entry.get("logs", [])] for entry in entries] == [["a"], ["b"], ["a"], []]  # type: ignore[attr-defined]
    again = CheckpointStore(tmp_path, KEY)
    assert again.size == 5
    assert again.states.last("a") == state("a", 3)


def test_lines_that_were_not_published_are_removed(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, KEY)
    store.write([state("a", 1)], 1.0)
    whole = (tmp_path / LIST).read_bytes()
    for more in (b"x", b'{"at":2.0,"v":1}\n', b"junk\n\n\n"):
        (tmp_path / LIST).write_bytes(whole + more)
        CheckpointStore(tmp_path, KEY)
        assert (tmp_path / LIST).read_bytes() == whole


def test_a_crash_before_the_first_note(tmp_path: Path) -> None:
    CheckpointStore(tmp_path, KEY).write([state("a", 1)], 1.0)
    whole = (tmp_path / LIST).read_bytes()
    (tmp_path / NOTE).unlink()
    for end in range(len(whole) + 1):
        (tmp_path / LIST).write_bytes(whole[:end])
        assert CheckpointStore(tmp_path, KEY).size == 0
        assert (tmp_path / LIST).read_bytes() == b""
    (tmp_path / LIST).unlink()
    assert CheckpointStore(tmp_path, KEY).size == 0


def test_every_step_of_a_write_may_fail(tmp_path: Path) -> None:
    at = 0
    while True:
        folder = tmp_path / str(at)
        disk = Faulty(-1)
        store = CheckpointStore(folder, KEY, disk=disk)
        store.write([state("a", 1)], 1.0)
        disk.at = disk.steps + at
        try:
            store.write([state("a", 2)], 2.0)
        except AuditError:
            pass
        else:
            break
        for writer in (store, CheckpointStore(folder, KEY)):
            writer.write([state("a", 3)], 3.0)
        sizes = [entry["logs"][0]["size"] for entry in listed(folder)[1:] if "logs" in entry]  # type: ignore[index]
        assert sizes in ([1, 3], [1, 2, 3])
        at += 1
    assert at > 8


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match=r"checkpoints\.list: no space left on device"):
        CheckpointStore(tmp_path / "new", KEY, disk=Faulty(0, errno.ENOSPC))


def cut_list(folder: Path) -> None:
    (folder / LIST).write_bytes(b"".join((folder / LIST).read_bytes().splitlines(keepends=True)[:-1]))


def tear_list(folder: Path) -> None:
    (folder / LIST).write_bytes((folder / LIST).read_bytes()[:-1])


def change_list(folder: Path) -> None:
    (folder / LIST).write_bytes((folder / LIST).read_bytes().replace(b'"size":2', b'"size":9'))


def drop_note(folder: Path) -> None:
    (folder / NOTE).unlink()


def junk_note(folder: Path) -> None:
    (folder / NOTE).write_bytes(b"junk")


def foreign_note(folder: Path) -> None:
    other = folder.with_name("other")
    CheckpointStore(other, OTHER).write([], 1.0)
    shutil.copy(other / NOTE, folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (cut_list, "it is not the list that the newest checkpoint signs"),
        (tear_list, "it is not the list that the newest checkpoint signs"),
        (change_list, "it is not the list that the newest checkpoint signs"),
        (drop_note, "checkpoint: it was removed"),
        (junk_note, "checkpoint: not a signed note"),
        (foreign_note, "not signed with the key `guard.example`"),
    ],
)
def test_nothing_is_signed_that_contradicts_the_newest_checkpoint(
    tmp_path: Path, change: Callable[[Path], None], message: str
) -> None:
    folder = tmp_path / "audit"
    store = CheckpointStore(folder, KEY)
    store.write([state("a", 1)], 1.0)
    store.write([state("a", 2)], 2.0)
    change(folder)
    with pytest.raises(AuditError, match=message):
        CheckpointStore(folder, KEY)
    if change is not change_list:  # a process that runs has read these lines before
        with pytest.raises(AuditError, match=message):
            store.write([], 3.0)


def test_a_folder_that_is_rolled_back_while_the_process_runs(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "audit", KEY)
    store.write([state("a", 1)], 1.0)
    shutil.copytree(tmp_path / "audit", tmp_path / "before")
    store.write([state("a", 2)], 2.0)
    shutil.rmtree(tmp_path / "audit")
    shutil.copytree(tmp_path / "before", tmp_path / "audit")
    with pytest.raises(AuditError, match="replaced by an older checkpoint"):
        store.write([], 3.0)


def test_a_key_is_changed(tmp_path: Path) -> None:
    CheckpointStore(tmp_path, KEY).write([state("a", 1)], 1.0)
    with pytest.raises(AuditError, match="--audit-former-key"):
        CheckpointStore(tmp_path, OTHER)
    CheckpointStore(tmp_path, OTHER, [KEY.public]).write([], 2.0)
    assert CheckpointStore(tmp_path, OTHER).origin.startswith("guard.example/")
