"""Asks judges about a sample of answers, off the path: when the record of an exchange is durable and its client has its answer.

In: finished exchanges whose record names judges. Out: an entry of the log for each, with the score or why there is none. Kept:
a bounded number of questions that wait. What does not fit is dropped and counted. No question is asked twice.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from guardproxy.audit import ENTRY_VERSION, Judged, Record
from guardproxy.audit.record import PrivateRecord
from guardproxy.errors import AuditError, UpstreamError
from guardproxy.exchange import Exchange, llm_judge
from guardproxy.gateway import Prices, prices_of
from guardproxy.policy.sections import BoundSection, JudgeSection
from guardproxy.server.driving.asking.comparing import Comparing
from guardproxy.server.driving.asking.upstreams import Asking, AskingError, failure_of
from guardproxy.server.driving.direct import DirectDriver
from guardproxy.server.driving.driver import Driver
from guardproxy.server.driving.recorder import Recorder
from guardproxy.server.observing.metrics import Metrics
from guardproxy.wire import Dialect

LIMIT_WAITING = 200
LIMIT_WAITING_BYTES = 64 * 1024 * 1024
LIMIT_AT_ONCE = 4
TIMEOUT_S = 60.0
_log = logging.getLogger(__name__)


async def score_of(
    asking: Asking, section: JudgeSection, conversation: Sequence[tuple[str, str]], answer: str, exchange: str
) -> tuple[int, str]:
    """Returns the score of an answer and the judge's reason. Raises `AskingError`. `exchange`: its id."""
    dialect = Dialect.of(section.wire_format, section.model)
    if dialect is None:  # a plug-in was uninstalled
        raise AskingError("no_format")
    question = llm_judge.judge_question(section, conversation, answer, exchange)
    try:
        reply = await asking.ask(section.upstream, dialect, question, TIMEOUT_S)
    except (TimeoutError, UpstreamError) as error:
        raise AskingError(failure_of(error)) from None
    given = None if reply.text is None else question.read(reply.text)
    if given is None:
        raise AskingError("no_score")
    return int(given.answer), given.reason


class Judges:
    """Asks judges about finished exchanges. `engine`: the version that entries name; `prices`: returns those in force."""

    def __init__(
        self, asking: Asking, recorder: Recorder, metrics: Metrics, engine: str, prices: Callable[[], Prices]
    ) -> None:
        self._asking = asking
        self._prices = prices
        self._recorder = recorder
        self._metrics = metrics
        self._engine = engine
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns = asyncio.Semaphore(LIMIT_AT_ONCE)
        self._waiting_bytes = 0

    def finished(self, driver: Driver | DirectDriver) -> None:
        """Takes a finished exchange whose record names judges. Without a durable record, none is asked."""
        if driver.finished and driver.is_recorded:
            assert isinstance(driver.exchange, Exchange)  # noqa: S101 - the record has judges, so policies were bound
            self._offer(driver.finished.record, driver.exchange)

    def _offer(self, record: Record, exchange: Exchange) -> None:
        """Queues the questions about a recorded exchange. Returns at once."""
        bound = exchange.bound
        assert bound is not None  # noqa: S101 - as above
        size_bytes = sum(record.sizes.values())
        for section in llm_judge.judges_of(record, bound):
            is_full = self._waiting_bytes + size_bytes > LIMIT_WAITING_BYTES and self._tasks
            if len(self._tasks) >= LIMIT_WAITING or is_full:
                self._metrics.judged.labels(section.policy, "dropped").inc()
                continue
            self._waiting_bytes += size_bytes
            task = asyncio.create_task(
                self._judge(record, section, self._comparing(section.value, exchange), size_bytes)
            )
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self, timeout_s: float) -> None:
        """Waits for the questions under way for at most `timeout_s`, then drops them."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _comparing(self, section: JudgeSection, exchange: Exchange) -> Comparing | None:
        """Returns what compares the answer with that of a candidate, if the section names one."""
        if section.candidate is None:
            return None
        lists = prices_of(exchange.bound)
        rates = lambda model: self._prices().rates((model,), time.time(), 0, lists)  # noqa: E731
        return Comparing(self._asking, rates, section, exchange.for_another)

    async def _judge(
        self, record: Record, bound: BoundSection[JudgeSection], comparing: Comparing | None, size_bytes: int
    ) -> None:
        section = bound.value
        score, failure, reason, texts, compared = None, None, "", None, None
        async with self._turns:
            began = time.perf_counter()
            try:
                texts = (
                    llm_judge.texts_of(record)
                    if record.is_small
                    else await asyncio.to_thread(llm_judge.texts_of, record)
                )
                if texts is None:
                    raise AskingError("no_text")
                conversation, answer = texts
                score, reason = await score_of(self._asking, section, conversation, answer, record.id)
            except AskingError as error:
                failure = str(error)
            except Exception as error:
                failure = "internal_error"
                _log.error("judge not asked", extra={"id": record.id, "error": type(error).__name__})
            finally:
                self._waiting_bytes -= size_bytes
            took_ms = round((time.perf_counter() - began) * 1000, 3)
            if comparing and texts:
                with suppress(asyncio.CancelledError):  # the end of the proxy must not cost the score, too
                    conversation, answer = texts
                    compared = await comparing.compare(record.id, conversation, answer)
        self._metrics.judged.labels(bound.policy, "scored" if failure is None else "failed").inc()
        if score is not None:
            self._metrics.scores.labels(bound.policy, str(score)).inc()
        entry = Judged(
            v=ENTRY_VERSION,
            at=time.time(),
            id=record.id,
            engine=self._engine,
            policy=bound.policy,
            upstream=section.upstream,
            model=section.model,
            rubric=section.digest,
            scale=(section.low, section.high),
            ms=took_ms,
            score=score,
            failure=failure,
            compared=compared,
        )
        if reason and isinstance(record, PrivateRecord):
            entry = record.with_reason(entry, reason)
        try:
            await self._recorder.keep(entry)
        except AuditError as error:
            _log.error("score not kept", extra={"id": record.id, "error": str(error)})
