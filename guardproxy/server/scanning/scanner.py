"""The scanner: takes jobs and returns scans. It decides where each check runs, and what follows if a check gives no answer.

- A few small windows are scanned on the event loop, in slices of `INLINE_CHARS` with a pause after each slice, because a thread
  would cost more than the scan. All others are scanned in threads (`threads.py`).
- The scanner waits for a model without a thread. Checks that ask the same model share a single question.
- Scans of whole texts are cached (`scan_cache.py`).
- A check that raises an error or breaks its contract gives a `Scan` with an error, for which `on_error` of the policy decides.
  A check that could not run, or not in time, gives a `Scan` with `no_capacity`: the exchange ends with 503 under any policy.
- The time limit of a command grows with its text. Work without a waiter is dropped or stopped.
- The scans of one command never wait for each other in the estimate of the queue. How long a check takes for a character is
  measured before the first request (`warm_up`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter as Counts
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, repeat
from typing import Any, TypeVar

from msgspec.structs import replace
from prometheus_client import Counter, Gauge

from guardproxy.checks import Check, Query, stop_point, with_partner
from guardproxy.errors import NoCapacityError, Shortage
from guardproxy.exchange.gate import Job
from guardproxy.findings import Channel, Scan, Window, failed_scan
from guardproxy.inference import Ratio
from guardproxy.server.scanning.scan_cache import CheckKey, KnownText, ScanCache, Written, key_of
from guardproxy.server.scanning.threads import Load, ScanThreads

_Result = TypeVar("_Result")
_log = logging.getLogger(__name__)

SLICE_CHARS = 8192  # characters of small windows in one call of a check, between two stop points
SLICE_WINDOWS = 32
INLINE_CHARS = 300  # measured: under a millisecond for every check without a model
KNOWN_SHARE = 4  # measured: a character that a check has read before costs at most a quarter of a new one
FEW_CHARS = 8  # so few new characters cost little with every check
INLINE_WINDOWS = 8  # this many calls cost as much as `INLINE_CHARS` characters
INLINE_SLICES = 4  # all further batches are scanned in threads
ASK_CHARS = 20_000  # the questions to a model are cut out of this much text in under a millisecond
ASK_WINDOWS = 64
CACHE_TEXTS = 20_000
LOOK_UPS = 256  # of jobs, before other tasks may run
NEW_TEXT = 8  # measured: the digest of a text costs as much as so many look-ups
DIGEST_CHARS = 256 * 1024  # characters of texts, whose digests take half a millisecond
MODEL_TIMES = 6.0  # above the longest delay of a text that a model's queue admits
FULL_S = 0.05  # the time for which a queue that was full counts as full
LEAST_WAIT_S = 0.001
ANSWERS = 256  # scans that are collected before other tasks may run
WARM_UP = "".join(
    f"Order {number} of {number % 28 + 1} May 2024 goes to the office at {number} High Street; ask jo{number}@example.org, "
    "who knows about the invoice. "
    + "Everything else was agreed on the phone last week, and nobody expects a change.\n"
    * 5
    for number in range(1000, 1020)
)
"""An ordinary text, for which each check is measured before the first request."""


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """Limits of time. `timeout_s`: for all jobs of a command, with `timeout_s_per_million` more for each million characters
    of their texts, and at least `MODEL_TIMES` times what a model takes for them; `wait_s`: a job that would wait longer for
    its turn is refused at once."""

    timeout_s: float
    timeout_s_per_million: float = 60.0
    wait_s: float = 2.0

    def for_chars(self, chars: int, model_s: float = 0.0) -> float:
        """The limit for texts of `chars` characters, for which a model takes `model_s`."""
        return self.timeout_s + max(self.timeout_s_per_million * chars / 1e6, MODEL_TIMES * model_s)


@dataclass(frozen=True, slots=True)
class Meters:
    """The metrics of a scanner. `known`: look-ups of whole texts in the cache (`hit`, `miss`). `refused`: commands without a
    verdict, by reason. `waiting`: scans that wait for a thread or run."""

    known: Counter | None = None
    refused: Counter | None = None
    waiting: Gauge | None = None


class Question:
    """A question to a model, which a thread may submit. After `drop`, the model no longer works on it."""

    def __init__(self, scorer: Any, queries: Sequence[Query]) -> None:
        self._scorer = scorer
        self._queries = queries
        self._answer: Future[Any] | None = None
        self._dropped = False

    def submit(self) -> Future[Any]:
        """Asks the model. Returns the future answer."""
        answer: Future[Any] = self._scorer.submit(self._queries)
        self._answer = answer
        if self._dropped:  # by another thread in the meantime
            answer.cancel()
        return answer

    def drop(self) -> None:
        """Cancels the question; a finished answer stays."""
        self._dropped = True
        if self._answer is not None:
            self._answer.cancel()


def _run_slices(check: Check, windows: Sequence[Window]) -> list[Scan]:
    """Scans many windows in slices. Runs in a thread."""
    scans: list[Scan] = []
    for some in _slices(windows):
        stop_point()
        scans += _run(check, some)
    return scans


def _slices(windows: Sequence[Window]) -> Iterator[list[Window]]:
    some: list[Window] = []
    chars = 0
    for window in windows:
        if some and (len(some) >= SLICE_WINDOWS or chars + len(window.text) > SLICE_CHARS):
            yield some
            some, chars = [], 0
        some.append(window)
        chars += len(window.text)
    if some:
        yield some


def _run(check: Check, windows: list[Window]) -> list[Scan]:
    try:
        return _checked(windows, check.scan(windows))
    except Exception as error:
        return _broken(check, windows, error)


def _broken(check: Check, windows: Sequence[Window], error: Exception) -> list[Scan]:
    """The scans of a check that raised an error. Logs the error."""
    _report(check, error)
    return [failed_scan(window, error) for window in windows]


def _report(check: Check, error: Exception) -> None:
    """Logs that a check raised an error."""
    name = type(error).__name__  # never the message: it may quote the text
    if isinstance(error, NoCapacityError):
        _log.info("no capacity", extra={"check": check.name, "reason": error.shortage.value})
    else:
        _log.error("check failed", extra={"check": check.name, "error": name})


def _checked(windows: Sequence[Window], scans: list[Scan]) -> list[Scan]:
    if len(scans) != len(windows):
        raise ValueError("a check must answer every window")
    return [_sound(window, scan) for window, scan in zip(windows, scans, strict=True)]


def _sound(window: Window, scan: Scan) -> Scan:
    """Holds a check to its contract, so that a careless plug-in fails closed instead of leaking."""
    if scan.error or scan.no_capacity is not None:
        name = scan.error or "no_capacity"
        return Scan((), window.settled, window.start, name, no_capacity=scan.no_capacity, verdict=scan.verdict)
    end = window.start + len(window.text)
    # No text follows the last window that could change a finding in it.
    settled = end if window.last else scan.settled
    fine = scan.keep <= scan.settled and window.settled <= scan.settled <= end and scan.keep >= window.start
    fine = fine and all(
        window.settled <= finding.start <= finding.end <= end for finding in (*scan.findings, *scan.allowed)
    )
    if not fine:
        return Scan((), window.settled, window.start, "broken_contract")
    return scan if settled == scan.settled else replace(scan, settled=settled)


@dataclass(slots=True)
class _Batch:
    """The windows of a command for a check. `numbers`: the numbers of their jobs; `chars`: the characters of all their texts;
    `new_chars`: those of them that cost as much as text that the check has not read before; `urgent`: whether an answer that
    has begun waits for them."""

    check: Check
    numbers: list[int] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)
    chars: int = 0
    new_chars: int = 0
    urgent: bool = False

    @property
    def load(self) -> Load:
        return Load(self.check.digest, self.chars)

    def add(self, number: int, window: Window) -> None:
        """Adds the window of the job `number`."""
        self.numbers.append(number)
        self.windows.append(window)
        self.chars += len(window.text)
        self.new_chars += _cost(self.check, window)
        self.urgent = self.urgent or window.channel.direction == "response"


_Missing = tuple[int, KnownText, CheckKey]
"""The number of a job without a cached scan, its text and its check."""


class Scanner:
    """Scans jobs. `threads`: the number of scans that may run beside the loop. `timeout_s`: for all jobs of a command with
    little text."""

    def __init__(
        self, threads: int, timeout_s: float | TimeLimits, known: Counter | None = None, meters: Meters | None = None
    ) -> None:
        self._limits = timeout_s if isinstance(timeout_s, TimeLimits) else TimeLimits(timeout_s)
        self._meters = meters or Meters(known)
        self._threads = ScanThreads(threads, self._limits.wait_s, waiting=self._meters.waiting)
        known_by = self._meters.known
        self._known_counts = (known_by.labels("miss"), known_by.labels("hit")) if known_by else ()
        self._cache = ScanCache(CACHE_TEXTS)
        self._clock = time.monotonic
        self._full_until_s = 0.0
        self._asked: dict[int, tuple[Any, Ratio]] = {}  # scorers that are asked now, with the characters of a question
        self._outstanding: dict[int, Counts[str]] = {}  # characters that models are judging, by scorer and tenant

    def warm_up(self, checks: Iterable[Check]) -> None:
        """Measures how long each check takes for a character, which also builds its parts. Blocks; any thread may call it.
        Skips checks that ask a model or a service, and those that read only texts of a form."""
        for check in chain.from_iterable(map(with_partner, checks)):
            traits, what = check.traits, check.digest
            if (
                traits.is_slow
                or traits.needs_form
                or traits.needs_sources
                or traits.needs_call
                or traits.needs_definition
                or _asks(check) is not None
            ):
                continue
            if self._threads.measured(what):
                continue
            # Builds what the check builds at its first scan, which says nothing about its speed.
            _run(check, [_warm_window(WARM_UP[:200])])
            began_s = time.thread_time()  # other threads may be busy
            _run(check, [_warm_window(WARM_UP)])
            self._threads.measure(Load(what, len(WARM_UP)), time.thread_time() - began_s)

    async def scan(self, jobs: Sequence[Job], tenant: str = "") -> tuple[Scan, ...]:
        """The scans of the jobs, in order. `tenant`: the tenant whose texts they are."""
        if _is_quick(jobs):
            return await self._complete([_run(job.check, [job.window])[0] for job in jobs], ())
        scans: list[Scan | None] = [None] * len(jobs)
        waiting: dict[int, _Batch] = {}
        missing = await self._look_up(jobs, tenant, scans, waiting)
        if waiting:
            await self._scan(list(waiting.values()), scans, tenant)
        return await self._complete(scans, missing)

    async def _look_up(
        self, jobs: Sequence[Job], tenant: str, scans: list[Scan | None], waiting: dict[int, _Batch]
    ) -> list[_Missing]:
        """Fills in the cached scans, and adds the other jobs to `waiting`. Returns the jobs whose scans may be cached."""
        missing: list[_Missing] = []
        checks: dict[int, CheckKey] = {}
        written: Written = {}
        window: Window | None = None
        known: KnownText | None = None
        look_ups = chars = hits = 0
        for at, job in enumerate(jobs):
            if look_ups > LOOK_UPS or chars > DIGEST_CHARS:
                await asyncio.sleep(0)  # other tasks get a turn
                look_ups = chars = 0
            look_ups += 1
            if job.window != window:  # the jobs of a text follow each other
                window = job.window
                known = self._cache.known(window, tenant, written)
                look_ups += NEW_TEXT
                chars += len(window.text)
            if known is not None:
                if (key := checks.get(id(job.check))) is None:
                    key = checks[id(job.check)] = key_of(job.check)
                if (scan := known.scans.get(key)) is not None:
                    scans[at] = scan
                    hits += 1
                    continue
                missing.append((at, known, key))
            if (batch := waiting.get(id(job.check))) is None:
                batch = waiting[id(job.check)] = _Batch(job.check)
            batch.add(at, job.window)
        for count, number in zip(self._known_counts, (len(missing), hits), strict=False):
            count.inc(number)
        return missing

    async def _complete(self, scans: list[Scan | None], missing: Iterable[_Missing]) -> tuple[Scan, ...]:
        """Caches the scans that were missing, and returns all."""
        complete: list[Scan] = []
        shortages: set[Shortage] = set()
        for at, scan in enumerate(scans):
            if at and at % ANSWERS == 0:
                await asyncio.sleep(0)  # other tasks get a turn
            if scan is None:
                raise RuntimeError("a job was not answered; this is a bug")
            if scan.no_capacity is not None:
                shortages.add(scan.no_capacity)
            complete.append(scan)
        for number, (at, known, key) in enumerate(missing):
            if number and number % ANSWERS == 0:
                await asyncio.sleep(0)  # other tasks get a turn
            self._cache.put(known, key, complete[at])
        if Shortage.FULL in shortages:
            self._full_until_s = self._clock() + FULL_S
        if self._meters.refused:
            for shortage in shortages:
                self._meters.refused.labels(shortage.value).inc()
        return tuple(complete)

    async def _scan(self, batches: Sequence[_Batch], scans: list[Scan | None], tenant: str) -> None:
        """Runs the checks and fills in their scans."""
        far: dict[asyncio.Future[list[Scan]], list[_Batch]] = {}
        small: list[_Batch] = []
        refused: list[tuple[_Batch, NoCapacityError]] = []
        asking: dict[int, list[_Batch]] = {}
        request = object()
        for batch in batches:
            if (scorer := _asks(batch.check)) is not None:
                asking.setdefault(id(scorer), []).append(batch)
            elif _is_small(batch) and len(small) < INLINE_SLICES:
                small.append(batch)
            else:
                try:
                    far[self._in_thread(batch, tenant, request)] = [batch]
                except NoCapacityError as error:
                    refused.append((batch, error))
        for same in asking.values():
            far[asyncio.ensure_future(self._ask(same, tenant, request))] = same
        try:
            # Threads and models have begun by now, and work while the loop scans what is small.
            await self._inline(small, scans)
            chars = sum(batch.chars for same in far.values() for batch in same)
            timeout_s = self._limits.for_chars(chars, _model_s(asking.values()))
            done, _ = await asyncio.wait(far, timeout=timeout_s) if far else (set(), set())
        finally:
            for work in far:
                work.cancel()
        for batch, shortage in refused:
            await _fill(scans, batch.numbers, map(failed_scan, batch.windows, repeat(shortage)))
        for work, same in far.items():
            answers = _result(work, same) if work in done else map(_late, _windows(same))
            await _fill(scans, chain.from_iterable(batch.numbers for batch in same), answers)

    async def _inline(self, small: Sequence[_Batch], scans: list[Scan | None]) -> None:
        """Scans small windows on the loop. Other tasks may run after each slice."""
        chars = 0
        for batch in small:
            if chars and chars + batch.new_chars > INLINE_CHARS:
                await asyncio.sleep(0)  # other tasks get a turn
                chars = 0
            chars += batch.new_chars
            await _fill(scans, batch.numbers, _run(batch.check, batch.windows))

    def _in_thread(self, batch: _Batch, tenant: str, request: object) -> asyncio.Future[list[Scan]]:
        """The batch's scans, from a thread. Raises `NoCapacityError`."""
        run = partial(_run_slices, batch.check, batch.windows)
        submit = partial(self._threads.submit, urgent=batch.urgent, request=request)
        return asyncio.wrap_future(submit(run, tenant, batch.load))

    async def _beside(
        self, run: Callable[[], _Result], batches: Sequence[_Batch], tenant: str, request: object
    ) -> _Result:
        """The result of `run`, a step of asking a model. Runs here if the batches are small, otherwise in a thread."""
        chars, windows = sum(batch.chars for batch in batches), sum(len(batch.windows) for batch in batches)
        if chars <= ASK_CHARS and windows <= ASK_WINDOWS:
            return run()
        urgent = any(batch.urgent for batch in batches)
        load = Load("a question to a model", chars)
        submitted = self._threads.submit(run, tenant, load, urgent=urgent, request=request)
        result: _Result = await asyncio.wrap_future(submitted)
        return result

    async def _ask(self, same: Sequence[_Batch], tenant: str, request: object) -> list[Scan]:
        """The scans of checks that ask the same model. The model is asked once, so checks of the same texts share its answer.
        Works as `calls.run`, but awaits the answer."""
        queries: list[Query] = []
        questions: list[Any] = []
        checks: list[Any] = [batch.check for batch in same]
        for check, batch in zip(checks, same, strict=True):
            try:
                own = await self._beside(partial(check.ask, batch.windows), [batch], tenant, request)
                queries += own.queries
                questions.append(own)
            except Exception as error:
                questions.append(error)
        judged: Any = []
        try:
            if queries:
                judged = await self._judgement(checks[0].scorer, queries, same, tenant, request)
        except Exception as error:
            judged = error
        return await self._beside(partial(_answers, same, questions, judged), same, tenant, request)

    async def _judgement(
        self, scorer: Any, queries: Sequence[Query], same: Sequence[_Batch], tenant: str, request: object
    ) -> Any:
        """The answer of a model. Raises the errors of the model, and `NoCapacityError`."""
        chars = sum(batch.chars for batch in same)
        by_tenant = self._outstanding.setdefault(id(scorer), Counts())
        if not any(batch.urgent for batch in same):
            self._admit(scorer, chars, by_tenant, tenant)
        by_tenant[tenant] += chars
        if hasattr(scorer, "fill"):
            self._asked.setdefault(id(scorer), (scorer, Ratio(chars, 1)))[1].add(1, chars)
        question = Question(scorer.for_tenant(tenant) if hasattr(scorer, "for_tenant") else scorer, queries)
        try:
            return await asyncio.wrap_future(await self._beside(question.submit, same, tenant, request))
        finally:
            question.drop()
            by_tenant[tenant] -= chars
            if not by_tenant[tenant]:
                del by_tenant[tenant]
            if not by_tenant:
                self._outstanding.pop(id(scorer), None)
                self._asked.pop(id(scorer), None)

    def _admit(self, scorer: Any, chars: int, by_tenant: Counts[str], tenant: str) -> None:
        """Raises `NoCapacityError` if the model would answer too late. A tenant without waiting texts is admitted, because
        others have filled the queue. Answers that have begun are admitted too, because the queue of the model keeps room for
        them."""
        if not hasattr(scorer, "wait_s") or scorer.wait_s(chars) <= self._limits.wait_s:
            return
        own, others = by_tenant[tenant], by_tenant.total() - by_tenant[tenant]
        if own or not others:
            shortage = Shortage.SHARE if 0 < others < own else Shortage.FULL
            raise NoCapacityError(shortage, "too many texts wait for the model")

    def load(self) -> float:
        """Returns which share is taken of what may wait, in time and in places: at 1 a new scan is refused."""
        if self._clock() < self._full_until_s:
            return 1.0
        wait_s, fill = self._threads.wait_s(), 0.0
        for scorer, chars in self._asked.values():
            wait_s, fill = max(wait_s, scorer.wait_s(round(chars.of(1)))), max(fill, scorer.fill())
        return max(fill, wait_s / max(self._limits.wait_s, LEAST_WAIT_S))

    def close(self) -> None:
        self._threads.close()


