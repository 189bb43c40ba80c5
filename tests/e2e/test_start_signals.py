"""Signals that come while the process starts: it ends cleanly, or it starts and reloads. Never does a signal kill it.

The signal is sent when a module is imported, so that it comes at the same point of the start every time.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.rig import PASS, ROOT, wait_logged

# The parent sends itself the signal, a worker sends it to its parent.
PROGRAM = """
import os, signal, sys
number, module, main = int(sys.argv[1]), sys.argv[2], os.getpid()
class Point:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == module:
            os.kill(main, number)
sys.meta_path.insert(0, Point)
sys.argv = ["guardproxy", *sys.argv[3:]]
from guardproxy.__main__ import main as run
run()
"""
POINTS = [
    "guardproxy.cli",
    "typer",
    "guardproxy.config",
    "uvloop",
    "guardproxy.server.app",
    "aiohttp",
    "guardproxy.inference.services",
]
LATE = ["guardproxy.server.processes.running", "guardproxy.policy.file.load"]


def start(tmp_path: Path, number: signal.Signals, module: str, *options: str) -> tuple[subprocess.Popen[bytes], Path]:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "policy.yaml").write_text(PASS)
    command = [sys.executable, "-c", PROGRAM, str(int(number)), module, "serve", "--upstream", "http://127.0.0.1:9"]
    command += ["--policies", str(tmp_path / "policies"), "--audit", str(tmp_path / "audit")]
    command += ["--port", "0", "--admin-port", "0", *options]
    log = tmp_path / "output.txt"
    with log.open("wb") as output:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=output, stderr=output), log


@pytest.mark.parametrize(
    ("number", "module"),
    [*((signal.SIGTERM, point) for point in (*POINTS, *LATE)), (signal.SIGINT, "typer"), (signal.SIGINT, LATE[-1])],
)
def test_it_ends_cleanly(number: signal.Signals, module: str, tmp_path: Path) -> None:
    process, log = start(tmp_path, number, module)
    assert process.wait(60) == 0, log.read_text()
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize("module", ["guardproxy.cli", "uvloop", "guardproxy.policy.file.load"])
def test_a_reload_that_is_asked_for_too_early_is_done_later(module: str, tmp_path: Path) -> None:
    process, log = start(tmp_path, signal.SIGHUP, module, "--reload-s", "0")
    try:
        wait_logged(process, log, "listening")
    finally:
        process.terminate()
        assert process.wait(60) == 0, log.read_text()


@pytest.mark.parametrize("module", ["guardproxy.server.processes.workers", "uvloop", "guardproxy.server.app"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_parent_of_workers(number: signal.Signals, module: str, tmp_path: Path) -> None:
    process, log = start(tmp_path, number, module, "--workers", "2", "--supervisor-each")
    if number == signal.SIGHUP:
        wait_logged(process, log, "listening", 2)
        process.terminate()
    assert process.wait(60) == 0, log.read_text()
    assert "Traceback" not in log.read_text()
