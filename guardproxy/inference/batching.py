"""Batches rows of many requests without a timer: a free worker takes the rows that wait, and never waits for more.

In: jobs, each with rows of token numbers. Out: each job gets the logits of its rows, or an error. Kept: the jobs that wait,
no more than can be done in a given time, and the threads of the workers. A worker takes rows from the jobs in turn, up to a
budget of tokens, so that a long document does not keep a short question waiting; a job whose waiter is gone is dropped. Under
no load a row starts at once; under load batches grow by themselves.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from threading import Condition, Thread
from typing import Protocol

from guardproxy.errors import NoCapacityError, Shortage
from guardproxy.inference.meters import ModelMeters
from guardproxy.inference.pace import Ratio, before

Row = tuple[int, ...]


class QueueFull(NoCapacityError):
    """The queue of the model is so long that a new job would be late."""

    def __init__(self, message: str, shortage: Shortage = Shortage.FULL) -> None:
        super().__init__(shortage, message)


WAIT_S = 2.0
"""How long a text may have to wait for its turn, by default."""
TURN_CHARS = 8000
"""About how many characters a worker takes from one job before it goes on to the next."""
GUESS_S = 0.0002
"""How long the network takes for a token, until that was measured."""
GUESS_TOKENS = 0.3
"""How many tokens a character leads to, until that was measured."""


class Network(Protocol):
    """Runs rows. `provider`: for a status page; `budget`: how many tokens a worker hands over at once, at least one
    row; `workers`: how many threads may call `run` at the same time."""

    provider: str
    budget: int
    workers: int

    def run(self, rows: Sequence[Row]) -> list[list[float]]:
        """The logits of each row (special tokens included), which depend on that row alone."""
        ...

    def close(self) -> None:
        """Releases what it holds. `run` is not called afterwards."""
        ...


class ScoringJob(Protocol):
    """Texts of one request. All but `dropped` is called by one worker at a time."""

    def dropped(self) -> bool:
        """Whether its caller no longer waits."""
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
        """Tells the job that all its rows were run. May be called twice."""
        ...

    def fail(self, error: Exception) -> None: ...


class _Waiting:
    """A job in the queue, since when, and of its rows those that were read but not taken yet. It is over when a worker
    that took it put all its rows into batches, and all of them were run."""

    __slots__ = ("chars", "job", "left", "rows", "since", "taken", "tokens")

    def __init__(self, job: ScoringJob, chars: int, now: float) -> None:
        self.job = job
        self.chars = chars
        self.since: float | None = now
        self.rows: deque[Row] = deque()
        self.left = 0  # rows that are being run
        self.tokens = 0  # that were taken so far
        self.taken = False  # a worker is reading it


class Batcher:
    """`limit`: how many jobs may wait. `wait_s`: how long a new job may have to wait for its turn, as far as that can be
    told; a longer queue is refused at once, for its jobs would be late. The workers' threads end when `close` is called."""

    def __init__(
        self,
        network: Network,
        limit: int,
        meters: ModelMeters,
        wait_s: float = WAIT_S,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._network = network
        self._wait_s = wait_s
        self._clock = clock
        self._seconds = Ratio(GUESS_S, 50)  # of tokens
        self._tokens = Ratio(GUESS_TOKENS, 100)  # of characters
        self._unfinished: dict[_Waiting, None] = {}
        self._limit = limit
        self._meters = meters
        self._queue: deque[_Waiting] = deque()
        self._ready = Condition()
        self._closed = False
        self._working = network.workers
        for number in range(network.workers):
            Thread(target=self._work, name=f"supervisor-{number}", daemon=True).start()

    def put(self, job: ScoringJob, chars: int = 0) -> None:
        """Queues a job of so many characters. Raises `QueueFull`."""
        with self._ready:
            if self._closed:
                raise QueueFull("the supervisor was stopped", Shortage.GONE)
            if self._is_full(chars):
                self._forget_dropped()
            if self._is_full(chars):
                self._meters.refused.inc()
                raise QueueFull("too many texts wait for the supervisor")
            waiting = _Waiting(job, chars, self._clock())
            self._unfinished[waiting] = None
            self._queue.append(waiting)
            self._meters.waiting.set(len(self._queue))
            self._ready.notify()

    def wait_s(self, chars: int) -> float:
        """How long a new job of so many characters would wait for its turn, in seconds."""
        with self._ready:
            return self._wait(chars)

    def _wait(self, chars: int) -> float:
        ahead = before(chars, (waiting.chars for waiting in self._unfinished), TURN_CHARS)
        return self._seconds.of(self._tokens.of(ahead)) / max(1, self._network.workers)

    def _is_full(self, chars: int) -> bool:
        return len(self._queue) >= self._limit or self._wait(chars) > self._wait_s

    def _forget_dropped(self) -> None:
        """Removes jobs whose callers no longer wait, so that they take no place in the queue."""
        gone = [waiting for waiting in self._queue if waiting.job.dropped()]
        for waiting in gone:
            self._queue.remove(waiting)
            self._unfinished.pop(waiting, None)
            self._meters.dropped.inc()

    def _leave(self, waiting: _Waiting) -> None:
        with self._ready:
            self._unfinished.pop(waiting, None)

    def close(self) -> None:
        """Ends the threads; jobs that still wait fail."""
        with self._ready:
            self._closed = True
            left = list(self._queue)
            self._queue.clear()
            self._unfinished.clear()
            self._ready.notify_all()
        for waiting in left:
            waiting.job.fail(QueueFull("the supervisor was stopped", Shortage.GONE))

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
        began = self._clock()
        try:
            logits = dict(zip(rows, self._network.run(rows), strict=True))
            took = self._clock() - began
            self._meters.ran(len(rows), took)
            with self._ready:
                self._seconds.measured(sum(map(len, rows)), took)
            for waiting, row in batch:
                waiting.job.done(row, logits[row])
                self._settle(waiting, ran=1)
        except Exception as error:  # whatever a provider raises must reach those who wait
            for waiting, _ in batch:
                waiting.job.fail(error)
                self._leave(waiting)
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
                self._leave(waiting)
                continue
            try:
                while not waiting.rows and not waiting.job.ready:
                    waiting.rows = waiting.job.prepare()
            except Exception as error:  # as above
                waiting.job.fail(error)
                self._leave(waiting)
                continue
            with self._ready:  # what is taken is counted before anybody can think that the job is over
                while waiting.rows and tokens < self._network.budget:
                    row = waiting.rows.popleft()
                    if not waiting.job.known(row):
                        batch.append((waiting, row))
                        waiting.left += 1
                        waiting.tokens += len(row)
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
            self._meters.waited.observe(self._clock() - waiting.since)
            waiting.since = None
        return waiting

    def _settle(self, waiting: _Waiting, ran: int = 0) -> None:
        with self._ready:
            waiting.left -= ran
            over = not waiting.taken and not waiting.rows and not waiting.left and waiting.job.ready
            if over and waiting in self._unfinished:
                del self._unfinished[waiting]
                self._tokens.measured(waiting.chars, waiting.tokens)
        if over:
            waiting.job.end()
