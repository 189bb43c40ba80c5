"""The store in a server: a real one, which answers as the store in memory does, for many at once, and may be away."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guardproxy.errors import ConfigError, StoreBusyError, StoreError
from guardproxy.gateway.store import Add, Answer, Call, Drop, Get, MemoryStore, Put, RedisStore, Settle, Take, lease_of
from guardproxy.gateway.store.calls import LEASE_S
from guardproxy.gateway.store.redis import CONNECTIONS, PREFIX
from tests.kit.counting import CASES
from tests.kit.valkey import Relay, valkey, wait

Result = TypeVar("Result")
KEYS = st.sampled_from(["a", "b"])
VALUES = st.one_of(st.integers(-9, 9), st.sampled_from(["", "i5", "text", "é"]))
# A key is used for one kind of value, as the keys of duties are.
CALLS: st.SearchStrategy[Call] = st.one_of(
    st.builds(Add, KEYS.map("n{}".format), st.integers(-3, 3), st.just(1000)),
    st.builds(Get, KEYS.map("n{}".format)),
    st.builds(Drop, KEYS.map("n{}".format)),
    st.builds(Put, KEYS.map("v{}".format), VALUES, st.just(1000), st.booleans()),
    st.builds(Get, KEYS.map("v{}".format)),
    st.builds(Drop, KEYS.map("v{}".format)),
    st.builds(
        Take,
        KEYS.map("s{}".format),
        st.sampled_from("xyz"),
        st.integers(0, 6),
        st.just(10),
        st.just(1000.0),
        st.just(1000.0),
        st.booleans(),
    ),
    st.builds(
        Settle,
        KEYS.map("s{}".format),
        st.sampled_from("xyz"),
        st.integers(0, 6),
        st.integers(0, 9),
        st.just(True),
        st.just(1000),
    ),
)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with valkey(tmp_path_factory.mktemp("valkey")) as url:
        yield url


def with_store(url: str, use: Callable[[RedisStore], Awaitable[Result]]) -> Result:
    async def run() -> Result:
        store = RedisStore(url)
        try:
            return await use(store)
        finally:
            await store.close()

    return asyncio.run(run())


def perform(url: str, *calls: Call) -> tuple[Answer, ...]:
    return with_store(url, lambda store: store.perform(calls))


def clear(url: str) -> None:
    with redis.Redis.from_url(url) as client:
        client.flushall()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_it_counts_as_every_store_does(url: str, case: Callable[..., None]) -> None:
    clear(url)
    case(partial(perform, url), partial(wait, url))


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(lists=st.lists(st.lists(CALLS, min_size=1, max_size=4, unique_by=lambda call: call.key), max_size=12))
def test_it_answers_as_the_store_in_memory_does(url: str, lists: list[list[Call]]) -> None:
    clear(url)

    async def compare(store: RedisStore) -> None:
        memory = MemoryStore()
        for calls in lists:
            assert await store.perform(calls) == await memory.perform(calls)

    with_store(url, compare)


def test_every_key_is_its_own_and_expires(url: str) -> None:
    clear(url)
    calls = (Put("v", "x", 50), Add("n", 1, 50), Take("r", "e", 9_000_000, 10_000_000), Take("s", "e", 1, 9, 50, 50))
    perform(url, *calls)
    perform(url, Settle("s", "f", 1, 1, True, 50), Settle("r", "f", 1, 1, False, 50))
    with redis.Redis.from_url(url) as client:
        keys = list(client.scan_iter())
        assert len(keys) == 8
        for key in keys:
            assert key.startswith(b"guardproxy:")
            assert 0 < client.pttl(key) <= 600_000, key


def test_a_counter_and_a_value_live_as_long_as_they_are_told(url: str) -> None:
    clear(url)
    assert perform(url, Put("v", "x", 0.5), Add("n", 1, 0.5), Add("n", 1, 50)) == (True, 1, 2)
    wait(url, 0.6)
    assert perform(url, Get("v"), Get("n")) == (None, None)


def test_nothing_is_added_to_a_text(url: str) -> None:
    clear(url)
    perform(url, Put("v", "x", 50))
    with pytest.raises(TypeError, match="a key holds a text"):
        perform(url, Add("v", 1, 50))


def test_many_at_once_take_no_more_than_there_is(url: str) -> None:
    clear(url)

    async def race(store: RedisStore) -> list[tuple[Answer, ...]]:
        rate = Take("r", "x", 1_000_000, 600_000_000)
        calls = ([rate, Take("s", f"x{number}", 1, 60, 1000, 1000)] for number in range(100))
        return await asyncio.gather(*map(store.perform, calls))

    levels = sorted(level for _, level in with_store(url, race) if isinstance(level, int))
    assert levels == [*range(60), *[60] * 40]
    assert perform(url, Take("s", "end", 0, 60, 1000, 1000)) == (60,)


def test_a_burst_waits_for_connections_also_where_the_loop_is_busy(url: str) -> None:
    async def burst() -> list[tuple[Answer, ...]]:
        store = RedisStore(url, timeout_s=0.1)

        async def ask(number: int) -> tuple[Answer, ...]:
            answers = await store.perform([Take("s", f"x{number}", 1, 2000, 1000, 1000)])
            _ = sum(range(50_000))  # while others wait for their answers
            return answers

        try:
            return await asyncio.gather(*map(ask, range(1000)))
        finally:
            await store.close()

    clear(url)
    assert sorted(asyncio.run(burst())) == [(number,) for number in range(1000)]


def test_who_waits_for_a_connection_does_not_wait_twice_for_a_server_that_hangs(url: str, tmp_path: Path) -> None:
    async def burst() -> list[str]:
        relay = Relay(tmp_path / "relay.sock", url)
        await relay.begin()
        store = RedisStore(relay.url, timeout_s=0.2)
        try:
            relay.set("hang")
            asked = (store.perform([Get("x")]) for _ in range(5 * CONNECTIONS))
            errors = await asyncio.gather(*asked, return_exceptions=True)
            relay.set("none")
            assert await store.perform([Get("x")]) == (None,)
            return [str(error) for error in errors]
        finally:
            await store.close()
            await relay.end()

    clear(url)
    errors = asyncio.run(burst())
    assert errors[:CONNECTIONS] == ["the state cannot be reached: TimeoutError"] * CONNECTIONS
    assert set(errors[CONNECTIONS:]) == {"the state did not answer to other requests"}


def test_a_server_that_is_too_slow_for_all_is_busy(url: str, tmp_path: Path) -> None:
    async def burst() -> None:
        relay = Relay(tmp_path / "relay.sock", url)
        await relay.begin()
        store = RedisStore(relay.url, timeout_s=100, wait_s=0.01)
        try:
            relay.set("hang")
            tasks = [asyncio.create_task(store.perform([Get("x")])) for _ in range(CONNECTIONS)]
            await asyncio.sleep(0)
            with pytest.raises(StoreBusyError):
                await store.perform([Get("x")])
            relay.set("none")
            assert await asyncio.gather(*tasks) == [(None,)] * CONNECTIONS
        finally:
            await store.close()
            await relay.end()

    clear(url)
    asyncio.run(burst())


def test_a_server_that_is_away_or_refuses_is_a_store_error(tmp_path: Path, url: str) -> None:
    with pytest.raises(StoreError, match="the state cannot be reached: ConnectionError"):
        perform(f"unix://{tmp_path}/nobody.sock", Get("x"))
    clear(url)
    perform(url, Take("s", "x", 1, 9, 50, 50))
    with pytest.raises(StoreError, match="the state refused a call: WRONGTYPE"):
        perform(url, Get("s"))


def test_a_server_that_forgot_its_scripts_gets_them_again(url: str) -> None:
    async def forgetting(store: RedisStore) -> tuple[Answer, ...]:
        await store.perform([Get("x")])
        with redis.Redis.from_url(url) as client:
            client.script_flush()
        return await store.perform([Get("nothing")])

    assert with_store(url, forgetting) == (None,)


def test_a_wrong_address_and_a_missing_library_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="`state`: "):
        RedisStore("http://host")
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConfigError, match=r"pip install 'guardproxy\[redis\]'"):
        RedisStore("redis://host")


# Processes that die.


def end_lease(url: str, owner: str) -> None:
    """The clock of the server goes past the end of the lease."""
    with redis.Redis.from_url(url) as client:
        assert 0 < client.pttl(f"{PREFIX}{lease_of(owner)}") <= LEASE_S * 1000
        client.delete(f"{PREFIX}{lease_of(owner)}")


def held_by(owner: str, exchange: str, amount: int, key: str = "s") -> Take:
    return Take(key, exchange, amount, 10, 1000, 1000, owner=owner)


def test_what_a_dead_process_reserved_is_given_back_when_its_lease_ends(url: str) -> None:
    clear(url)
    assert perform(url, held_by("a", "x", 4), held_by("a", "x", 1, "t")) == (0, 0)
    assert perform(url, held_by("a", "y", 3)) == (4,)
    assert perform(url, held_by("b", "z", 2)) == (7,)
    end_lease(url, "a")
    assert perform(url, held_by("b", "v", 5), held_by("b", "v", 0, "t")) == (2, 0), "and what others reserved stays"
    assert perform(url, Settle("s", "x", 4, 9, True, 1000)) == (True,), "what was used still counts, once"
    assert perform(url, Take("s", "w", 0, 10, 1000, 1000)) == (16,)


def test_a_process_that_counts_again_has_a_lease_again(url: str) -> None:
    clear(url)
    perform(url, held_by("a", "x", 4))
    end_lease(url, "a")
    assert perform(url, held_by("a", "y", 1)) == (4,), "it lives, so that it keeps what it reserved"
    end_lease(url, "a")
    assert perform(url, held_by("b", "z", 0)) == (0,)


def test_a_reservation_that_is_settled_leaves_no_trace_of_its_process(url: str) -> None:
    clear(url)
    perform(url, held_by("a", "x", 4), held_by("a", "x", 4, "t"))
    perform(url, Settle("s", "x", 4, 0, True, 1000), Settle("t", "x", 4, 3, True, 1000))
    with redis.Redis.from_url(url) as client:
        kept = {key.decode() for key in client.scan_iter() if b":settled:" not in key}
    assert kept == {f"{PREFIX}t", f"{PREFIX}{lease_of('a')}"}


def test_what_a_rate_took_is_not_given_back(url: str) -> None:
    clear(url)
    perform(url, Take("r", "x", 5_000_000, 10_000_000, owner="a"))
    with redis.Redis.from_url(url) as client:
        assert not client.exists(f"{PREFIX}{lease_of('a')}"), "it needs no lease"


def test_a_command_is_answered_as_the_library_reads_it(url: str) -> None:
    assert with_store(url, lambda store: store.ask("ECHO", "hello")) == b"hello"
