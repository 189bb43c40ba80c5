"""The queue to the network, in steps: jobs and network are made here, threads only where threads are what is tested."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from threading import Event, Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from guardproxy.errors import Shortage
from guardproxy.inference.running.batching import TURN_TOKENS, Batcher, QueueFull, Row
from guardproxy.inference.running.meters import Registry


class Rows:
    """A network that keeps what it ran. A row's logits are its sum. `hold`: it waits for this before each batch."""

    provider = "test"

    def __init__(self, budget: int = 1, workers: int = 0, hold: Event | None = None) -> None:
        self.budget = budget
        self.workers = workers
        self.batches: list[list[Row]] = []
        self.hold = hold
        self.begun = Event()
        self.over = Event()

    def close(self) -> None:
        self.over.set()

    def run(self, rows: Sequence[Row]) -> list[list[float]]:
        self.batches.append(list(rows))
        self.begun.set()
        if self.hold:
            assert self.hold.wait(10)
        if any(row == (13,) for row in rows):
            raise OSError("unlucky")
        return [[float(sum(row))] for row in rows]


class Texts:
    """A job of so many texts, each with its rows. `over` is set when it ended or failed."""

    def __init__(self, *texts: list[Row]) -> None:
        self.unread = deque(texts)
        self.got: dict[Row, list[float]] = {}
        self.known_rows: set[Row] = set()
        self.gone = False
        self.ended = 0
        self.error: Exception | None = None
        self.over = Event()

    def is_dropped(self) -> bool:
        return self.gone or self.error is not None

    @property
    def ready(self) -> bool:
        return not self.unread

    def prepare(self) -> deque[Row]:
        rows = self.unread.popleft()
        if (99,) in rows:
            raise ValueError("not to be read")
        return deque(rows)

    def has_scores(self, row: Row) -> bool:
        return row in self.known_rows

    def set_logits(self, row: Row, logits: Sequence[float]) -> None:
        self.got[row] = list(logits)

    def end(self) -> None:
        self.ended += 1
        self.over.set()

    def fail(self, error: Exception) -> None:
        self.error = error
        self.over.set()


def batcher(network: Rows, limit: int = 100) -> tuple[Batcher, CollectorRegistry]:
    registry = CollectorRegistry()
    return Batcher(network, limit, Registry(registry).meters("m")), registry


def drain(it: Batcher) -> None:
    """What one worker does with all that waits."""
    it._closed = True
    while it._step():
        pass


def steps(network: Rows, *jobs: Texts) -> CollectorRegistry:
    """Puts the jobs and lets one worker do what there is to do."""
    it, registry = batcher(network)
    for job in jobs:
        it.put(job)
    drain(it)
    return registry


def test_what_waits_is_run_at_once_up_to_the_budget() -> None:
    network = Rows(budget=6)
    jobs = [Texts([(1, 1)]), Texts([(2, 2)]), Texts([(3, 3)]), Texts([(4, 4)])]
    registry = steps(network, *jobs)
    assert network.batches == [[(1, 1), (2, 2), (3, 3)], [(4, 4)]]
    assert [job.got for job in jobs] == [{(1, 1): [2.0]}, {(2, 2): [4.0]}, {(3, 3): [6.0]}, {(4, 4): [8.0]}]
    assert all(job.ended for job in jobs)
    assert registry.get_sample_value("guardproxy_supervisor_batch_rows_sum", {"model": "m"}) == 4
    assert registry.get_sample_value("guardproxy_supervisor_batch_rows_count", {"model": "m"}) == 2
    assert registry.get_sample_value("guardproxy_supervisor_queue_seconds_count", {"model": "m"}) == 4
    assert registry.get_sample_value("guardproxy_supervisor_queue_depth", {"model": "m"}) == 0


def test_a_long_document_does_not_keep_a_short_question_waiting() -> None:
    network = Rows()
    steps(network, Texts([(1,), (2,), (3,)], [(4,)]), Texts([(5,)]), Texts([(6,)]))
    assert network.batches == [[(1,)], [(5,)], [(6,)], [(2,)], [(3,)], [(4,)]]


def test_a_document_whose_texts_need_no_run_does_not_keep_a_short_question_waiting() -> None:
    network = Rows()
    long = Texts([], [], [], [(1,)])
    steps(network, long, Texts([(5,)]))
    assert network.batches == [[(5,)], [(1,)]]
    assert long.ended


