"""The store in memory: counters with an end, values with an end, and no more memory than what is in use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.gateway.store import Add, Answer, Call, Drop, Get, MemoryStore, Put, Settle, Take
from tests.kit.counting import CASES

KEYS = st.sampled_from(["a", "b", "c"])
TTLS = st.integers(1, 5)
CALLS: st.SearchStrategy[Call] = st.one_of(
    st.builds(Add, KEYS, st.integers(-3, 3), TTLS),
    st.builds(Get, KEYS),
    st.builds(Put, KEYS, st.integers(0, 9), TTLS, st.booleans()),
    st.builds(Drop, KEYS),
)


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def perform(store: MemoryStore, *calls: Call) -> tuple[Answer, ...]:
    return asyncio.run(store.perform(calls))


def test_a_counter_lives_as_long_as_its_first_call_says() -> None:
    clock = Clock()
    store = MemoryStore(clock)
    assert perform(store, Add("n", 2, 10), Add("n", 3, 99), Get("n")) == (2, 5, 5)
    clock.now_s = 9.9
    assert perform(store, Add("n", 1, 10)) == (6,)
    clock.now_s = 10
    assert perform(store, Get("n"), Add("n", 1, 10)) == (None, 1)


def test_a_value_is_put_where_there_is_none() -> None:
    store = MemoryStore(Clock())
    assert perform(store, Put("x", "a", 5, if_absent=True), Put("x", "b", 5, if_absent=True)) == (True, False)
    assert perform(store, Get("x"), Put("x", "c", 5), Get("x"), Drop("x"), Drop("x")) == ("a", True, "c", True, False)


def test_nothing_is_added_to_a_text() -> None:
    store = MemoryStore(Clock())
    perform(store, Put("x", "a", 5))
    with pytest.raises(TypeError, match="the key `x` holds a text"):
        perform(store, Add("x", 1, 5))


def test_a_value_that_expired_is_gone_before_it_is_swept() -> None:
    clock = Clock()
    store = MemoryStore(clock)
    perform(store, *(Put(f"x{number}", number, 5) for number in range(100)))
    clock.now_s = 5
    assert perform(store, Get("x99")) == (None,)


@given(st.lists(st.tuples(st.integers(0, 2), st.lists(CALLS, max_size=4)), max_size=20))
def test_it_answers_as_a_plain_table_of_values_and_ends_does(steps: list[tuple[int, list[Call]]]) -> None:
    clock = Clock()
    store, table = MemoryStore(clock), dict[str, tuple[Any, float]]()
    for passed_s, calls in steps:
        clock.now_s += passed_s
        table = {key: held for key, held in table.items() if held[1] > clock.now_s}
        wanted: list[Answer] = []
        for call in calls:
            held = table.get(call.key)
            match call:
                case Add():
                    value, end_s = held or (0, clock.now_s + call.ttl_s)
                    table[call.key] = (value + call.amount, end_s)
                    wanted.append(value + call.amount)
                case Get():
                    wanted.append(held[0] if held else None)
                case Put():
                    wanted.append(stored := not (held and call.if_absent))
                    if stored:
                        table[call.key] = (call.value, clock.now_s + call.ttl_s)
                case Drop():
                    wanted.append(table.pop(call.key, None) is not None)
        assert list(perform(store, *calls)) == wanted


def test_what_has_expired_does_not_stay() -> None:
    clock = Clock()
    store = MemoryStore(clock)
    for number in range(2_000):
        clock.now_s = float(number)
        perform(store, Add(f"n{number}", 1, 10))
    assert len(store) < 50


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_it_counts_as_every_store_does(case: Callable[..., None]) -> None:
    clock = Clock()
    store = MemoryStore(clock)

    def wait(seconds: float) -> None:
        clock.now_s += seconds

    case(lambda *calls: perform(store, *calls), wait)


def test_a_sum_is_no_value() -> None:
    store = MemoryStore(Clock())
    perform(store, Take("s", "a", 1, 5, 10, 10), Put("x", 1, 10))
    assert perform(store, Get("s"), Drop("s"), Get("s")) == (None, True, None)
    perform(store, Take("s", "a", 1, 5, 10, 10))
    with pytest.raises(TypeError, match="the key `s` holds a text"):
        perform(store, Add("s", 1, 5))


STEPS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from("abcdef"),
        st.integers(0, 6),
        st.one_of(st.none(), st.integers(0, 20)),
    ),
    max_size=40,
)


@given(STEPS)
def test_a_sum_is_as_a_plain_table_has_it(steps: list[tuple[int, str, int, int | None]]) -> None:
    """In every step time passes, and an exchange takes (`None`) or is settled with what it used."""
    clock = Clock()
    store, reserved, settled, counted = MemoryStore(clock), dict[str, tuple[int, float]](), 0, set[str]()
    for passed_s, exchange, amount, used in steps:
        clock.now_s += passed_s
        reserved = {name: held for name, held in reserved.items() if held[1] > clock.now_s}
        if used is None:
            level = settled + sum(held for held, _ in reserved.values())
            assert perform(store, Take("s", exchange, amount, 10, 5, 10_000)) == (level,)
            if level + amount <= 10:
                reserved[exchange] = (amount, clock.now_s + 5)
            continue
        assert perform(store, Settle("s", exchange, amount, used, True, 10_000)) == (exchange not in counted,)
        if exchange not in counted:
            counted.add(exchange)
            reserved.pop(exchange, None)
            settled += used


@given(st.lists(st.tuples(st.integers(0, 3_000), st.integers(1, 4_000)), max_size=60))
def test_a_rate_lets_through_no_more_than_burst_and_time_allow(steps: list[tuple[int, int]]) -> None:
    clock = Clock()
    store, most, taken, began_s = MemoryStore(clock), 5_000_000, 0, 0.0
    for passed_ms, amount_ms in steps:
        clock.now_s += passed_ms / 1000
        (level,) = perform(store, Take("r", "x", amount_ms * 1000, most))
        assert isinstance(level, int)
        assert 0 <= level <= most
        taken += amount_ms * 1000 if level + amount_ms * 1000 <= most else 0
        assert taken <= most + (clock.now_s - began_s) * 1e6 + 1
