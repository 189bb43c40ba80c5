"""What a crash of the process shows: the type of the error and the places in the code, no text of an exchange.

In: errors that nothing handles. Out: a line on standard error for each, with the type of the error and of its causes, and the
places. The message of an error may quote what a client or a model wrote, so it is left out. A core file holds all memory of the
process, so none is written.

Decision: docs/decisions/0045-an-unexpected-error-is-shown-without-its-message.md
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any

LIMIT_PLACES = 8
LIMIT_CAUSES = 8
PR_SET_DUMPABLE = 4


def hide_messages() -> None:
    """From now on, unhandled errors of threads and of finalizers are shown without their messages."""

    def in_thread(failed: threading.ExceptHookArgs) -> None:
        if failed.exc_value is not None and not isinstance(failed.exc_value, SystemExit):
            show(failed.exc_value, "in a thread")

    def in_finalizer(failed: Any) -> None:
        if failed.exc_value is not None:
            show(failed.exc_value, "that was ignored")

    threading.excepthook, sys.unraisablehook = in_thread, in_finalizer


def show(error: BaseException, where: str = "") -> None:
    """Writes a line about an unexpected error. `where`: the part of the process that it ended."""
    place = " ".join(places(error.__traceback__)) or "an unknown place"
    with suppress(OSError, ValueError, AttributeError):  # standard error may be closed
        sys.stderr.write(f"guardproxy: unexpected error{where and ' ' + where}: {kinds(error)} (at {place})\n")
        sys.stderr.flush()


def refuse_core_files() -> None:
    """From now on, a crash of this process or of a process that it forks writes no core file. On Linux other processes of
    the same user cannot read its memory either."""
    with suppress(ImportError, OSError, ValueError):
        import resource  # noqa: PLC0415 - Unix only

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - slow, and most commands do not need it

        # A program that the kernel hands core files to gets them whatever the limit is.
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def kinds(error: BaseException) -> str:
    """Returns the type of an error and of its causes: `KeyError < ValueError`."""
    return " < ".join(type(cause).__name__ for cause in _chain(error))


def places(trace: TracebackType | None) -> list[str]:
    """Returns the last places of a traceback, the innermost last: `driver.py:120`."""
    frames = traceback.extract_tb(trace)[-LIMIT_PLACES:]
    return [f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in frames]


def _chain(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    for _ in range(LIMIT_CAUSES):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
