"""Workers on this machine: in this process, or in processes of their own (`processes`).

In: work and tasks. Out: results in order.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from guardproxy.engine.schedule import Crew, Result, Schedule, Task, WorkEngine
from guardproxy.engine.station import Station, TaskOutcome, Work

WORTH_A_WORKER = 16
"""Tasks for which it is worth to start a process, which loads all policies and models again."""


@dataclass(frozen=True, slots=True)
class LocalEngine:
    """Runs work on this machine. `workers`: the number of processes; 1: this process; 0: as many as there are cores, and fewer
    for little work."""

    workers: int = 0

    def each(self, work: Work[Task, Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """See `WorkEngine.each`."""
        most = self.workers or _cores()
        waiting = iter(tasks)
        first = list(islice(waiting, most * WORTH_A_WORKER))
        count = min(most, len(first) if self.workers else len(first) // WORTH_A_WORKER)
        return Schedule(_crew(work, count), chain(first, waiting)).results()


HERE: WorkEngine = LocalEngine(1)
"""Runs work in this process."""


def _crew(work: Work[Any, Any], count: int) -> Crew:
    """Returns a crew of `count` processes, or of this one if no other is needed, or none may be started."""
    if count > 1:
        from guardproxy.engine.processes import Processes, may_start  # noqa: PLC0415 - little work needs no processes

        if may_start():
            return Processes(work, count)
    return _Here(work)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Here:
    """A crew of one worker in this process, whose calls are done when they return."""

    count = 1

    def __init__(self, work: Work[Any, Any]) -> None:
        self._work = work

    def hire(self) -> Station:
        return Station(self._work)

    def wait(self, handles: Sequence[TaskOutcome]) -> Sequence[TaskOutcome]:
        return handles

    def outcome(self, handle: TaskOutcome) -> TaskOutcome:
        return handle
