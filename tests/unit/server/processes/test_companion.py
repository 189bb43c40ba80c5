"""The process beside a server: it is started again when it ends, and ends when this process does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from guardproxy.config import Config
from guardproxy.server.observing.companions import CompanionCommand, CompanionPaths, no_companion
from guardproxy.server.observing.process_metrics import ALONE, Siblings
from guardproxy.server.processes import companion
from guardproxy.server.processes.companion import Beside, Companion

# Writes what it got on its input to a pipe, then waits for the end of the input.
CODE = "import os, sys; os.write(int(sys.argv[1]), sys.stdin.buffer.readline()); sys.stdin.buffer.read()"


def command(*arguments: str) -> CompanionCommand:
    return CompanionCommand((sys.executable, "-S", "-c", *arguments), {}, b"first\n")


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    read, write = os.pipe()
    os.set_inheritable(write, True)
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *words, **named: popen(*words, **named, pass_fds=(write,)))
    return read, write


def test_it_gets_its_line_and_is_started_again(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(companion, "DELAY_LIMIT_S", 0.001)
    running = Companion(command(CODE, str(pipe[1])), "test")
    assert running.pid == 0
    running.start()
    seen = set()
    for _ in range(5):
        assert os.read(pipe[0], 100) == b"first\n"
        seen.add(running.pid)
        os.kill(running.pid, signal.SIGKILL)
    assert os.read(pipe[0], 100) == b"first\n"
    last = running.pid
    running.close()
    assert running.pid == 0
    assert len(seen) == 5
    with pytest.raises(ProcessLookupError):
        os.kill(last, 0)


def test_it_ends_by_force_if_it_does_not_end(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(companion, "END_S", 0.05)
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    running = Companion(command(code + CODE + "; signal.pause()", str(pipe[1])), "test")
    running.start()
    assert os.read(pipe[0], 100) == b"first\n"
    running.close()
    assert running.pid == 0
    running.close()


def test_a_command_that_cannot_be_started_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(companion, "DELAY_LIMIT_S", 0.001)
    running = Companion(CompanionCommand(("/no/such/program",), {}, b""), "test")
    running.start()
    while sum(record.message == "cannot be started" for record in caplog.records) < 3:
        pass
    running.close()


def test_one_that_was_closed_is_not_started() -> None:
    running = Companion(command("raise SystemExit"), "test")
    running.close()
    running.start()
    running.close()
    assert running.pid == 0


def test_a_server_alone_makes_a_folder_that_is_its_own() -> None:
    paths = CompanionPaths.of(ALONE)
    assert paths.own_folder is not None
    assert paths.own_folder.stat().st_mode & 0o777 == 0o700
    assert {paths.socket.parent, paths.admin.parent} == {paths.own_folder}
    paths.remove()
    assert not paths.own_folder.exists()


def test_workers_share_a_place_and_the_first_starts_the_process(tmp_path: Path) -> None:
    config = Config.of()

    def start_of(_: Config) -> object:
        return lambda paths: command("pass")

    for worker in (0, 1):
        siblings = Siblings(str(worker), ("0", "1"), tmp_path)
        beside = Beside.of(config, worker, siblings, start_of)  # type: ignore[arg-type]
        assert beside.paths == CompanionPaths(tmp_path / "console", tmp_path / f"admin-{worker}")
        assert (beside.companion is not None) is (worker == 0)
        assert beside.admin_socket(siblings) == siblings.socket
        beside.close()
    assert tmp_path.exists()


def test_without_one_nothing_is_made() -> None:
    beside = Beside.of(Config.of(), 0, ALONE, no_companion)
    assert beside == Beside()
    assert beside.admin_socket(ALONE) is None
    beside.start()
    beside.close()