def _warm_window(text: str) -> Window:
    return Window(Channel("request", "user", "warm-up"), text, last=True)


def _is_quick(jobs: Sequence[Job]) -> bool:
    """Whether jobs can be scanned on the loop at once: a few small windows of growing texts, whose scans are not cached."""
    if len(jobs) > INLINE_SLICES:
        return False
    cost = 0
    for job in jobs:
        window, check = job.window, job.check
        # The scan of a whole text may be in the cache.
        if (window.last and not window.start) or check.traits.is_slow or hasattr(check, "scorer"):
            return False
        cost += _cost(check, window)
    return cost <= INLINE_CHARS


def _cost(check: Check, window: Window) -> int:
    """The characters that cost as much as a window if the check has not read them before."""
    known = window.settled - window.start
    new = len(window.text) - known
    cost = new + known // KNOWN_SHARE
    if new > FEW_CHARS and check.traits.cost is not None:
        return max(cost, check.traits.cost(window))
    return cost


def _is_small(batch: _Batch) -> bool:
    if batch.check.traits.is_slow or len(batch.windows) > INLINE_WINDOWS:
        return False
    return batch.new_chars <= INLINE_CHARS


def _asks(check: Check) -> Any:
    """The scorer of a check whose answer can be awaited without a thread (`submit` of `inference/scoring/scorer.py`), if the
    check turns windows into questions (`ask`) and answers into scans (`answer`); otherwise `None`."""
    scorer = getattr(check, "scorer", None)  # a check by `isinstance` costs ten times as much
    is_asking = hasattr(scorer, "submit") and hasattr(check, "ask") and hasattr(check, "answer")
    return scorer if is_asking else None


