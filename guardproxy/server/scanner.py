"""The scanner: jobs in, scans out. It decides where each check runs, and what it means that one gives no answer.

- A few small windows are scanned at once, on the event loop, in slices of `INLINE_CHARS` with a pause of the loop after each: a
  trip to a thread would cost more than the scan. All others are scanned in threads (`threads.py`).
- A check that asks a model is waited for without a thread. Checks that ask the same model ask it once.
- Scans of whole texts are remembered (`remembered.py`).
- A check that raises, or breaks its contract, gives a `Scan` with an error, which the policy's `on_error` decides. A check that
  could not be asked, or not in time, gives a `Scan` with `no_capacity`: the exchange ends with 503, whatever a policy says.
- The time that a command may take grows with its text. Work that nobody waits for any more is not begun, or is stopped.
"""

from __future__ import annotations

import asyncio
from collections import Counter as Counts
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, repeat
from typing import Any, Protocol, TypeVar, runtime_checkable

from prometheus_client import Counter, Gauge

from guardproxy.checks import Check, Query, Scorer
from guardproxy.errors import NoCapacityError, Shortage
from guardproxy.exchange import Job
from guardproxy.findings import Scan, Window, failed
from guardproxy.server.calls import broken, checked, report, run, run_slices
from guardproxy.server.remembered import Remembered
from guardproxy.server.threads import Load, ScanThreads

_Result = TypeVar("_Result")

INLINE_CHARS = 300  # measured: under a millisecond for every check without a model
INLINE_WINDOWS = 8  # as many calls cost as much as so much text
INLINE_SLICES = 4  # after so many the rest is scanned in threads
ASK_CHARS = 20_000  # what a model is asked is cut out of so much text in under a millisecond
ASK_WINDOWS = 64
CACHE_ENTRIES = 20_000
KEYS = 32  # jobs that are looked up before the loop may do other things
KEY_CHARS = 256 * 1024  # the same, of their texts: hashed in half a millisecond
ANSWERS = 256  # scans that are put in their places before the loop may do other things


@runtime_checkable
class _Patient(Protocol):
    """A scorer that can be waited for without a thread; see `guardproxy.inference.scorer.ModelScorer.submit`."""

    def submit(self, queries: Sequence[Query]) -> Future[Any]: ...


@runtime_checkable
class _Measured(Protocol):
    """A scorer that can tell how long a new text would wait."""

    def wait_s(self, chars: int) -> float: ...


@runtime_checkable
class _Asking(Protocol):
    """A check whose scan is a question to a model, and what it makes of the answer."""

    scorer: Scorer

    def ask(self, windows: Sequence[Window]) -> Any: ...

    def answer(self, windows: Sequence[Window], asked: Any, judged: Any) -> list[Scan]: ...


@dataclass(frozen=True, slots=True)
class Allowed:
    """How long things may take. `timeout_s`: all jobs of one command, and `timeout_s_per_million` more for each million
    characters of their texts; `wait_s`: how long a job may wait for its turn before it is refused at once."""

    timeout_s: float
    timeout_s_per_million: float = 60.0
    wait_s: float = 2.0

    def for_chars(self, chars: int) -> float:
        return self.timeout_s + self.timeout_s_per_million * chars / 1e6


@dataclass(frozen=True, slots=True)
class Meters:
    """`known`: whole texts by whether their scan was remembered (`hit`, `miss`). `refused`: commands that got no verdict, by
    the reason. `waiting`: scans that wait for a thread or are under way."""

    known: Counter | None = None
    refused: Counter | None = None
    waiting: Gauge | None = None


@dataclass(slots=True)
class _Batch:
    """The windows of one command that one check looks at. `numbers`: those of their jobs; `chars`: of all their texts;
    `urgent`: an answer that has begun waits for them."""

    check: Check
    numbers: list[int] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)
    chars: int = 0
    urgent: bool = False

    @property
    def load(self) -> Load:
        return Load(self.check.digest, self.chars)

    def add(self, number: int, window: Window) -> None:
        """Adds the window of the job `number`."""
        self.numbers.append(number)
        self.windows.append(window)
        self.chars += len(window.text)
        self.urgent = self.urgent or window.channel.direction == "response"


class _Question:
    """What a model is asked, perhaps from a thread. Whenever it is dropped, the model does not work on it any longer."""

    def __init__(self, scorer: Any, queries: Sequence[Query]) -> None:
        self._scorer = scorer
        self._queries = queries
        self._answer: Future[Any] | None = None
        self._dropped = False

    def submit(self) -> Future[Any]:
        """The answer, to be waited for."""
        answer: Future[Any] = self._scorer.submit(self._queries)
        self._answer = answer
        if self._dropped:  # meanwhile, by another thread
            answer.cancel()
        return answer

    def drop(self) -> None:
        """Nobody waits any more; an answer that is there stays."""
        self._dropped = True
        if self._answer is not None:
            self._answer.cancel()


