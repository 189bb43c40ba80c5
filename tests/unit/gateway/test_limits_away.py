"""Sums of limits while the shared store is cut off, killed or hangs: afterwards each sum is what was really used."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.errors import DownstreamError, StoreError
from guardproxy.gateway import Trail
from guardproxy.gateway.store import Answer, Call, Failover, Lease, MemoryStore, RedisStore, Settle, Store, Take
from guardproxy.gateway.store.failover import PAUSE_S, Down
from tests.kit.limits import Desk, done, limit
from tests.kit.valkey import Relay, valkey

LIMITS = (
    limit("tokens", "tokens", 'budget = "1000000/day"')
    + limit("requests", "requests", 'budget = "1000/day"', 'per = ["model"]')
    + limit("together", "parallel", "most = 1000", 'models = ["*"]')
)
DOWN: tuple[Down, ...] = ("closed", "open", "local")


@dataclass
class Faulty:
    """A store that fails at calls: `before` it has done its work, `after` it, or `late`: it does its work after it healed."""

    store: Store
    faults: list[str] = field(default_factory=list)
    late: list[Sequence[Call]] = field(default_factory=list)
    keys: dict[str, None] = field(default_factory=dict)

    async def perform(self, calls: Sequence[Call]) -> tuple[Answer, ...]:
        self.keys |= {call.key: None for call in calls if isinstance(call, Take | Settle)}
        fault = self.faults.pop(0) if self.faults else "none"
        if fault == "late":
            self.late.append(calls)
        if fault in ("before", "late"):
            raise StoreError("away")
        answers = await self.store.perform(calls)
        if fault == "after":
            raise StoreError("away")
        return answers

    async def heal(self) -> None:
        self.faults.clear()
        late, self.late = self.late, []
        for calls in late:
            await self.store.perform(calls)


@dataclass
class Process:
    """A process that limits. `used`: the tokens of the exchanges that ended."""

    shared: Store
    down: Down
    now_s: float = 0.0
    open: list[Trail] = field(default_factory=list)
    used: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        lease = Lease("me")
        self.store = Failover(self.shared, self.down, lambda: self.now_s, lambda message: None, lease)
        self.desk = Desk(LIMITS, store=self.store, lease=lease)

    async def ask(self) -> bool:
        """Whether a request was admitted."""
        try:
            self.open.append(await self.desk.asked())
        except DownstreamError as error:
            if (error.code, self.down) != ("store_unavailable", "closed"):
                raise
            await self.desk.duties.settle(self.desk.trail.head, done(prompt=0, answer=0))
            return False
        return True

    async def end(self, tokens: int) -> None:
        await self.desk.duties.settle(self.open.pop(0).head, done(prompt=tokens, answer=1))
        self.used.append(tokens + 1)

    async def recover(self) -> None:
        """The pause is over, and the lease is renewed."""
        self.now_s += PAUSE_S
        await self.store.renew()
        assert self.store.renew_in_s > PAUSE_S
        assert not self.store._unsettled
        assert not self.store._sent_s
        assert not self.store.lost


async def levels(store: Store, keys: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for key in keys:
        (level,) = await store.perform([Take(key, "probe", 0, 10**9, 9, 9)])
        assert isinstance(level, int)
        found[key.split(":")[1]] = level
    return found


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.just(0)),
        st.tuples(st.just("end"), st.integers(0, 900)),
        st.tuples(st.sampled_from(["renew", "pause", "heal"]), st.just(0)),
        st.tuples(st.sampled_from(["before", "after", "late"]), st.integers(1, 3)),
    ),
    max_size=25,
)


@pytest.mark.parametrize("down", DOWN)
@given(steps=STEPS, is_renewed_first=st.booleans())
def test_whatever_fails_a_sum_ends_as_what_was_used(
    down: Down, steps: list[tuple[str, int]], is_renewed_first: bool
) -> None:
    async def run() -> None:
        memory = MemoryStore(lambda: 0.0)
        faulty = Faulty(memory)
        process = Process(faulty, down)
        for step, number in steps:
            match step:
                case "ask":
                    await process.ask()
                case "end":
                    if process.open:
                        await process.end(number)
                case "renew":
                    await process.store.renew()
                case "pause":
                    process.now_s += PAUSE_S
                case "heal":
                    await faulty.heal()
                case _:
                    faulty.faults += [step] * number
        if is_renewed_first:
            faulty.faults.clear()
            await process.recover()
        await faulty.heal()
        await process.recover()
        assert (await levels(memory, faulty.keys)).get("together", 0) <= len(process.open)
        while process.open:
            await process.end(7)
        wanted = {"tokens": sum(process.used), "requests": len(process.used), "together": 0}
        found = await levels(memory, faulty.keys)
        assert found == {name: wanted[name] for name in found}

    asyncio.run(run())


async def reserving(process: Process) -> None:
    await process.ask()


async def settling(process: Process) -> None:
    await process.end(50)


async def renewing(process: Process) -> None:
    await process.store.renew()


STEPS_OF_A_PROCESS = (reserving, settling, renewing)


@pytest.mark.parametrize("down", DOWN)
@pytest.mark.parametrize("fault", ["cut", "mute", "hang", "killed"])
@pytest.mark.parametrize("step", STEPS_OF_A_PROCESS, ids=lambda step: step.__name__)
def test_a_server_that_fails_at_any_step_counts_what_was_used(
    step: Callable[[Process], Awaitable[None]], fault: str, down: Down, tmp_path: Path
) -> None:
    """A real server behind a relay."""

    async def run() -> None:
        server = valkey(tmp_path, durable=True)
        relay = Relay(tmp_path / "relay.sock", server.__enter__())
        await relay.begin()
        store = RedisStore(relay.url, timeout_s=0.1)
        process = Process(store, down)
        try:
            for _ in range(3):
                assert await process.ask()
            keys = [take.key for _, take in next(iter(process.desk.duty._open.values())).held]
            assert len(keys) == 3
            await process.end(20)
            if fault == "killed":
                server.__exit__(None, None, None)
                relay.set("cut")
            else:
                relay.set(fault)
            await step(process)
            assert process.store.renew_in_s == PAUSE_S
            await process.ask()
            await process.end(30)
            if fault == "killed":
                server = valkey(tmp_path, durable=True)
                server.__enter__()
            relay.set("none")
            await process.recover()
            assert (await levels(store, keys))["together"] <= len(process.open)
            while process.open:
                await process.end(7)
            await process.recover()  # what came late is given back
            used = {"tokens": sum(process.used), "requests": len(process.used), "together": 0}
            assert await levels(store, keys) == used
        finally:
            await store.close()
            await relay.end()
            server.__exit__(None, None, None)

    asyncio.run(run())
