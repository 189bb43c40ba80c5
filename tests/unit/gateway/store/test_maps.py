"""Maps of a store: changes unite, members expire by themselves, one caller claims a member, and memory is bounded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.gateway.store import Answer, Call, Drop, Get, MemoryStore, Put, RedisStore
from guardproxy.gateway.store.map_calls import ChangeMap, ClaimMember, GetMap, PutMember
from guardproxy.gateway.store.maps import ENTRY_BYTES, SHARE
from tests.kit.valkey import valkey

MEMBERS = st.sampled_from(["a", "b", "c", "é"])
PUTS = st.builds(
    PutMember,
    MEMBERS,
    st.sampled_from(["1", "22", '"[{']),
    st.integers(5, 9),
    st.sampled_from(["", "absent", "present"]),
)
CALLS: st.SearchStrategy[Call] = st.one_of(
    st.builds(GetMap, st.just("m:1")),
    st.builds(
        ChangeMap,
        st.just("m:1"),
        st.lists(PUTS, max_size=3).map(tuple),
        st.lists(MEMBERS, max_size=2).map(tuple),
        st.integers(0, 3),
        st.integers(0, 9),
    ),
    st.builds(ClaimMember, st.just("m:1"), MEMBERS),
    st.builds(Drop, st.just("m:1")),
)


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with valkey(tmp_path_factory.mktemp("valkey")) as url:
        yield url


def perform(store: MemoryStore, *calls: Call) -> tuple[Answer, ...]:
    return asyncio.run(store.perform(calls))


def put(*members: str, key: str = "m:1", ttl_s: float = 10.0, most: int = 9, value: str = "v") -> ChangeMap:
    return ChangeMap(key, tuple(PutMember(member, value, ttl_s) for member in members), (), most)


def pairs(answer: Answer) -> list[list[str]]:
    assert isinstance(answer, str)
    found: list[list[str]] = json.loads(answer)
    return found


def test_a_member_expires_by_itself() -> None:
    clock = Clock()
    store = MemoryStore(clock)
    assert perform(store, put("a", ttl_s=5), put("b", ttl_s=9)) == (1, 2)
    clock.now_s = 5.0
    assert pairs(perform(store, GetMap("m:1"))[0]) == [["b", "v"]]
    clock.now_s = 9.0
    assert perform(store, GetMap("m:1"), ClaimMember("m:1", "b"), Drop("m:1")) == (None, None, False)
    assert (store.maps.used_bytes, len(store.maps)) == (0, 0)


def test_what_was_first_stays_and_what_is_gone_does_not_come_back() -> None:
    clock = Clock()
    store = MemoryStore(clock)
    first = ChangeMap(
        "m:1", (PutMember("a", "old", 5), PutMember("a", "new", 9, "absent"), PutMember("b", "x", 9, "present"))
    )
    assert perform(store, first) == (1,)
    clock.now_s = 6.0
    assert pairs(perform(store, GetMap("m:1"))[0]) == [["a", "old"]]
    again = ChangeMap("m:1", (PutMember("a", "new", 9, "present"),), ("c",))
    assert pairs(perform(store, again, GetMap("m:1"))[1]) == [["a", "new"]]


def test_of_too_many_members_the_oldest_go() -> None:
    store = MemoryStore(Clock())
    answers = perform(store, put("a", "b", most=2), put("a", most=2), put("c", most=2), GetMap("m:1"))
    assert pairs(answers[-1]) == [["a", "v"], ["c", "v"]]
    assert perform(store, ChangeMap("m:1", (PutMember("d", "1234", 9),), most_bytes=5), GetMap("m:1")) == (
        1,
        '[["d","1234"]]',
    )
    assert perform(store, ChangeMap("m:1", (PutMember("e", "12345", 9),), most_bytes=5), GetMap("m:1")) == (0, None)


def test_a_map_is_no_value_and_a_value_is_no_map() -> None:
    store = MemoryStore(Clock())
    assert perform(store, put("a"), Get("m:1"), Put("v", "x", 9), GetMap("v")) == (1, None, True, None)
    assert perform(store, Drop("m:1"), GetMap("m:1"), Drop("v")) == (True, None, True)


def test_one_holder_takes_a_share_and_the_oldest_map_goes() -> None:
    limit = 8 * (ENTRY_BYTES + 2)
    store = MemoryStore(Clock(), limit)
    share = 8 // SHARE
    perform(store, put("a", key="other:1"))
    perform(store, *(put("a", key=f"flood:{number}") for number in range(20)))
    assert (len(store.maps), store.maps.evicted) == (share + 1, 20 - share)
    assert perform(store, GetMap("other:1"))[0]
    perform(store, *(put("a", key=f"h{number}:1") for number in range(20)))
    assert len(store.maps) == 8
    assert store.maps.used_bytes <= limit


def test_expired_maps_are_swept() -> None:
    clock = Clock()
    store = MemoryStore(clock)
    perform(store, *(put("a", key=f"h:{number}", ttl_s=5) for number in range(9)), put("b", key="long:1", ttl_s=50))
    clock.now_s = 6.0
    for _ in range(4):
        perform(store, Get("x"))
    assert len(store.maps) == 1


@given(st.lists(CALLS, max_size=12))
def test_memory_is_what_its_members_take(calls: list[Call]) -> None:
    store = MemoryStore(Clock())
    for call in calls:
        perform(store, call)
    (left,) = perform(store, GetMap("m:1"))
    size = sum(len(name.encode()) + len(value.encode()) for name, value in pairs(left)) + ENTRY_BYTES if left else 0
    assert store.maps.used_bytes == size


async def _same(url: str, lists: list[list[Call]]) -> None:
    server, memory = RedisStore(url), MemoryStore(Clock())
    try:
        await server.perform((Drop("m:1"),))
        for calls in lists:
            if calls:
                shown = [await store.perform(calls) for store in (server, memory)]
                loaded = [[_plain(answer) for answer in answers] for answers in shown]
                assert loaded[0] == loaded[1]
    finally:
        await server.close()


def _plain(answer: Answer) -> object:
    return json.loads(answer) if isinstance(answer, str) and answer.startswith("[[") else answer


@given(lists=st.lists(st.lists(CALLS, max_size=4), max_size=6))
def test_the_server_answers_as_memory_does(url: str, lists: list[list[Call]]) -> None:
    asyncio.run(_same(url, lists))


def with_server(url: str, use: Callable[[RedisStore], Awaitable[None]]) -> None:
    async def run() -> None:
        store = RedisStore(url)
        try:
            await use(store)
        finally:
            await store.close()

    asyncio.run(run())


def test_one_of_many_callers_claims_a_member(url: str) -> None:
    async def use(store: RedisStore) -> None:
        await store.perform((put("a", key="claimed:1"),))
        claims = [store.perform((ClaimMember("claimed:1", "a"),)) for _ in range(20)]
        got = [answers[0] for answers in await asyncio.gather(*claims)]
        assert sorted(map(str, got)) == ["None"] * 19 + ["v"]

    with_server(url, use)


def test_the_changes_of_many_callers_unite(url: str) -> None:
    async def use(store: RedisStore) -> None:
        await asyncio.gather(*(store.perform((put(f"m{number}", key="united:1", most=100),)) for number in range(50)))
        (answer,) = await store.perform((GetMap("united:1"),))
        assert len(pairs(answer)) == 50

    with_server(url, use)


def test_a_map_of_the_server_expires(url: str, tmp_path: Path) -> None:
    async def use(store: RedisStore) -> None:
        await store.perform((put("a", key="short:1", ttl_s=0.001), Get("x")))
        while (await store.perform((GetMap("short:1"),)))[0] is not None:
            continue

    with_server(url, use)
