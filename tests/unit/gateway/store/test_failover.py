"""A shared store that is away: closed, open, or counted by each worker; asked again soon, and told once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from guardproxy.errors import StoreError
from guardproxy.gateway import Add, Answer, Call, Failover, MemoryStore
from guardproxy.gateway.store.failover import PAUSE_S, Down

CALL = Add("n", 1, 1000)


class Shared:
    """A store that can be away."""

    def __init__(self) -> None:
        self.is_away, self.asked, self.now_s = False, 0, 0.0
        self.memory = MemoryStore(lambda: self.now_s)

    async def perform(self, calls: Sequence[Call]) -> tuple[Answer, ...]:
        self.asked += 1
        if self.is_away:
            raise StoreError("away")
        return await self.memory.perform(calls)


class Desk:
    def __init__(self, down: Down) -> None:
        self.shared, self.told = Shared(), list[str]()
        self.store = Failover(self.shared, down, lambda: self.shared.now_s, self.told.append)

    def count(self) -> Answer:
        return asyncio.run(self.store.perform([CALL]))[0]


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
