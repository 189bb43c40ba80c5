"""The desk where decisions are reviewed: hands out items of queues, and takes verdicts.

In: the index and the log of what people do. Out: the next item for a person, how far a queue is, and entries in the log. Kept:
verdicts (`ledger`), who holds what (`claims`), samples, and how far each queue is done. Any thread may use it.
"""

from __future__ import annotations

import itertools
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from threading import Lock

from guardproxy.audit import ENTRY_VERSION, Reviewed
from guardproxy.audit.sealing import operator_log
from guardproxy.console.index import Cursor, Filter, Index, Row
from guardproxy.console.look import is_addressable
from guardproxy.console.pages.review.claims import Claims
from guardproxy.console.pages.review.ledger import ReviewLedger
from guardproxy.console.pages.review.queues import ItemKey, ReviewQueue, sample_sizes, shuffled
from guardproxy.reading import GivenVerdict

BATCH = 500
LIMIT_READ = 20_000
"""Exchanges with some verdict that are looked at for an item, each time that one is asked for."""
LIMIT_SAMPLES = 16
LIMIT_QUEUES = 200
ERASED = "erased"
_START = Cursor(0.0, "-")


@dataclass(frozen=True, slots=True)
class QueueProgress:
    """How far a queue is: `done` of `total` items."""

    done: int
    total: int

    @property
    def percent(self) -> int:
        """Returns the done part in percent."""
        return 100 * self.done // self.total if self.total else 0


