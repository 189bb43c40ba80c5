"""A process that is killed while it writes: every record that it was told is kept is in the log, which goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from guardproxy.audit.chain import verify
from guardproxy.audit.sinks.file import FileSink

ROOT = Path(__file__).parents[2]

WRITER = """
import sys
from guardproxy.audit.sinks.file import FileSink
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
