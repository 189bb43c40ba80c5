"""Results come in the order of the tasks, whichever workers end and whichever calls are done first."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.engine.schedule import AHEAD, LIMIT_TRIES, Schedule, WorkerLost
from guardproxy.engine.station import TaskOutcome
from guardproxy.errors import EngineError


class Call:
    """A call of a worker. `task`: `None` when it opens the work."""

    def __init__(self, task: int | None) -> None:
        self.task = task


class FakeWorker:
    def __init__(self, crew: FakeCrew) -> None:
        self.crew = crew

    def open(self) -> Hashable:
        return Call(None)

    def run(self, task: int) -> Hashable:
        self.crew.most = max(self.crew.most, task)
        return Call(task)

    def close(self) -> None:
        self.crew.open_workers -= 1


class FakeCrew:
    """`failures`: how often each task fails; `None` stands for the start of workers. An even failure is a lost worker, an odd
    one an unreadable file."""

    def __init__(self, count: int, failures: dict[int | None, int], seed: int = 0) -> None:
        self.count = count
        self.failures = failures
        self.random = Random(seed)
        self.open_workers = 0
        self.most = -1

    def hire(self) -> FakeWorker:
        self.open_workers += 1
        return FakeWorker(self)

    def wait(self, handles: Sequence[Call]) -> Sequence[Call]:
        return self.random.sample(handles, self.random.randint(1, len(handles)))

    def outcome(self, handle: Call) -> TaskOutcome:
        left = self.failures.get(handle.task, 0)
        if left:
            self.failures[handle.task] = left - 1
            if handle.task is None or left % 2 == 0:
                raise WorkerLost("was ended by SIGKILL")
            return TaskOutcome(error=FileNotFoundError(2, "No such file", str(handle.task)))
        return TaskOutcome(None if handle.task is None else handle.task * 10)


def run(crew: FakeCrew, tasks: int) -> list[int]:
    return list(Schedule(crew, range(tasks)).results())


@given(
    st.integers(1, 5),
    st.integers(0, 60),
    st.dictionaries(st.integers(0, 59), st.integers(1, LIMIT_TRIES - 1)),
    st.integers(0, 2),
    st.integers(0, 1000),
)
def test_lost_workers_change_nothing(
    workers: int, tasks: int, failures: dict[int, int], starts: int, seed: int
) -> None:
    crew = FakeCrew(workers, {None: starts} | failures, seed)
    assert run(crew, tasks) == [task * 10 for task in range(tasks)]
    assert crew.open_workers == 0


class Losing(FakeCrew):
    """A crew whose workers end at task 3, or cannot read it."""

    def __init__(self, error: Exception) -> None:
        super().__init__(2, {})
        self.error = error

    def outcome(self, handle: Call) -> TaskOutcome:
        if handle.task != 3:
            return super().outcome(handle)
        if isinstance(self.error, WorkerLost):
            raise self.error
        return TaskOutcome(error=self.error)


def test_the_third_failure_ends_the_run() -> None:
    with pytest.raises(EngineError, match=r"^3: the worker was ended by SIGKILL, 3 times$"):
        run(Losing(WorkerLost("was ended by SIGKILL")), 5)
    with pytest.raises(FileNotFoundError, match="No such file"):
        run(Losing(FileNotFoundError(2, "No such file", "x")), 5)


def test_an_error_of_the_work_is_not_repeated() -> None:
    crew = Losing(EngineError("wrong"))
    with pytest.raises(EngineError, match=r"^wrong$"):
        run(crew, 10)
    assert crew.open_workers == 0


def test_workers_that_never_start_end_the_run() -> None:
    with pytest.raises(EngineError, match="workers do not start: the last one was ended by SIGKILL"):
        run(FakeCrew(2, {None: 100}), 5)


def test_work_is_bounded_ahead_of_the_results() -> None:
    crew = FakeCrew(3, {})
    results: Iterator[Any] = Schedule(crew, range(10_000)).results()
    assert next(results) == 0
    assert crew.most <= AHEAD * crew.count
    results.close()  # type: ignore[attr-defined]
    assert crew.open_workers == 0


def test_a_lost_first_task_does_not_let_the_others_run_away() -> None:
    crew = FakeCrew(4, {0: 2})
    assert run(crew, 500) == [task * 10 for task in range(500)]
