"""Which children the parent kills because they are frozen."""

from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path

import pytest

from guardproxy.config import Config
from guardproxy.server.processes.children import BEAT_S
from guardproxy.server.processes.workers import Child, Parent, Pipe

SILENT_S = 100.0


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    kills: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: kills.append((pid, number)))
    return kills


def parent(*children: Child) -> Parent:
    made = Parent(Config.of(upstream=("http://127.0.0.1",), livez_stall_s=30), Path("unused"))
    made.children = list(children)
    for pipe in (made.parent_pipe, made.alive, made.wake):
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


def test_a_short_pause_of_the_whole_machine_kills_nobody(killed: list[tuple[int, int]]) -> None:
    watch = parent(child(0, 4.5 * BEAT_S))
    watch.config = Config.of(upstream=("http://127.0.0.1",), livez_stall_s=1)
    watch.looked_s -= 3.5 * BEAT_S
    watch._kill_frozen()
    assert killed == []


def test_a_child_whose_loop_waits_at_its_end_is_not_killed_early(killed: list[tuple[int, int]]) -> None:
    watch = parent(child(0, SILENT_S))
    watch._stop()
    watch._kill_frozen()
    assert killed == []
    watch.killing_s = 0.0
    watch._kill_late()
    assert killed == [(1000, signal.SIGKILL)]


def test_the_parent_never_waits_for_a_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that a worker forked may hold the other end of the pipe when the worker has ended."""
    held: list[int] = []
    started = Child(0)
    watch = parent(started)
    pipe = Pipe.new()

    def fork() -> int:
        held.append(os.dup(pipe.write))
        return 1000

    monkeypatch.setattr(Pipe, "new", lambda: pipe)
    monkeypatch.setattr(os, "fork", fork)
    watch._start(started)
    watch._hear(started)
    assert (started.serves, started.signs) == (False, pipe.read)
    os.write(held[0], b"1")
    watch._hear(started)
    assert started.serves
    os.close(held[0])
    watch._hear(started)
    assert started.signs == -1


def test_a_child_that_cannot_be_forked_is_started_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_memory() -> int:
        raise OSError(errno.ENOMEM, "no memory")

    late, other = Child(0), child(1, 0.0)
    watch = parent(late, other)
    pipe = Pipe.new()
    monkeypatch.setattr(Pipe, "new", lambda: pipe)
    monkeypatch.setattr(os, "fork", no_memory)
    watch._start(late)
    assert (late.pid, late.signs, late.quick_deaths, watch.stopping) == (0, -1, 1, False)
    assert late.due_s > late.started_s
    assert [record.message for record in caplog.records] == ["no process"]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.close(pipe.read)
