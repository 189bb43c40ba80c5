"""The scanner: where checks run, what happens when one is late, fails, or is not waited for any more."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import Future
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Event, get_ident
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter

from guardproxy.checks import Check, Query, Resources, ScoredPiece
from guardproxy.checks.supervisor import build
from guardproxy.errors import Shortage
from guardproxy.exchange.gate.gate import Job
from guardproxy.findings import QUICK, Channel, Facts, Finding, Kind, Scan, Traits, Window
from guardproxy.server.scanning import scanner
from guardproxy.server.scanning.scanner import Meters, Scanner, TimeLimits
from tests.kit.supervisor import FakeScorer, words
from tools.cost import LOOP_CALLS

LONG = "an attack that is longer than what is scanned at once; " * 10


def window(text: str, kind: Kind = "user", **more: Any) -> Window:
    return Window(Channel("request", kind, "messages[0].content"), text, **more)


@dataclass
class Own:
    """A check of one's own."""

    does: Callable[[Sequence[Window]], list[Scan]]
    name: str = "own"
    digest: str = "sha256:own"
    traits: Traits = QUICK
    calls: int = 0
    threads: set[int] = field(default_factory=set)

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        self.calls += 1
        self.threads.add(get_ident())
        return self.does(windows)


def fine(windows: Sequence[Window]) -> list[Scan]:
    return [Scan((), one.start + len(one.text), one.start + len(one.text)) for one in windows]


