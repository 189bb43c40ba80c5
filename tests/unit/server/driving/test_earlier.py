"""The values of stored turns are kept for their client: encrypted, bounded, and for a time."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Sequence

import pytest
from prometheus_client import CollectorRegistry

from guardproxy.errors import StoreError
from guardproxy.exchange.gate import GivenValues, StoredTurn
from guardproxy.gateway.store import Answer, Drop, Get, MemoryStore, Put
from guardproxy.server.driving.earlier import ENTRY_BYTES, SHARE, EarlierValues, MemoryTurns, TurnStore
from guardproxy.server.observing.metrics import Metrics

KEY = b"k" * 32
MAIL = "ada@clinic.example"


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Away:
    """A store that cannot be reached."""

    async def perform(self, calls: Sequence[object]) -> tuple[Answer, ...]:
        raise StoreError("away")


def group(value: str = MAIL, token: str = "[E_b]") -> GivenValues:
    return GivenValues(kinds=None, hosts=(), causes=(("user", "pii", "EMAIL_ADDRESS"),), values={token: value})


def turn(name: str, *conversations: str, value: str = MAIL, token: str = "[E_b]") -> StoredTurn:
    return StoredTurn(id=name, conversations=conversations, groups=(group(value, token),))


def lookups(metrics: Metrics) -> dict[str, float]:
    registry: CollectorRegistry = metrics.registry
    results = ("found", "none", "failed")
    found = (registry.get_sample_value("guardproxy_turn_lookups_total", {"result": result}) for result in results)
    return {result: count for result, count in zip(results, found, strict=True) if count}


@pytest.fixture
def memory() -> MemoryTurns:
    return MemoryTurns(1 << 20, Clock())


def values(store: TurnStore, metrics: Metrics | None = None, key: bytes = KEY, keep_s: float = 60.0) -> EarlierValues:
    return EarlierValues(key, keep_s, store, metrics or Metrics())


async def test_values_come_back_by_each_id_of_their_turn_to_their_credential(memory: MemoryTurns) -> None:
    metrics = Metrics()
    kept = values(memory, metrics)
    await kept.keep("ann", turn("resp_1", "conv_1"))
    assert await kept.find("ann", ["resp_1"]) == await kept.find("ann", ["conv_1", "resp_9"]) == (group(),)
    for tenant, name in (("bob", "resp_1"), ("", "resp_1"), ("ann", "resp_"), ("ann", "resp_12"), ("ann", "RESP_1")):
        assert await kept.find(tenant, [name]) == ()
    assert await kept.find("ann", []) == ()
    assert lookups(metrics) == {"found": 2, "none": 5}


async def test_a_conversation_has_the_values_of_turns_that_ran_at_the_same_time(memory: MemoryTurns) -> None:
    kept = values(memory)
    await kept.keep("ann", turn("resp_1", "conv_1"))
    await kept.keep("ann", turn("", "conv_1", value="eve@clinic.example", token="[E_c]"))
    (found,) = await kept.find("ann", ["conv_1"])
    assert found.values == {"[E_c]": "eve@clinic.example", "[E_b]": MAIL}
    assert await kept.find("ann", ["resp_1"]) == (group(),)
    await kept.keep("bob", turn("resp_1", "conv_1", value="bob@clinic.example"))
    assert await kept.find("bob", ["conv_1"]) == (group("bob@clinic.example"),)


async def test_ids_and_credentials_are_not_run_together(memory: MemoryTurns) -> None:
    kept = values(memory)
    await kept.keep("ann", turn("b\ud800"))
    assert await kept.find("an", ["nb\ud800"]) == await kept.find("annb", ["\ud800"]) == ()
    assert await kept.find("ann", ["b\ud800"]) == (group(),)


@pytest.mark.parametrize("shared", [False, True])
async def test_a_store_shows_nothing_without_the_key(shared: bool, memory: MemoryTurns) -> None:
    seen: list[Put] = []

    class Watching:
        store: TurnStore = MemoryStore() if shared else memory

        async def perform(self, calls: Sequence[Get | Put | Drop]) -> tuple[Answer, ...]:
            seen.extend(call for call in calls if isinstance(call, Put))
            return await self.store.perform(calls)

    store = Watching()
    await values(store).keep("ann", turn("resp_1"))
    (put,) = seen
    assert not any(word in f"{put}" for word in (MAIL, "clinic", "resp_1", "ann", "EMAIL"))
    assert put.ttl_s == 60.0
    assert await values(store, key=b"other key, of another deployment").find("ann", ["resp_1"]) == ()
    assert await values(store).find("ann", ["resp_1"]) == (group(),)


async def test_an_entry_that_was_changed_or_moved_gives_nothing(memory: MemoryTurns) -> None:
    kept = values(memory)
    await kept.keep("ann", turn("resp_1"))
    await kept.keep("ann", turn("resp_2", value="eve@clinic.example"))
    (first, one), (second, two) = ((key, entry[0]) for key, entry in memory._entries.items())
    other = "B" if one[0] == "A" else "A"  # an entry begins with random bytes
    for text in (two, one[:-8], other + one[1:], one + "AAAA", "", "x", "é"):
        await memory.perform([Put(first, text, 60.0)])
        assert await kept.find("ann", ["resp_1"]) == ()
    await memory.perform([Put(first, one, 60.0), Put(second, one, 60.0)])
    assert await kept.find("ann", ["resp_1", "resp_2"]) == (group(),)


async def test_what_is_deleted_or_expired_is_gone() -> None:
    clock = Clock()
    memory = MemoryTurns(1 << 20, clock)
    kept = values(memory)
    await kept.keep("ann", turn("resp_1"))
    await kept.forget("bob", "resp_1")
    assert await kept.find("ann", ["resp_1"])
    await kept.forget("ann", "resp_1")
    assert (await kept.find("ann", ["resp_1"]), len(memory), memory.used_bytes) == ((), 0, 0)
    await kept.keep("ann", turn("resp_2"))
    clock.now_s = 59.9
    assert await kept.find("ann", ["resp_2"])
    clock.now_s = 60.0
    assert (await kept.find("bob", ["x"]), len(memory), memory.used_bytes) == ((), 0, 0)


async def test_nothing_is_kept_where_the_setting_says_so(memory: MemoryTurns) -> None:
    kept = values(memory, keep_s=0)
    await kept.keep("ann", turn("resp_1"))
    await kept.forget("ann", "resp_1")
    assert (await kept.find("ann", ["resp_1"]), len(memory)) == ((), 0)


async def test_a_store_that_is_away_gives_nothing_and_fails_nothing() -> None:
    metrics = Metrics()
    kept = values(Away(), metrics)
    await kept.keep("ann", turn("resp_1", "conv_1"))
    await kept.forget("ann", "resp_1")
    assert await kept.find("ann", ["resp_1"]) == ()
    assert lookups(metrics) == {"failed": 1}


async def test_memory_is_bounded_over_many_turns_and_many_values() -> None:
    memory = MemoryTurns(100_000, Clock())
    kept = values(memory)
    for number in range(10_000):
        await kept.keep("ann", turn(f"resp_{number}"))
    assert memory.used_bytes <= 100_000 // SHARE
    assert len(memory) + memory.evicted == 10_000
    assert await kept.find("ann", ["resp_9999"])
    assert not await kept.find("ann", ["resp_0"])
    await kept.keep("ann", turn("resp_large", value="x" * 100_000))
    assert not await kept.find("ann", ["resp_large"])


@pytest.mark.parametrize("holders", [1, 400])
async def test_no_more_memory_is_taken_than_counted(holders: int) -> None:
    memory = MemoryTurns(1 << 30, Clock())
    kept = values(memory)
    await kept.keep("t", turn("resp_0"))
    tracemalloc.start()
    try:
        for number in range(400):
            await kept.keep(f"t{number % holders}", turn(f"resp_{number}"))
        gc.collect()
        taken_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0 < taken_bytes <= memory.used_bytes


async def test_a_credential_drives_out_only_its_own_turns_until_all_is_full() -> None:
    memory = MemoryTurns(SHARE * 4 * (ENTRY_BYTES + 400), Clock())
    kept = values(memory)
    await kept.keep("bob", turn("resp_1"))
    for number in range(100):
        await kept.keep("ann", turn(f"resp_{number}"))
    assert await kept.find("bob", ["resp_1"])
    for number in range(100):
        await kept.keep(f"client {number}", turn("resp_1"))
    assert memory.used_bytes <= SHARE * 4 * (ENTRY_BYTES + 400)
    assert (await kept.find("bob", ["resp_1"]), await kept.find("ann", ["resp_99"])) == ((), ())
    assert await kept.find("client 99", ["resp_1"])
    sizes = {holder: own.used_bytes for holder, own in memory._by_holder.items()}
    assert (sum(sizes.values()), all(sizes.values())) == (memory.used_bytes, True)