class Scanner:
    """`threads`: how many scans may run beside the loop. `timeout_s`: for all jobs of one command with little text."""

    def __init__(
        self, threads: int, timeout_s: float | Allowed, known: Counter | None = None, meters: Meters | None = None
    ) -> None:
        self._allowed = timeout_s if isinstance(timeout_s, Allowed) else Allowed(timeout_s)
        self._meters = meters or Meters(known)
        self._threads = ScanThreads(threads, self._allowed.wait_s, waiting=self._meters.waiting)
        self._remembered = Remembered(CACHE_ENTRIES)
        self._outstanding: dict[int, Counts[str]] = {}  # characters that models are judging, by scorer and tenant

    async def scan(self, jobs: Sequence[Job], tenant: str = "") -> tuple[Scan, ...]:
        """The answers, in order. `tenant`: whose texts they are."""
        scans: list[Scan | None] = [None] * len(jobs)
        keys: dict[int, bytes] = {}
        waiting: dict[int, _Batch] = {}
        chars = 0
        for at, job in enumerate(jobs):
            chars += len(job.window.text)
            if (at and at % KEYS == 0) or chars > KEY_CHARS:
                await asyncio.sleep(0)
                chars = 0
            key = self._remembered.key(job, tenant)
            if key is not None:
                keys[at] = key
                scans[at] = self._known(key)
            if scans[at] is None:
                if (batch := waiting.get(id(job.check))) is None:
                    batch = waiting[id(job.check)] = _Batch(job.check)
                batch.add(at, job.window)
        await self._scan(list(waiting.values()), scans, tenant)
        return await self._told(scans, keys)

    async def _told(self, scans: list[Scan | None], keys: Mapping[int, bytes]) -> tuple[Scan, ...]:
        """The answers, once they are remembered. `keys`: of the jobs, by number, whose scans may be remembered."""
        told: list[Scan] = []
        shortages: set[Shortage] = set()
        for at, scan in enumerate(scans):
            if at and at % ANSWERS == 0:
                await asyncio.sleep(0)
            if scan is None:
                raise RuntimeError("a job was not answered; this is a bug")
            if (key := keys.get(at)) is not None:
                self._remembered.put(key, scan)
            if scan.no_capacity is not None:
                shortages.add(scan.no_capacity)
            told.append(scan)
        if self._meters.refused:
            for shortage in shortages:
                self._meters.refused.labels(shortage.value).inc()
        return tuple(told)

    def _known(self, key: bytes) -> Scan | None:
        scan = self._remembered.get(key)
        if self._meters.known:
            self._meters.known.labels("miss" if scan is None else "hit").inc()
        return scan

    async def _scan(self, batches: Sequence[_Batch], scans: list[Scan | None], tenant: str) -> None:
        """Fills in what the checks say."""
        far: dict[asyncio.Future[list[Scan]], list[_Batch]] = {}
        small: list[_Batch] = []
        refused: list[tuple[_Batch, NoCapacityError]] = []
        asking: dict[int, list[_Batch]] = {}
        for batch in batches:
            if (scorer := _asks(batch.check)) is not None:
                asking.setdefault(id(scorer), []).append(batch)
            elif _is_small(batch) and len(small) < INLINE_SLICES:
                small.append(batch)
            else:
                try:
                    far[self._in_thread(batch, tenant)] = [batch]
                except NoCapacityError as error:
                    refused.append((batch, error))
        for same in asking.values():
            far[asyncio.ensure_future(self._asked(same, tenant))] = same
        try:
            await self._inline(small, scans)
            timeout_s = self._allowed.for_chars(sum(batch.chars for same in far.values() for batch in same))
            done, _ = await asyncio.wait(far, timeout=timeout_s) if far else (set(), set())
        finally:
            for work in far:
                work.cancel()
        for batch, shortage in refused:
            await _fill(scans, batch.numbers, map(failed, batch.windows, repeat(shortage)))
        for work, same in far.items():
            answers = _result(work, same) if work in done else map(_late, _windows(same))
            await _fill(scans, chain.from_iterable(batch.numbers for batch in same), answers)

    async def _inline(self, small: Sequence[_Batch], scans: list[Scan | None]) -> None:
        """Scans small windows on the loop, which may do other things after each slice."""
        chars = 0
        for batch in small:
            if chars and chars + batch.chars > INLINE_CHARS:
                await asyncio.sleep(0)
                chars = 0
            chars += batch.chars
            await _fill(scans, batch.numbers, run(batch.check, batch.windows))

    def _in_thread(self, batch: _Batch, tenant: str) -> asyncio.Future[list[Scan]]:
        """The batch's scans, from a thread. Raises `NoCapacityError`."""
        run = partial(run_slices, batch.check, batch.windows)
        return asyncio.wrap_future(self._threads.submit(run, tenant, batch.load, urgent=batch.urgent))

    async def _beside(self, run: Callable[[], _Result], batches: Sequence[_Batch], tenant: str) -> _Result:
        """The result of a part of what is asked of a model: here where it is small, else from a thread."""
        chars, windows = sum(batch.chars for batch in batches), sum(len(batch.windows) for batch in batches)
        if chars <= ASK_CHARS and windows <= ASK_WINDOWS:
            return run()
        urgent = any(batch.urgent for batch in batches)
        result: _Result = await asyncio.wrap_future(
            self._threads.submit(run, tenant, Load("a question to a model", chars), urgent=urgent)
        )
        return result

    async def _asked(self, same: Sequence[_Batch], tenant: str) -> list[Scan]:
        """The scans of checks that ask the same model, which is asked once: checks that read the same texts share what
        it says of them. As `calls.run`, but the answer is waited for here."""
        queries: list[Query] = []
        asked: list[Any] = []
        checks: list[Any] = [batch.check for batch in same]
        for check, batch in zip(checks, same, strict=True):
            try:
                own = await self._beside(partial(check.ask, batch.windows), [batch], tenant)
                queries += own.queries
                asked.append(own)
            except Exception as error:
                asked.append(error)
        judged: Any = []
        try:
            if queries:
                judged = await self._judged(checks[0].scorer, queries, same, tenant)
        except Exception as error:
            judged = error
        return await self._beside(partial(_answers, same, asked, judged), same, tenant)

    async def _judged(self, scorer: Any, queries: Sequence[Query], same: Sequence[_Batch], tenant: str) -> Any:
        """What a model says. Raises what it raises, and `NoCapacityError`."""
        chars = sum(batch.chars for batch in same)
        by_tenant = self._outstanding.setdefault(id(scorer), Counts())
        if not any(batch.urgent for batch in same):
            self._admit(scorer, chars, by_tenant, tenant)
        by_tenant[tenant] += chars
        question = _Question(scorer, queries)
        try:
            return await asyncio.wrap_future(await self._beside(question.submit, same, tenant))
        finally:
            question.drop()
            by_tenant[tenant] -= chars
            if not by_tenant[tenant]:
                del by_tenant[tenant]
            if not by_tenant:
                self._outstanding.pop(id(scorer), None)

    def _admit(self, scorer: Any, chars: int, by_tenant: Counts[str], tenant: str) -> None:
        """Refuses to ask a model that would only answer late. A tenant that waits for nothing is let through, for others have
        filled the queue, and so are answers that have begun: the model's own queue has room for them. Raises
        `NoCapacityError`."""
        if not isinstance(scorer, _Measured) or scorer.wait_s(chars) <= self._allowed.wait_s:
            return
        own, others = by_tenant[tenant], by_tenant.total() - by_tenant[tenant]
        if own or not others:
            shortage = Shortage.SHARE if 0 < others < own else Shortage.FULL
            raise NoCapacityError(shortage, "too many texts wait for the model")

    def close(self) -> None:
        self._threads.close()