async def _fill(scans: list[Scan | None], numbers: Iterable[int], answers: Iterable[Scan]) -> None:
    """Puts answers in their places. Other tasks may run after each slice, because `answers` may compute them lazily."""
    for count, (at, answer) in enumerate(zip(numbers, answers, strict=True), 1):
        scans[at] = answer
        if count % ANSWERS == 0:
            await asyncio.sleep(0)  # other tasks get a turn


def _model_s(asking: Iterable[Sequence[_Batch]]) -> float:
    """The seconds that the slowest of the models takes for the texts of its batches, as far as a model knows its speed."""
    asked: list[tuple[Any, int]] = [(same[0].check, sum(batch.chars for batch in same)) for same in asking]
    return max((check.scorer.own_s(chars) for check, chars in asked if hasattr(check.scorer, "own_s")), default=0.0)


def _windows(same: Sequence[_Batch]) -> Iterator[Window]:
    return chain.from_iterable(batch.windows for batch in same)


def _late(window: Window) -> Scan:
    return Scan((), window.settled, window.start, "timeout", no_capacity=Shortage.LATE)


def _result(work: asyncio.Future[list[Scan]], same: Sequence[_Batch]) -> Iterable[Scan]:
    try:
        return work.result()
    except Exception as error:
        for batch in same:
            _report(batch.check, error)
        return map(failed_scan, _windows(same), repeat(error))
    except asyncio.CancelledError:  # the threads are closed
        return map(_late, _windows(same))


def _answers(same: Sequence[_Batch], questions: Sequence[Any], judged: Any) -> list[Scan]:
    """The scans that checks make of the shared answer of a model. An error stands instead of a question or of the answer."""
    scans: list[Scan] = []
    # A check that asked nothing because of an error takes no part of the answer.
    at = 0
    for batch, own in zip(same, questions, strict=True):
        check: Any = batch.check
        try:
            for part in (own, judged):
                if isinstance(part, Exception):
                    raise part
            part = judged[at : at + len(own.queries)]
            at += len(part)
            scans += _checked(batch.windows, check.answer(batch.windows, own, part))
        except Exception as error:
            scans += _broken(check, batch.windows, error)
    return scans
