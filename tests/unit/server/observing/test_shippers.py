"""Processes of `audit ship` beside a server: started, watched, started again, and ended with the server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from guardproxy.audit.shipping import Sent
from guardproxy.config import Config
from guardproxy.server.observing import shippers
from guardproxy.server.observing.shippers import ShipperProcess, close_all, command, environment, shippers_of

UNTIL_EOF = [sys.executable, "-c", "import sys; sys.stdin.read()"]
FOREVER = [sys.executable, "-c", "import signal; print(end='', flush=True); signal.pause()"]


def ending(code: int) -> list[str]:
    return [sys.executable, "-c", f"raise SystemExit({code})"]


class Starts:
    """Starts processes one after the other: the next of `commands`, and the last one again and again."""

    def __init__(self, *commands: list[str]) -> None:
        self.commands = list(commands)
        self.processes: list[subprocess.Popen[bytes]] = []

    def __call__(self, words: Any, **options: Any) -> subprocess.Popen[bytes]:
        assert words == ["shipping"]
        assert options["start_new_session"]
        command = self.commands.pop(0) if len(self.commands) > 1 else self.commands[0]
        if not command:
            raise FileNotFoundError(2, "No such file or directory")
        self.processes.append(subprocess.Popen(command, **options))
        return self.processes[-1]


def wait_until(shipper: ShipperProcess, starts: Starts, count: int) -> None:
    while len(starts.processes) < count:
        shipper._thread.join(0.001)
        assert shipper._thread.is_alive()


def test_a_process_that_ends_is_started_again() -> None:
    starts = Starts(ending(1), [], ending(0), UNTIL_EOF)
    shipper = ShipperProcess(["shipping"], "s3://kept", 0.001, starts)
    wait_until(shipper, starts, 3)
    assert shipper.fault.startswith("`audit ship` to s3://kept ended with exit code 0: it starts again in 0.0")
    close_all([shipper])
    assert [process.returncode for process in starts.processes] == [1, 0, 0]


def test_a_process_that_runs_again_is_no_trouble() -> None:
    starts = Starts(ending(1), UNTIL_EOF)
    shipper = ShipperProcess(["shipping"], "s3://kept", 0.001, starts, look_s=0.001)
    wait_until(shipper, starts, 2)
    while shipper.fault:
        shipper._thread.join(0.001)
    close_all([shipper])
    assert [process.returncode for process in starts.processes] == [1, 0]


def test_wrong_use_is_not_tried_again() -> None:
    starts = Starts(ending(2), UNTIL_EOF)
    shipper = ShipperProcess(["shipping"], "kafka://host/", 0.001, starts)
    shipper._thread.join(30)
    assert shipper.fault == "`audit ship` to kafka://host/ ended with exit code 2: it is not started again"
    close_all([shipper])
    assert len(starts.processes) == 1


def test_a_process_that_does_not_end_is_killed() -> None:
    starts = Starts(FOREVER)
    shipper = ShipperProcess(["shipping"], "-", 0.001, starts)
    wait_until(shipper, starts, 1)
    shipper.stop()
    shipper.join(0.001)
    assert starts.processes[0].returncode == -9


def test_a_stop_before_the_next_start(monkeypatch: pytest.MonkeyPatch) -> None:
    starts = Starts(ending(1))
    shipper = ShipperProcess(["shipping"], "-", 1e6, starts)
    while not shipper.fault:
        shipper._thread.join(0.001)
    close_all([shipper])
    assert len(starts.processes) == 1
    shipper._over.set()
    assert shipper._watched() is None


def test_the_process_gets_no_secret_of_the_proxy() -> None:
    given = {"PATH": "/bin", "GUARDPROXY_AUDIT_KEY": "x", "GUARDPROXY_SHIP_TOKEN": "t", "AWS_REGION": "eu"}
    assert environment(given) == {"PATH": "/bin", "GUARDPROXY_SHIP_TOKEN": "t", "AWS_REGION": "eu"}
    words = command(Path("/logs"), "-")
    assert words[1:] == ["-m", "guardproxy", "audit", "ship", "/logs", "--to", "-", "--until-eof"]


def test_one_worker_starts_them(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    monkeypatch.setattr(shippers, "ShipperProcess", lambda words, target, look: started.append(target))
    config = Config.of(audit=Path("a"), audit_ship=("-", "s3://kept"))
    shippers_of(config.audit, 1)
    assert started == []
    shippers_of(config.audit, 0)
    assert started == ["-", "s3://kept"]


def test_a_target_that_takes_nothing_is_behind() -> None:
    """The process runs, and says nothing of it."""
    sent = [Sent(100, 40)]
    starts = Starts(UNTIL_EOF)
    shipper = ShipperProcess(
        ["shipping"], "s3://kept", 0.001, starts, look=lambda: sent[0], look_s=0.001, behind_s=0.01
    )
    while not shipper.fault:
        shipper._thread.join(0.001)
    assert shipper.fault.startswith("`audit ship` to s3://kept is behind: 60 bytes of the log wait, the oldest for ")
    sent[0] = Sent(100, 100)
    while shipper.fault:
        shipper._thread.join(0.001)
    close_all([shipper])


def test_a_folder_that_cannot_be_read_tells_nothing() -> None:
    looks = [0]

    def look() -> Sent:
        looks[0] += 1
        raise PermissionError(13, "Permission denied")

    shipper = ShipperProcess(["shipping"], "s3://kept", 0.001, Starts(UNTIL_EOF), look=look, look_s=0.001)
    while looks[0] < 3:
        shipper._thread.join(0.001)
    assert shipper.fault == ""
    close_all([shipper])