def test_equal_rows_of_a_batch_are_run_once() -> None:
    network = Rows(budget=10)
    jobs = [Texts([(1,), (2,)]), Texts([(2,), (3,)])]
    steps(network, *jobs)
    assert network.batches == [[(1,), (2,), (3,)]]
    assert [sorted(job.got) for job in jobs] == [[(1,), (2,)], [(2,), (3,)]]


def test_a_row_that_became_known_is_not_run() -> None:
    network = Rows()
    job = Texts([(1,), (2,)])
    job.known_rows = {(1,)}
    steps(network, job)
    assert (network.batches, job.ended) == ([[(2,)]], 1)
    known = Texts([(1,)])
    known.known_rows = {(1,)}
    steps(network, known)
    assert known.ended


def test_a_job_without_rows_ends_at_once() -> None:
    network = Rows()
    job = Texts([], [])
    steps(network, job)
    assert (network.batches, job.ended > 0) == ([], True)


def test_what_nobody_waits_for_is_not_run() -> None:
    network = Rows()
    gone, here = Texts([(1,)]), Texts([(2,)])
    gone.gone = True
    registry = steps(network, gone, here)
    assert network.batches == [[(2,)]]
    assert not gone.ended
    assert registry.get_sample_value("guardproxy_supervisor_dropped_total", {"model": "m"}) == 1


def test_a_job_that_is_given_up_half_way_is_not_run_on() -> None:
    network = Rows()
    job = Texts([(1,), (2,)])
    it, _ = batcher(network)
    it.put(job)
    assert it._step()
    job.gone = True
    drain(it)
    assert network.batches == [[(1,)]]


def test_a_network_that_fails_fails_those_of_the_batch_alone() -> None:
    network = Rows()
    unlucky, lucky = Texts([(13,), (1,)]), Texts([(2,)])
    steps(network, unlucky, lucky)
    assert isinstance(unlucky.error, OSError)
    assert lucky.error is None
    assert lucky.ended
    assert network.batches == [[(13,)], [(2,)]]


def test_a_text_that_cannot_be_read_fails_its_job_alone() -> None:
    network = Rows()
    unlucky, lucky = Texts([(99,)]), Texts([(2,)])
    steps(network, unlucky, lucky)
    assert isinstance(unlucky.error, ValueError)
    assert lucky.ended


def test_a_full_queue_refuses() -> None:
    it, registry = batcher(Rows(), limit=2)
    it.put(Texts([(1,)]))
    it.put(Texts([(2,)]))
    assert registry.get_sample_value("guardproxy_supervisor_queue_depth", {"model": "m"}) == 2
    with pytest.raises(QueueFull):
        it.put(Texts([(3,)]))
    assert registry.get_sample_value("guardproxy_supervisor_refused_total", {"model": "m"}) == 1


def test_jobs_that_wait_at_the_end_fail_and_no_more_are_taken() -> None:
    it, _ = batcher(Rows())
    job = Texts([(1,)])
    it.put(job)
    it.close()
    assert isinstance(job.error, QueueFull)
    with pytest.raises(QueueFull):
        it.put(Texts([(1,)]))
    assert not it._step()


def test_a_batch_grows_while_the_network_is_busy() -> None:
    hold = Event()
    network = Rows(budget=100, workers=1, hold=hold)
    it, _ = batcher(network)
    jobs = [Texts([(number,)]) for number in range(1, 8)]
    it.put(jobs[0])
    assert network.begun.wait(10)
    for job in jobs[1:]:
        it.put(job)
    hold.set()
    assert all(job.over.wait(10) for job in jobs)
    assert network.batches == [[(1,)], [(2,), (3,), (4,), (5,), (6,), (7,)]]
    assert not network.over.is_set()
    it.close()
    assert network.over.wait(10), "the last worker closes the network"


def test_a_job_is_not_over_while_a_worker_still_reads_it() -> None:
    """One worker runs the rows of the first text while another reads the second."""
    it, _ = batcher(Rows())
    job = Texts([(1,)], [(2,)])
    it.put(job)
    batch = it._take()
    reading = it._next(block=False)
    assert reading is batch[0][0]
    job.unread.popleft()
    it._settle(reading, ran=1)
    assert not job.ended
    job.unread.append([(2,)])
    it._queue.append(reading)
    drain(it)
    assert (job.ended, job.got) == (1, {(2,): [2.0]})


