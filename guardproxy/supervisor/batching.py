"""Rows of many requests to the network without a timer: a free worker takes what waits, and never waits for more.

In: jobs, each with rows of token numbers to run. Out: each job told the logits of its rows, or what went wrong. Kept: the
jobs that wait, so many at most, and the workers' threads. A worker takes rows from the jobs in turn, up to a budget of
tokens, so that a long document does not keep a short question waiting; a job whose waiter is gone is dropped. Under no load
a row starts at once; under load batches grow by themselves.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from threading import Condition, Thread
from typing import Protocol

from guardproxy.errors import GuardproxyError
from guardproxy.supervisor.meters import Meters

Row = tuple[int, ...]


class QueueFull(GuardproxyError):
    """So much waits for the model already that more would only be late."""


class Network(Protocol):
    """What runs rows. `provider`: for a status page; `budget`: how many tokens a worker hands over at once, at least one
    row; `workers`: how many threads may call `run` at the same time."""

    provider: str
    budget: int
    workers: int

    def run(self, rows: Sequence[Row]) -> list[list[float]]:
        """The logits of each row (special tokens included), which depend on that row alone."""
        ...

    def close(self) -> None:
        """It will not be asked again."""
        ...


class Job(Protocol):
    """Texts of one request. All but `dropped` is called by one worker at a time."""

    def dropped(self) -> bool:
        """Whether nobody waits for it any more."""
        ...

    @property
    def ready(self) -> bool:
        """Whether `prepare` has given all rows."""
        ...

    def prepare(self) -> deque[Row]:
        """The rows of its next text."""
        ...

    def known(self, row: Row) -> bool:
        """Whether the row need not be run by now."""
        ...

    def done(self, row: Row, logits: Sequence[float]) -> None: ...

    def end(self) -> None:
        """All its rows were run. May be said twice."""
        ...

    def fail(self, error: Exception) -> None: ...


class _Waiting:
    """A job in the queue, since when, and of its rows those that were read but not taken yet. It is over when a worker
    that took it put all its rows into batches, and all of them were run."""

    __slots__ = ("job", "left", "rows", "since", "taken")

    def __init__(self, job: Job) -> None:
        self.job = job
        self.since: float | None = time.perf_counter()
        self.rows: deque[Row] = deque()
        self.left = 0  # rows that are being run
        self.taken = False  # a worker is reading it


class Batcher:
    """`limit`: how many jobs may wait. The workers' threads end when `close` is called."""

    def __init__(self, network: Network, limit: int, meters: Meters) -> None:
        self._network = network
        self._limit = limit
        self._meters = meters
        self._queue: deque[_Waiting] = deque()
        self._ready = Condition()
        self._closed = False
        self._working = network.workers
        for number in range(network.workers):
            Thread(target=self._work, name=f"supervisor-{number}", daemon=True).start()

    def put(self, job: Job) -> None:
        """Queues a job. Raises `QueueFull`."""
        with self._ready:
            if len(self._queue) >= self._limit or self._closed:
                self._meters.refused.inc()
                raise QueueFull("too many texts wait for the supervisor")
            self._queue.append(_Waiting(job))
            self._meters.waiting.set(len(self._queue))
            self._ready.notify()

    def close(self) -> None:
        """Ends the threads; jobs that still wait fail."""
        with self._ready:
            self._closed = True
            left = list(self._queue)
            self._queue.clear()
            self._ready.notify_all()
        for waiting in left:
            waiting.job.fail(QueueFull("the supervisor was stopped"))

    def _work(self) -> None:
        while self._step():
            pass
        with self._ready:
            self._working -= 1
            last = not self._working
        if last:
            self._network.close()

    def _step(self) -> bool:
        """Runs what waits, or waits for it. It holds no job while it waits, for a job holds its scorer."""
        batch = self._take()
        if not batch:
            return False
        rows = list(dict.fromkeys(row for _, row in batch))
        began = time.perf_counter()
        try:
            logits = dict(zip(rows, self._network.run(rows), strict=True))
            self._meters.ran(len(rows), time.perf_counter() - began)
            for waiting, row in batch:
                waiting.job.done(row, logits[row])
                self._settle(waiting, ran=1)
        except Exception as error:  # whatever a provider raises must reach those who wait
            for waiting, _ in batch:
                waiting.job.fail(error)
        return True

    def _take(self) -> list[tuple[_Waiting, Row]]:
        """The rows to run next, with whose they are; empty when there is no more to do, ever."""
        batch: list[tuple[_Waiting, Row]] = []
        tokens = 0
        waiting: _Waiting | None
        while tokens < self._network.budget:
            waiting = None
            waiting = self._next(block=not batch)
            if waiting is None:
                break
            if waiting.job.dropped():
                self._meters.dropped.inc()
                continue
            try:
                while not waiting.rows and not waiting.job.ready:
                    waiting.rows = waiting.job.prepare()
            except Exception as error:  # as above
                waiting.job.fail(error)
                continue
            with self._ready:  # what is taken is counted before anybody can think that the job is over
                while waiting.rows and tokens < self._network.budget:
                    row = waiting.rows.popleft()
                    if not waiting.job.known(row):
                        batch.append((waiting, row))
                        waiting.left += 1
                        tokens += len(row)
                waiting.taken = False
                if waiting.rows or not waiting.job.ready:
                    self._queue.append(waiting)
                    self._ready.notify()
            self._settle(waiting)
        return batch

    def _next(self, block: bool) -> _Waiting | None:
        """The job whose turn it is; `None` when none waits, which with `block` means that the batcher was closed."""
        with self._ready:
            while block and not self._queue and not self._closed:
                self._ready.wait()
            waiting = self._queue.popleft() if self._queue else None
            if waiting:
                waiting.taken = True
            self._meters.waiting.set(len(self._queue))
        if waiting and waiting.since is not None:
            self._meters.waited.observe(time.perf_counter() - waiting.since)
            waiting.since = None
        return waiting

    def _settle(self, waiting: _Waiting, ran: int = 0) -> None:
        with self._ready:
            waiting.left -= ran
            over = not waiting.taken and not waiting.rows and not waiting.left and waiting.job.ready
        if over:
            waiting.job.end()
