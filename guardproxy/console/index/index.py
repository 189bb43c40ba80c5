"""The index of a log: what pages ask of it.

In: the folder of the log. Out: rows, counts, and lines of the log by their position. Kept: the database, and a thread that
follows the log.

Methods block for some milliseconds, and any thread may call them. The index has no text: a text comes from the line in the
log, which is verified each time that it is read.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from threading import Event, Lock, RLock, Thread
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from guardproxy.audit import AnyEntry, Record, entry_of, open_line, reason
from guardproxy.console.index.columns import FEEDBACK_KIND, HASH_CHARS, START_BITS, leaf_hash, place_of
from guardproxy.console.index.database import COLUMNS, IndexDatabase, is_damage, quoted
from guardproxy.console.index.filters import OUTCOMES, Condition, Cursor, Filter, where
from guardproxy.console.index.following import IndexProgress, LogFollower, transaction
from guardproxy.console.index.notes import ReviewNotes
from guardproxy.console.index.rows import MICRO, LogMention, Neighbours, Row, Rows, Series, Totals
from guardproxy.engine import LocalEngine
from guardproxy.errors import AuditError, QueryError, RecordError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duckdb import DuckDBPyConnection

POLL_S = 0.5
NICE = 10
REST, REST_MOST_S = 40, 2.0
"""After a step the thread rests so many times as long, at most so many seconds: new exchanges cost a small share of a core."""
RETRY_MOST_S = 30.0
LIMIT_ROWS = 1000
LIMIT_GROUPS = 200
LIMIT_REMEMBERED = 128
REMEMBERED_S = 5.0
LARGE_BYTES = 1 << 28
LIMIT_SAMPLE = 10_000
# A client may send feedback about an exchange any number of times, and each line is read and verified for a page.
LIMIT_MENTIONS = 500
_log = logging.getLogger(__name__)

_KEEP = "CASE WHEN seal <> '' AND seal IN (SELECT key FROM erased) THEN 'erased' ELSE keep END"

# The columns that exchanges can be grouped by, and their expressions.
GROUPS: Mapping[str, str] = {
    "rule": "unnest(list_distinct(list_concat(rules, shadow)))",
    "policy": "unnest(policies)",
    "label": "unnest(labels)",
    "tenant": "CASE WHEN tenant_name <> '' THEN tenant_name ELSE tenant END",
    "client": "client",
    "model": "model",
    "upstream": "upstream",
    "route": "route",
    "outcome": "outcome",
    "error": "error",
    "check": "top_check",
    "keep": _KEEP,
    "format": "format",
}
_NAMES = tuple(COLUMNS["exchanges"])
_COLUMNS = ", ".join(quoted(COLUMNS["exchanges"]))
_TOTAL_NAMES = [part.name for part in fields(Totals)]


_Remembered = tuple[float, tuple[int, int] | None, list[tuple[Any, ...]]]
"""When a query was asked, of which version of the index, and its rows."""


@dataclass(frozen=True, slots=True)
class LoggedLine:
    """The line of an exchange in the log, read again. `state`: `intact`; `changed`: it is not the line that was written, as its
    hash says; `gone`: there is no such line any more. `record`: as far as it can be read."""

    row: Row
    state: Literal["intact", "changed", "gone"]
    line: bytes = b""
    record: Record | None = None
    message: str = ""


class Index:
    """The index of the log in `folder`; `None`: there is no log, and every list is empty. `thresholds`: returns the
    thresholds of checks by name, for `Filter.near` and `Row.distance`; only a filter with `near` calls it. `engine`: reads
    large logs; `notes` of reviewers are kept beside it (`notes.py`)."""

    def __init__(
        self,
        folder: Path | None,
        thresholds: Callable[[], Mapping[str, float]] = dict,
        engine: LocalEngine | None = None,
        poll_s: float = POLL_S,
    ) -> None:
        self.folder = folder
        self.notes = ReviewNotes(folder)
        self._thresholds = thresholds
        self._poll_s = poll_s
        self._engine = engine
        self._lock = RLock()
        self._over = Event()
        self._thread: Thread | None = None
        self._database: IndexDatabase | None = None
        self._follower: LogFollower | None = None
        self._problem = ""
        self._is_damaged = False
        self._memory: dict[tuple[str, tuple[object, ...], Condition], _Remembered] = {}
        self._memory_lock = Lock()

    # Following the log.

    @property
    def progress(self) -> IndexProgress:
        """Returns how far the log is in the index."""
        follower = self._follower
        progress = IndexProgress() if follower is None else follower.progress
        return replace(progress, problem=self._problem)

    @property
    def version(self) -> int:
        """Returns a number that grows with each change of the index."""
        follower = self._follower
        return 0 if follower is None else follower.version

    def start(self) -> None:
        """Starts to follow the log in a thread."""
        if self.folder is not None and self._thread is None:
            self._thread = Thread(target=self._run, name="console-index", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Ends the thread and closes the database. May be called again."""
        self._over.set()
        # The thread is joined before the lock is taken, which it holds for the whole of a step.
        if self._thread is not None:
            self._thread.join()
        with self._lock:
            if self._database is not None:
                self._database.close()
            self._database = self._follower = None

    def follow(self) -> bool:
        """Reads what is new in the log, as the thread does. Returns whether anything changed. A failure is kept as the problem
        of `progress`: the index shows what it has."""
        if self.folder is None or self._over.is_set():
            return False
        with self._lock:
            try:
                follower = self._opened(self.folder)
                changed = follower is not None and follower.step()
                if changed:
                    self._drop_notes()
            except Exception as error:
                self._fail(error)
                return False
            self._problem = ""
            return changed

    def _drop_notes(self) -> None:
        """Deletes the notes about exchanges whose keys were destroyed, or that are no longer in the log. A log without any
        exchange is more likely not there at all."""
        if not (names := self.notes.exchanges()) or not self.count(Filter()):
            return
        with self._reading() as cursor:
            if cursor is not None:
                kept = "SELECT id FROM exchanges WHERE id IN {} AND seal NOT IN (SELECT key FROM erased)"
                left = {name for (name,) in _among(cursor, kept, names)}
                self.notes.drop([name for name in names if name not in left])

    def _run(self) -> None:
        """Follows the log until the index is closed. The thread leaves the processor to others where the system can."""
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        wait_s = 0.0
        while not self._over.wait(wait_s):
            began_s = time.monotonic()
            self.follow()
            rest_s = min(REST * (time.monotonic() - began_s), REST_MOST_S)
            wait_s = min(2 * wait_s + self._poll_s, RETRY_MOST_S) if self._problem else max(self._poll_s, rest_s)

    def _opened(self, folder: Path) -> LogFollower | None:
        """Returns the follower with a database that can be used; `None` while there is no folder."""
        database = self._database
        if database is not None and (self._is_damaged or not database.is_in_place):
            _log.warning("console index: it cannot be used any more, and is made again")
            database.close(is_damaged=self._is_damaged)
            self._database = self._follower = database = None
            self._is_damaged = False
        if database is None:
            if not folder.is_dir():
                return None
            self._database = database = IndexDatabase(folder)
            self._follower = LogFollower(folder, database, self._engine or LocalEngine())
        return self._follower

    def _fail(self, error: Exception) -> None:
        """Notes a failure. An index that fails twice, and not for want of space, is made again at the next step."""
        message = reason(error) if isinstance(error, OSError | AuditError) else str(error).split("\n")[0]
        if message != self._problem:
            _log.warning("console index: %s", message)
        # The first time may be a passing fault, such as a disk that was full; making the index again can take minutes.
        elif is_damage(error):
            self._is_damaged = True
        self._problem = message

    @contextmanager
    def _reading(self) -> Iterator[DuckDBPyConnection | None]:
        """Yields a connection; `None` if there is nothing to read yet. Raises `QueryError`."""
        import duckdb  # noqa: PLC0415

        if (database := self._database) is None:
            yield None
            return
        cursor = None
        try:
            cursor = database.cursor()
            yield cursor
        except duckdb.Error as error:
            self._is_damaged |= is_damage(error)
            raise QueryError(f"the index cannot be read: {error}") from None
        finally:
            if cursor is not None:
                cursor.close()

    # Exchanges.

    def rows(self, chosen: Filter, limit: int = 50, before: Cursor | None = None, after: Cursor | None = None) -> Rows:
        """Returns a page of exchanges, newest first: the newest, those older than `before`, or those newer than `after`. Raises
        `QueryError`."""
        limit = max(1, min(limit, LIMIT_ROWS))
        conditions = chosen.conditions(self._least(chosen))
        if before is not None:
            conditions.append(_beyond(before, "<"))
        if after is not None:
            conditions.append(_beyond(after, ">"))
        up = after is not None and before is None
        found = self._page(where(conditions), limit + 1, "ASC" if up else "DESC", self._least(chosen))
        more = len(found) > limit
        page = found[:limit]
        if up:
            page = page[::-1]
        is_at_start = before is None and after is None
        has_newer = more if up else not is_at_start
        has_older = up or more
        return Rows(
            rows=tuple(page),
            older=page[-1].cursor if page and has_older else None,
            newer=page[0].cursor if page and has_newer else None,
        )

    def sample(self, chosen: Filter, limit: int, seed: int, *, without_rules: bool = False) -> tuple[Row, ...]:
        """Returns up to `limit` exchanges that the seed and their ids alone choose, so that the same ones are chosen again.
        `without_rules`: only exchanges in which no rule held. Raises `QueryError`."""
        quiet = " AND len(rules) + len(shadow) = 0" if without_rules else ""
        # A hash of the id and not a random order: the sample must be the same tomorrow, on another machine and after
        # the index was made again.
        order = f"ORDER BY hash(id, {int(seed)}), id LIMIT {max(0, min(int(limit), LIMIT_SAMPLE))}"
        names = [name for (name,) in self._query(f"SELECT id FROM exchanges WHERE ({{}}){quiet} {order}", chosen)]
        if not names:
            return ()
        return tuple(self._page(Condition(f"id IN ({', '.join('?' * len(names))})", tuple(names)), len(names), "ASC"))

    def row(self, exchange: str) -> Row | None:
        """Returns the row of an exchange by its id; `None` if the log does not have it."""
        found = self._page(Condition("id = ?", (exchange,)), 1, "DESC")
        return found[0] if found else None

    def count(self, chosen: Filter) -> int:
        """Returns the number of exchanges."""
        rows = self._query("SELECT count(*) FROM exchanges WHERE {}", chosen)
        return int(rows[0][0]) if rows else 0

    def count_sealed(self, keys: Collection[str]) -> int:
        """Returns the number of exchanges whose texts these data keys seal."""
        with self._reading() as cursor:
            if cursor is None:
                return 0
            rows = _among(cursor, "SELECT count(*) FROM exchanges WHERE seal IN {}", keys)
            return int(rows[0][0]) if rows else 0

    def groups(self, chosen: Filter, column: str, limit: int = LIMIT_GROUPS) -> list[tuple[str, int]]:
        """Returns the values of a column (`GROUPS`) with the number of their exchanges, the most frequent first. Exchanges
        without a value are left out."""
        value = _group(column)
        inner = f"SELECT {value} AS value, 1 AS times FROM exchanges WHERE {{}}"
        if column == "rule":  # there are few sets of rules, which are faster to count than rules
            sets = "SELECT rules, shadow, count(*) AS times FROM exchanges WHERE {} GROUP BY ALL"
            inner = f"SELECT {value} AS value, times FROM ({sets})"
        sql = (
            f"SELECT value, sum(times) AS count FROM ({inner}) WHERE value <> '' GROUP BY value "
            f"ORDER BY count DESC, value LIMIT {int(limit)}"
        )
        return [(str(value), int(count)) for value, count in self._query(sql, chosen)]

    def series(self, chosen: Filter, column: str | None = None, buckets: int = 48, limit: int = 12) -> Series:
        """Returns counts over time. `column`: counts for each of its `limit` most frequent values; without it, one line
        with the name `all`. The time is that of the filter, or of the exchanges."""
        edges = self._query("SELECT min(at_s), max(at_s) FROM exchanges WHERE {}", chosen)
        low, high = edges[0] if edges else (None, None)
        if low is None:
            return Series(chosen.since or 0.0, 1.0, {})
        start = chosen.since if chosen.since is not None else float(low)
        end = chosen.until if chosen.until is not None else float(high)
        step = max((end - start) / buckets, 1e-6)
        value = "'all' AS value" if column is None else f"{_group(column)} AS value"
        # Exchanges from before `start` and after `end` can have come into the index since the first query.
        bucket = f"least(greatest(floor((at_s - {start!r}) / {step!r}), 0), {buckets - 1})::INTEGER"
        sql = (
            f"SELECT value, bucket, count(*) FROM (SELECT {value}, {bucket} AS bucket FROM exchanges WHERE {{}}) "
            "WHERE value <> '' GROUP BY ALL"
        )
        counts: dict[str, list[int]] = {}
        for name, bucket, count in self._query(sql, chosen):
            counts.setdefault(str(name), [0] * buckets)[int(bucket)] += int(count)
        most = sorted(counts, key=lambda name: (-sum(counts[name]), name))[:limit]
        return Series(start, step, {name: tuple(counts[name]) for name in most})

    def totals(self, chosen: Filter) -> Totals:
        """Returns what exchanges add up to."""
        rows = self._query(
            "SELECT count(*), count(*) FILTER (WHERE {blocked}), count(*) FILTER (WHERE edited), "
            "count(*) FILTER (WHERE attempts > 1), count(*) FILTER (WHERE {refused}), coalesce(sum(tokens_in), 0), "
            "coalesce(sum(tokens_out), 0), coalesce(sum(cost), 0), quantile_cont(added_ms, [0.5, 0.99]) "
            "FROM exchanges WHERE {{}}".format(blocked=OUTCOMES["blocked"][1], refused=OUTCOMES["refused"][1]),
            chosen,
        )
        if not rows:
            return Totals(0, 0, 0, 0, 0, 0, 0, 0.0, None, None)
        *counts, cost, added = rows[0]
        values = (*counts, cost / MICRO, *(added or (None, None)))
        return msgspec.convert(dict(zip(_TOTAL_NAMES, values, strict=True)), Totals, strict=False)

    def scores(self, chosen: Filter, check: str, bins: int = 20) -> dict[str, tuple[int, ...]]:
        """Returns for each label of a check how many exchanges have their highest score in each of `bins` equal parts of 0 to
        1."""
        sql = (
            f"SELECT label, least(greatest(floor(score * {int(bins)}), 0), {int(bins) - 1})::INTEGER AS bin, count(*) "
            'FROM findings WHERE "check" = ? AND number IN (SELECT number FROM exchanges WHERE {}) GROUP BY ALL'
        )
        counts: dict[str, list[int]] = {}
        for label, bin_, count in self._query(sql, chosen, check):
            counts.setdefault(str(label), [0] * bins)[int(bin_)] += int(count)
        return {label: tuple(counts[label]) for label in sorted(counts, key=lambda label: (-sum(counts[label]), label))}

    def neighbours(self, exchange: str, chosen: Filter) -> Neighbours:
        """Returns the ids of the exchanges beside one in the list of a filter: the newer and the older one."""
        row = self.row(exchange)
        if row is None:
            return Neighbours(None, None)
        conditions = chosen.conditions(self._least(chosen))
        newer = self._page(where([*conditions, _beyond(row.cursor, ">")]), 1, "ASC")
        older = self._page(where([*conditions, _beyond(row.cursor, "<")]), 1, "DESC")
        return Neighbours(newer[0].id if newer else None, older[0].id if older else None)

    # The log behind the rows.

    def find(self, exchange: str) -> LoggedLine | None:
        """Returns an exchange with its line in the log, which is verified; `None` if the index does not have it."""
        row = self.row(exchange)
        if row is None or self.folder is None:
            return None
        line = _line_at(self.folder / row.log, row.start, row.length)
        if line is None:
            return LoggedLine(row, "gone", message=f"{row.log} does not hold this line any more")
        members = open_line(line)
        claim = str((members or {}).get("hash", ""))
        # Both: a line that was exchanged for another whole line has a right hash, but not the one that was indexed.
        is_intact = leaf_hash(line, claim) == claim and claim[:HASH_CHARS] == row.hash
        record = None
        message = "" if is_intact else f"the line in {row.log} is not the one that was written: it was changed"
        try:
            entry = entry_of(members or {})
            record = entry if isinstance(entry, Record) else None
        except RecordError as error:
            message = message or str(error)
        if record is None:
            is_intact = False
        return LoggedLine(row, "intact" if is_intact else "changed", line, record, message)

    def record(self, exchange: str) -> Record:
        """Returns the record of an exchange. Raises `RecordError` if the log does not have it, or if its line was changed:
        `find` shows such a line."""
        found = self.find(exchange)
        if found is None:
            raise RecordError("the log has no exchange with this id")
        if found.state != "intact" or found.record is None:
            raise RecordError(found.message)
        return found.record

    def lines(self, chosen: Filter, limit: int) -> Iterator[bytes]:
        """Yields the lines of exchanges in the log, the newest first, as far as the log still has them. Raises `QueryError`."""
        before: Cursor | None = None
        while limit > 0:
            page = self.rows(chosen, min(limit, LIMIT_ROWS), before)
            for row in page.rows:
                if line := _line_at((self.folder or Path()) / row.log, row.start, row.length):
                    yield line
            limit -= len(page.rows)
            if (before := page.older) is None:
                return

    def mentions(self, exchange: str) -> list[LogMention]:
        """Returns where the log says something later about an exchange, in order of time: the newest `LIMIT_MENTIONS`.
        Feedback counts only from the tenant of the exchange."""
        with self._reading() as cursor:
            if cursor is None:
                return []
            rows = cursor.execute(
                'SELECT kind, value, "by", later.at_s, files.name, later.number, later.length, later.hash FROM later '
                "JOIN files ON files.number = later.number >> ? WHERE later.exchange = ? AND (kind <> 'feedback' OR tenant "
                "IN (SELECT tenant FROM exchanges WHERE id = ?)) ORDER BY later.at_s DESC, later.number DESC LIMIT ?",
                [START_BITS, exchange, exchange, LIMIT_MENTIONS],
            ).fetchall()
        return [
            LogMention(kind, value, by, at_s, log, place_of(number)[1], length, digest)
            for kind, value, by, at_s, log, number, length, digest in reversed(rows)
        ]

    def entries(self, exchange: str) -> list[AnyEntry]:
        """Returns what the log says later about an exchange: feedback (a record), scores of judges, and what people did
        with it, in order of time. Lines that were changed are left out."""
        found: list[AnyEntry] = []
        for mention in self.mentions(exchange):
            line = _line_at((self.folder or Path()) / mention.log, mention.start, mention.length)
            members = open_line(line) if line else None
            claim = str((members or {}).get("hash", ""))
            if line is None or members is None or leaf_hash(line, claim) != claim or claim[:HASH_CHARS] != mention.hash:
                continue
            try:
                found.append(entry_of(members))
            except RecordError:
                continue
        return found

    # Queries.

    def _least(self, chosen: Filter) -> Mapping[str, float]:
        """Returns the thresholds, which may take seconds to load, if a filter needs them."""
        return {} if chosen.near is None else self._thresholds()

    def _page(
        self,
        condition: Condition,
        limit: int,
        order: Literal["ASC", "DESC"],
        thresholds: Mapping[str, float] = MappingProxyType({}),
    ) -> list[Row]:
        with self._reading() as cursor:
            if cursor is None:
                return []
            with transaction(cursor):  # so that all queries see the same state
                sql = (
                    f"SELECT {_COLUMNS} FROM exchanges WHERE {condition.sql} "
                    f"ORDER BY at_s {order}, id {order} LIMIT {int(limit)}"
                )
                found = cursor.execute(sql, list(condition.values)).fetchall()
                columns = [dict(zip(_NAMES, values, strict=True)) for values in found]
                about = _about(cursor, columns)
        return [_row(values, about, thresholds) for values in columns]

    def _query(self, sql: str, chosen: Filter, *before: object) -> list[tuple[Any, ...]]:
        """Returns the rows of a query with the condition of a filter in the place of `{}`. `before`: values of the parameters
        before it. What was asked before is remembered until the index changes; of a large log for `REMEMBERED_S`, as each of
        its sums takes up to a tenth of a second."""
        condition = where(chosen.conditions(self._least(chosen)))
        follower = self._follower
        if follower is None:
            return []
        key = sql, before, condition
        now_s, version = time.monotonic(), (id(follower), follower.version)
        with self._memory_lock:
            asked_s, then, rows = self._memory.get(key, (0.0, None, []))
        # The follower itself is a part of the version: after the index was made again, its numbers begin anew.
        is_fresh = follower.progress.total_bytes >= LARGE_BYTES and now_s - asked_s < REMEMBERED_S
        if then == version or (then is not None and then[0] == version[0] and is_fresh):
            return rows
        with self._reading() as cursor:
            if cursor is None:
                return []
            rows = cursor.execute(sql.replace("{}", condition.sql), [*before, *condition.values]).fetchall()
        with self._memory_lock:
            self._memory[key] = now_s, version, rows
            while len(self._memory) > LIMIT_REMEMBERED:
                del self._memory[next(iter(self._memory))]
        return rows