@dataclass(slots=True)
class ReviewDesk:
    """See the module. `folder`: of the log; `None` without one."""

    folder: Path | None
    index: Index
    clock: Callable[[], float] = time.time
    claims: Claims = field(default_factory=Claims)
    _lock: Lock = field(default_factory=Lock)
    _samples: OrderedDict[str, tuple[tuple[Row, ItemKey], ...]] = field(default_factory=OrderedDict)
    _done: OrderedDict[str, Cursor] = field(default_factory=OrderedDict)
    _ledger: ReviewLedger | None = None

    @property
    def ledger(self) -> ReviewLedger:
        """Returns the verdicts."""
        if self._ledger is None:
            self._ledger = ReviewLedger(self.folder)
        return self._ledger

    # Handing out.

    def next_item(self, queue: ReviewQueue, by: str) -> ItemKey | None:
        """Returns the next item of a queue for a person, who holds it then; `None` if nothing is left. Raises `QueryError`."""
        self.ledger.follow()
        with self._lock:
            found = self._next(queue, by)
            if found is None and self.claims.take_back(by):
                found = self._next(queue, by)
            return found

    def _next(self, queue: ReviewQueue, by: str) -> ItemKey | None:
        now_s = self.clock()
        for row, item in self._items(queue, by):
            if row.keep == ERASED or self.claims.has_skipped(item, by) or not is_addressable(item.exchange):
                continue
            places = self._places(queue, item, by)
            if places > 0 and self.claims.take(item, by, places, now_s):
                return item
        return None

    def _places(self, queue: ReviewQueue, item: ItemKey, by: str) -> int:
        """Returns how many more people an item needs; 0 if it does not need this person."""
        given = self.ledger.given(item.exchange, item.rule)
        if queue.kind == "disagreed":
            return int(_is_disputed(given))
        return 0 if by in given else max(0, queue.readers - len(given))

    def _is_done(self, queue: ReviewQueue, item: ItemKey) -> bool:
        given = self.ledger.given(item.exchange, item.rule)
        return not _is_disputed(given) if queue.kind == "disagreed" else len(given) >= queue.readers

    def _items(self, queue: ReviewQueue, by: str) -> Iterator[tuple[Row, ItemKey]]:
        """Yields the items of a queue in order. What is done from the start on is not read again."""
        if queue.kind == "sampled":
            yield from self.sample(queue)
        elif queue.kind == "disagreed":
            disputed = sorted(
                {(name, rule) for (name, _, rule), given in self.ledger.verdicts() if _is_disputed(given)}
            )
            for key in itertools.starmap(ItemKey, disputed):
                if (row := self.index.row(key.exchange)) is not None:
                    yield row, key
        else:
            # What is quick to find comes first: what one person has judged of two, and exchanges without any verdict.
            if queue.is_double:
                yield from self._half_done(queue, by)
            if queue.chosen.later is None:
                yield from self._oldest_first(queue, replace(queue.chosen, later="-reviewed"))
            yield from itertools.islice(self._oldest_first(queue, queue.chosen), LIMIT_READ)

    def _half_done(self, queue: ReviewQueue, by: str) -> Iterator[tuple[Row, ItemKey]]:
        """Yields what other people have judged, and who need one more."""
        for (name, _, rule), given in self.ledger.verdicts():
            if by in given or len(given) >= queue.readers or queue.chosen.rule not in (None, rule):
                continue
            row = self.index.row(name) if self.index.count(replace(queue.chosen, id_prefix=name)) else None
            if row is not None and queue.item_of(row) == ItemKey(name, rule):
                yield row, ItemKey(name, rule)

    def _oldest_first(self, queue: ReviewQueue, chosen: Filter) -> Iterator[tuple[Row, ItemKey]]:
        name = str(sorted({**queue.query(), **chosen.query()}.items()))
        at = self._done.get(name, _START)
        is_done = True
        while rows := self.index.rows(chosen, BATCH, after=at).rows:
            for row in reversed(rows):
                at = row.cursor
                item = queue.item_of(row)
                is_done = is_done and (row.keep == ERASED or self._is_done(queue, item))
                if is_done:
                    self._done[name] = at
                    self._done.move_to_end(name)
                    if len(self._done) > LIMIT_QUEUES:
                        self._done.popitem(last=False)
                yield row, item

    def sample(self, queue: ReviewQueue) -> tuple[tuple[Row, ItemKey], ...]:
        """Returns the items of a sample: as many of each rule as there are, up to an equal share. It stays the same while the
        console runs, and as long as the log does not grow within its period."""
        name = str(sorted(replace(queue, is_double=False).query().items()))
        if name not in self._samples:
            groups = self.index.groups(queue.chosen, "rule")
            ruled = [(rule, count) for rule, count in groups if queue.chosen.rule in (None, rule)]
            every = self.index.count(queue.chosen)
            quiet = 0 if queue.chosen.rule else max(0, every - sum(count for _, count in ruled))
            # An exchange with two rules is in two groups, so there may be more without a rule than this difference.
            sizes = sample_sizes([*ruled, ("", max(quiet, min(every, 1)))], queue.size)
            items: dict[ItemKey, Row] = {}
            for rule, size in sizes.items():
                chosen = replace(queue.chosen, rule=rule) if rule else queue.chosen
                rows = self.index.sample(chosen, size, queue.seed, without_rules=not rule)
                items |= {ItemKey(row.id, rule): row for row in rows}
            self._samples[name] = tuple((items[key], key) for key in shuffled(items, queue.seed))
            if len(self._samples) > LIMIT_SAMPLES:
                self._samples.popitem(last=False)
        return self._samples[name]

    def progress(self, queue: ReviewQueue) -> QueueProgress:
        """Returns how far a queue is. In a queue that is not a sample, an exchange with any verdict counts as done."""
        self.ledger.follow()
        if queue.kind == "sampled":
            with self._lock:
                items = self.sample(queue)
            return QueueProgress(sum(self._is_done(queue, item) for _, item in items), len(items))
        if queue.kind == "disagreed":
            judged = [given for _, given in self.ledger.verdicts() if len(given) > 1]
            return QueueProgress(sum(not _is_disputed(given) for given in judged), len(judged))
        total = self.index.count(queue.chosen)
        return QueueProgress(self.index.count(replace(queue.chosen, later="reviewed")), total)

    def rules(self, since_s: float) -> list[tuple[str, int]]:
        """Returns the rules that held since a time, with the number of exchanges."""
        return self.index.groups(Filter(since=since_s), "rule")

    # Taking verdicts.

    def judge(self, item: ItemKey, policy: str | None, verdict: str, by: str, text: int | None = None) -> Reviewed:
        """Writes a verdict to the log. `policy`: of the rule; `verdict`: a word of `Reviewed`, `withdrawn` to take one back.
        Raises `AuditError` if the log cannot be written."""
        if self.folder is None:
            raise AssertionError("a verdict is about an exchange in a log")
        engine = f"guardproxy {version('guardproxy')}"
        entry = Reviewed(
            v=ENTRY_VERSION,
            at=self.clock(),
            engine=engine,
            by=by,
            id=item.exchange,
            verdict=verdict,  # type: ignore[arg-type]  # the caller has looked
            policy=policy or None,
            rule=item.rule or None,
            text=text,
        )
        with self._lock:
            with operator_log(self.folder, engine) as append:
                append(entry)
            self.ledger.add(entry)
            self.claims.release(item, by)
            if verdict == "withdrawn":  # the item is open again, wherever its queue is
                self._done.clear()
        return entry


def _is_disputed(given: object) -> bool:
    """Whether people said different things."""
    assert isinstance(given, dict)  # noqa: S101
    return len({said.verdict for said in given.values() if isinstance(said, GivenVerdict)}) > 1
