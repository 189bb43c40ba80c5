"""Writes to the log of what people do, `operator` in the folder of a proxy's logs.

In: the folder and entries. Out: entries on disk. Kept: nothing between two uses, since several programs write to this log: the
commands of `guardproxy audit`, and the console. Each holds it only while it writes, and waits a little for the others.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from guardproxy.audit.record.commands import OPERATOR_LOG
from guardproxy.audit.record.document import LogEntry
from guardproxy.audit.writing.log_file import FileSink
from guardproxy.audit.writing.segment import LogInUseError

TIMEOUT_S = 60.0
TURNS = 50
TURN_S = 0.1


@contextmanager
def operator_log(
    folder: Path, engine: str, pause: Callable[[float], object] = time.sleep
) -> Iterator[Callable[[LogEntry], object]]:
    """Yields a function that returns when an entry is on disk. `engine`: the name and version of the program, for the header of
    a new log; `pause`: waits for so many seconds. Raises `AuditError`, also if another program holds the log for
    `TURNS * TURN_S` seconds."""
    sink = _opened(folder, {"log": secrets.token_hex(8), "engine": engine}, pause)
    try:
        yield lambda entry: sink.append(entry).result(TIMEOUT_S)
    finally:
        sink.close()


def _opened(folder: Path, header: dict[str, str], pause: Callable[[float], object]) -> FileSink:
    """Opens the log, as soon as no other program holds it."""
    for _ in range(TURNS - 1):
        try:
            return FileSink(folder, OPERATOR_LOG, header)
        except LogInUseError:
            pause(TURN_S)
    return FileSink(folder, OPERATOR_LOG, header)
