"""Pressure: what makes it high, who is let in while it is, and that few requests never do. The clock is the test's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from guardproxy.server.intake import pressure
from guardproxy.server.intake.pressure import BEAT_S, CALM_S, LAG_S, LEAST_OPEN, SPARE_MOST, Pressure

AGE_S = 0.5


class Loop:
    """A loop whose time the test moves on."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.due: tuple[float, Callable[..., None], tuple[Any, ...]] | None = None

    def time(self) -> float:
        return self.now_s

    def call_at(self, at_s: float, call: Callable[..., None], *args: Any) -> Loop:
        self.due = at_s, call, args
        return self

    def cancel(self) -> None:
        self.due = None

    def beat(self, late_s: float = 0.0) -> None:
        """Runs the timer, so much later than it was due."""
        assert self.due is not None
        (at_s, call, args), self.due = self.due, None
        self.now_s = max(self.now_s, at_s + late_s)
        call(*args)


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Loop:
    made = Loop()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: made)
    return made


def opened(it: Pressure, count: int = LEAST_OPEN, sender: str = "one", *, is_sent: bool = True) -> list[object]:
    requests = [object() for _ in range(count)]
    for request in requests:
        it.begin(sender, request, it._clock())
        if is_sent:
            it.sent(request)
            it.sent(request)
    return requests


def test_few_requests_are_no_pressure_however_late_the_loop_is(loop: Loop) -> None:
    it = Pressure(lambda: 1.0, clock=loop.time)
    opened(it, LEAST_OPEN - 1)
    assert loop.due is None, "no beats while nothing can be under pressure"
    assert not it.refuses("one")


def test_a_loop_that_is_late_again_and_again_is_pressure_and_one_long_step_is_not(loop: Loop) -> None:
    it = Pressure(age_s=AGE_S, clock=loop.time)
    opened(it)
    for late_s, is_high in ((2 * LAG_S, False), (0.0, False), (2 * LAG_S, False), (2 * LAG_S, True), (LAG_S, True)):
        loop.beat(late_s)
        assert it.is_high == is_high
    assert it.refuses("one")
    loop.beat(CALM_S / 2)
    assert not it.is_high
    assert not it.refuses("one")
    assert it.refused == 1


def test_queues_that_are_nearly_full_are_pressure(loop: Loop) -> None:
    load = 0.5
    it = Pressure(lambda: load, clock=loop.time)
    opened(it)
    loop.beat()
    assert not it.is_high
    load = 0.7
    loop.beat()
    assert it.is_high


def test_requests_that_were_not_sent_for_long_are_pressure_unless_most_are_young(loop: Loop) -> None:
    it = Pressure(age_s=AGE_S, clock=loop.time)
    old = opened(it, LEAST_OPEN // 2, is_sent=False)
    loop.now_s = 2 * AGE_S
    opened(it, LEAST_OPEN, is_sent=False)
    loop.beat()
    assert not it.is_high, "a long text takes long"
    loop.now_s += 2 * AGE_S
    loop.beat()
    assert it.is_high
    for request in old:
        it.end("one", request)
    loop.beat()
    assert it.is_high
    opened(it, 2 * LEAST_OPEN, is_sent=False)
    loop.beat()
    assert not it.is_high


def test_a_sender_without_an_open_request_is_let_in_a_few_times(loop: Loop) -> None:
    it = Pressure(lambda: 1.0, clock=loop.time)
    requests = opened(it)
    loop.beat()
    assert it.refuses("one")
    assert [it.refuses(f"other {number}") for number in range(12)] == [False] * int(SPARE_MOST) + [True] * 2
    for _ in range(int(2 / (BEAT_S * pressure.SPARE_PER_S))):
        loop.beat()
    assert not it.refuses("another")
    for request in requests[1:]:
        it.end("one", request)
    assert not it.is_high, "as soon as few are open, not with the next beat"
    loop.beat()
    assert loop.due is None
    it.end("one", requests[0])
    it.close()
    opened(it)
    it.close()
    assert loop.due is None