rows = st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), max_size=6)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(rows, min_size=1, max_size=4), min_size=1, max_size=12), st.integers(1, 30), st.integers(1, 3))
def test_every_row_gets_its_logits_whoever_runs_beside_it(
    given_jobs: list[list[list[Row]]], budget: int, workers: int
) -> None:
    it, _ = batcher(Rows(budget=budget, workers=workers))
    jobs = [Texts(*texts) for texts in given_jobs]
    threads = [Thread(target=it.put, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for job, texts in zip(jobs, given_jobs, strict=True):
        assert job.over.wait(10)
        wanted = {row for text in texts for row in text}
        assert job.got == {row: [float(sum(row))] for row in wanted}
        assert job.error is None
    it.close()


def test_a_job_that_would_wait_too_long_is_refused_at_once() -> None:
    """Whatever the queue's length: what counts is how long the network takes for what waits."""
    now = [0.0]

    class Slow(Rows):
        def run(self, rows: Sequence[Row]) -> list[list[float]]:
            now[0] += 0.5 * len(rows)
            return super().run(rows)

    it = Batcher(Slow(), 100, Registry(CollectorRegistry()).meters("m"), 2.0, lambda: now[0])
    for number in range(20):  # until its speed is known
        it.put(Texts([(number,) * 20]), 60)
        assert it._step()
    jobs = [Texts([(number,) * 20]) for number in range(10)]
    for job in jobs[:9]:
        it.put(job, 60)
    with pytest.raises(QueueFull) as raised:  # before the ninth there are two seconds of work and four times its own
        it.put(jobs[9], 60)
    assert raised.value.shortage is Shortage.FULL
    jobs[0].gone = True
    it.put(jobs[9], 60)
    long = Texts([(7,) * 20])
    it.put(long, 6000)
    assert it.own_s(6000) == pytest.approx(50.0, rel=0.1)
    assert it.wait_s(60) > 2.0
    drain(it)
    assert it.wait_s(60) == 0.0, "nothing is left that others would wait for"
    assert [job.ended for job in [*jobs, long]] == [0, *[1] * 10]


class Steps(Rows):
    """A network that takes a second for each token. The test is its worker."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def run(self, rows: Sequence[Row]) -> list[list[float]]:
        self.now_s += sum(map(len, rows))
        return super().run(rows)


def measured(network: Steps, wait_s: float) -> Batcher:
    """A batcher that has learned that a token has a character and takes a second."""
    it = Batcher(network, 100, Registry(CollectorRegistry()).meters("m"), wait_s, lambda: network.now_s)
    for number in range(200):
        it.put(Texts([(100 + number,) * 250]), 250)
        assert it._step()
    network.batches.clear()
    return it


def long_text(first: int, rows: int) -> Texts:
    return Texts([(first + number,) * 250 for number in range(rows)])


@pytest.mark.parametrize("rows", [1, 10, 100, 1000])
def test_no_text_is_refused_for_its_length(rows: int) -> None:
    """As many texts of any length are admitted; the wait of each is measured by its own time."""
    it = measured(Steps(), 1000.0)
    assert it.own_s(250 * rows) == pytest.approx(250.0 * rows, rel=0.01)
    for number in range(5):
        it.put(long_text(1000 * (number + 1), rows), 250 * rows)
    assert it.wait_s(250 * rows) <= 1.01 * 250.0 * rows, "five delay the sixth by five times its time, less four"
    assert it.wait_s(250) <= 5 * TURN_TOKENS - 4 * 250 + 1, "five long texts delay a short text by one turn each"
    it.close()


def test_a_short_text_waits_for_one_row_of_each_long_text_whatever_their_length() -> None:
    for rows in (5, 50, 500):
        network = Steps()
        it = measured(network, 1e9)
        for number in range(3):
            it.put(long_text(1000 * (number + 1), rows), 250 * rows)
        for step in range(4):
            short = Texts([(10_000 + step,)])
            it.put(short, 1)
            before = len(network.batches)
            while not short.ended:
                assert it._step()
            assert len(network.batches) - before <= 4, "a row of each of the three, and its own"
        it.close()


def test_what_is_left_of_a_long_text_counts_and_not_what_is_done() -> None:
    it = measured(Steps(), 1e9)
    for number in range(10):
        it.put(long_text(1000 * (number + 1), 40), 10_000)
    waits = []
    while it._unfinished:
        waits.append(it.wait_s(10_000))
        assert it._step()
    assert len(waits) == 400
    assert waits[0] == pytest.approx(60_000, rel=0.01)
    assert waits[200] == pytest.approx(10_000, rel=0.05)
    assert waits[-1] == 0.0
    it.close()
