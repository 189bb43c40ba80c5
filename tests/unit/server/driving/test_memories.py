"""What exchanges leave in the memory: for their client, encrypted, for a time, and not lost while the store is away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import pytest
from msgspec import structs

from guardproxy.audit import Owner
from guardproxy.errors import SealError, StoreError
from guardproxy.exchange import recollection
from guardproxy.gateway.store import Answer, Call, ChangeMap, Down, GetMap, MemoryStore
from guardproxy.server.driving.memories import MOST_UNWRITTEN, WAIT_S, Memories, MemoryHolder
from guardproxy.server.observing.metrics import Metrics
from tests.kit.play import policy_set, setting

KEY = b"k" * 32
NAME = recollection.MemoryKey("said", "client", "c")
LARGE = "x" * 30_000


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds


class Store:
    """A store that is away until `back_s`. `calls`: those that it answered."""

    def __init__(self, clock: Clock, back_s: float = 0.0) -> None:
        self.clock = clock
        self.back_s = back_s
        self.memory = MemoryStore(clock)
        self.calls: list[Call] = []

    async def perform(self, calls: Sequence[Call]) -> tuple[Answer, ...]:
        if self.clock.now_s < self.back_s:
            raise StoreError("away")
        self.calls += calls
        return await self.memory.perform(calls)


class Deaf(Store):
    """A store whose connection fails: before a call reaches it, or before its answer is back."""

    loses_calls = False
    loses_answers = False

    async def perform(self, calls: Sequence[Call]) -> tuple[Answer, ...]:
        answers = () if self.loses_calls else await super().perform(calls)
        if self.loses_answers:
            raise StoreError("no answer")
        return answers


class Silent(Store):
    """A store whose first call gets no answer. `asked`: whether it was called."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.asked = asyncio.Event()

    async def perform(self, calls: Sequence[Call]) -> tuple[Answer, ...]:
        if not self.asked.is_set():
            self.asked.set()
            await asyncio.Event().wait()
        return await super().perform(calls)