def _group(column: str) -> str:
    if column not in GROUPS:
        raise QueryError(f"expected one of the columns {', '.join(GROUPS)}")
    return GROUPS[column]


def _beyond(cursor: Cursor, sign: Literal["<", ">"]) -> Condition:
    # The first comparison lets DuckDB skip blocks of rows.
    return Condition(f"(at_s {sign}= ? AND (at_s {sign} ? OR id {sign} ?))", (cursor.at, cursor.at, cursor.id))


class _PageFacts(NamedTuple):
    """What other tables say about the exchanges of a page. `logs`: names of files by their numbers; `later`: kind, value and
    tenant of what was said, by the id of the exchange, in order of time; `erased`: destroyed keys."""

    logs: Mapping[int, str]
    later: Mapping[str, Sequence[tuple[str, str, str]]]
    erased: frozenset[str]


def _about(cursor: DuckDBPyConnection, rows: Sequence[Mapping[str, Any]]) -> _PageFacts:
    later: dict[str, list[tuple[str, str, str]]] = {}
    said = "SELECT exchange, kind, value, tenant FROM later WHERE exchange IN {} ORDER BY at_s, number"
    for exchange, kind, value, tenant in _among(cursor, said, {row["id"] for row in rows}):
        later.setdefault(exchange, []).append((kind, value, tenant))
    seals = {row["seal"] for row in rows if row["seal"]}
    numbers = {place_of(row["number"])[0] for row in rows}
    return _PageFacts(
        logs=dict(_among(cursor, "SELECT number, name FROM files WHERE number IN {}", numbers)),
        later=later,
        erased=frozenset(key for (key,) in _among(cursor, "SELECT key FROM erased WHERE key IN {}", seals)),
    )


