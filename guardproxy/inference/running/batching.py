"""Batches rows of many requests without a timer: an idle worker takes the rows in the queue and never waits for more.

In: jobs, each with rows of token numbers. Out: for each job the logits of its rows, or an error. Kept: the queue of
jobs, bounded by the time that its work takes, and the worker threads. A worker takes rows from the jobs in turn, up to
a budget of tokens, so that a long document does not delay a short question. A job whose caller no longer waits is
dropped. Without load a row starts at once; under load batches grow by themselves.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from threading import Condition, Thread
from typing import Protocol

from guardproxy.errors import NoCapacityError, Shortage
from guardproxy.inference.running.meters import ModelMeters
from guardproxy.inference.running.throughput import Ratio, work_ahead

Row = tuple[int, ...]


class StoppableRow(Row):
    """A row whose run may stop at the exit of a network that has one: where each column of the exit is lower than `below`."""

    below: tuple[float, ...]

    def __new__(cls, ids: Row, below: tuple[float, ...]) -> StoppableRow:
        row = super().__new__(cls, ids)
        row.below = below
        return row

    # A row that may stop is another row than one of the same tokens that runs to its end: they must not share a result.
    def __eq__(self, other: object) -> bool:
        return isinstance(other, StoppableRow) and self.below == other.below and tuple.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((self.below, tuple(self)))


class QueueFull(NoCapacityError):
    """The queue of the model is full, or so long that a new job would be late."""

    def __init__(self, message: str, shortage: Shortage = Shortage.FULL) -> None:
        super().__init__(shortage, message)


WAIT_S = 2.0
"""Default of the longest time that a text may wait for its turn, in seconds."""
TURN_TOKENS = 256
"""Most tokens that a worker takes from a job before it turns to the next, if the network takes one row at a time."""
SLOWDOWN = 4.0
"""How many times its own time a text may be delayed by other texts, whatever its length, before it is refused."""
GUESS_S = 0.0002
"""Seconds that the network takes for a token, assumed until they are measured."""
GUESS_TOKENS = 0.3
"""Tokens per character, assumed until they are measured."""


class Network(Protocol):
    """Runs rows.

    `provider`: the execution provider, shown on the status page. `budget`: number of tokens that a worker hands over at
    once; a single longer row is allowed. `workers`: number of threads that may call `run` at the same time.
    """

    provider: str
    budget: int
    workers: int

    def run(self, rows: Sequence[Row]) -> list[list[float]]:
        """Returns the logits of each row (special tokens included), and behind them those of its exit, if the network has one.
        They depend on that row alone. The logits are NaN where the run of a `StoppableRow` stopped at the exit."""
        ...

    def close(self) -> None:
        """Releases its resources. `run` is not called afterwards."""
        ...


class ScoringJob(Protocol):
    """The texts of one request. Only one worker at a time calls its methods, except for `is_dropped`."""

    def is_dropped(self) -> bool:
        """Whether the caller no longer waits."""
        ...

    @property
    def ready(self) -> bool:
        """Whether `prepare` has returned all rows."""
        ...

    def prepare(self) -> deque[Row]:
        """Returns the rows of the next text."""
        ...

    def has_scores(self, row: Row) -> bool:
        """Whether the row has its scores already, so that it need not run."""
        ...

    def set_logits(self, row: Row, logits: Sequence[float]) -> None:
        """Stores the result of a row."""
        ...

    def end(self) -> None:
        """Tells the job that all its rows have run. May be called twice."""
        ...

    def fail(self, error: Exception) -> None:
        """Ends the job with an error."""
        ...


class _Waiting:
    """A job in the queue, and its rows that are prepared but in no batch yet.

    The job is over when no worker is reading it, all its rows were put into batches, and all of them have run.
    """

    __slots__ = ("chars", "job", "left", "rows", "since", "taken", "tokens")

    def __init__(self, job: ScoringJob, chars: int, now: float) -> None:
        self.job = job
        self.chars = chars
        self.since: float | None = now
        self.rows: deque[Row] = deque()
        self.left = 0  # rows in batches that have not finished
        self.tokens = 0  # tokens of all rows put into batches
        self.taken = False  # whether a worker is reading the job


class Batcher:
    """Queues jobs for the worker threads of a network.

    `limit`: number of jobs that may wait. `wait_s`: the longest expected wait of a new job (see the method); a job
    that would wait longer is refused at once. The threads end when `close` is called.
    """

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
        self._seconds = Ratio(GUESS_S, 50)  # seconds per token
        self._tokens = Ratio(GUESS_TOKENS, 100)  # tokens per character
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
        """Queues a job of `chars` characters. Raises `QueueFull`."""
        with self._ready:
            if self._closed:
                raise QueueFull("the model was stopped", Shortage.GONE)
            # To look for dropped jobs takes a step for each job, so this is done only where it decides.
            if self._is_full(chars):
                self._forget_dropped()
            if self._is_full(chars):
                self._meters.refused.inc()
                raise QueueFull("too many texts wait for the model")
            waiting = _Waiting(job, chars, self._clock())
            self._unfinished[waiting] = None
            self._queue.append(waiting)
            self._meters.waiting.set(len(self._queue))
            self._ready.notify()

    def wait_s(self, chars: int) -> float:
        """Returns the seconds that other jobs would delay a new job of `chars` characters, less `SLOWDOWN` times the
        new job's own time. A long text shares the network with other texts for longer than a short text, and is not
        refused for that."""
        with self._ready:
            return self._wait(chars)

    def fill(self) -> float:
        """Returns which share of the places for waiting jobs is taken."""
        return len(self._queue) / self._limit

    def own_s(self, chars: int) -> float:
        """Returns the seconds that a job of `chars` characters takes when no other job waits."""
        with self._ready:
            return self._own(chars)

    def _own(self, chars: int) -> float:
        return self._seconds.of(self._tokens.of(chars)) / max(1, self._network.workers)

    def _wait(self, chars: int) -> float:
        # An estimate may be too low, and what a job has left is never less than nothing.
        left = (max(0.0, self._tokens.of(waiting.chars) - waiting.tokens) for waiting in self._unfinished)
        ahead = work_ahead(self._tokens.of(chars), left, max(TURN_TOKENS, self._network.budget))
        delay_s = self._seconds.of(ahead) / max(1, self._network.workers)
        return max(0.0, delay_s - SLOWDOWN * self._own(chars))

    def _is_full(self, chars: int) -> bool:
        return len(self._queue) >= self._limit or self._wait(chars) > self._wait_s

    def _forget_dropped(self) -> None:
        """Removes jobs whose callers no longer wait, so that they take no place in the queue."""
        gone = [waiting for waiting in self._queue if waiting.job.is_dropped()]
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
        # Outside of the lock, as in `_settle`.
        for waiting in left:
            waiting.job.fail(QueueFull("the model was stopped", Shortage.GONE))

    def _work(self) -> None:
        while self._step():
            pass
        with self._ready:
            self._working -= 1
            last = not self._working
        # Not before: the other workers may still run rows.
        if last:
            self._network.close()

    def _step(self) -> bool:
        """Runs one batch, or waits for jobs; false when the batcher is closed. Holds no job while it waits: a job
        references its scorer, which could then never be collected."""
        batch = self._take()
        if not batch:
            return False
        # Two jobs may have the same row, which runs once.
        rows = list(dict.fromkeys(row for _, row in batch))
        began = self._clock()
        try:
            logits = dict(zip(rows, self._network.run(rows), strict=True))
            took = self._clock() - began
            self._meters.observe_batch(len(rows), took)
            with self._ready:
                self._seconds.add(sum(map(len, rows)), took)
            for waiting, row in batch:
                waiting.job.set_logits(row, logits[row])
                self._settle(waiting, ran=1)
        except Exception as error:  # every error of a provider must reach the callers that wait
            for waiting, _ in batch:
                waiting.job.fail(error)
                self._leave(waiting)
        return True

    def _take(self) -> list[tuple[_Waiting, Row]]:
        """Returns the rows to run next with the jobs they belong to; empty when the batcher is closed."""
        batch: list[tuple[_Waiting, Row]] = []
        tokens = 0
        waiting: _Waiting | None
        while tokens < self._network.budget:
            # Without this, the thread would hold the job of the last turn while it waits (see `_step`).
            waiting = None
            waiting = self._next(block=not batch)
            if waiting is None:
                break
            if waiting.job.is_dropped():
                self._meters.dropped.inc()
                self._leave(waiting)
                continue
            try:
                # One text at a time: a text without rows, such as one that the first stage clears, takes time too.
                if not waiting.rows and not waiting.job.ready:
                    waiting.rows = waiting.job.prepare()
            except Exception as error:  # as above
                waiting.job.fail(error)
                self._leave(waiting)
                continue
            with self._ready:  # count the rows before another thread can conclude that the job is over
                while waiting.rows and tokens < self._network.budget:
                    row = waiting.rows.popleft()
                    if not waiting.job.has_scores(row):
                        batch.append((waiting, row))
                        waiting.left += 1
                        waiting.tokens += len(row)
                        tokens += len(row)
                waiting.taken = False
                # To the end of the queue: a long text takes turns with the others, and delays each by one turn.
                if waiting.rows or not waiting.job.ready:
                    self._queue.append(waiting)
                    self._ready.notify()
            self._settle(waiting)
        return batch

    def _next(self, block: bool) -> _Waiting | None:
        """Returns the job whose turn it is; `None` if the queue is empty, which with `block` means that it is
        closed."""
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
                self._tokens.add(waiting.chars, waiting.tokens)
        # Outside of the lock, as it runs code of the caller.
        if over:
            waiting.job.end()


class Queued:
    """A model that works behind a queue. Whoever decides whether new texts are taken asks it for its waits."""

    _batcher: Batcher

    def wait_s(self, chars: int) -> float:
        """Returns the seconds that new texts of `chars` characters would wait; see `Batcher.wait_s`."""
        return self._batcher.wait_s(chars)

    def fill(self) -> float:
        """Returns which share of its queue is taken; see `Batcher.fill`."""
        return self._batcher.fill()

    def own_s(self, chars: int) -> float:
        """Returns the seconds that the model takes for texts of `chars` characters, by its measured speed."""
        return self._batcher.own_s(chars)
