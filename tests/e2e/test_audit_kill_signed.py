"""A process that signs its log is killed at every step of its disk, and in the middle of its writes: nothing that it
acknowledged is lost, an auditor gets no false alarm, and the next process goes on.

`GUARDPROXY_KILLS=2000` runs that many kills at random steps; by default there are few.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from guardproxy.audit.folder import verify_folder
from guardproxy.audit.proof.checkpointer import Checkpointer, Signing
from guardproxy.audit.proof.note import SignedNote
from guardproxy.audit.proof.store import CheckpointStore
from guardproxy.audit.proof.verification import verify_checkpoints
from guardproxy.audit.rotation import Rotation
from guardproxy.audit.sinks.file import FileSink
from tests.kit.disk import kept
from tests.kit.proof import KEY

ROOT = Path(__file__).parents[2]
CRASHES = {" a crash, or a write in progress", " a crash at its start, or a start in progress"}
KILLS = int(os.environ.get("GUARDPROXY_KILLS", "40"))

# A run for each seed: a child writes, signs and goes on in new files, and is killed at a step that the seed chooses. It says
# what was acknowledged, and every checkpoint that was published.
STEPPER = """
import os, random, signal, sys
from pathlib import Path
from guardproxy.audit.proof.note import PrivateKey
from guardproxy.audit.proof.store import CheckpointStore
from guardproxy.audit.rotation import Rotation
from guardproxy.audit.sinks.file import FileSink
from tests.kit.disk import Faulty

folder, key, first, last, steps = sys.argv[1], PrivateKey.read(sys.argv[2]), *map(int, sys.argv[3:6])

def say(line):
    os.write(1, line.encode() + b"\\n")

class Killing(Faulty):
    part = 0.0

    def write(self, fd, data):
        if self.part and self.steps >= self.at >= 0:
            os.write(fd, data[: int(len(data) * self.part)])
            os.kill(os.getpid(), signal.SIGKILL)
        return super().write(fd, data)

for seed in range(first, last):
    if os.fork() == 0:
        chance = random.Random(seed)
        disk = Killing(chance.randrange(steps), kill=chance.choice(["before", "after"]))
        disk.part = chance.choice([0.0, chance.random()])
        if steps == 1:
            disk.at = -10
        store = CheckpointStore(Path(folder, str(seed)), key, disk=disk)
        sink = FileSink(
            f"{folder}/{seed}", "a", {"log": "killed"}, head_every=2, disk=disk, watch_s=600, rotation=Rotation(500),
            stated=store.states.last,
        )
        for number in range(6):
            say(f"{seed} note {store.write(sink.states(), number).data.hex()}")
            sink.append({"id": f"x{number}"}).result()
            say(f"{seed} kept x{number}")
        sink.close()
        say(f"{seed} note {store.write(sink.states(), 9).data.hex()}")
        say(f"{seed} end {disk.steps}")
        os._exit(0)
    os.wait()
"""


def said(folder: Path, first: int, last: int, steps: int) -> dict[int, list[tuple[str, str]]]:
    command = [sys.executable, "-c", STEPPER, str(folder), KEY.text, str(first), str(last), str(steps)]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True, timeout=600)
    lines: dict[int, list[tuple[str, str]]] = {}
    for line in ran.stdout.splitlines():
        seed, kind, value = line.split()
        lines.setdefault(int(seed), []).append((kind, value))
    return lines


def problems(folder: Path, notes: list[SignedNote]) -> list[str]:
    report = verify_checkpoints(folder, [KEY.public], [(f"copy {number}", note) for number, note in enumerate(notes)])
    assert report is not None
    found = [problem.message for log in verify_folder(folder, None, report) for problem in log.report.problems]
    return [*(problem.message for problem in report.problems), *found]


def check_run(folder: Path, lines: list[tuple[str, str]]) -> None:
    names = [value for kind, value in lines if kind == "kept"]
    notes = [SignedNote.read(bytes.fromhex(value)) for kind, value in lines if kind == "note"]
    assert set(names) <= set(kept(folder))
    if notes:  # before the first one, a folder says that it has no checkpoint
        assert {problem.split(":")[1] for problem in problems(folder, notes)} <= CRASHES
    store = CheckpointStore(folder, KEY)
    sink = FileSink(folder, "a", {"log": "new"}, rotation=Rotation(500), stated=store.states.last)
    checkpointer = Checkpointer(store, "a", Signing(KEY, every_s=1e6), sink.states)
    sink.append({"id": "after"}).result(30)
    sink.close()
    checkpointer.close()
    assert checkpointer.trouble == ""
    assert set(names) <= set(kept(folder))
    assert problems(folder, notes) == []


def test_kills_at_random_steps(tmp_path: Path) -> None:
    ((_, value),) = [line for line in said(tmp_path / "counted", 0, 1, 1)[0] if line[0] == "end"]
    steps = int(value)
    assert steps > 100
    for first in range(0, KILLS, 100):
        lines = said(tmp_path, first, min(KILLS, first + 100), steps)
        for seed in range(first, min(KILLS, first + 100)):
            folder = tmp_path / str(seed)
            if folder.exists():
                try:
                    check_run(folder, lines.get(seed, []))
                except AssertionError as error:
                    pytest.fail(f"seed {seed}: {error}")
