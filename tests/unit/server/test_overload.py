"""Three times as many requests as the model can judge: as many are answered as at the peak, and the others are told at once
to come again. Time is the number of steps of work, so nothing here depends on how fast the machine is."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any

import pytest

from guardproxy.checks._shared.declared.contract import Query, Resources, ScoredPiece
from guardproxy.errors import Shortage
from guardproxy.exchange.inputs.transcript import RequestReceived, Scanned, SendUpstream
from guardproxy.findings import Scan
from guardproxy.inference.running.batching import Batcher, Row
from guardproxy.inference.running.meters import Registry
from guardproxy.server.scanning.scanner import Scanner, TimeLimits
from tests.kit.play import Play
from tests.kit.scanner import policies
from tests.kit.supervisor import FakeScorer, words

STEP_S = 0.1  # how long the network takes for one text
TIMEOUT_S = 10.0
POLICY = """\
policy: judged
on_error: flag
checks: {attack: {use: supervisor, threshold: 0.5}}
rules:
  - {id: attacks, on: request, when: attack, action: block}
"""


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Network:
    """Takes one row at a time, and one step for it."""

    provider = "test"
    budget = 1
    workers = 0  # the test is the worker

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def run(self, rows: Sequence[Row]) -> list[list[float]]:
        self.clock.now += STEP_S * len(rows)
        return [[0.0] for _ in rows]

    def close(self) -> None: ...


class Text:
    """A text that waits for the network. Implements `guardproxy.inference.running.batching.ScoringJob`."""

    def __init__(self, number: int, scorer: Slow, queries: Sequence[Query]) -> None:
        self.answer: Future[list[tuple[ScoredPiece, ...]]] = Future()
        self._rows = deque([(number, *range(19))])
        self._scorer = scorer
        self._queries = queries

    def is_dropped(self) -> bool:
        return self.answer.done()

    @property
    def ready(self) -> bool:
        return not self._rows

    def prepare(self) -> deque[Row]:
        return deque([self._rows.popleft()])

    def has_scores(self, row: Row) -> bool:
        return False

    def set_logits(self, row: Row, logits: Sequence[float]) -> None: ...

    def end(self) -> None:
        with suppress(InvalidStateError):
            self.answer.set_result(self._scorer.judge(self._queries))

    def fail(self, error: Exception) -> None:
        with suppress(InvalidStateError):
            self.answer.set_exception(error)


class Slow(FakeScorer):
    """A scorer whose texts wait in a real queue for a network that takes one step for each."""

    def __init__(self, clock: Clock, wait_s: float) -> None:
        super().__init__(words)
        self.batcher = Batcher(Network(clock), 256, Registry().meters("m"), 2 * wait_s, clock)
        self.submitted = 0

    def submit(self, queries: Sequence[Query]) -> Future[list[tuple[ScoredPiece, ...]]]:
        self.submitted += 1
        text = Text(self.submitted, self, queries)
        self.batcher.put(text, sum(len(query.text) for query in queries))
        return text.answer

    def wait_s(self, chars: int) -> float:
        return self.batcher.wait_s(chars)

    def work(self) -> None:
        """One step of the network, where something waits."""
        if self.batcher._queue:
            self.batcher._step()


class Load:
    """Requests that come, and what becomes of each: its status (200: sent upstream), when it came, when that was."""

    def __init__(self, wait_s: float) -> None:
        self.clock = Clock()
        self.scorer = Slow(self.clock, wait_s)
        self.policies = policies(POLICY, using=Resources(lambda name: self.scorer))
        self.scanner = Scanner(1, TimeLimits(3600.0, wait_s=wait_s))
        self.ends: list[tuple[int, float, float, bytes]] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def request(self, number: int) -> None:
        began, play = self.clock.now, Play(self.policies)
        body = {
            "model": "m",
            "messages": [{"role": "user", "content": f"an ordinary text with the number {number:06}"}],
        }
        play.tell(RequestReceived(json.dumps(body).encode()))
        while play.pending:
            jobs, play.pending = play.pending.jobs, None
            play.tell(Scanned(await self._scans(jobs, began)))
        sent = any(isinstance(command, SendUpstream) for command in play.done)
        self.ends.append((200 if sent else play.head.status, began, self.clock.now, play.client))
        if not sent:
            assert ("Retry-After", "1") in play.head.headers

    async def _scans(self, jobs: Any, began: float) -> tuple[Scan, ...]:
        """The scans, unless they come later than a time-out: then they are late."""
        scans = await self.scanner.scan(jobs, "tenant")
        if self.clock.now - began > TIMEOUT_S:
            return tuple(Scan((), 0, 0, "timeout", no_capacity=Shortage.LATE) for _ in scans)
        return scans

    async def run(self, steps: int, each_step: int) -> None:
        """So many requests come with each step of work."""
        for step in range(steps):
            for number in range(each_step):
                self.tasks.append(asyncio.create_task(self.request(step * each_step + number)))
            await _settle()
            self.scorer.work()
            await _settle()
        for task in self.tasks:
            task.cancel()
        for task in self.tasks:
            with suppress(asyncio.CancelledError):
                await task
        self.scorer.batcher.close()
        self.scanner.close()

    @property
    def good(self) -> int:
        return sum(status == 200 for status, *_ in self.ends)


async def _settle() -> None:
    """Lets everything happen that does not wait for the network."""
    for _ in range(8):
        await asyncio.sleep(0)


@pytest.mark.heavy
@pytest.mark.parametrize("times", [3, 10])
async def test_overload_lowers_what_is_answered_by_less_than_a_tenth(times: int) -> None:
    peak, over = Load(2.0), Load(2.0)
    await peak.run(200, 1)
    await over.run(200, times)
    assert peak.good >= 195, "the network is busy all the time, and nothing is refused"
    assert over.good >= 0.9 * peak.good
    refused = [(status, end - began, said) for status, began, end, said in over.ends if status != 200]
    assert len(refused) > (times - 1.2) * 200
    assert {status for status, *_ in refused} == {503}
    assert max(waited for _, waited, _ in refused) <= STEP_S, "who is refused is told so at once"
    assert not any(b"content_filter" in said for *_, said in refused)
    waits = [end - began for status, began, end, _ in over.ends if status == 200]
    assert max(waits) < TIMEOUT_S / 2, "far from being late, even before the speed was measured"


async def test_without_a_bound_of_the_wait_the_same_load_would_answer_less() -> None:
    """That the test above can fail: a queue that is bounded by its length alone answers late."""
    over = Load(3600.0)
    await over.run(200, 3)
    assert over.good < 0.75 * 200
