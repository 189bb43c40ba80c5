"""A process that writes, signs and seals a log, and is killed at a step that a seed chooses; and what must hold afterwards.

The steps: every system call of the log and of its checkpoints, every file that is removed, and some instructions of the key
store's database. In half of the runs another step fails before, as on a full or broken disk. What the process says is what
it acknowledged: the records that are kept, with their logs, and every checkpoint that was published.
"""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from guardproxy.audit.proof.checkpointer import Checkpointer, Signing
from guardproxy.audit.proof.folder import verify_folder
from guardproxy.audit.proof.note import PrivateKey, SignedNote
from guardproxy.audit.proof.store import CheckpointStore
from guardproxy.audit.proof.verification import verify_checkpoints
from guardproxy.audit.record.private import NO_SEALING, PrivateRecord, Sealing
from guardproxy.audit.record.versions import read_record
from guardproxy.audit.sealing.operator_key import StaticKey
from guardproxy.audit.sealing.sealer import Sealer
from guardproxy.audit.sealing.store import KeyStore
from guardproxy.audit.writing.log_file import FileSink, Rotation
from guardproxy.errors import AuditError
from tests.kit.disk import Faulty, kept, wait_healthy
from tests.kit.sealing import private

ROOT = Path(__file__).parents[2]
KEY = PrivateKey.new("killed.example")
OPERATOR = StaticKey(b"o" * 32, "file:operator")
CRASHES = {" a crash, or a write in progress", " a crash at its start, or a start in progress"}
ROTATION = Rotation(500)
RETAIN_S = 1e-6
NO_START = 3  # the exit code of a process whose disk fails when it starts
_INSTRUCTIONS = 25  # of the key store's database, for a step


class Way(NamedTuple):
    """What a process does beside writing and signing: `seals` texts, `retains` old logs for no time."""

    seals: bool
    retains: bool


WAYS = (Way(False, False), Way(True, False), Way(False, True), Way(True, True))


def way_of(seed: int) -> Way:
    return WAYS[seed % len(WAYS)]


class Killing(Faulty):
    """A disk at which the process is killed, also in the middle of a write: after a `part` of its bytes. The step `fails`
    fails with the code `why`; a write has written a part before."""

    part = 0.0
    fails = -1
    why = errno.EIO

    def write(self, fd: int, data: memoryview) -> int:
        some = data[: int(len(data) * self.part)]
        if self.part and self.steps >= self.at >= 0:
            os.write(fd, some)
            os.kill(os.getpid(), signal.SIGKILL)
        if self.steps == self.fails:
            os.write(fd, some)
        return super().write(fd, data)

    def _do(self, name: str, *arguments: Any) -> Any:
        if self.steps == self.fails:
            self.count()
            raise OSError(self.why, os.strerror(self.why))
        return super()._do(name, *arguments)

    def count(self) -> int:
        """A step of another kind than a system call of the log."""
        if self._step():
            os.kill(os.getpid(), signal.SIGKILL)
        return 0


def say(line: str) -> None:
    """In one write: `print` may write a line in parts, and the process may be killed between them."""
    os.write(1, line.encode() + b"\n")


def live(folder: Path, seed: int, key: PrivateKey, disk: Killing) -> None:
    """Writes records and signs, until it is killed. Raises `AuditError` if it cannot start."""
    way = way_of(seed)
    unlink = Path.unlink

    def counted(path: Path, *, missing_ok: bool = False) -> None:
        disk.count()
        unlink(path, missing_ok=missing_ok)

    Path.unlink = counted  # type: ignore[assignment,method-assign]  # retention removes files with it
    store = CheckpointStore(folder, key, disk=disk)
    sealing: Sealing = NO_SEALING
    if way.seals:
        keys = KeyStore(folder / "seal.keys", [OPERATOR], create=True)
        keys._database.rows.set_progress_handler(disk.count, _INSTRUCTIONS)
        sealing = Sealer(keys)
    sink = FileSink(
        folder,
        "a",
        {"log": f"killed-{seed}"},
        head_every=2,
        disk=disk,
        watch_s=600,
        retry_s=0.0001,
        rotation=ROTATION,
        stated=store.states.last,
        sealing=sealing,
    )
    checkpointer = Checkpointer(store, "a", signing_of(key, way, "stdout"), sink.states)
    for number in range(6):
        is_sealed = way.seals and number % 2 > 0
        try:
            sink.append(sealed_record(f"x{number}") if is_sealed else {"id": f"x{number}"}).result(60)
            say(f"kept x{number} {sink.header['log']}")
        except AuditError:
            wait_healthy(sink)
        checkpointer.check()
    sink.close()
    checkpointer.close()


def signing_of(key: PrivateKey, way: Way, *copies: str) -> Signing:
    return Signing(key, every_s=1e6, copies=copies, retain_s=RETAIN_S if way.retains else 0.0)


def sealed_record(exchange: str) -> PrivateRecord:
    record = private(user=f"user of {exchange}")
    return PrivateRecord(**{**{name: getattr(record, name) for name in record.__struct_fields__}, "id": exchange})


