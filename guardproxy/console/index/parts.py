"""Reads parts of logs into columns, in this process or on all cores.

In: a part of a file, and the number of the file. Out: lines of JSON for the tables of the index, and where the part ends.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec

from guardproxy.console.index.columns import TABLES, LineColumns, columns_of
from guardproxy.engine import AnyPath

LIMIT_LINE_BYTES = 1 << 28
"""A longer line is no line of a log, and is not kept in memory."""
PART_BYTES = 1 << 22


@dataclass(frozen=True, slots=True)
class LogPart:
    """The lines of a file that begin at a byte from `start` up to `end`. `start` is the begin of the first line, or a line
    begins before it. `file`: the number of the file in the index; `begins`: whether a line begins at `start`; `last`: the
    number of the last record of the file that was confirmed, if a file follows it."""

    file: int
    path: AnyPath
    start: int
    end: int
    begins: bool
    last: int | None = None

    def __str__(self) -> str:
        return f"{self.path}, bytes {self.start} to {self.end}"


@dataclass(slots=True)
class PartChain:
    """The chain of the lines of a part. `first`: the number of the first line and the hash that it names; `None` if lines
    before it cannot be read. `last`: the number and the hash of the last line, likewise. `broken`: lines that are not what
    was written, or that do not follow the line before."""

    first: tuple[int, str] | None = None
    last: tuple[int, str] | None = None
    broken: int = 0
    lines: int = 0

    def take(self, found: LineColumns | None) -> None:
        """Adds the next line; `None` if it cannot be read."""
        if found is not None:
            if self.lines == 0:
                self.first = found.seq, found.prev
            elif self.last is not None and (found.seq, found.prev) != (self.last[0] + 1, self.last[1]):
                self.broken += 1
            self.broken += not found.intact
        self.last = None if found is None else (found.seq, found.hash)
        self.lines += 1


@dataclass(frozen=True, slots=True)
class PartColumns:
    """What a part holds. `tables`: lines of JSON, by the name of the table; `end`: the end of its last whole line;
    `last_start`: where this line begins, -1 without one; `unread`: lines that are no lines of a log."""

    part: LogPart
    tables: Mapping[str, bytes]
    end: int
    last_start: int
    unread: int
    chain: PartChain


@dataclass(frozen=True, slots=True)
class ColumnsWork:
    """Reads parts. See `Work` of the engine."""

    uses_models: bool = False

    @contextmanager
    def open(self) -> Iterator[Callable[[LogPart], PartColumns]]:
        """See `Work.open`. A process that only reads leaves the processor to the proxy."""
        # Only in a process of its own: in this one, the whole console would become slower for good.
        if multiprocessing.parent_process() is not None:
            os.nice(10)
        yield read_part


def read_part(part: LogPart) -> PartColumns:
    """Returns the columns of a part. Raises `OSError`."""
    rows: dict[str, list[Any]] = {name: [] for name in TABLES}
    exchanges, findings, later, erased = (rows[name].append for name in ("exchanges", "findings", "later", "erased"))
    unread, end, last_start = 0, part.start, -1
    chain = PartChain()
    for start, line in _lines(part):
        end, last_start = start + len(line), start
        found = columns_of(line, part.file, start) if len(line) <= LIMIT_LINE_BYTES else None
        if found is None:
            unread += 1
            chain.take(None)
        elif part.last is None or found.seq <= part.last:
            chain.take(found)
            if found.row is not None:
                exchanges(found.row)
            if found.later is not None:
                later(found.later)
            for finding in found.findings:
                findings(finding)
            for key in found.erased:
                erased(key)
    encode = msgspec.json.Encoder().encode_lines
    tables = {name: encode(lines) for name, lines in rows.items() if lines}
    return PartColumns(part=part, tables=tables, end=end, last_start=last_start, unread=unread, chain=chain)


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