class Slow(Store):
    """A store that answers once `answers` is set. `asked`: whether it was called."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.asked, self.answers = asyncio.Event(), asyncio.Event()

    async def perform(self, calls: Sequence[Call]) -> tuple[Answer, ...]:
        self.asked.set()
        await self.answers.wait()
        return await super().perform(calls)


class Keys:
    """A key store in which all owners have a key; without one, it is away."""

    def __init__(self, key: bytes) -> None:
        self.key = key

    def secret_of(self, owner: Owner) -> bytes:
        if not self.key:
            raise SealError("the key store is away")
        return self.key


def of(tenant: str, name: str = "", secret: bytes = b"") -> MemoryHolder:
    return MemoryHolder(tenant, name, secret)


def memories(
    clock: Clock, store: Store | None = None, down: Down = "closed", metrics: Metrics | None = None
) -> Memories:
    return Memories(KEY, store or Store(clock), down, metrics or Metrics(), clock.sleep)


def put(
    member: str, value: str = "1", ttl_s: float = 60.0, key: recollection.MemoryKey = NAME
) -> recollection.MemoryChange:
    return recollection.MemoryChange(key, (recollection.MemoryPut(member, value, ttl_s),))


async def read(kept: Memories, who: MemoryHolder, key: recollection.MemoryKey = NAME) -> dict[str, str]:
    (found,) = (await kept.recall(who, recollection.RecallMemory((key,)), lambda: 1.0)).entries
    return dict(found)


def count(metrics: Metrics, name: str, **labels: str) -> float | None:
    found: float | None = metrics.registry.get_sample_value(f"guardproxy_{name}", labels)
    return found


async def test_members_unite_and_expire_and_belong_to_their_client() -> None:
    clock = Clock()
    store = Store(clock)
    kept = memories(clock, store)
    await kept.keep(of("ann"), [put("a", "1", 10.0)])
    await kept.keep(of("ann"), [put("b", "2", 20.0)])
    await kept.keep(of("ann"), [])
    assert await read(kept, of("ann")) == {"a": "1", "b": "2"}
    assert await read(kept, of("bob")) == {}
    assert await read(kept, of("ann"), recollection.MemoryKey("other", "client", "c")) == {}
    clock.now_s = 15.0
    assert await read(kept, of("ann")) == {"b": "2"}
    assert "ann" not in str(store.calls)
    assert "'b'" not in str(store.calls)


@pytest.mark.parametrize(
    ("scope", "shared"), [("client", {"ann"}), ("tenant", {"ann", "bob"}), ("all", {"ann", "bob", "eve"})]
)
async def test_an_entry_has_a_scope(scope: recollection.MemoryScope, shared: set[str]) -> None:
    kept = memories(Clock())
    key = recollection.MemoryKey("said", scope, "c")
    await kept.keep(of("ann", "acme"), [put("a", key=key)])
    tenants = {"ann": "acme", "bob": "acme", "eve": "other"}
    assert {who for who, tenant in tenants.items() if await read(kept, of(who, tenant), key)} == shared


async def test_a_claimed_member_is_gone() -> None:
    kept = memories(Clock())
    await kept.keep(of("ann"), [put("a", "7")])
    claim = recollection.ClaimMemory((recollection.MemoryClaim(NAME, "a"), recollection.MemoryClaim(NAME, "b")))
    assert (await kept.claim(of("bob"), claim, lambda: 1.0)).values == (None, None)
    assert (await kept.claim(of("ann"), claim, lambda: 1.0)).values == ("7", None)
    assert (await kept.claim(of("ann"), claim, lambda: 2.0)) == recollection.MemoryClaimed((None, None), 2.0)


async def test_members_are_dropped() -> None:
    kept = memories(Clock())
    await kept.keep(of("ann"), [put("a"), put("b")])
    await kept.keep(of("ann"), [recollection.MemoryChange(NAME, (), ("a",))])
    assert await read(kept, of("ann")) == {"b": "1"}


async def test_what_was_changed_in_the_store_is_left_out() -> None:
    clock = Clock()
    store = Store(clock)
    kept = memories(clock, store)
    await kept.keep(of("ann"), [put("a")])
    other = Memories(b"o" * 32, store, "closed", Metrics(), clock.sleep)
    other._cipher.name = kept._cipher.name  # type: ignore[method-assign]  # the same entry, with another key
    await other.keep(of("ann"), [put("b")])
    assert await read(kept, of("ann")) == {"a": "1"}


async def test_the_erasure_of_an_owner_ends_what_was_left() -> None:
    clock, owner = Clock(), Owner("subject", "ann", "u1")
    store, keys = Store(clock), Keys(b"first")
    kept = Memories(KEY, store, "closed", Metrics(), clock.sleep, keys.secret_of)
    who = setting(policy_set(), tenant="ann")
    before = await kept.holder(who, owner)
    shared = recollection.MemoryKey("said", "all", "c")
    await kept.keep(before, [put("a"), put("b", key=shared)])
    assert await read(kept, await kept.holder(who, owner)) == {"a": "1"}
    assert await read(kept, await kept.holder(who, None)) == {}
    keys.key = b"second"  # as after `audit erase`
    after = await kept.holder(who, owner)
    assert await read(kept, after) == {}
    assert await read(kept, after, shared) == {"b": "1"}
    assert len({before.generation, after.generation, (await kept.holder(who, None)).generation}) == 3
    name = next(call.key for call in store.calls if isinstance(call, ChangeMap))
    ((_, text),) = json.loads(str((await store.perform((GetMap(name),)))[0]))
    for secret in (b"", b"second"):
        with pytest.raises(ValueError, match="changed"):
            kept._cipher.opened(name, text, secret)
    await kept.keep(before, [put("late")])
    assert await read(kept, after) == {}, "an exchange that began before leaves nothing for later ones"


async def test_without_the_key_of_an_owner_nothing_is_read() -> None:
    keys = Keys(b"")
    kept = Memories(KEY, Store(Clock()), "open", Metrics(), secret_of=keys.secret_of)
    with pytest.raises(StoreError, match="away"):
        await kept.holder(setting(policy_set()), Owner("tenant", "ann", ""))


async def test_large_entries_are_read_too() -> None:
    kept = memories(Clock())
    await kept.keep(of("ann"), [put("a", LARGE)])
    assert await read(kept, of("ann")) == {"a": LARGE}
    assert await kept.recall(of("ann"), recollection.RecallMemory(()), lambda: 3.0) == recollection.MemoryRecalled(
        (), 3.0
    )


async def test_a_store_that_is_cut_for_four_seconds_loses_nothing() -> None:
    clock, metrics = Clock(), Metrics()
    kept = memories(clock, Store(clock, back_s=4.0), metrics=metrics)
    await kept.keep(of("ann"), [put("a")])
    assert 4.0 <= clock.now_s < 5.0
    assert await read(kept, of("ann")) == {"a": "1"}
    assert (count(metrics, "memory_unwritten"), count(metrics, "memory_lost_total")) == (0.0, 0.0)


async def test_what_a_store_does_not_take_is_written_before_the_memory_is_read_again() -> None:
    clock, metrics = Clock(), Metrics()
    kept = memories(clock, Store(clock, back_s=60.0), metrics=metrics)
    await kept.keep(of("ann"), [put("a", ttl_s=600.0)])
    assert (clock.now_s, count(metrics, "memory_unwritten")) == (WAIT_S, 1.0)
    with pytest.raises(StoreError):
        await read(kept, of("ann"))
    clock.now_s = 60.0
    assert await read(kept, of("ann")) == {"a": "1"}
    assert count(metrics, "memory_unwritten") == 0.0


@pytest.mark.parametrize(("down", "found"), [("open", {}), ("local", {"a": "1"})])
async def test_settings_let_exchanges_go_on_without_the_store(down: Down, found: dict[str, str]) -> None:
    clock, metrics = Clock(), Metrics()
    kept = memories(clock, Store(clock, back_s=60.0), down, metrics)
    await kept.keep(of("ann"), [put("a", ttl_s=600.0)])
    recalled = await kept.recall(of("ann"), recollection.RecallMemory((NAME,)), lambda: 1.0)
    assert (recalled.entries, recalled.is_reached) == ((found,), False)
    assert count(metrics, "memory_lookups_total", result="away") == 1.0
    claim = recollection.ClaimMemory((recollection.MemoryClaim(NAME, "b"),))
    assert (await kept.claim(of("ann"), claim, lambda: 1.0)).values == (None,)
    clock.now_s = 61.0
    assert await read(kept, of("ann")) == {"a": "1"}


@pytest.mark.parametrize("down", ["closed", "open", "local"])
@pytest.mark.parametrize("is_taken", [True, False])
async def test_what_must_not_happen_twice_is_sent_once(down: Down, is_taken: bool) -> None:
    clock, metrics = Clock(), Metrics()
    store = Deaf(clock)
    kept = memories(clock, store, down, metrics)
    claim = recollection.ClaimMemory((recollection.MemoryClaim(NAME, "a"),))
    store.loses_calls, store.loses_answers = not is_taken, True
    await kept.keep(of("ann"), [structs.replace(put("a", "7"), is_once=True)])
    assert (clock.now_s, count(metrics, "memory_unwritten"), count(metrics, "memory_lost_total")) == (0.0, 0.0, 1.0)
    store.loses_calls = store.loses_answers = False
    others = [await memories(clock, store).claim(of("ann"), claim, lambda: 1.0) for _ in range(2)]
    got = [*others, await kept.claim(of("ann"), claim, lambda: 1.0)]
    assert [claimed.values for claimed in got] == [("7" if is_taken else None,), (None,), (None,)]


async def test_what_is_sent_once_is_there_if_the_store_answers() -> None:
    kept = memories(Clock())
    await kept.keep(of("ann"), [structs.replace(put("a"), is_once=True), put("b")])
    assert await read(kept, of("ann")) == {"a": "1", "b": "1"}


async def test_an_exchange_that_is_cancelled_loses_only_what_is_sent_once() -> None:
    clock, metrics = Clock(), Metrics()
    store = Silent(clock)
    kept = memories(clock, store, metrics=metrics)
    keeping = asyncio.create_task(kept.keep(of("ann"), [structs.replace(put("a"), is_once=True), put("b")]))
    await store.asked.wait()
    keeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeping
    assert (await read(kept, of("ann")), count(metrics, "memory_lost_total")) == ({"b": "1"}, 1.0)


async def test_what_a_cancelled_exchange_leaves_is_in_the_memory_that_stands_in() -> None:
    clock, is_waiting = Clock(), asyncio.Event()

    async def sleep(seconds: float) -> None:
        is_waiting.set()
        await asyncio.Event().wait()

    kept = Memories(KEY, Store(clock, back_s=1e9), "local", Metrics(), sleep)
    keeping = asyncio.create_task(kept.keep(of("ann"), [put("a", ttl_s=1e9)]))
    await is_waiting.wait()
    keeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeping
    assert await read(kept, of("ann")) == {"a": "1"}


async def test_each_change_goes_once_to_the_memory_that_stands_in(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, performed = Clock(), list[Call]()
    perform = MemoryStore.perform

    async def counting(store: MemoryStore, calls: Sequence[Call]) -> tuple[Answer, ...]:
        performed.extend(calls)
        return await perform(store, calls)

    monkeypatch.setattr(MemoryStore, "perform", counting)
    kept = memories(clock, Store(clock, back_s=1e9), "local")
    for number in range(40):
        await kept.keep(of("ann"), [put(f"{number}", ttl_s=1e9)])
    assert len(performed) == 40
    assert len(await read(kept, of("ann"))) == 40


async def test_what_is_given_up_is_told(caplog: pytest.LogCaptureFixture) -> None:
    clock, metrics = Clock(), Metrics()
    kept = memories(clock, Store(clock, back_s=1e9), metrics=metrics)
    await kept.keep(of("ann"), [put(f"m{number}") for number in range(MOST_UNWRITTEN + 3)])
    assert count(metrics, "memory_lost_total") == 3.0
    await kept.close()
    assert count(metrics, "memory_lost_total") == MOST_UNWRITTEN + 3.0
    assert "changes for later exchanges are lost" in caplog.text
    await kept.close()
    assert count(metrics, "memory_lost_total") == MOST_UNWRITTEN + 3.0


async def test_a_change_that_is_given_up_while_it_is_sent_takes_no_other_with_it() -> None:
    clock, metrics = Clock(), Metrics()
    store = Slow(clock)
    kept = memories(clock, store, metrics=metrics)
    first = asyncio.ensure_future(kept.keep(of("ann"), [put("first")]))
    await store.asked.wait()
    second = asyncio.ensure_future(kept.keep(of("ann"), [put(f"m{number}") for number in range(MOST_UNWRITTEN)]))
    await asyncio.sleep(0)
    store.answers.set()
    await asyncio.gather(first, second)
    assert count(metrics, "memory_lost_total") == 1.0  # it was given up, although the store has it
    assert len(store.calls) == MOST_UNWRITTEN + 1
