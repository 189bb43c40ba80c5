"""Decides whether new requests are refused unread, because what waits is too old.

In: requests that begin, are sent and end, how late the loop's clock ticks, and how full the queues for scans are. Out: whether
a request is refused. Kept: the open requests of each sender, and those that were not sent to an upstream yet, with their times.

Beyond the loop's own speed the queue stands in the sockets, where no limit counts it: every request begins, and all of them
share the loop, each slower than the one before. How late the loop ticks is the age of the oldest bytes that it has not read,
and so of the oldest request that has not begun. The age of those that have begun and were not sent shows what waits in
threads: it counts if half of them are older than `age_s`, as a long text takes long without any pressure. While one of the two
is above its limit, or the queues for scans are nearly full, a new request is refused before anything of it is read but its
head.

The work under way goes on, so as much is answered as at the peak: a request that a full queue refuses would have cost half as
much as one that is answered. A sender without an open request is let in, a few in each second, so that one sender does not
shut out the others.

A few open requests never count as pressure: what is late then is another process of the machine.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from itertools import islice

_log = logging.getLogger(__name__)
LEAST_OPEN = 32
BEAT_S = 0.01
LAG_S = 0.05
MOST_LOAD = 0.6  # above it, requests that have begun would fill the queues
CALM_S = 0.02  # of lag, below which requests are taken again
SPARE_PER_S = 20.0  # requests of senders without an open request
SPARE_MOST = 10.0


class Pressure:
    """The pressure on a process. `load`: returns how full the queues for scans are, of 1; `age_s`: see above; `clock`: of the
    times of requests."""

    def __init__(
        self,
        load: Callable[[], float] = lambda: 0.0,
        age_s: float = 1.0,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._age_s = age_s
        self._clock = clock
        self._load = load
        self._open: dict[str, int] = {}
        self._unsent: dict[object, float] = {}  # the oldest first
        self._total = 0
        self._timer: asyncio.TimerHandle | None = None
        self._due_s = 0.0
        self._late_beats = 0
        self._spare = SPARE_MOST
        self.is_high = False
        self.refused = 0

    def begin(self, sender: str, request: object, at_s: float) -> None:
        """Counts a request of a sender, which began at `at_s` of the clock. `request`: stands for it in the further calls."""
        self._unsent[request] = at_s
        self._open[sender] = self._open[sender] + 1 if sender in self._open else 1
        self._total += 1
        if self._timer is None and self._total >= LEAST_OPEN:
            self._next_beat(asyncio.get_running_loop())

    def sent(self, request: object) -> None:
        """Notes that a request was sent to its upstream. May be called again."""
        self._unsent.pop(request, None)

    def end(self, sender: str, request: object) -> None:
        """Uncounts a request."""
        self._unsent.pop(request, None)
        self._total -= 1
        if (left := self._open[sender] - 1) > 0:
            self._open[sender] = left
        else:
            del self._open[sender]
        if self.is_high and self._total < LEAST_OPEN:
            self._set(is_high=False)

    def refuses(self, sender: str) -> bool:
        """Whether a new request of a sender is refused. Counts it then."""
        if not self.is_high:
            return False
        if sender not in self._open and self._spare >= 1:
            self._spare -= 1
            return False
        self.refused += 1
        return True

    def _next_beat(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due_s = loop.time() + BEAT_S
        self._timer = loop.call_at(self._due_s, self._beat, loop)

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if self._total < LEAST_OPEN:
            self._late_beats = 0
            return
        lag_s = loop.time() - self._due_s
        self._late_beats = self._late_beats + 1 if lag_s > (CALM_S if self.is_high else LAG_S) else 0
        self._spare = min(SPARE_MOST, self._spare + SPARE_PER_S * (BEAT_S + lag_s))
        # One late beat may be a short pause. Where the pressure is high already, it is a sign that it lasts.
        is_late = self._late_beats > (0 if self.is_high else 1)
        self._set(is_high=is_late or self._is_old() or self._load() > MOST_LOAD)
        self._next_beat(loop)

    def _is_old(self) -> bool:
        """Whether half of the requests that were not sent are old."""
        if len(self._unsent) < LEAST_OPEN:
            return False
        return self._clock() - next(islice(self._unsent.values(), len(self._unsent) // 2, None)) > self._age_s

    def _set(self, *, is_high: bool) -> None:
        if is_high != self.is_high:
            self.is_high = is_high
            _log.debug("pressure", extra={"is_high": is_high, "open": self._total, "refused": self.refused})

    def close(self) -> None:
        """Ends the beats."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
