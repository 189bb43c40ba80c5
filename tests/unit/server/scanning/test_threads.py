"""Scan threads: turns, stops, and what is refused. Scans say by events where they are, the clock is the test's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from threading import Event
from typing import Any

import pytest

from guardproxy.concurrency import stop_point
from guardproxy.errors import NoCapacityError, Shortage
from guardproxy.server.scanning.threads import MOST_STRAY, SLICE_S, Load, ScanThreads


class Clock:
    """A clock that scans move on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def it(clock: Clock) -> Iterator[ScanThreads]:
    made = ScanThreads(1, 2.0, clock)
    yield made
    made.close()


class Steps:
    """Scans of so many steps that write down whose step was done."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.done: list[str] = []
        self.go = Event()

    def scan(self, name: str, steps: int) -> Callable[[], str]:
        def run() -> str:
            for _ in range(steps):
                self.done.append(name)
                self.clock.now += 2 * SLICE_S
                stop_point()
            return name

        return run

    def first(self) -> str:
        """Keeps the thread until everything was submitted."""
        assert self.go.wait(10)
        return "first"


def test_tenants_take_turns_in_slices(it: ScanThreads, clock: Clock) -> None:
    steps = Steps(clock)
    futures = [it.submit(steps.first, "z")]
    futures += [it.submit(steps.scan(f"a{number}", 4), "a") for number in range(3)]
    futures += [it.submit(steps.scan("b", 2), "b")]
    steps.go.set()
    assert [future.result(10) for future in futures] == ["first", "a0", "a1", "a2", "b"]
    assert steps.done[:4] == ["a0", "b", "a1", "b"], (
        "the tenant with one short scan does not wait for all of the other's"
    )


def test_a_short_scan_does_not_wait_for_a_long_one_of_its_own_tenant(it: ScanThreads, clock: Clock) -> None:
    steps = Steps(clock)
    futures = [it.submit(steps.first)]
    futures += [it.submit(steps.scan("long", 50)), it.submit(steps.scan("short", 1))]
    futures += [it.submit(steps.scan("other", 1))]
    steps.go.set()
    for future in futures:
        future.result(10)
    assert steps.done.index("short") <= 2
    assert steps.done.index("other") <= 4
    assert steps.done.count("long") == 50


def test_many_short_scans_do_not_stop_a_long_one(it: ScanThreads, clock: Clock) -> None:
    steps = Steps(clock)
    futures = [it.submit(steps.first), it.submit(steps.scan("long", 10))]
    futures += [it.submit(lambda: steps.done.append("short")) for _ in range(40)]
    steps.go.set()
    for future in futures:
        future.result(10)
    last = max(at for at, name in enumerate(steps.done) if name == "long")
    assert last <= 20, "it had every second slice"


def test_a_scan_that_nobody_waits_for_stops_at_its_next_stop_point(it: ScanThreads) -> None:
    begun, ended = Event(), Event()

    def run() -> None:
        begun.set()
        try:
            while True:
                stop_point()
        finally:
            ended.set()

    future = it.submit(run)
    assert begun.wait(10)
    assert future.cancel()
    assert ended.wait(10)
    assert it.submit(lambda: "next").result(10) == "next"


def test_a_scan_that_waits_for_its_slice_stops_too(it: ScanThreads, clock: Clock) -> None:
    go, free, paused, ended = Event(), Event(), Event(), Event()

    def run() -> None:
        try:
            clock.now += 2 * SLICE_S
            stop_point()
        finally:
            ended.set()

    def hold() -> str:
        paused.set()
        assert go.wait(10)
        return "held"

    begun = Event()

    def first() -> None:
        begun.set()
        assert free.wait(10)

    blocker = it.submit(first)
    assert begun.wait(10)
    long, holding = it.submit(run), it.submit(hold)
    free.set()
    blocker.result(10)
    assert paused.wait(10), "the long scan let the other one run"
    assert not ended.is_set()
    long.cancel()
    assert ended.wait(10)
    go.set()
    assert holding.result(10) == "held"


def test_what_has_not_begun_is_not_begun_when_nobody_waits(it: ScanThreads) -> None:
    go, ran = Event(), []
    first = it.submit(lambda: go.wait(10))
    gone = it.submit(lambda: ran.append("gone"))
    gone.cancel()
    go.set()
    first.result(10)
    assert it.submit(lambda: "after").result(10) == "after"
    assert ran == []


def test_a_scan_without_stop_points_keeps_nobody_waiting_once_it_is_given_up(it: ScanThreads) -> None:
    go = Event()
    stuck: list[Future[Any]] = []
    for _ in range(MOST_STRAY):
        begun = Event()

        def run(begun: Event = begun) -> None:
            begun.set()
            assert go.wait(10)

        stuck.append(it.submit(run))
        assert begun.wait(10)
        stuck[-1].cancel()
    assert it.submit(lambda: "next").result(10) == "next"
    go.set()


def test_an_error_reaches_the_one_who_waits_and_ends_no_thread(it: ScanThreads) -> None:
    def fails(error: BaseException) -> Callable[[], None]:
        def run() -> None:
            raise error

        return run

    with pytest.raises(OSError, match="no"):
        it.submit(fails(OSError("no"))).result(10)
    with pytest.raises(RuntimeError, match="SystemExit"):
        it.submit(fails(SystemExit())).result(10)
    assert it.submit(lambda: 1).result(10) == 1


def measured(it: ScanThreads, clock: Clock, seconds: float = 1.0) -> Load:
    """A load of a thousand characters that takes so long, as was measured."""
    load = Load("slow", 1000)

    def run() -> None:
        clock.now += seconds

    for _ in range(80):
        it.submit(run, "measuring", load).result(10)
    return load


def test_work_that_would_wait_too_long_is_refused_at_once(it: ScanThreads, clock: Clock) -> None:
    load, go = measured(it, clock), Event()
    accepted: list[Future[bool]] = []
    refused: list[Shortage] = []
    for _ in range(10):
        try:
            accepted.append(it.submit(lambda: go.wait(10), "one", load))
        except NoCapacityError as error:
            refused.append(error.shortage)
    assert (len(accepted), refused) == (3, [Shortage.FULL] * 7), "one runs, two seconds of work wait"
    urgent = [it.submit(lambda: go.wait(10), "one", load, urgent=True) for _ in range(2)]
    with pytest.raises(NoCapacityError):
        it.submit(lambda: go.wait(10), "one", load, urgent=True)
    other = it.submit(lambda: "other", "two", load)
    go.set()
    assert all(future.result(10) for future in [*accepted, *urgent])
    assert other.result(10) == "other", "a tenant that waits for nothing is not refused for what others do"


def test_a_text_that_takes_long_is_not_refused_for_that_and_refuses_no_short_one(it: ScanThreads, clock: Clock) -> None:
    measured(it, clock)
    go = Event()
    long = it.submit(lambda: go.wait(10), "one", Load("slow", 60_000))
    short = it.submit(lambda: "short", "one", Load("slow", 10))
    go.set()
    assert long.result(10)
    assert short.result(10) == "short"


def test_scans_of_one_request_are_no_queue_for_each_other(it: ScanThreads, clock: Clock) -> None:
    load, go = measured(it, clock), Event()
    mine, other = object(), object()
    all_of_one = [it.submit(lambda: go.wait(10), "one", load, request=mine) for _ in range(10)]
    with pytest.raises(NoCapacityError):
        it.submit(lambda: go.wait(10), "one", load, request=other)
    with pytest.raises(NoCapacityError):
        it.submit(lambda: go.wait(10), "one", load)
    go.set()
    assert all(future.result(10) for future in all_of_one)


def test_an_answer_that_was_paid_may_be_delayed_by_several_times_its_own_time(it: ScanThreads, clock: Clock) -> None:
    measured(it, clock)
    load, go = Load("slow", 5000), Event()
    accepted = [it.submit(lambda: go.wait(10), "one", load, urgent=True) for _ in range(5)]
    with pytest.raises(NoCapacityError):
        it.submit(lambda: go.wait(10), "one", load, urgent=True)
    go.set()
    assert all(future.result(10) for future in accepted)


def test_a_measured_speed_replaces_the_guess_once(it: ScanThreads) -> None:
    go = Event()
    it.measure(Load("quick", 1000), 0.000001)
    it.measure(Load("quick", 1000), 100.0)
    assert it.measured("quick")
    assert not it.measured("other")
    accepted = [it.submit(lambda: go.wait(10), "one", Load("quick", 1_000_000)) for _ in range(20)]
    guessed = it.submit(lambda: go.wait(10), "two", Load("other", 1_000_000))
    with pytest.raises(NoCapacityError):
        it.submit(lambda: go.wait(10), "two", Load("other", 1_000_000))
    go.set()
    assert all(future.result(10) for future in [*accepted, guessed])


def test_what_is_given_up_does_not_count_as_waiting(it: ScanThreads, clock: Clock) -> None:
    load, go = measured(it, clock), Event()
    first = it.submit(lambda: go.wait(10), "one", load)
    gone = [it.submit(lambda: go.wait(10), "one", load) for _ in range(2)]
    with pytest.raises(NoCapacityError):
        it.submit(lambda: go.wait(10), "one", load)
    for future in gone:
        future.cancel()
    again = it.submit(lambda: "again", "one", load)
    go.set()
    assert first.result(10)
    assert again.result(10) == "again"


def test_closing_ends_what_waits_and_refuses_what_comes() -> None:
    it = ScanThreads(1)
    begun = Event()

    def run() -> None:
        begun.set()
        while True:
            stop_point()

    running, waiting = it.submit(run), it.submit(lambda: None)
    assert begun.wait(10)
    it.close()
    for future in (running, waiting):
        with pytest.raises(CancelledError):
            future.result(10)
    with pytest.raises(NoCapacityError):
        it.submit(lambda: None)
