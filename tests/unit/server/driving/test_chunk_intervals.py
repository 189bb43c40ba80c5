"""The time between two pieces of a stream."""

from __future__ import annotations

import pytest

from guardproxy.exchange import SendHead
from guardproxy.server.driving.chunk_intervals import Pieces
from guardproxy.server.observing.metrics import DurationBuckets

STREAM = SendHead(200, streamed=True)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    times = [1.0, 1.5, 4.0, 4.25]
    monkeypatch.setattr("time.perf_counter", lambda: times.pop(0))
    return times


def test_each_piece_is_measured_from_the_one_before(clock: list[float]) -> None:
    between = DurationBuckets()
    pieces = Pieces(between.observe)
    for _ in range(4):
        pieces.sent(STREAM)
    assert (sum(between.counts), between.sum_s) == (3, 3.25)


def test_a_keep_alive_is_no_piece(clock: list[float]) -> None:
    between = DurationBuckets()
    pieces = Pieces(between.observe)
    pieces.sent(STREAM)
    pieces.sent(STREAM)
    pieces.pause()
    pieces.sent(STREAM)
    pieces.sent(STREAM)
    assert (sum(between.counts), between.sum_s) == (2, 0.75)


@pytest.mark.parametrize("head", [None, SendHead(200, streamed=False)])
def test_an_answer_that_is_no_stream_is_not_measured(head: SendHead | None, clock: list[float]) -> None:
    between = DurationBuckets()
    pieces = Pieces(between.observe)
    pieces.sent(head)
    assert len(clock) == 4
    assert sum(between.counts) == 0
