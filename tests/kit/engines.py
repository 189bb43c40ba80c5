"""An engine for tests: what goes to a worker and comes back is pickled, and workers are lost on the way."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from guardproxy.engine.schedule import Result, Schedule, Task, WorkerLost
from guardproxy.engine.station import Station, TaskOutcome, Work


@dataclass(frozen=True, slots=True)
class ShakyEngine:
    """Does tasks in this process, in any order. Every fourth call loses its worker, but no task does so more than twice.
    `workers`: their number."""

    workers: int = 2
    seed: int = 0

    def each(self, work: Work[Task, Result], tasks: Iterable[Task]) -> Iterator[Result]:
        return Schedule(_ShakyCrew(work, self.workers, Random(self.seed)), tasks).results()


class _ShakyCrew:
    def __init__(self, work: Work[Any, Any], count: int, random: Random) -> None:
        self.count = count
        self.work = pickle.dumps(work)
        self.random = random
        self.lost: dict[Any, int] = {}

    def hire(self) -> _ShakyWorker:
        return _ShakyWorker(Station(pickle.loads(self.work)))

    def wait(self, handles: Sequence[_Call]) -> Sequence[_Call]:
        return self.random.sample(handles, self.random.randint(1, len(handles)))

    def outcome(self, handle: _Call) -> TaskOutcome:
        losses = self.lost.get(handle.name, 0)
        if losses < 2 and self.random.random() < 0.25:
            self.lost[handle.name] = losses + 1
            raise WorkerLost("was lost in a test")
        outcome: TaskOutcome = pickle.loads(pickle.dumps(handle.outcome))
        return outcome


class _Call:
    def __init__(self, name: str, outcome: TaskOutcome) -> None:
        self.name = name
        self.outcome = outcome


class _ShakyWorker:
    def __init__(self, station: Station) -> None:
        self.station = station

    def open(self) -> _Call:
        return _Call("", self.station.open())

    def run(self, task: Any) -> _Call:
        return _Call(str(task), self.station.run(pickle.loads(pickle.dumps(task))))

    def close(self) -> None:
        self.station.close()
