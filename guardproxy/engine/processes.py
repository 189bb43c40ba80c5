"""Workers in processes of their own, on this machine.

In: work and tasks. Out: outcomes.

A process has one pipe, and does one task at a time, so it is known which task it had when it ended. It ignores SIGINT, and ends
when its pipe is closed: no process outlives the command.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection, current_process, get_context
from typing import TYPE_CHECKING, Any

from guardproxy.engine.schedule import WorkerLost
from guardproxy.engine.station import Station, TaskOutcome, Work

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_END_S = 5.0


def may_start() -> bool:
    """Whether this process may start others: a daemon of `multiprocessing` may not."""
    return not current_process().daemon


@dataclass(frozen=True, slots=True)
class Processes:
    """A crew of processes. A handle is the pipe of the process."""

    work: Work[Any, Any]
    count: int

    def hire(self) -> _Process:
        return _Process(self.work)

    def wait(self, handles: Sequence[_Process]) -> Sequence[_Process]:
        ready = connection.wait([process.pipe for process in handles])
        return [process for process in handles if process.pipe in ready]

    def outcome(self, handle: _Process) -> TaskOutcome:
        try:
            outcome: TaskOutcome = handle.pipe.recv()
        except (EOFError, OSError):
            raise WorkerLost(handle.ending()) from None
        return outcome


class _Process:
    """A worker in a process of its own."""

    def __init__(self, work: Work[Any, Any]) -> None:
        spawn = get_context("spawn")
        self.pipe, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_serve, args=(work, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def open(self) -> _Process:
        return self

    def run(self, task: Any) -> _Process:
        with suppress(OSError):  # it has ended: `recv` says so
            self.pipe.send(task)
        return self

    def close(self) -> None:
        self.pipe.close()
        self._process.kill()
        self._process.join()
        self._process.close()

    def ending(self) -> str:
        """Returns how the process has ended, in words."""
        self._process.join(_END_S)
        code = self._process.exitcode
        if code is None or code >= 0:
            return f"ended with exit code {code}"
        with suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}"
        return f"was ended by signal {-code}"


def _serve(work: Work[Any, Any], pipe: Connection) -> None:
    """Opens the work, and does the tasks that come through the pipe until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    station = Station(work)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        pipe.send(station.open())
        while True:
            pipe.send(station.run(pipe.recv()))
    station.close()
