"""The threads in which checks scan: fair between tenants and scans, stopped when no task waits, bounded in work.

In: functions that scan, each with its tenant and its amount of work. Out: futures of their results. Kept: the scans that wait
or run, and the time that each check takes for a character: measured by a warm-up before the first scan, and by each scan.

At most `threads` scans run at a time. At a stop point (`guardproxy.concurrency.stopping`) a scan that has run for `SLICE_S`
lets the next scan run and waits for its turn. Tenants take turns. Within a tenant, scans that have not begun and scans that
wait for their next slice take turns, so neither a long text nor many short ones keep the others waiting.

A scan whose future is cancelled is dropped, or stops at its next stop point. A scan without stop points, such as that of a
plug-in, keeps its thread until it returns. Another thread takes its place, for at most `MOST_STRAY` such scans.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from threading import Event, Lock
from typing import Any

from prometheus_client import Gauge

from guardproxy.checks import ScanStopped, stoppable
from guardproxy.errors import NoCapacityError, Shortage
from guardproxy.inference import Ratio, work_ahead

SLICE_S = 0.01
"""The time a scan runs before it lets other scans run."""
MOST_BEGUN = 64
"""The maximum number of begun scans, including those that wait for their next slice. Each has a thread."""
MOST_STRAY = 4
SMALL_SHARE = 0.125
"""The share of the allowed wait that a tenant may use even if other tenants have filled the queue."""
SLOWDOWN = 4.0
"""How many times its own time a scan of an answer that has begun may be delayed by others: its upstream was paid."""
GUESS_S = 0.000005
"""The estimate of the time that a check takes for a character, until it is measured. Only for checks that a warm-up may not
call, such as those that ask a remote service."""
_GUESS_CHARS = 10_000
_MOST_MEASURED = 256


@dataclass(frozen=True, slots=True)
class Load:
    """The amount of work of a scan. `what`: identifies the code whose speed matters; `chars`: the characters of its text."""

    what: str = ""
    chars: int = 0


class _Work:
    """A scan. `estimate_s`: its estimated time. `busy_s`: the time that it has run so far, in all its slices."""

    __slots__ = (
        *(
            "began_s",
            "begun",
            "busy_s",
            "estimate_s",
            "future",
            "given_up",
            "holds",
            "load",
            "request",
            "run",
            "tenant",
        ),
        "turn",
    )

    def __init__(self, run: Callable[[], Any], tenant: str, load: Load, request: object, estimate_s: float) -> None:
        self.run = run
        self.tenant = tenant
        self.load = load
        self.request = request
        self.estimate_s = estimate_s
        self.future: Future[Any] = Future()
        self.busy_s = 0.0
        self.began_s = 0.0  # the start of its slice
        self.begun = False
        self.holds = False  # whether it holds one of the places for running scans
        self.given_up = False
        self.turn = Event()

    @property
    def left_s(self) -> float:
        return max(0.0, self.estimate_s - self.busy_s)


class _TenantQueue:
    """The scans of one tenant that wait for a turn."""

    __slots__ = ("_fresh_next", "fresh", "paused")

    def __init__(self) -> None:
        self.fresh: deque[_Work] = deque()
        self.paused: deque[_Work] = deque()
        self._fresh_next = True

    def __bool__(self) -> bool:
        return bool(self.fresh or self.paused)

    def pause(self, work: _Work) -> None:
        """Puts back a scan after its slice. If it is the only paused scan, a scan that has not begun comes first."""
        self._fresh_next = self._fresh_next or not self.paused
        self.paused.append(work)

    def next(self, may_begin: bool) -> _Work | None:
        """Takes out the scan whose turn it is. `may_begin`: whether a scan that has not begun may be taken."""
        fresh = self.fresh if may_begin else None
        # In turns: new scans must not starve those that have begun, nor the other way round.
        queue = (fresh or self.paused) if self._fresh_next else (self.paused or fresh)
        if not queue:
            return None
        self._fresh_next = queue is self.paused
        return queue.popleft()


class ScanThreads:
    """Runs scans in threads. `threads`: the number of scans that run at a time. `wait_s`: a new scan that would wait longer
    for its turn, by estimate, is refused at once."""

    def __init__(
        self,
        threads: int,
        wait_s: float = 2.0,
        clock: Callable[[], float] = time.perf_counter,
        waiting: Gauge | None = None,
    ) -> None:
        self._threads = max(1, threads)
        self._wait_s = wait_s
        self._clock = clock
        self._waiting = waiting
        self._pool = ThreadPoolExecutor(self._threads + MOST_BEGUN + MOST_STRAY, "scan")
        self._lock = Lock()
        self._queues: OrderedDict[str, _TenantQueue] = OrderedDict()
        self._works: dict[str, dict[_Work, None]] = {}  # by tenant: all scans that are not over
        self._seconds: OrderedDict[str, Ratio] = OrderedDict()  # seconds for a character, by code
        self._free = self._threads
        self._begun = 0
        self._stray = 0
        self._closed = False

    def submit(
        self,
        run: Callable[[], Any],
        tenant: str = "",
        load: Load = Load(),
        *,
        urgent: bool = False,
        request: object = None,
    ) -> Future[Any]:
        """Runs a scan when its turn comes. `urgent`: whether it belongs to an answer that has begun; such a scan may wait
        twice as long, and up to `SLOWDOWN` times its own time, before it is refused. `request`: an object that all scans of
        one request share; they do not count as a queue for each other. Raises `NoCapacityError`."""
        with self._lock:
            work = _Work(run, tenant, load, request or object(), self._ratio(load.what).of(load.chars))
            if self._closed:
                raise NoCapacityError(Shortage.GONE, "the proxy is shutting down")
            self._admit(work, urgent)
            self._works.setdefault(tenant, {})[work] = None
            self._queues.setdefault(tenant, _TenantQueue()).fresh.append(work)
            self._note()
            self._dispatch()
        # Outside of the lock: a future that is cancelled by now calls back at once, and `_done` takes the lock.
        work.future.add_done_callback(partial(self._done, work))
        return work.future

    def wait_s(self) -> float:
        """Returns how long a short new scan would wait, by estimate."""
        with self._lock:
            left = (work.left_s for works in self._works.values() for work in works)
            return work_ahead(SLICE_S, left, SLICE_S) / self._threads

    def measured(self, what: str) -> bool:
        """Whether the speed of a code is known (see `Load`)."""
        with self._lock:
            return what in self._seconds

    def measure(self, load: Load, seconds: float) -> None:
        """Takes the time of a warm-up as the first estimate for its code."""
        with self._lock:
            if load.what not in self._seconds and load.chars:
                self._seconds[load.what] = Ratio(seconds / load.chars, _GUESS_CHARS)

    def _ratio(self, what: str) -> Ratio:
        if what not in self._seconds:
            self._seconds[what] = Ratio(GUESS_S, _GUESS_CHARS)
        self._seconds.move_to_end(what)
        while len(self._seconds) > _MOST_MEASURED:
            self._seconds.popitem(last=False)
        return self._seconds[what]

    def _admit(self, work: _Work, urgent: bool) -> None:
        """Raises `NoCapacityError` if the work would wait for too long."""
        own: list[float] = []  # what the tenant's other requests have left
        others: list[float] = []  # the sum of each other tenant
        for tenant, works in self._works.items():
            left = [other.left_s for other in works if other.request is not work.request]
            if tenant == work.tenant:
                own = left
            else:
                others.append(sum(left))
        ahead = work_ahead(work.estimate_s, own, SLICE_S)
        wait_s = (ahead + work_ahead(ahead + work.estimate_s, others, SLICE_S)) / self._threads
        if wait_s <= (max(2 * self._wait_s, SLOWDOWN * work.estimate_s) if urgent else self._wait_s):
            return
        own_s, others_s = sum(own), sum(others)
        if others_s > 0 and own_s <= SMALL_SHARE * self._wait_s * self._threads:
            return  # other tenants have filled the queue
        shortage = Shortage.SHARE if 0 < others_s < own_s else Shortage.FULL
        raise NoCapacityError(shortage, "too much text waits to be scanned")

    def _dispatch(self) -> None:
        """Gives free threads to the scans whose turn it is."""
        while self._free > 0 and (work := self._next()) is not None:
            self._free -= 1
            work.holds = True
            if work.begun:
                work.turn.set()
            else:
                work.begun = True
                self._begun += 1
                self._pool.submit(self._work, work)

    def _next(self) -> _Work | None:
        for tenant in list(self._queues):
            line = self._queues[tenant]
            # A begun scan keeps a thread of the pool until it ends, so no more may begin than there are threads.
            work = line.next(self._begun < self._threads + MOST_BEGUN)
            if line:
                # Every other tenant has a turn before its next scan.
                self._queues.move_to_end(tenant)
            else:
                del self._queues[tenant]
            if work is not None:
                return work
        return None

    def _work(self, work: _Work) -> None:
        """Runs the whole scan, in a thread."""
        result: Any = None
        error: Exception | None = None
        work.began_s = self._clock()
        try:
            with stoppable(partial(self._pause, work)):
                self._pause(work)
                result = work.run()
        except Exception as raised:
            error = raised
        except BaseException as raised:  # every kind of error must reach the waiter, and must not end the thread
            error = RuntimeError(type(raised).__name__)
        with self._lock:
            work.busy_s += self._clock() - work.began_s
            if error is None and not work.given_up:
                self._ratio(work.load.what).add(work.load.chars, work.busy_s)
            self._begun -= 1
            self._leave(work)
            self._dispatch()
        with suppress(InvalidStateError):  # the caller no longer waits for it
            if error is None:
                work.future.set_result(result)
            else:
                work.future.set_exception(error)

    def _pause(self, work: _Work) -> None:
        """Called at each stop point of a scan: lets other scans run, or stops a cancelled scan."""
        if work.given_up:
            raise ScanStopped
        now = self._clock()
        if now - work.began_s < SLICE_S:
            return
        with self._lock:
            work.busy_s += now - work.began_s
            work.began_s = now
            # Without a place there is none to give away, and without a queue nobody to give it to.
            if not work.holds or not self._queues:
                return
            self._queues.setdefault(work.tenant, _TenantQueue()).pause(work)
            self._free += 1
            work.holds = False
            work.turn.clear()
            self._dispatch()
        work.turn.wait()
        work.began_s = self._clock()
        if work.given_up:
            raise ScanStopped

    def _done(self, work: _Work, future: Future[Any]) -> None:
        """Called when the future is done. Gives up the scan if the future was cancelled."""
        if not future.cancelled():
            return
        with self._lock:
            work.given_up = True
            line = self._queues.get(work.tenant)
            if not work.begun:
                if line and work in line.fresh:
                    line.fresh.remove(work)
                    if not line:
                        del self._queues[work.tenant]
                self._leave(work)
            elif work.holds and self._stray < MOST_STRAY:
                work.holds = False  # it stops at its next stop point, but its place is free now
                self._stray += 1
                self._free += 1
                # Nobody waits for it, so it no longer counts when a new scan is admitted.
                work.estimate_s = 0.0
            elif line and work in line.paused:
                line.paused.remove(work)
                if not line:
                    del self._queues[work.tenant]
                work.estimate_s = 0.0
                self._stray += 1
                work.turn.set()  # it stops at once
            self._dispatch()

    def _leave(self, work: _Work) -> None:
        """Removes finished work and frees its place."""
        works = self._works[work.tenant]
        del works[work]
        if not works:
            del self._works[work.tenant]
        if work.holds:
            work.holds = False
            self._free += 1
        elif work.begun:
            self._stray -= 1
        self._note()

    def _note(self) -> None:
        if self._waiting is not None:
            self._waiting.set(sum(len(works) for works in self._works.values()))

    def close(self) -> None:
        """Drops waiting scans and stops running scans."""
        with self._lock:
            self._closed = True
            works = [work for group in self._works.values() for work in group]
        # Outside of the lock, which `_done` takes.
        for work in works:
            work.future.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)
