"""A process that is killed while it writes: every record that it was told is kept is in the log, which goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from guardproxy.audit.record.chain import verify
from guardproxy.audit.writing.log_file import FileSink
from tests.kit.disk import kept, problems

ROOT = Path(__file__).parents[2]

# Is killed at one step of its disk. Says what was acknowledged. Its third record has a failing sync, so that the log goes on in
# a second file: those steps are among the ones that it is killed at.
STEPPER = """
import errno, os, sys
from guardproxy.audit.writing.log_file import FileSink
from guardproxy.errors import AuditError
from tests.kit.disk import Faulty, wait_healthy

def say(line):  # in a single write: `print` may write a line in parts, and the process may be killed between them
    os.write(1, line.encode() + b"\\n")

class Killing(Faulty):
    fail = False

    def sync(self, fd):
        if self.fail:
            self.fail = False
            raise OSError(errno.EIO, "Input/output error")
        super().sync(fd)

folder, when, at, last = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
for run in range(at, last):
    if os.fork() == 0:
        disk = Killing(run, kill=when)
        sink = FileSink(f"{folder}/{run}", "a", {"log": "killed"}, head_every=2, disk=disk, watch_s=600)
        for number in range(5):
            disk.fail = number == 2
            try:
                sink.append({"id": f"x{number}"}).result()
                say(f"{run} x{number}")
            except AuditError:
                wait_healthy(sink)
        sink.close()
        say(f"{run} end {disk.steps}")
        os._exit(0)
    os.wait()
"""
STEPS = 80

WRITER = """
import sys
from guardproxy.audit.writing.log_file import FileSink
sink = FileSink(sys.argv[1], "a", {"log": "killed"}, head_every=10)
while True:
    for future in [sink.append({"id": "x" * 500}) for _ in range(8)]:
        seq, digest = future.result()
        print(seq, digest, flush=True)
"""


@pytest.mark.parametrize("acknowledged", [1, 9, 50, 51, 52, 203])
def test_acknowledged_records_survive_a_kill(tmp_path: Path, acknowledged: int) -> None:
    process = subprocess.Popen([sys.executable, "-c", WRITER, tmp_path], stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    seen = [process.stdout.readline() for _ in range(acknowledged)]
    process.kill()
    seen += process.stdout.read().splitlines(keepends=True)
    process.stdout.close()
    process.wait()
    answers = [line.split() for line in seen if line.endswith(b"\n")]
    sink = FileSink(tmp_path, "a", {"log": "new"})
    assert sink.append({"id": "after"}).result(30)[0] >= len(answers)
    sink.close()
    lines = (tmp_path / "a.jsonl").read_bytes().splitlines(keepends=True)
    assert verify(lines).problems == ()
    kept = [json.loads(line) for line in lines[1:]]
    assert len(answers) >= acknowledged
    assert [[str(entry["seq"]), entry["hash"]] for entry in kept[: len(answers)]] == [
        [seq.decode(), digest.decode()] for seq, digest in answers
    ]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_at_every_step_loses_no_acknowledged_record(tmp_path: Path, when: str) -> None:
    command = [sys.executable, "-c", STEPPER, str(tmp_path), when, "0", str(STEPS)]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True, timeout=120)
    acknowledged: dict[int, list[str]] = {}
    for step, name in (line.split()[:2] for line in ran.stdout.splitlines()):
        acknowledged.setdefault(int(step), []).append(name)
    assert "end" in acknowledged[STEPS - 1]  # so many steps are all
    assert "x4" in acknowledged[STEPS - 1]
    for run in range(STEPS):
        folder = tmp_path / str(run)
        sink = FileSink(folder, "a", {"log": "new"})
        sink.append({"id": "after"}).result(30)
        sink.close()
        names = [name for name in acknowledged.get(run, []) if name != "end"]
        assert set(names) <= set(kept(folder)), run
        assert problems(folder) == [], run