def main(folder: str, key: str, first: int, last: int, steps: Sequence[int] = ()) -> None:
    """Runs a process for each seed. `steps`: for each of `WAYS`, the number of steps to choose from; if empty, no process is
    killed."""
    private(user="warm")  # what it imports is shared by all
    for seed in range(first, last):
        say(f"seed {seed}")
        if os.fork() == 0:
            chance = random.Random(seed)
            disk = Killing(
                chance.randrange(steps[seed % len(WAYS)] if steps else 1), kill=chance.choice(["before", "after"])
            )
            disk.part = chance.choice([0.0, chance.random()])
            disk.fails = chance.choice([-1, chance.randrange(max(1, disk.at))])
            disk.why = chance.choice([errno.EIO, errno.ENOSPC])
            if not steps:
                disk.at = disk.fails = -10
            (Path(folder) / str(seed)).mkdir()
            try:
                live(Path(folder) / str(seed), seed, PrivateKey.read(key), disk)
            except AuditError:
                os._exit(NO_START)
            say(f"end {disk.steps}")
            os._exit(0)
        _, status = os.wait()
        say(f"died {os.waitstatus_to_exitcode(status)}")


@dataclass
class Run:
    """What a process said: `kept` ids with the ids of their logs, `notes` of published checkpoints, `steps` if it came to
    its end, and how it `died`."""

    kept: dict[str, str] = field(default_factory=dict)
    notes: list[SignedNote] = field(default_factory=list)
    steps: int = 0
    died: int = 0


def runs(folder: Path, first: int, last: int, steps: Sequence[int] = ()) -> dict[int, Run]:
    """Starts processes for the seeds from `first` to before `last`, one after the other."""
    call = f"from tests.kit.kills import main; main({str(folder)!r}, {KEY.text!r}, {first}, {last}, {list(steps)})"
    ran = subprocess.run(
        [sys.executable, "-c", call], capture_output=True, text=True, cwd=ROOT, check=True, timeout=3600
    )
    found: dict[int, Run] = {}
    run = Run()
    for line in ran.stdout.splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "seed":
            run = found[int(rest)] = Run()
        elif kind == "kept":
            exchange, log = rest.split()
            run.kept[exchange] = log
        elif kind == "end":
            run.steps = int(rest)
        elif kind == "died":
            run.died = int(rest)
        elif line.startswith("{"):
            run.notes.append(SignedNote.read(json.loads(line)["checkpoint"].encode()))
    return found


def problems(folder: Path, notes: Iterable[SignedNote]) -> list[str]:
    """What an auditor finds, who has every published checkpoint."""
    report = verify_checkpoints(folder, [KEY.public], [(f"copy {number}", note) for number, note in enumerate(notes)])
    assert report is not None
    found = [problem.message for log in verify_folder(folder, None, report) for problem in log.report.problems]
    return [*(problem.message for problem in report.problems), *found]


def lost(folder: Path, run: Run) -> set[str]:
    """The acknowledged records that no log holds, unless a signed checkpoint says that their log was removed."""
    removed = CheckpointStore(folder, KEY).states.removed if run.notes else {}
    return {exchange for exchange, log in run.kept.items() if log not in removed} - {*kept(folder)}


def check_run(folder: Path, seed: int, run: Run) -> Counter[str]:
    """Asserts that nothing is lost and nothing is a false alarm, before and after the next start, which goes on. Returns what
    was in the folder."""
    assert lost(folder, run) == set()
    if run.notes:  # before the first one, a folder says that it has no checkpoint
        assert {problem.split(":")[1] for problem in problems(folder, run.notes)} <= CRASHES
    way = way_of(seed)
    store = CheckpointStore(folder, KEY)
    sealer = Sealer(KeyStore(folder / "seal.keys", [OPERATOR], create=True)) if way.seals else NO_SEALING
    sink = FileSink(folder, "a", {"log": f"new-{seed}"}, rotation=ROTATION, stated=store.states.last, sealing=sealer)
    checkpointer = Checkpointer(store, "a", signing_of(KEY, way), sink.states)
    sink.append(sealed_record("after") if way.seals else {"id": "after"}).result(60)
    checkpointer.check()
    sink.close()
    checkpointer.close()
    assert checkpointer.fault == ""
    assert lost(folder, run) == set()
    assert problems(folder, run.notes) == []
    return Counter(opened=opened(folder) if way.seals else 0, removed=len(store.states.removed))


def opened(folder: Path) -> int:
    """The number of sealed records in the log. Asserts that each opens: its key was on disk before the record."""
    opener = Sealer(KeyStore(folder / "seal.keys", [OPERATOR]))
    lines = [line for path in folder.glob("*.jsonl") for line in path.read_bytes().splitlines(keepends=True)]
    found = [opener.open(read_record(line)).values for line in lines if b'"sealed":' in line]
    opener.close()
    assert all(found)
    return len(found)
