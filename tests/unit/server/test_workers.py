"""Which children the parent kills because they are frozen."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from guardproxy.config import Config
from guardproxy.server.workers import Child, Parent

SILENT_S = 100.0


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    kills: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: kills.append((pid, number)))
    return kills


def parent(*children: Child) -> Parent:
    made = Parent(Config(upstream=("http://127.0.0.1",), livez_stall_s=30), Path("unused"))
    made.children = list(children)
    for pipe in (made.leash, made.alive, made.wake):
        os.close(pipe.read)
        os.close(pipe.write)
    return made


def child(worker: int, silent_s: float, *, serves: bool = True) -> Child:
    return Child(worker, pid=worker + 1000, serves=serves, heard_s=time.monotonic() - silent_s)


def test_only_a_silent_child_that_served_is_killed(killed: list[tuple[int, int]]) -> None:
    watch = parent(child(-1, SILENT_S), child(0, 0.0), child(1, SILENT_S), child(2, SILENT_S, serves=False))
    watch._kill_frozen()
    watch._kill_frozen()
    assert killed == [(999, signal.SIGKILL), (1001, signal.SIGKILL)], (
        "each once; one that is starting has not served yet"
    )


def test_no_child_is_killed_for_the_time_in_which_the_parent_was_stopped(killed: list[tuple[int, int]]) -> None:
    watch = parent(child(0, SILENT_S))
    watch.looked_s -= SILENT_S
    watch._kill_frozen()
    watch._kill_frozen()
    assert killed == []
