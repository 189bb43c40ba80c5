"""Reads parts of logs into columns, in this process or on all cores.

In: a part of a file, and the number of the file. Out: lines of JSON for the tables of the index, and where the part ends.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec

from guardproxy.console.index.columns import columns_of
from guardproxy.engine import AnyPath

LIMIT_LINE_BYTES = 1 << 28
"""A longer line is no line of a log, and is not kept in memory."""
PART_BYTES = 1 << 22


@dataclass(frozen=True, slots=True)
class LogPart:
    """The lines of a file that begin at a byte from `start` up to `end`. `start` is the begin of the first line, or a line
    begins before it. `file`: the number of the file in the index; `begins`: whether a line begins at `start`."""

    file: int
    path: AnyPath
    start: int
    end: int
    begins: bool

    def __str__(self) -> str:
        return f"{self.path}, bytes {self.start} to {self.end}"


@dataclass(frozen=True, slots=True)
class PartColumns:
    """What a part holds. `rows`, `findings`, `later`: lines of JSON for the tables; `end`: the end of its last whole line;
    `last_start`: where this line begins, -1 without one; `count`: the rows; `unread`: lines that are no lines of a log;
    `erased`: ids of data keys that were destroyed."""

    part: LogPart
    rows: bytes
    findings: bytes
    later: bytes
    end: int
    last_start: int
    count: int
    unread: int
    erased: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ColumnsWork:
    """Reads parts. See `Work` of the engine."""

    uses_models: bool = False

    @contextmanager
    def open(self) -> Iterator[Callable[[LogPart], PartColumns]]:
        """See `Work.open`. A process that only reads leaves the processor to the proxy."""
        if multiprocessing.parent_process() is not None:
            os.nice(10)
        yield read_part


def read_part(part: LogPart) -> PartColumns:
    """Returns the columns of a part. Raises `OSError`."""
    encode = msgspec.json.Encoder().encode
    rows: list[bytes] = []
    findings: list[bytes] = []
    later: list[bytes] = []
    erased: list[str] = []
    unread, end, last_start = 0, part.start, -1
    for start, line in _lines(part):
        end, last_start = start + len(line), start
        found = columns_of(line, part.file, start) if len(line) <= LIMIT_LINE_BYTES else None
        if found is None:
            unread += 1
            continue
        if found.row is not None:
            rows.append(encode(found.row))
            findings += map(encode, found.findings)
        if found.later is not None:
            later.append(encode(found.later))
        erased += found.erased
    return PartColumns(
        part=part,
        rows=_joined(rows),
        findings=_joined(findings),
        later=_joined(later),
        end=end,
        last_start=last_start,
        count=len(rows),
        unread=unread,
        erased=tuple(erased),
    )


def _joined(lines: list[bytes]) -> bytes:
    return b"\n".join([*lines, b""]) if lines else b""


def _lines(part: LogPart) -> Iterator[tuple[int, bytes]]:
    """Yields the whole lines that begin in the part, each with its first byte. A torn line at the end is left for later."""
    with part.path.open("rb") as file:
        at = part.start
        if not part.begins:
            # The byte before the part tells whether a line begins with the part.
            file.seek(at - 1)
            rest = file.readline(part.end - at + 1)
            at += len(rest) - 1
            if not rest.endswith(b"\n"):
                return
        else:
            file.seek(at)
        while at < part.end and (line := file.readline(LIMIT_LINE_BYTES + 1)).endswith(b"\n"):
            yield at, line
            at += len(line)
