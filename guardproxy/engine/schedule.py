"""Gives tasks to workers, repeats what a lost worker left, and returns the results in the order of the tasks.

In: tasks, and a crew of workers. Out: results in order. Kept: the results that come before their turn, of which there is a
bounded number.

A worker may end at any time: killed, out of memory, or with its machine. Its task then goes to another worker, and a new
worker takes its place. A task that fails three times ends the run, because a report about the other parts would look like a
report about all of them.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol, TypeVar

from guardproxy.engine.station import TaskOutcome, Work
from guardproxy.errors import EngineError

LIMIT_TRIES = 3
AHEAD = 8
"""Tasks for each worker that may be done before their turn."""

Task = TypeVar("Task")
Result = TypeVar("Result")


class WorkEngine(Protocol):
    """Runs work on many tasks."""

    def each(self, work: Work[Task, Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Yields the result of each task, in the order of the tasks. Raises the error of a task, and `EngineError` if workers
        end again and again."""
        ...


class WorkerLost(Exception):
    """A worker has ended before its task was done. The text says how."""


class Worker(Protocol):
    """A worker does one call at a time. A call returns a handle at once."""

    def open(self) -> Hashable:
        """Opens the work."""
        ...

    def run(self, task: Any) -> Hashable:
        """Does a task."""
        ...

    def close(self) -> None:
        """Ends the worker, even in the middle of a task."""
        ...


class Crew(Protocol):
    """Workers of a kind."""

    @property
    def count(self) -> int:
        """Returns how many workers there should be."""
        ...

    def hire(self) -> Worker:
        """Starts a worker."""
        ...

    def wait(self, handles: Sequence[Any]) -> Sequence[Any]:
        """Returns handles of calls that are done, at least one of them."""
        ...

    def outcome(self, handle: Any) -> TaskOutcome:
        """Returns the outcome of a call that is done. Raises `WorkerLost`."""
        ...


@dataclass(order=True, slots=True)
class _QueuedTask:
    """A task with its number. `failures`: how often it has failed."""

    number: int
    task: Any = field(compare=False)
    failures: int = field(default=0, compare=False)


class Schedule:
    """Tasks on their way through a crew."""

    def __init__(self, crew: Crew, tasks: Iterable[Any]) -> None:
        self._crew = crew
        self._new = enumerate(tasks)
        self._again: list[_QueuedTask] = []  # a heap: the first task comes first
        self._workers: list[Worker] = []
        self._idle: list[Worker] = []
        self._calls: dict[Hashable, tuple[Worker, _QueuedTask | None]] = {}  # without a job, the worker opens the work
        self._results: dict[int, Any] = {}
        self._taken = 0
        self._returned = 0
        self._failed_starts = 0

    def results(self) -> Iterator[Any]:
        """Yields the results in order, and ends all workers."""
        try:
            for _ in range(self._crew.count):
                self._hire()
            while self._assign():
                for handle in self._crew.wait(list(self._calls)):
                    self._finish(handle)
                while self._returned in self._results:
                    yield self._results.pop(self._returned)
                    self._returned += 1
        finally:
            for worker in self._workers:
                worker.close()

    def _hire(self) -> None:
        worker = self._crew.hire()
        self._workers.append(worker)
        self._calls[worker.open()] = (worker, None)

    def _assign(self) -> bool:
        """Gives tasks to idle workers. Returns whether a task is left, or under way."""
        while self._idle and (job := self._next_job()) is not None:
            worker = self._idle.pop()
            self._calls[worker.run(job.task)] = (worker, job)
        if any(job is not None for _, job in self._calls.values()):
            return True
        if not self._idle:  # every worker is starting
            job = self._next_job()
            if job is not None:
                heapq.heappush(self._again, job)
            return job is not None
        return False

    def _next_job(self) -> _QueuedTask | None:
        if self._again:
            return heapq.heappop(self._again)
        if self._taken - self._returned >= AHEAD * self._crew.count:
            return None
        for number, task in islice(self._new, 1):
            self._taken += 1
            return _QueuedTask(number, task)
        return None

    def _finish(self, handle: Any) -> None:
        worker, job = self._calls.pop(handle)
        try:
            outcome = self._crew.outcome(handle)
        except WorkerLost as lost:
            self._workers.remove(worker)
            worker.close()
            self._lose(job, str(lost))
            self._hire()
            return
        self._idle.append(worker)
        if job is None and outcome.error is None:
            self._failed_starts = 0
        elif job is not None and outcome.error is None:
            self._results[job.number] = outcome.value
        elif job is not None and isinstance(outcome.error, OSError):
            self._repeat(job, outcome.error)
        elif outcome.error is not None:
            raise outcome.error

    def _lose(self, job: _QueuedTask | None, reason: str) -> None:
        if job is not None:
            self._repeat(job, EngineError(f"{job.task}: the worker {reason}, {LIMIT_TRIES} times"))
            return
        self._failed_starts += 1
        if self._failed_starts >= LIMIT_TRIES:
            raise EngineError(f"workers do not start: the last one {reason}")

    def _repeat(self, job: _QueuedTask, error: Exception) -> None:
        """Puts a task back, or raises the error if the task has failed too often."""
        job.failures += 1
        if job.failures >= LIMIT_TRIES:
            raise error
        heapq.heappush(self._again, job)
