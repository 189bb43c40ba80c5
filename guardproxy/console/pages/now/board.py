"""What the page Now shows at a moment, shared by all who look at it.

In: the index, what the workers say of themselves, a clock. Out: a `BoardView` for a chosen time. Kept: a view for a moment, so
that many open pages cost as much as one; messages of errors from the log; and how much counts have grown lately.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from guardproxy.console.drift_watch import DriftState, DriftWatch
from guardproxy.console.index import Filter, Index, Row
from guardproxy.console.pages.now.causes import Cause, CountHistory, LogState, causes_of
from guardproxy.console.pages.now.first_request import first_request
from guardproxy.console.pages.now.numbers import (
    WINDOWS,
    Figure,
    WindowNumbers,
    checkpoint_of,
    figures_of,
    read_errors,
    read_window,
)
from guardproxy.console.pages.now.refusals import LIMIT_READ, RefusalLine, grouped, newest, refusal_of
from guardproxy.console.proxy_client import ProxyError
from guardproxy.console.proxy_status import Statuses, first_status, read_statuses
from guardproxy.errors import QueryError

if TYPE_CHECKING:
    from guardproxy.console.contract import Console

KEPT_S = 1.5  # a view
REST = 20
"""A view is kept at least this many times as long as it took to make, so that a large log does not keep a core busy."""
LIMIT_MESSAGES = 2000
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class BoardView:
    """What the page shows. `total`: all exchanges of the log; with 0, `command` says how to send the first. `read_until`: the
    time of the newest exchange that was read, with its hash checked. `signed_until`: until when all logs have signed
    checkpoints; 0 without them."""

    at: float
    window: str
    causes: tuple[Cause, ...]
    figures: tuple[Figure, ...]
    refusals: tuple[RefusalLine, ...]
    total: int
    command: str
    read_until: float | None
    signed_until: float
    engine: str
    policies: str
    drift: DriftState


@dataclass(frozen=True, slots=True)
class IndexReading:
    """What is read of the index at once. `problem`: why it cannot be read."""

    numbers: WindowNumbers | None
    errors: tuple[tuple[str, int], ...] = ()
    rows: tuple[Row, ...] = ()
    total: int = 0
    newest_s: float | None = None
    log: LogState = field(default_factory=LogState)


class NowBoard:
    """Makes views. `unix_s`, `clock`: return Unix time, and the time of a monotonic clock, in seconds."""

    def __init__(
        self,
        console: Console,
        drift: DriftWatch,
        unix_s: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console
        self._drift = drift
        self._unix_s = unix_s
        self._clock = clock
        self._history = CountHistory()
        self._messages: OrderedDict[str, str] = OrderedDict()
        self._kept: dict[str, tuple[float, BoardView]] = {}
        self._turns = {window: asyncio.Lock() for window in WINDOWS}
        self.streams = 0

    async def view(self, window: str) -> BoardView:
        """Returns the view of a time of `WINDOWS`."""
        async with self._turns[window]:
            kept = self._kept.get(window)
            if kept is None or kept[0] <= self._clock():
                begun_s = self._clock()
                view = await self._made(window)
                now_s = self._clock()
                self._kept[window] = kept = now_s + max(KEPT_S, REST * (now_s - begun_s)), view
            return kept[1]

    async def _made(self, window: str) -> BoardView:
        config, now_s, length_s = self._console.config, self._unix_s(), WINDOWS[window][1]
        statuses = await self._statuses()
        if statuses:
            self._history.add(self._clock(), statuses)
        reading = await self._console.run(self._read, now_s, length_s)
        status = first_status(statuses or {})
        drift = self._drift.state()
        return BoardView(
            at=now_s,
            window=window,
            causes=causes_of(statuses, reading.errors, self._history.grown(), reading.log, drift.shifted, config),
            figures=figures_of(reading.numbers, statuses or {}, config, length_s) if reading.numbers else (),
            refusals=tuple(grouped(refusal_of(row, status, self._message) for row in reading.rows)),
            total=reading.total,
            command="" if reading.total else first_request(status.url, config),
            read_until=reading.newest_s,
            signed_until=checkpoint_of(statuses or {}),
            engine=status.engine,
            policies=status.policies,
            drift=drift,
        )

    async def _statuses(self) -> Statuses | None:
        try:
            return read_statuses(await self._console.proxy.get("/all/status"))
        except ProxyError:
            return None

    def _read(self, now_s: float, length_s: float) -> IndexReading:
        """Reads the index, in a thread."""
        index = self._console.index
        progress = index.progress
        try:
            total, last = index.count(Filter()), _latest(index, None, 1, now_s)
            changed = index.progress.broken + index.progress.unread
            rows = newest(_latest(index, group, LIMIT_READ, now_s) for group in ("blocked", "refused"))
            for row in rows:
                self._note_message(index, row)
            numbers = read_window(index, now_s, length_s)
            errors = tuple(read_errors(index, now_s))
        except QueryError as error:
            return IndexReading(None, log=LogState(problem=str(error)))
        behind = 0 if progress.is_complete else max(0, progress.total_bytes - progress.done_bytes)
        log = LogState(progress.problem, changed, behind)
        return IndexReading(numbers, errors, tuple(rows), total, last[0].at if last else None, log)

    def _message(self, exchange: str) -> str:
        return self._messages.get(exchange, "")

    def _note_message(self, index: Index, row: Row) -> None:
        """Notes the message of the error of an exchange. It is read from the log once."""
        if row.id in self._messages:
            return
        message = ""
        if row.error:
            found = index.find(row.id)
            error = found.record.error if found and found.state == "intact" and found.record else None
            message = error.message if error else ""
        self._messages[row.id] = message
        while len(self._messages) > LIMIT_MESSAGES:
            self._messages.popitem(last=False)


def _latest(index: Index, outcome: str | None, limit: int, now_s: float) -> Sequence[Row]:
    """Returns the newest exchanges that ended so: of the last day if they are enough, since a short time is found at once."""
    rows = index.rows(Filter(outcome=outcome, since=now_s - DAY_S), limit).rows
    return rows if len(rows) == limit else index.rows(Filter(outcome=outcome), limit).rows
