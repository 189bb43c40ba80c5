"""Stop points: places in a check's long loops where a scan can be cancelled or can let other scans run.

A check calls `stop_point()` for each piece of work that takes a few hundred microseconds (a pattern over a block of
text, a few thousand characters, a few dozen findings). The code that runs the scan installs a function with
`stoppable`, which `stop_point` calls. The function returns when the scan may continue. It raises `ScanStopped` when
the result is no longer needed. Without such a function `stop_point` does nothing, so a check can be called from
anywhere.

`ScanStopped` is not an `Exception`, so that a check that handles errors of its parts does not catch it by accident.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Pause = Callable[[], None]
_pause: ContextVar[Pause | None] = ContextVar("pause", default=None)


class ScanStopped(BaseException):
    """The result of this scan is no longer needed. A check must not catch it."""


def stop_point() -> None:
    """Lets other scans run if it is their turn. Raises `ScanStopped` if this scan was cancelled."""
    if (pause := _pause.get()) is not None:
        pause()


@contextmanager
def stoppable(pause: Pause) -> Iterator[None]:
    """Calls `pause` at every stop point of the scans inside the block, in this thread or task."""
    token = _pause.set(pause)
    try:
        yield
    finally:
        _pause.reset(token)
