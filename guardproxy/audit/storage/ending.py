"""Reads the end of a file of lines, and not the rest.

In: a function that reads bytes, or a path. Out: whole lines at the end.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

REACH_BYTES = 1 << 16

Read = Callable[[int, int], bytes]
"""Reads bytes of a file. In: a number of bytes, an offset."""


def whole_lines_end(read: Read, size_bytes: int, reach_bytes: int = REACH_BYTES) -> int:
    """Returns the offset after the last newline of a file of `size_bytes`. `reach_bytes`: how much is read at once."""
    end = size_bytes
    while end > 0:
        start = max(0, end - reach_bytes)
        at = read(end - start, start).rfind(b"\n")
        if at >= 0:
            return start + at + 1
        end = start
    return 0


def last_lines(read: Read, end: int, reach_bytes: int = REACH_BYTES) -> tuple[int, bytes]:
    """Returns the last whole lines before `end`, at least one line, and the offset of the first. `end`: after a newline.
    `reach_bytes`: how much is read, if that holds a whole line."""
    while True:
        start = max(0, end - reach_bytes)
        data = read(end - start, start)
        skip = data.find(b"\n") + 1 if start else 0
        if start == 0 or skip < len(data):
            return start + skip, data[skip:]
        reach_bytes *= 2


def last_line(path: Path) -> bytes:
    """Returns the last whole line of a file; empty if there is none. Raises `OSError`."""
    with path.open("rb") as file:
        read = partial(os.pread, file.fileno())
        end = whole_lines_end(read, os.fstat(file.fileno()).st_size)
        _, data = last_lines(read, end)
    return data[data.rfind(b"\n", 0, -1) + 1 :]
