"""Runs checks: jobs in, scans out. Where a check runs is this file's secret.

Small windows run at once, for a trip to another thread would cost more than the scan; all others run in threads, off the
loop. A check that asks a model waits for it without a thread, beside whoever else asks. Answers for whole texts are
remembered by a keyed digest (the text is not kept), so an agent's history is scanned once. A check that raises or takes too
long gives a `Scan` with an error, which the policy's `on_error` decides; what nobody waits for any more is not begun.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

from prometheus_client import Counter

from guardproxy.checks import Check, Query, Scorer
from guardproxy.findings import Scan, Window
from guardproxy.gate import Job

_log = logging.getLogger(__name__)

INLINE_CHARS = 300  # measured: under a millisecond for every check without a model
ASK_CHARS = 20_000  # what a model is asked is cut out of so much text in under a millisecond
CACHE_ENTRIES = 20_000
_CACHE_FROM_CHARS = 40  # shorter texts are scanned faster than they are looked up


@runtime_checkable
class _Patient(Protocol):
    """A scorer that can be waited for without a thread; see `guardproxy.supervisor.scorer.ModelScorer.submit`."""

    def submit(self, queries: Sequence[Query]) -> Future[Any]: ...


@runtime_checkable
class _Asking(Protocol):
    """A check whose scan is a question to a model, and what it makes of the answer."""

    scorer: Scorer

    def ask(self, windows: Sequence[Window]) -> Any: ...

    def answer(self, windows: Sequence[Window], asked: Any, judged: Any) -> list[Scan]: ...


class Scanner:
    """`threads`: how many scans may run beside the loop. `timeout_s`: for all jobs of one command. `known`: counts whole
    texts by whether their scan was remembered (`hit`, `miss`)."""

    def __init__(self, threads: int, timeout_s: float, known: Counter | None = None) -> None:
        self._pool = ThreadPoolExecutor(threads, "scan")
        self._timeout_s = timeout_s
        self._key = secrets.token_bytes(16)
        self._cache: OrderedDict[bytes, Scan] = OrderedDict()
        self._known = known

    async def scan(self, jobs: Sequence[Job]) -> tuple[Scan, ...]:
        """The answers, in order."""
        scans: list[Scan | None] = [None] * len(jobs)
        keys = [self._cache_key(job) for job in jobs]
        waiting: dict[int, tuple[Check, list[int]]] = {}
        for at, (job, key) in enumerate(zip(jobs, keys, strict=True)):
            hit = self._cache.get(key) if key is not None else None
            if self._known and key is not None:
                self._known.labels("hit" if hit else "miss").inc()
            if key is not None and hit is not None:
                self._cache.move_to_end(key)
                scans[at] = hit
            else:
                waiting.setdefault(id(job.check), (job.check, []))[1].append(at)
        batches = [(check, numbers, [jobs[at].window for at in numbers]) for check, numbers in waiting.values()]
        far: dict[asyncio.Future[list[Scan]], tuple[list[int], list[Window]]] = {}
        asking: dict[int, list[tuple[_Asking, list[int], list[Window]]]] = {}
        for check, numbers, windows in batches:
            if isinstance(check, _Asking) and isinstance(check.scorer, _Patient):
                asking.setdefault(id(check.scorer), []).append((check, numbers, windows))
            elif not getattr(check, "slow", False) and sum(len(window.text) for window in windows) <= INLINE_CHARS:
                self._take(scans, numbers, _run(check, windows))
            else:
                work = asyncio.get_running_loop().run_in_executor(self._pool, _run, check, windows)
                far[work] = numbers, windows
        for same in asking.values():
            numbers = [at for _, own, _ in same for at in own]
            windows = [window for *_, own in same for window in own]
            far[asyncio.ensure_future(self._asked([(check, own) for check, _, own in same]))] = numbers, windows
        try:
            done, late = await asyncio.wait(far, timeout=self._timeout_s) if far else (set(), set())
        except asyncio.CancelledError:
            for work in far:
                work.cancel()
            raise
        for work in late:
            work.cancel()
        for work, (numbers, windows) in far.items():
            late_scans = [_failed(window, "timeout") for window in windows]
            self._take(scans, numbers, work.result() if work in done else late_scans)
        for at, key in enumerate(keys):
            scan = scans[at]
            if key is not None and scan is not None and not scan.error:
                self._cache[key] = scan
        while len(self._cache) > CACHE_ENTRIES:
            self._cache.popitem(last=False)
        return tuple(scan for scan in scans if scan is not None)

    async def _asked(self, asking: Sequence[tuple[Any, list[Window]]]) -> list[Scan]:
        """The scans of checks that ask the same model, which is asked once: checks that read the same texts share what
        it says of them. As `_run`, but the answer is waited for here."""
        queries: list[Query] = []
        asked: list[Any] = []
        for check, windows in asking:
            try:
                if sum(len(window.text) for window in windows) <= ASK_CHARS:
                    own = check.ask(windows)
                else:
                    own = await asyncio.get_running_loop().run_in_executor(self._pool, check.ask, windows)
                queries += own.queries
                asked.append(own)
            except Exception as error:
                asked.append(error)
        judged: Any = []
        try:
            judged = await asyncio.wrap_future(asking[0][0].scorer.submit(queries)) if queries else []
        except Exception as error:
            judged = error
        scans: list[Scan] = []
        at = 0
        for (check, windows), own in zip(asking, asked, strict=True):
            try:
                for failed in (own, judged):
                    if isinstance(failed, Exception):
                        raise failed
                part = judged[at : at + len(own.queries)]
                at += len(part)
                scans += _checked(check, windows, check.answer(windows, own, part))
            except Exception as error:
                scans += _broken(check, windows, error)
        return scans

    @staticmethod
    def _take(scans: list[Scan | None], numbers: list[int], answers: Sequence[Scan]) -> None:
        for at, answer in zip(numbers, answers, strict=True):
            scans[at] = answer

    def _cache_key(self, job: Job) -> bytes | None:
        """`None` for windows that are not a whole text (a stream's are never seen twice), or that are to have a form."""
        window = job.window
        if window.start or not window.last or window.facts.form or len(window.text) < _CACHE_FROM_CHARS:
            return None
        digest = hashlib.blake2b(window.text.encode("utf-8", "surrogatepass"), digest_size=24, key=self._key)
        channel = window.channel
        known = (job.check.name, job.check.digest, window.facts.language, channel.direction, channel.kind)
        digest.update("\0".join(known).encode())
        return digest.digest()

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def _failed(window: Window, error: str) -> Scan:
    return Scan((), window.settled, window.start, error)


def _run(check: Check, windows: list[Window]) -> list[Scan]:
    try:
        return _checked(check, windows, check.scan(windows))
    except Exception as error:
        return _broken(check, windows, error)


def _broken(check: Check, windows: list[Window], error: Exception) -> list[Scan]:
    name = type(error).__name__  # never the message: it may quote the text
    _log.error("check failed", extra={"check": check.name, "error": name})
    return [_failed(window, name) for window in windows]


def _checked(check: Check, windows: list[Window], scans: list[Scan]) -> list[Scan]:
    if len(scans) != len(windows):
        raise ValueError("a check must answer every window")
    return [_sound(window, scan) for window, scan in zip(windows, scans, strict=True)]


def _sound(window: Window, scan: Scan) -> Scan:
    """Holds a check to its contract, so that a careless plug-in fails closed instead of leaking."""
    end = window.start + len(window.text)
    settled = end if window.last else scan.settled
    fine = scan.keep <= scan.settled and window.settled <= scan.settled <= end and scan.keep >= window.start
    fine = fine and all(window.settled <= one.start <= one.end <= end for one in scan.findings)
    if not fine:
        return _failed(window, "broken_contract")
    return scan if settled == scan.settled else replace(scan, settled=settled)
