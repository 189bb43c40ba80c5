"""`guardproxy audit tail`: prints the entries of the log while they arrive.

In: a folder with logs. Out: the newest entries, then each further entry; exit code 0: it was stopped, 2: wrong use. Reads
only, so it works while the proxy writes. Of the logs that are there, only the ends are read; new files are read from their
start. A line that is not whole yet is read later, and lines that are known not to be confirmed are left out.
"""

from __future__ import annotations

import heapq
import signal
from collections.abc import Callable
from itertools import count
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from guardproxy.cli.audit.arguments import Folder
from guardproxy.cli.audit.show import COLUMNS, row_of
from guardproxy.cli.printing import complain, fail, in_cell, say, say_json
from guardproxy.errors import RecordError

if TYPE_CHECKING:
    from guardproxy.audit import AnyEntry
    from guardproxy.audit.shipping import Batch

LIMIT_WAITING = 1000


class _Arrived(NamedTuple):
    """An entry, ordered by its time and then by its arrival."""

    at: float
    number: int
    line: bytes
    entry: AnyEntry


class PrintedRows:
    """Prints entries, sorted by time within each look at the logs. An exchange is printed when it has ended. A target of
    `Shipper`. `last`: how many of the entries of the first look are printed; `None` after it. `warn`: gets what cannot be
    read."""

    def __init__(self, last: int, *, as_json: bool, warn: Callable[[str], None]) -> None:
        self.last: int | None = last
        self._as_json = as_json
        self._warn = warn
        self._waiting: list[_Arrived] = []
        self._number = count()
        self._widths = [0] * len(COLUMNS)

    def send(self, batch: Batch) -> None:
        """Takes lines of a log."""
        from guardproxy.audit import Intent, entry_of, open_line  # noqa: PLC0415

        if self.last == 0:
            return
        for line in batch.data.splitlines(keepends=True):
            members = open_line(line) or {}
            if "seq" not in members:
                continue
            try:
                entry = entry_of(members)
            except RecordError as error:
                self._warn(f"record {members['seq']} of log {batch.log}: {error}")
                continue
            if not isinstance(entry, Intent):
                self._take(_Arrived(entry.at, next(self._number), line, entry))

    def _take(self, arrived: _Arrived) -> None:
        if self.last is None:
            self._waiting.append(arrived)
            if len(self._waiting) >= LIMIT_WAITING:
                self.flush()
        elif len(self._waiting) < self.last:
            heapq.heappush(self._waiting, arrived)
        else:
            heapq.heappushpop(self._waiting, arrived)

    def flush(self) -> None:
        """Prints what has arrived. Ends the first look at the logs."""
        from guardproxy.audit import open_line  # noqa: PLC0415

        arrived, self._waiting = sorted(self._waiting), []
        self.last = None
        for _, _, line, entry in arrived:
            if self._as_json:
                say_json(open_line(line))
            else:
                if not any(self._widths):
                    self._print(COLUMNS)
                self._print(row_of(entry))

    def close(self) -> None:
        """Does nothing: there is no connection."""

    def _print(self, row: tuple[str, ...]) -> None:
        cells = list(map(in_cell, row))
        self._widths = [max(width, len(cell)) for width, cell in zip(self._widths, cells, strict=True)]
        say("  ".join(cell.ljust(width) for cell, width in zip(cells, self._widths, strict=True)).rstrip())


def follow(
    folder: Path, rows: PrintedRows, wait: Callable[[float], bool], poll_s: float, warn: Callable[[str], None]
) -> None:
    """Prints what the logs of a folder hold and get, until `wait` returns true. `wait`: waits for that many seconds, and
    returns whether to end. `warn`: gets each failure to read, once until the next success."""
    from guardproxy.audit.shipping import Shipper  # noqa: PLC0415

    shipper = Shipper(folder, rows)
    shipper.skip(rows.last or 0)
    trouble = ""
    is_over = False
    while not is_over:
        try:
            shipper.ship()
            trouble = ""
        except BrokenPipeError:  # whoever read the rows has gone
            raise
        except OSError as error:
            # Once for each fault: a disk that is away would otherwise fill the terminal.
            if str(error) != trouble:
                trouble = str(error)
                warn(trouble)
        rows.flush()
        is_over = wait(poll_s)


def tail(
    folder: Folder,
    last: Annotated[int, typer.Option("--last", "-n", min=0, help="How many of the newest entries come first.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print the entries as in the log.")] = False,
    poll_s: Annotated[float, typer.Option(min=0.05, help="Seconds between two looks at the logs.")] = 0.5,
) -> None:
    """Follow the log: print the newest entries, then each further entry, until it is stopped.

    The columns are those of `show`. An exchange comes when it has ended. New files and files of new workers are followed.
    """
    if not folder.is_dir():
        fail(f"{folder}: no such folder")
    over = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: over.set())
    follow(folder, PrintedRows(last, as_json=as_json, warn=complain), over.wait, poll_s, complain)
