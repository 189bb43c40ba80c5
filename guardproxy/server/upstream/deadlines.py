"""The time limits of one exchange, one inside the other, with a single timer for all of them.

In: limits in seconds, each around an `await`. Out: `TimeoutError` in the task whose limit is over, as `asyncio.timeout` does.
Kept: the limits that are under way, and a timer.

A timer that fires before any limit is over is set again to the next limit. So a limit that is met, as nearly every limit is,
sets and cancels no timer of its own.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

MOST_S = 1e8  # a loop cannot wait for ever


class Deadlines:
    """The limits of one exchange. `task`: the task of the exchange, if it is known; `look_s`: the seconds after which the
    first timer fires at the latest, so that no later limit of this length or more needs a timer of its own. `close` ends the
    timer."""

    __slots__ = ("_limits", "_look_s", "_loop", "_own", "_timer", "_timer_s")

    def __init__(self, task: asyncio.Task[object] | None = None, look_s: float = MOST_S) -> None:
        self._loop = asyncio.get_running_loop()
        self._own = task
        self._look_s = look_s
        self._limits: list[_Limit] = []
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = 0.0

    def within(self, limit_s: float, task: asyncio.Task[object] | None = None) -> _Limit:
        """A context in which `task` gets a `TimeoutError` after `limit_s`: by default the task of the exchange, or the
        current task."""
        running = task or self._own or asyncio.current_task()
        assert running is not None  # noqa: S101 - exchanges run in tasks
        return _Limit(self, running, self._loop.time() + (limit_s if limit_s < MOST_S else MOST_S))

    def close(self) -> None:
        """Cancels the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _begin(self, limit: _Limit) -> None:
        """Sets the timer for a limit that begins, if it fires too late or not at all."""
        if self._timer is None:
            self._set(min(limit.end_s, self._loop.time() + self._look_s))
        else:
            self.close()
            self._set(limit.end_s)

    def _set(self, at_s: float) -> None:
        self._timer_s = at_s
        self._timer = self._loop.call_at(at_s, self._fire)

    def _fire(self) -> None:
        self._timer = None
        waiting = [limit for limit in self._limits if not limit.is_over]
        if not waiting:
            return
        first = min(waiting, key=_end_of)
        if first.end_s <= max(self._timer_s, self._loop.time()):
            first.give_up()
            waiting.remove(first)
        if waiting:
            self._set(min(map(_end_of, waiting)))


class _Limit:
    """One limit, as a context. `end_s`: its end, on the clock of the loop; `is_over`: whether it ended."""

    __slots__ = ("_cancelling", "_deadlines", "_task", "end_s", "is_over")

    def __init__(self, deadlines: Deadlines, task: asyncio.Task[object], end_s: float) -> None:
        self._deadlines = deadlines
        self._task = task
        self._cancelling = 0
        self.end_s = end_s
        self.is_over = False

    def give_up(self) -> None:
        """Cancels what the task waits for."""
        self.is_over = True
        self._task.cancel()

    def __enter__(self) -> None:
        self._cancelling = self._task.cancelling()
        deadlines = self._deadlines
        deadlines._limits.append(self)
        if deadlines._timer is None or self.end_s < deadlines._timer_s:
            deadlines._begin(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._deadlines._limits.remove(self)
        if self.is_over and self._task.uncancel() <= self._cancelling and isinstance(error, asyncio.CancelledError):
            raise TimeoutError from error


def _end_of(limit: _Limit) -> float:
    return limit.end_s
