"""Asks judges about a sample of answers, off the path: when the record of an exchange is durable and its client has its answer.

In: finished exchanges whose record names judges. Out: an entry of the log for each, with the score or why there is none. Kept:
a bounded number of questions that wait. What does not fit is dropped and counted. No question is asked twice.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
from multidict import CIMultiDict

from guardproxy.audit import ENTRY_VERSION, Judged, Record
from guardproxy.config import Config
from guardproxy.errors import AuditError, UpstreamError
from guardproxy.exchange import Exchange, llm_judge
from guardproxy.policy import BoundRules, BoundSection, JudgeSection
from guardproxy.server.driving.direct import DirectDriver
from guardproxy.server.driving.driver import Driver
from guardproxy.server.driving.recorder import Recorder
from guardproxy.server.observing.metrics import Metrics
from guardproxy.server.upstream.connections import Connections
from guardproxy.server.upstream.deadlines import Deadlines
from guardproxy.server.upstream.drain import Leftovers
from guardproxy.server.upstream.upstream import Breakers, Upstream
from guardproxy.wire import codec_for

LIMIT_WAITING = 200
LIMIT_WAITING_BYTES = 64 * 1024 * 1024
LIMIT_AT_ONCE = 4
LIMIT_ANSWER_BYTES = 1 << 20
TIMEOUT_S = 60.0
_log = logging.getLogger(__name__)


class JudgeError(Exception):
    """A judge gave no score. `str()`: why, in one of the words of `Judged.failure`."""


class Asking:
    """Asks judges through the upstreams of the settings, with the proxy's keys."""

    def __init__(self, config: Config, connections: Connections, breakers: Breakers, leftovers: Leftovers) -> None:
        self._config = config
        self._connections = connections
        self._breakers = breakers
        self._leftovers = leftovers

    async def score(self, section: JudgeSection, conversation: list[tuple[str, str]], answer: str) -> int:
        """Returns the score of an answer. Raises `JudgeError`."""
        body = orjson.dumps(llm_judge.judge_request(section, conversation, answer))
        try:
            async with asyncio.timeout(TIMEOUT_S):
                status, data = await self._post(section.upstream, body)
        except TimeoutError:
            raise JudgeError("timeout") from None
        except UpstreamError as error:
            raise JudgeError(error.code) from None
        if status != 200:
            raise JudgeError(f"status_{status}")
        score = llm_judge.read_score(section, data)
        if score is None:
            raise JudgeError("no_score")
        return score

    async def _post(self, name: str, body: bytes) -> tuple[int, bytes]:
        codec = codec_for(llm_judge.JUDGE_ROUTE)
        assert codec is not None  # noqa: S101 - a shipped format
        key_header, key = codec.contract.key_header, self._config.upstreams.key_for(name)
        headers = CIMultiDict({"Content-Type": "application/json", "Accept-Encoding": "identity"})
        if key:
            headers[key_header.name] = key_header.prefix + key
        deadlines = Deadlines()
        asked = Upstream(
            self._connections,
            self._breakers,
            deadlines,
            self._leftovers,
            self._config.timeouts.first_byte_s,
            has_own_key=True,
        )
        try:
            path = llm_judge.JUDGE_ROUTE.partition(" ")[2]
            asked.begin("POST", self._config.upstreams.url_for(name) + path, headers, body)
            status, data = (await asked.head()).status, b""
            while part := await asked.read():
                data += part
                if len(data) > LIMIT_ANSWER_BYTES:
                    raise JudgeError("too_large")
            return status, data
        finally:
            asked.close()
            deadlines.close()


@asynccontextmanager
async def asking(config: Config) -> AsyncIterator[Asking]:
    """Yields what asks judges, with connections of its own."""
    connections = Connections(config.timeouts.connect_s, config.timeouts.idle_s)
    leftovers = Leftovers()
    try:
        yield Asking(config, connections, Breakers(config), leftovers)
    finally:
        await leftovers.close()
        await connections.close()


class Judges:
    """Asks judges about finished exchanges. `engine`: the version that entries name."""

    def __init__(self, asking: Asking, recorder: Recorder, metrics: Metrics, engine: str) -> None:
        self._asking = asking
        self._recorder = recorder
        self._metrics = metrics
        self._engine = engine
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns = asyncio.Semaphore(LIMIT_AT_ONCE)
        self._waiting_bytes = 0

    def finished(self, driver: Driver | DirectDriver) -> None:
        """Takes a finished exchange whose record names judges. Without a durable record, none is asked."""
        if driver.finished and driver.is_recorded:
            bound = driver.exchange.bound if isinstance(driver.exchange, Exchange) else None
            assert bound is not None  # noqa: S101 - the record has judges, so policies were bound
            self._offer(driver.finished.record, bound)

    def _offer(self, record: Record, bound: BoundRules) -> None:
        """Queues the questions about a recorded exchange. Returns at once."""
        size_bytes = sum(record.sizes.values())
        for section in llm_judge.judges_of(record, bound):
            is_full = self._waiting_bytes + size_bytes > LIMIT_WAITING_BYTES and self._tasks
            if len(self._tasks) >= LIMIT_WAITING or is_full:
                self._metrics.judged.labels(section.policy, "dropped").inc()
                continue
            self._waiting_bytes += size_bytes
            task = asyncio.create_task(self._judge(record, section, size_bytes))
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

    async def _judge(self, record: Record, bound: BoundSection[JudgeSection], size_bytes: int) -> None:
        section = bound.value
        score, failure = None, None
        async with self._turns:
            began = time.perf_counter()
            try:
                texts = (
                    llm_judge.texts_of(record)
                    if record.is_small
                    else await asyncio.to_thread(llm_judge.texts_of, record)
                )
                if texts is None:
                    raise JudgeError("no_text")
                question, answer = texts
                score = await self._asking.score(section, question, answer)
            except JudgeError as error:
                failure = str(error)
            except Exception as error:
                failure = "internal_error"
                _log.error("judge not asked", extra={"id": record.id, "error": type(error).__name__})
            finally:
                self._waiting_bytes -= size_bytes
            took_ms = round((time.perf_counter() - began) * 1000, 3)
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
        )
        try:
            await self._recorder.keep(entry)
        except AuditError as error:
            _log.error("score not kept", extra={"id": record.id, "error": str(error)})
