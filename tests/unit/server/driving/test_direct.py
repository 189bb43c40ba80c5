"""An exchange without connections uses the memory of earlier exchanges as others do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from guardproxy.errors import AuditError, StoreError
from guardproxy.exchange import Exchange, Finish, RequestReceived, approvals
from guardproxy.exchange.gate import Job
from guardproxy.findings import Scan
from guardproxy.gateway.store import Answer
from guardproxy.server.driving.direct import DirectDriver
from guardproxy.server.driving.memories import Memories, UsedMemory
from guardproxy.server.driving.offload import Steps
from guardproxy.server.observing.metrics import Metrics
from tests.kit.confirming import MCP, POLICY, begun
from tests.unit.server.driving.test_memories import KEY, Clock, Store

CALL = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "pay", "arguments": {"to": "x"}}}


class Scanner:
    """Runs checks at once."""

    async def scan(self, jobs: Sequence[Job], tenant: str) -> tuple[Scan, ...]:
        return tuple(job.check.scan([job.window])[0] for job in jobs)


class Recorder:
    """Keeps records, or fails."""

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails

    async def keep(self, record: object) -> None:
        if self.fails:
            raise AuditError("the disk is full")

    def take(self, record: object) -> None:
        pass


class Away:
    """A store that cannot be reached."""

    async def perform(self, calls: Sequence[object]) -> tuple[Answer, ...]:
        raise StoreError("away")


def driver(exchange: Exchange, memories: Memories | None, recorder: Recorder | None = None) -> DirectDriver:
    scanner: Any = Scanner()
    records: Any = recorder or Recorder()
    return DirectDriver(exchange, scanner, records, Steps(), UsedMemory(memories) if memories else None)


async def ended(driver: DirectDriver) -> Finish:
    (*_, finish) = await driver.take(RequestReceived(json.dumps(CALL).encode()))
    assert isinstance(finish, Finish)
    return finish


async def pending(memories: Memories) -> int:
    starts = [approvals.WAITING.key(start) for start in approvals.TAG_STARTS]
    return sum(len(entry) for entry in await memories.read(starts))


@pytest.mark.parametrize(("fails", "count"), [(False, 1), (True, 0)])
async def test_what_an_exchange_leaves_is_kept_with_its_record(fails: bool, count: int) -> None:
    memories = Memories(KEY, Store(Clock()), "closed", Metrics())
    finish = await ended(driver(begun(POLICY, MCP, "/mcp/bank"), memories, Recorder(fails=fails)))
    assert finish.outcome == "blocked_request"
    assert await pending(memories) == count


async def test_a_store_that_is_away_ends_the_exchange() -> None:
    memories = Memories(KEY, Away(), "closed", Metrics())
    finish = await ended(driver(begun(POLICY, MCP, "/mcp/bank"), memories))
    assert finish.outcome == "store_unavailable"


async def test_without_a_memory_nothing_is_found() -> None:
    assert (await ended(driver(begun(POLICY, MCP, "/mcp/bank"), None))).outcome == "blocked_request"


async def test_a_caller_that_leaves_keeps_the_record() -> None:
    left = driver(begun(POLICY, MCP, "/mcp/bank"), Memories(KEY, Store(Clock()), "closed", Metrics()))
    await left.close()
    await asyncio.sleep(0)
    assert left.finished is not None
