"""Handles SIGTERM, SIGINT and SIGHUP from the start of the process to its end.

`install` runs before every slow import, so this module imports nothing slow. Until the server serves, SIGTERM and
SIGINT end the process at once with exit code 0, because no exchange is open. SIGHUP is remembered; the server reloads
once it serves. While the server serves, the functions given to `serving` are called. Afterwards the signals do
nothing, because the process is ending.

The handlers never change. If an event loop installed its own, it would restore the default, which kills the process,
when it closes.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ENDING = (signal.SIGTERM, signal.SIGINT)
ALL = (*ENDING, *((signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()))


class _State:
    stop: Callable[[], None] | None = None
    reload: Callable[[], None] | None = None
    is_reload_pending = False


def install() -> None:
    """Installs the handlers. May be called again, for example after a fork."""
    _State.stop = _State.reload = None
    _State.is_reload_pending = False
    for number in ALL:
        signal.signal(number, _handle)


def _handle(number: int, _: object) -> None:
    if number in ENDING:
        if _State.stop is None:
            os._exit(0)
        _State.stop()
    elif _State.reload is None:
        _State.is_reload_pending = True
    else:
        _State.reload()


@contextmanager
def serving(stop: Callable[[], None], reload: Callable[[], None]) -> Iterator[None]:
    """Opens a context in which signals call `stop` and `reload`, in the main thread between any two instructions. A
    SIGHUP that came before is handled first."""
    for number in ALL:
        if signal.getsignal(number) is not _handle:
            signal.signal(number, _handle)
    _State.reload, _State.stop = reload, stop
    if _State.is_reload_pending:
        _State.is_reload_pending = False
        reload()
    try:
        yield
    finally:
        _State.reload = _State.stop = _nothing


def _nothing() -> None:
    pass
