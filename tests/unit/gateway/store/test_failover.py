"""A shared store that is away: closed, open, or counted by each worker; asked again soon, and told once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from guardproxy.errors import StoreBusyError, StoreError
from guardproxy.gateway.store import Add, Answer, Call, Failover, Get, Lease, MemoryStore, Settle, Take
from guardproxy.gateway.store.failover import PAUSE_S, REPEAT_S, Down

CALL = Add("n", 1, 1000)


class Shared:
    """A store that can be away."""

    def __init__(self) -> None:
        self.is_away, self.asked, self.now_s = False, 0, 0.0
        self.error: type[StoreError] = StoreError
        self.hanging: asyncio.Event | None = None
        self.memory = MemoryStore(lambda: self.now_s)

    async def perform(self, calls: Sequence[Call]) -> tuple[Answer, ...]:
        self.asked += 1
        if self.hanging:
            await self.hanging.wait()
        if self.is_away:
            raise self.error("away")
        return await self.memory.perform(calls)


class Desk:
    def __init__(self, down: Down) -> None:
        self.shared, self.told = Shared(), list[str]()
        self.lease = Lease("me")
        self.store = Failover(self.shared, down, lambda: self.shared.now_s, self.told.append, self.lease)

    def perform(self, *calls: Call) -> tuple[Answer, ...]:
        return asyncio.run(self.store.perform(calls))

    def count(self) -> Answer:
        return self.perform(CALL)[0]


@pytest.mark.parametrize(("down", "counted"), [("open", [1, 1]), ("local", [1, 2])])
def test_while_it_is_away_others_answer(down: Down, counted: list[int]) -> None:
    desk = Desk(down)
    assert [desk.count(), desk.count()] == [1, 2]
    desk.shared.is_away = True
    assert [desk.count(), desk.count()] == counted
    assert desk.shared.asked == 3, "a request does not wait for a store that did not answer a moment ago"
    desk.shared.now_s += PAUSE_S
    desk.count()
    assert desk.told == ["away"]
    desk.shared.is_away, desk.shared.now_s = False, 2 * PAUSE_S
    assert [desk.count(), desk.count()] == [3, 4]
    assert desk.told == ["away", ""]


def test_closed_means_that_nothing_is_decided() -> None:
    desk = Desk("closed")
    desk.shared.is_away = True
    for _ in range(2):
        with pytest.raises(StoreError):
            desk.count()
    assert desk.shared.asked == 1


@pytest.mark.parametrize("is_back", [True, False])
def test_after_a_pause_one_call_asks_and_the_others_go_on_without_it(is_back: bool) -> None:
    desk = Desk("local")
    desk.shared.is_away = True
    desk.count()
    desk.shared.now_s += PAUSE_S

    async def burst() -> None:
        desk.shared.hanging = asyncio.Event()
        asking = asyncio.create_task(desk.store.perform([CALL]))
        await asyncio.sleep(0)
        assert await asyncio.gather(*(desk.store.perform([CALL]) for _ in range(100))) == [
            (number,) for number in range(2, 102)
        ]
        assert await desk.store.renew() == 0
        assert desk.shared.asked == 2
        desk.shared.is_away = not is_back
        desk.shared.hanging.set()
        assert await asking == ((1,) if is_back else (102,))

    asyncio.run(burst())
    assert desk.shared.asked == (3 if is_back else 2), "the lease, then the call"
    assert desk.store.renew_in_s == (10 if is_back else PAUSE_S)
    assert desk.told == (["away", ""] if is_back else ["away"])


def test_a_client_that_leaves_while_its_call_asks_lets_the_next_one_ask() -> None:
    desk = Desk("closed")
    desk.shared.is_away = True
    with pytest.raises(StoreError):
        desk.count()
    desk.shared.now_s += PAUSE_S
    desk.shared.is_away = False

    async def leave() -> None:
        desk.shared.hanging = asyncio.Event()
        asking = asyncio.create_task(desk.store.perform([CALL]))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
        desk.shared.hanging = None

    asyncio.run(leave())
    assert desk.count() == 1


def test_a_busy_store_is_not_away() -> None:
    desk = Desk("closed")
    desk.shared.is_away, desk.shared.error = True, StoreBusyError
    with pytest.raises(StoreError):
        desk.count()
    assert asyncio.run(desk.store.renew()) == 0
    desk.shared.is_away = False
    assert desk.count() == 1
    assert desk.told == []


def settle(exchange: str, used: int = 1, *, is_sum: bool = True) -> Settle:
    return Settle("s" if is_sum else "r", exchange, 0, used, is_sum, 1000)


def level(desk: Desk) -> Answer:
    return asyncio.run(desk.shared.memory.perform([Take("s", "probe", 0, 10**9, 1, 1)]))[0]


def test_settlements_are_kept_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guardproxy.gateway.store.failover.MOST_KEPT", 3)
    monkeypatch.setattr("guardproxy.gateway.store.failover.BATCH", 2)
    desk = Desk("local")
    desk.shared.is_away = True
    for number in range(5):
        assert desk.perform(settle(f"x{number}")) == (True,)
        desk.perform(Take("s", f"y{number}", 1, 9, 9, 9))
    assert len(desk.store._elsewhere) == 3
    assert desk.store.lost == 2
    desk.shared.is_away, before = False, desk.shared.asked
    assert asyncio.run(desk.store.renew()) == 0
    assert desk.shared.asked == before + 3
    assert level(desk) == 3


def test_a_settlement_that_the_store_may_know_no_more_is_given_up() -> None:
    desk = Desk("closed")
    desk.shared.is_away = True
    desk.perform(settle("sent"))
    desk.perform(settle("kept"))
    desk.shared.now_s += REPEAT_S + 1
    desk.shared.is_away = False
    asyncio.run(desk.store.renew())
    assert (level(desk), desk.store.lost) == (1, 1)


def test_a_settlement_that_is_answered_while_others_are_sent_again_is_not_sent_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("guardproxy.gateway.store.failover.BATCH", 1)
    desk = Desk("closed")
    desk.shared.is_away = True
    for name in ("a", "b"):
        desk.perform(settle(name))
    assert desk.store.unsettled == 2

    class Answering(Shared):
        async def perform(self, calls: Sequence[Call]) -> tuple[Answer, ...]:
            if isinstance(calls[0], Settle):
                desk.store._unsettled.pop(("s", "b"), None)
            return await super().perform(calls)

    desk.store._store = answering = Answering()
    asyncio.run(desk.store.renew())
    assert (answering.asked, desk.store.unsettled) == (2, 0)


def test_a_settlement_among_other_calls_is_answered_in_its_place() -> None:
    desk = Desk("local")
    desk.shared.is_away = True
    desk.perform(Take("r", "a", 5, 9))
    rate = settle("a", is_sum=False)
    assert desk.perform(rate, CALL, settle("b"), Get("n")) == (True, 1, True, 1)
    assert desk.perform(rate) == (True,), "now it is one of the shared store"
    assert list(desk.store._unsettled) == [("s", "b"), ("r", "a")]
    desk.shared.is_away = False
    desk.perform(Take("r", "c", 5, 9))
    assert desk.perform(settle("c", is_sum=False)) == (True,), "the substitute has what it took"


def test_calls_that_are_equal_are_answered_in_their_places() -> None:
    desk = Desk("local")
    desk.shared.is_away = True
    desk.perform(Take("r", "a", 5, 9))
    rate = settle("a", is_sum=False)
    assert desk.perform(rate, CALL, rate, CALL) == (True, 1, True, 2)


def test_a_settlement_that_the_first_call_made_up_for_is_not_lost_later() -> None:
    """The call that finds the store back sends what is unsettled, its own settlements too, and fails after that."""
    desk = Desk("closed")
    desk.shared.is_away = True
    desk.perform(settle("a"))
    desk.shared.now_s += PAUSE_S
    desk.shared.is_away = False

    class Failing(Shared):
        async def perform(self, calls: Sequence[Call]) -> tuple[Answer, ...]:
            self.is_away = self.asked > 1  # after the renewal and the settlements
            return await super().perform(calls)

    desk.store._store = Failing()
    assert desk.perform(settle("b")) == (True,)
    desk.store._store = desk.shared
    assert (desk.store.unsettled, desk.store._sent_s) == (0, {})
    desk.shared.now_s += REPEAT_S + 1
    asyncio.run(desk.store.renew())
    assert desk.store.lost == 0


def test_without_a_lease_nothing_is_renewed() -> None:
    desk = Desk("closed")
    store = Failover(desk.shared, "closed", lambda: 0.0, desk.told.append)
    assert asyncio.run(store.renew()) == 0
    assert desk.shared.asked == 0