def _among(cursor: DuckDBPyConnection, sql: str, values: Collection[object]) -> list[tuple[Any, ...]]:
    """Returns the rows of a query with a list of values in the place of `{}`."""
    if not values:
        return []
    return cursor.execute(sql.format(f"({', '.join('?' * len(values))})"), list(values)).fetchall()


def _row(columns: Mapping[str, Any], about: _PageFacts, thresholds: Mapping[str, float]) -> Row:
    later = about.later.get(columns["id"], ())
    given = [value for kind, value, tenant in later if kind == FEEDBACK_KIND and tenant == columns["tenant"]]
    score = columns["top_score"] if (columns["top_score"] or 0) >= 0 else None
    least = thresholds.get(columns["top_check"])
    file, start = place_of(columns["number"])
    members = {
        **columns,
        "at": columns["at_s"],
        "log": about.logs.get(file, ""),
        "start": start,
        "keep": "erased" if columns["seal"] in about.erased else columns["keep"],
        "cost": None if columns["cost"] is None else columns["cost"] / MICRO,
        "feedback": given[-1] if given else None,
        "later": sorted({kind for kind, _, _ in later if kind != FEEDBACK_KIND}),
        "top_score": score,
        "distance": None if least is None or score is None else score - least,
    }
    return msgspec.convert(members, Row)


def _line_at(path: Path, start: int, length: int) -> bytes | None:
    """Returns the line at a place of a file; `None` if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            line = file.read(length)
    except OSError:
        return None
    return line if len(line) == length and line.endswith(b"\n") and line.count(b"\n") == 1 else None