def _is_small(batch: _Batch) -> bool:
    if batch.check.traits.is_slow or len(batch.windows) > INLINE_WINDOWS:
        return False
    return batch.chars <= INLINE_CHARS


def _asks(check: Check) -> Any:
    """The model that a check asks, where its answer can be waited for without a thread."""
    return check.scorer if isinstance(check, _Asking) and isinstance(check.scorer, _Patient) else None


async def _fill(scans: list[Scan | None], numbers: Iterable[int], answers: Iterable[Scan]) -> None:
    """Puts answers in their places. The loop does other things after each slice: answers may be made only when they are
    asked for."""
    for count, (at, answer) in enumerate(zip(numbers, answers, strict=True), 1):
        scans[at] = answer
        if count % ANSWERS == 0:
            await asyncio.sleep(0)


def _windows(same: Sequence[_Batch]) -> Iterator[Window]:
    return chain.from_iterable(batch.windows for batch in same)


def _late(window: Window) -> Scan:
    return Scan((), window.settled, window.start, "timeout", no_capacity=Shortage.LATE)


def _result(work: asyncio.Future[list[Scan]], same: Sequence[_Batch]) -> Iterable[Scan]:
    try:
        return work.result()
    except Exception as error:
        for batch in same:
            report(batch.check, error)
        return map(failed, _windows(same), repeat(error))
    except asyncio.CancelledError:  # the threads are closed
        return map(_late, _windows(same))


def _answers(same: Sequence[_Batch], asked: Sequence[Any], judged: Any) -> list[Scan]:
    """What checks make of the answer of the model that they have asked together. Errors are in the place of what they made."""
    scans: list[Scan] = []
    at = 0
    for batch, own in zip(same, asked, strict=True):
        check: Any = batch.check
        try:
            for part in (own, judged):
                if isinstance(part, Exception):
                    raise part
            part = judged[at : at + len(own.queries)]
            at += len(part)
            scans += checked(batch.windows, check.answer(batch.windows, own, part))
        except Exception as error:
            scans += broken(check, batch.windows, error)
    return scans