async def over(future: Future[Any]) -> None:
    """Waits until the future is done or cancelled, without looking at how."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    future.add_done_callback(lambda _: loop.call_soon_threadsafe(done.set))
    await asyncio.wait_for(done.wait(), 10)


class Waiting(FakeScorer):
    """A scorer whose answers come when the test says so."""

    def __init__(self, refuses: Exception | None = None) -> None:
        super().__init__(words)
        self.refuses = refuses
        self.asked: list[tuple[Sequence[Query], Future[list[tuple[ScoredPiece, ...]]]]] = []
        self.arrived = asyncio.Event()
        self.arrivals: asyncio.Queue[int] = asyncio.Queue()

    def submit(self, queries: Sequence[Query]) -> Future[list[tuple[ScoredPiece, ...]]]:
        if self.refuses:
            raise self.refuses
        self.asked.append((queries, Future()))
        self.arrived.set()
        self.arrivals.put_nowait(len(self.asked))
        return self.asked[-1][1]

    def answer(self) -> None:
        queries, future = self.asked[-1]
        future.set_result(self.judge(queries))


def supervisor(scorer: FakeScorer) -> Check:
    return build("attack", {}, Resources(lambda name: scorer))


@pytest.fixture
async def it() -> AsyncIterator[Scanner]:
    async with aclosing(_scanner()) as made:
        async for one in made:
            yield one


async def _scanner() -> AsyncGenerator[Scanner]:
    made = Scanner(1, 10.0)
    yield made
    made.close()


async def test_a_small_window_is_scanned_at_once_and_a_large_one_beside_the_loop(it: Scanner) -> None:
    check = Own(fine)
    await it.scan([Job(check, window("short"))])
    assert check.threads == {get_ident()}
    await it.scan([Job(check, window(LONG))])
    assert len(check.threads) == 2
    slow = Own(fine, traits=Traits(is_slow=True))
    await it.scan([Job(slow, window("short"))])
    assert get_ident() not in slow.threads


async def test_a_window_that_costs_more_than_its_characters_is_scanned_beside_the_loop(it: Scanner) -> None:
    check = Own(fine, traits=replace(QUICK, cost=lambda window: 10 * window.text.count("%")))
    growing = [window("a fine text", last=False), window("% " * 31, last=False), window("%%%", settled=1, last=False)]
    threads = []
    for text in growing:
        check.threads.clear()
        await it.scan([Job(check, text)])
        threads.append(check.threads == {get_ident()})
    assert threads == [True, False, True]
    check.threads.clear()
    await it.scan([Job(check, window("% " * 31))])
    assert get_ident() not in check.threads, "a whole text"


async def test_windows_of_one_check_are_scanned_in_one_call(it: Scanner) -> None:
    check = Own(fine)
    scans = await it.scan([Job(check, window("one")), Job(check, window("four"))])
    assert ([scan.settled for scan in scans], check.calls) == ([3, 4], 1)


async def test_a_whole_text_is_scanned_once_for_each_kind_of_channel(it: Scanner) -> None:
    """What a check finds may depend on it."""
    check = Own(fine)
    for kind in ("user", "user", "tool_result", "user"):
        await it.scan([Job(check, window(LONG, kind))])
    assert check.calls == 2
    other = Window(Channel("response", "user", "messages[0].content"), LONG)
    await it.scan([Job(check, other)])
    assert check.calls == 3


async def test_parts_of_texts_are_not_remembered(it: Scanner) -> None:
    check = Own(fine)
    for more in ({"last": False}, {"start": 3, "settled": 3}, {"facts": Facts(language="de")}):
        for _ in range(2):
            await it.scan([Job(check, window(LONG, **more))])
    assert check.calls == 5
    for _ in range(2):
        await it.scan([Job(check, window("short"))])
    assert check.calls == 6


async def test_what_is_remembered_is_counted_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanner, "CACHE_TEXTS", 2)
    registry = CollectorRegistry()
    it = Scanner(1, 10.0, Counter("known", "Known.", ("result",), registry=registry))
    check = Own(fine)
    for text in ("a", "b", "a", "c", "b", "short"):
        await it.scan([Job(check, window(text * 50 if text != "short" else text))])
    assert registry.get_sample_value("known_total", {"result": "hit"}) == 1
    assert registry.get_sample_value("known_total", {"result": "miss"}) == 5
    it.close()


async def test_a_check_that_raises_or_breaks_its_contract_gives_an_error(it: Scanner) -> None:
    def raises(windows: Sequence[Window]) -> list[Scan]:
        raise OSError("it quotes the text")

    def short(windows: Sequence[Window]) -> list[Scan]:
        return []

    def beyond(windows: Sequence[Window]) -> list[Scan]:
        return [Scan((), 1000, 1000)]

    def before(windows: Sequence[Window]) -> list[Scan]:
        return [Scan((Finding(0, 2, "own", "x", 1.0),), 5, 5)]

    for does, error in ((raises, "OSError"), (short, "ValueError"), (beyond, "broken_contract")):
        (scan,) = await it.scan([Job(Own(does), window("short"))])
        assert (scan.error, scan.findings, scan.settled) == (error, (), 0)
    (scan,) = await it.scan([Job(Own(before), window("short", settled=3))])
    assert (scan.error, scan.settled) == ("broken_contract", 3)


async def test_an_error_is_not_remembered(it: Scanner) -> None:
    fails = [True, False]

    def does(windows: Sequence[Window]) -> list[Scan]:
        if fails.pop(0):
            raise OSError
        return fine(windows)

    check = Own(does)
    assert [(await it.scan([Job(check, window(LONG))]))[0].error for _ in range(2)] == ["OSError", ""]


async def test_a_model_is_waited_for_without_a_thread(it: Scanner) -> None:
    scorer = Waiting()
    check = supervisor(scorer)
    many = [asyncio.create_task(it.scan([Job(check, window(f"attack {number}"))])) for number in range(20)]
    async with asyncio.timeout(10):
        for _ in many:
            await scorer.arrivals.get()
    for queries, future in scorer.asked:
        future.set_result(scorer.judge(queries))
    scans = [scan for (scan,) in await asyncio.gather(*many)]
    assert all(scan.findings[0].label == "injection" for scan in scans)
    assert [scan.settled for scan in scans] == [len(f"attack {number}") for number in range(20)]


async def test_a_long_text_is_cut_beside_the_loop_and_a_blank_one_asks_nothing(it: Scanner) -> None:
    scorer = Waiting()
    task = asyncio.create_task(it.scan([Job(supervisor(scorer), window(LONG * 100))]))
    await scorer.arrived.wait()
    scorer.answer()
    ((scan,)) = await task
    assert scan.findings
    (blank,) = await it.scan([Job(supervisor(scorer), window("  "))])
    assert (blank.settled, len(scorer.asked)) == (2, 1)


async def test_a_model_that_is_late_is_an_error_and_is_not_asked_on() -> None:
    scorer = Waiting()
    it = Scanner(1, 0.01)
    (scan,) = await it.scan([Job(supervisor(scorer), window("attack"))])
    assert (scan.error, scan.settled) == ("timeout", 0)
    await over(scorer.asked[0][1])
    assert scorer.asked[0][1].cancelled()
    it.close()


async def test_one_deadline_is_for_all() -> None:
    """Two late checks take no longer than one, and the one in time counts."""
    hold = Event()
    first, second = Waiting(), Waiting()
    it = Scanner(1, 0.05)
    began = asyncio.get_running_loop().time()
    stuck = Own(lambda windows: fine(windows) if hold.wait(10) else [], traits=Traits(is_slow=True))
    jobs = [Job(check, window("attack")) for check in (supervisor(first), supervisor(second), stuck, Own(fine))]
    scans = await it.scan(jobs)
    assert [scan.error for scan in scans] == ["timeout", "timeout", "timeout", ""]
    assert asyncio.get_running_loop().time() - began < 5
    hold.set()
    it.close()


async def test_who_does_not_wait_any_more_asks_nothing(it: Scanner) -> None:
    scorer = Waiting()
    task = asyncio.create_task(it.scan([Job(supervisor(scorer), window("attack"))]))
    await scorer.arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await over(scorer.asked[0][1])
    assert scorer.asked[0][1].cancelled()


async def test_a_model_that_refuses_or_fails_is_an_error(it: Scanner) -> None:
    from guardproxy.inference.running.batching import QueueFull

    (scan,) = await it.scan([Job(supervisor(Waiting(QueueFull("full"))), window("attack"))])
    assert (scan.error, scan.settled, scan.findings) == ("QueueFull", 0, ())
    scorer = Waiting()
    task = asyncio.create_task(it.scan([Job(supervisor(scorer), window("attack"))]))
    await scorer.arrived.wait()
    scorer.asked[0][1].set_exception(OSError("gone"))
    assert (await task)[0].error == "OSError"


def _given(scorer: FakeScorer, name: str) -> FakeScorer:
    return scorer


async def test_checks_that_ask_the_same_model_ask_it_once(it: Scanner) -> None:
    scorer, other = Waiting(), Waiting()
    first, second, third = (
        build(name, options, Resources(partial(_given, given)))
        for name, options, given in (
            ("attack", {}, scorer),
            ("harm", {"label": "harm"}, scorer),
            ("elsewhere", {}, other),
        )
    )
    jobs = [Job(check, window(text)) for text in ("attack", "fine") for check in (first, second, third)]
    task = asyncio.create_task(it.scan(jobs))
    async with asyncio.timeout(10):
        await scorer.arrived.wait()
        await other.arrived.wait()
    scorer.answer()
    other.answer()
    scans = await task
    assert (len(scorer.asked), len(other.asked)) == (1, 1)
    assert [query.text for query in scorer.asked[0][0]] == ["attack", "fine", "attack", "fine"]
    found = [[(one.check, one.label) for one in scan.findings] for scan in scans]
    expected = [[("attack", "injection")], [("harm", "harm")], [("elsewhere", "injection")]]
    assert found == [*expected, [], [], []]


async def test_a_check_that_fails_to_ask_fails_alone(it: Scanner) -> None:
    class Broken:
        name = "broken"
        digest = "sha256:broken"
        traits = Traits(is_slow=True)

        def __init__(self, scorer: FakeScorer) -> None:
            self.scorer = scorer

        def scan(self, windows: Sequence[Window]) -> list[Scan]:
            raise NotImplementedError

        def ask(self, windows: Sequence[Window]) -> Any:
            raise LookupError

        def answer(self, windows: Sequence[Window], asked: Any, judged: Any) -> list[Scan]:
            raise NotImplementedError

    scorer = Waiting()
    jobs = [Job(check, window("attack")) for check in (Broken(scorer), supervisor(scorer))]
    task = asyncio.create_task(it.scan(jobs))
    await scorer.arrived.wait()
    scorer.answer()
    broken, fine = await task
    assert (broken.error, fine.error, len(fine.findings)) == ("LookupError", "", 1)


async def test_a_scorer_that_cannot_be_waited_for_has_a_thread(it: Scanner) -> None:
    scorer = FakeScorer(words)
    (scan,) = await it.scan([Job(supervisor(scorer), window("attack"))])
    assert scan.findings


async def test_the_time_allowed_grows_with_the_text() -> None:
    allowed = scanner.TimeLimits(10.0, 60.0)
    assert (allowed.for_chars(0), allowed.for_chars(500_000)) == (10.0, 40.0)


@pytest.mark.parametrize("direction", ["request", "response"])
async def test_a_long_text_does_not_wait_for_itself(direction: Any) -> None:
    """Twenty checks of a text for which each takes longer than a scan may wait."""
    it = Scanner(1, TimeLimits(60.0, wait_s=0.001))
    checks = [Own(fine, digest=f"sha256:{number}") for number in range(20)]
    text = Window(Channel(direction, "user", "messages[0].content"), LONG * 1000)
    scans = await it.scan([Job(check, text) for check in checks])
    assert [scan.no_capacity for scan in scans] == [None] * 20
    assert all(check.calls == 1 for check in checks)
    it.close()


async def test_questions_to_models_do_not_wait_for_the_other_checks_of_their_request() -> None:
    it = Scanner(1, TimeLimits(60.0, wait_s=0.001))
    scorers = [FakeScorer(words) for _ in range(4)]
    jobs = [Job(supervisor(scorer), window(LONG * 100)) for scorer in scorers]
    scans = await it.scan([*jobs, Job(Own(fine), window(LONG * 100))])
    assert [scan.no_capacity for scan in scans] == [None] * 5
    it.close()


async def test_what_another_request_has_left_still_counts(it: Scanner) -> None:
    begun, go = Event(), Event()

    def waits(windows: Sequence[Window]) -> list[Scan]:
        begun.set()
        assert go.wait(10)
        return fine(windows)

    it = Scanner(1, TimeLimits(60.0, wait_s=0.001))
    first = asyncio.create_task(it.scan([Job(Own(waits), window(LONG * 1000))], "tenant"))
    await asyncio.to_thread(begun.wait, 10)
    (refused,) = await it.scan([Job(Own(fine), window(LONG * 900))], "tenant")
    assert refused.no_capacity is Shortage.FULL
    go.set()
    assert (await first)[0].no_capacity is None
    it.close()


def test_the_speed_of_each_check_is_measured_before_the_first_request() -> None:
    it = Scanner(1, TimeLimits(60.0))
    slow, forms = replace(QUICK, is_slow=True), replace(QUICK, needs_form=True)
    quick, never, partner = Own(fine), Own(fine, digest="never", traits=slow), Own(fine, digest="partner")
    pair = Own(fine, digest="pair", traits=replace(QUICK, partner=partner))
    unread = Own(fine, digest="unread", traits=forms)
    asking = supervisor(FakeScorer(words))
    checks = [quick, never, pair, unread, asking]
    it.warm_up(checks)
    assert [check.calls for check in (quick, pair, partner)] == [2, 2, 2], "its parts are built before it is measured"
    assert never.calls == unread.calls == 0
    assert not it._threads.measured(asking.digest)
    it.warm_up(checks)
    assert quick.calls == 2, "it is known"
    it.close()


async def test_a_late_check_and_a_full_queue_are_no_verdict_and_a_broken_check_is_a_failure(it: Scanner) -> None:
    from guardproxy.errors import Shortage
    from guardproxy.inference.running.batching import QueueFull

    def raises(windows: Sequence[Window]) -> list[Scan]:
        raise OSError

    late = Scanner(1, 0.01)
    scans = [
        *await late.scan([Job(supervisor(Waiting()), window("attack"))]),
        *await it.scan([Job(supervisor(Waiting(QueueFull("full"))), window("attack"))]),
        *await it.scan([Job(Own(raises), window("attack"))]),
    ]
    assert [scan.no_capacity for scan in scans] == [Shortage.LATE, Shortage.FULL, None]
    assert all(scan.error for scan in scans)
    late.close()


async def test_a_model_that_would_be_late_is_not_asked_unless_an_answer_has_begun_or_the_tenant_waits_for_nothing(
    it: Scanner,
) -> None:
    class Busy(Waiting):
        def wait_s(self, chars: int) -> float:
            return 0.0 if not self.asked else 9.0

    scorer = Busy()
    check = supervisor(scorer)
    answer = Window(Channel("response", "assistant", "choices[0].message.content"), "attack")
    first = asyncio.create_task(it.scan([Job(check, window("first"))], "one"))
    await scorer.arrivals.get()
    (refused,) = await it.scan([Job(check, window("second"))], "one")
    assert refused.no_capacity is not None
    more = [
        asyncio.create_task(it.scan([Job(check, answer)], "one")),
        asyncio.create_task(it.scan([Job(check, window("other"))], "two")),
    ]
    for _ in more:
        await scorer.arrivals.get()
    for queries, future in scorer.asked:
        future.set_result(scorer.judge(queries))
    assert all(scan.no_capacity is None for (scan,) in [await first, *(await asyncio.gather(*more))])


async def test_the_time_limit_of_a_text_grows_with_what_its_model_takes() -> None:
    class Paced(Waiting):
        def own_s(self, chars: int) -> float:
            return chars * 2.0

    class Seen(TimeLimits):
        def for_chars(self, chars: int, model_s: float = 0.0) -> float:
            seen.append((chars, model_s))
            return super().for_chars(chars, model_s)

    seen: list[tuple[int, float]] = []
    scorer = Paced()
    it = Scanner(1, Seen(0.0, 1e6))
    scan = asyncio.create_task(it.scan([Job(supervisor(scorer), window("a text of 24 characters!"))]))
    await scorer.arrivals.get()
    ((queries, future),) = scorer.asked
    future.set_result(scorer.judge(queries))
    assert (await scan)[0].no_capacity is None
    assert seen == [(24, 48.0)]
    it.close()
    assert TimeLimits(10.0, 60.0).for_chars(1_000_000) == 70.0
    assert TimeLimits(10.0, 60.0).for_chars(1_000_000, 9.0) == 70.0
    assert TimeLimits(10.0, 60.0).for_chars(1_000_000, 100.0) == 610.0


async def test_many_small_texts_are_scanned_in_slices_beside_the_loop(it: Scanner) -> None:
    sizes: list[int] = []

    def counts(windows: Sequence[Window]) -> list[Scan]:
        sizes.append(len(windows))
        return fine(windows)

    check = Own(counts)
    scans = await it.scan([Job(check, window(f"tool {number}")) for number in range(1000)])
    assert (len(scans), sum(sizes)) == (1000, 1000)
    assert max(sizes) <= 32
    assert get_ident() not in check.threads


class Slices:
    """Counts the calls between two points at which the loop may do other things. `longest`: the most calls in a row."""

    def __init__(self) -> None:
        self.longest = self._calls = 0

    def _see(self, frame: Any, event: str, argument: Any) -> None:
        if event in ("call", "c_call"):
            self._calls += 1
            self.longest = max(self.longest, self._calls)

    async def of(self, work: Coroutine[Any, Any, Any]) -> Any:
        """The result of `work`. A task beside it takes each turn that it leaves."""
        task = asyncio.ensure_future(work)
        sys.setprofile(self._see)
        try:
            while not task.done():
                self._calls = 0
                await asyncio.sleep(0)
        finally:
            sys.setprofile(None)
        return task.result()


def many(check: Check, texts: Sequence[str]) -> list[Job]:
    return [Job(check, window(text)) for text in texts]


MANY = 2000
SCANNED: dict[str, Callable[[], tuple[Check, list[str]]]] = {
    "short texts": lambda: (Own(fine), ["some text"] * MANY),
    "texts that are remembered": lambda: (Own(fine), [f"{LONG}{number}" for number in range(MANY)]),
    "a check that raises": lambda: (Own(lambda windows: [fine(windows)[len(windows)]]), ["some text"] * MANY),
    "a model": lambda: (supervisor(FakeScorer(words)), ["some text"] * MANY),
}


@pytest.mark.parametrize("name", SCANNED)
async def test_many_jobs_do_not_hold_the_loop(name: str) -> None:
    """Whatever their number, the loop does other things after each slice: before they are scanned and after."""
    check, texts = SCANNED[name]()
    scanner = Scanner(1, 60.0, meters=Meters())
    try:
        for _ in range(2):  # the second time from memory
            slices = Slices()
            scans = await slices.of(scanner.scan(many(check, texts)))
            assert len(scans) == MANY
            assert slices.longest <= LOOP_CALLS // 4
    finally:
        scanner.close()


async def test_many_jobs_that_are_refused_or_late_do_not_hold_the_loop() -> None:
    block = Event()

    def stuck(windows: Sequence[Window]) -> list[Scan]:
        block.wait()
        return fine(windows)

    for allowed, shortage in ((TimeLimits(0.001, 0.0), Shortage.LATE), (TimeLimits(60.0, wait_s=-1.0), Shortage.FULL)):
        scanner = Scanner(1, allowed)
        slices = Slices()
        try:
            scans = await slices.of(scanner.scan(many(Own(stuck), ["some text"] * MANY)))
        finally:
            block.set()
            scanner.close()
        assert {scan.no_capacity for scan in scans} == {shortage}
        assert slices.longest <= LOOP_CALLS // 4


async def test_texts_are_looked_up_in_slices_of_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = 0
    pause = asyncio.sleep

    async def counting(delay: float) -> None:
        nonlocal turns
        turns += 1
        await pause(delay)

    monkeypatch.setattr(asyncio, "sleep", counting)
    it = Scanner(1, 60.0)
    try:
        await it.scan(many(Own(fine), [f"{number} {LONG * 180}" for number in range(10)]))
    finally:
        it.close()
    assert turns >= 3
