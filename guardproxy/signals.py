"""Handles SIGTERM, SIGINT and SIGHUP from the first moment of the process to its last.

`install` comes before every import that takes time, so this module imports nothing that does. Until a server serves, SIGTERM
and SIGINT end the process at once with exit code 0: no exchange is under way. SIGHUP is remembered; the server reloads once
it serves. While a server serves, `serving` decides. Afterwards the signals do nothing, because the process is ending.

The handlers stay the same for the whole life of the process. An event loop that installs its own restores the default, which
kills, when it closes.
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
    reload_asked = False


def install() -> None:
    """Takes over the signals. May be called again, as after a fork."""
    _State.stop = _State.reload = None
    _State.reload_asked = False
    for number in ALL:
        signal.signal(number, _received)


def _received(number: int, _: object) -> None:
    if number in ENDING:
        if _State.stop is None:
            os._exit(0)
        _State.stop()
    elif _State.reload is None:
        _State.reload_asked = True
    else:
        _State.reload()


@contextmanager
def serving(stop: Callable[[], None], reload: Callable[[], None]) -> Iterator[None]:
    """Calls `stop` and `reload` for the signals, in the main thread and between any two instructions of it. A SIGHUP that
    came before is caught up with."""
    for number in ALL:
        if signal.getsignal(number) is not _received:
            signal.signal(number, _received)
    _State.reload, _State.stop = reload, stop
    if _State.reload_asked:
        _State.reload_asked = False
        reload()
    try:
        yield
    finally:
        _State.reload = _State.stop = _nothing


def _nothing() -> None:
    pass
