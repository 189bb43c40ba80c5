"""Framing of server-sent events: the same events for every way of cutting the bytes, as a client reads them."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from openai._streaming import SSEDecoder

from guardproxy.wire.framing.sse import KEEP_ALIVE, SseCutter, comment, cutter, frame
from guardproxy.wire.framing.stream import StreamEvent

LINES = st.sampled_from(
    [b"data: a", b"data:b", b"data:  two", b"data", b"data:", b'data: {"x":"\xe2\x80\xa8\xc2\x85\x0b\x0c"}', b"event: ping",
     b"event:x", b"event", b": note", b":", b"retry: 5", b"foo: bar", b"", b"", b"data: [DONE]", b"data: a: b"]
)  # fmt: skip
ENDS = st.sampled_from([b"\n", b"\r", b"\r\n"])
STREAMS = st.lists(st.tuples(LINES, ENDS), max_size=14).map(lambda rows: b"".join(line + end for line, end in rows))
CUTS = st.lists(st.integers(0, 150), max_size=20)


def feed(data: bytes, cuts: list[int], limit: int = 10**6) -> tuple[list[StreamEvent], SseCutter]:
    framer = SseCutter(limit)
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    events: list[StreamEvent] = []
    for low, high in itertools.pairwise(places):
        events += framer.feed(data[low:high])
    return events, framer


@given(data=STREAMS, cuts=CUTS)
@example(data=b"data: a\r\n\r\ndata: b\n\n", cuts=list(range(30)))
@example(data=b"data: a\r\n\n", cuts=[8, 9])
def test_any_cuts_give_the_same_events(data: bytes, cuts: list[int]) -> None:
    whole, one = feed(data, [])
    split, other = feed(data, cuts)
    assert split == whole
    assert one.pending == other.pending
    assert feed(data, list(range(len(data))))[0] == whole


@given(data=STREAMS, mark=st.booleans())
def test_the_same_events_as_the_sdk_reads(data: bytes, mark: bool) -> None:
    """The SDK loses an event behind a byte order mark and gives out events without data; the standard does neither."""
    ours, _ = feed((b"\xef\xbb\xbf" if mark else b"") + data, [])
    theirs = SSEDecoder().iter_bytes(iter([data]))
    named = [(event.event or None, event.data.decode()) for event in ours if event.data]
    assert named == [(event.event or None, event.data) for event in theirs if event.data]


@pytest.mark.parametrize(
    ("data", "events"),
    [
        (b"data: a\n\n", [StreamEvent(b"a")]),
        (b"data:a\r\rdata: b\r\r", [StreamEvent(b"a"), StreamEvent(b"b")]),
        (b"data: a\r\n\r\n", [StreamEvent(b"a")]),
        (b"data: a\n\r\ndata: b\r\n\n", [StreamEvent(b"a"), StreamEvent(b"b")]),
        (b"data: a\ndata: b\ndata:  c\n\n", [StreamEvent(b"a\nb\n c")]),
        (b"event: x\ndata: a\nid: 7\nretry: 5\nother\n\n", [StreamEvent(b"a", "x")]),
        (b"event: a\nevent: b\ndata\n\n", [StreamEvent(b"", "b")]),
        (b"event: \xff\ndata: a\n\n", [StreamEvent(b"a", "\ufffd")]),
        (b": hello\n\n", [StreamEvent(None)]),
        (b": hello\ndata: a\n\n", [StreamEvent(b"a")]),
        (b"event: x\n\n", []),
        (b"\n\n\n\n", []),
        (b"\xef\xbb\xbfdata: a\n\n", [StreamEvent(b"a")]),
        (b"\xef\xbbdata: a\n\n", []),
        ("data: a\u2028b\u0085c\n\n".encode(), [StreamEvent("a\u2028b\u0085c".encode())]),
        (b"data: a\n", []),
    ],
)
def test_what_the_standard_says(data: bytes, events: list[StreamEvent]) -> None:
    for cuts in ([], list(range(len(data)))):
        assert feed(data, cuts)[0] == events


def test_a_stream_that_stands_inside_an_event_is_pending() -> None:
    for data, pending in (
        (b"", False),
        (b"data: a\n\n", False),
        (b"data: a\n", True),
        (b"\n", False),
        (b"\xef\xbb", True),
    ):
        assert feed(data, [])[1].pending is pending


@given(size=st.integers(1, 40), cuts=CUTS, end=ENDS)
def test_the_limit_is_the_same_for_every_cut(size: int, cuts: list[int], end: bytes) -> None:
    """What came before the event that is too large is given out, nothing after it."""
    large = b"data: " + b"x" * size
    data = b"data: a" + end * 2 + large + end * 2 + b"data: b" + end * 2
    events, framer = feed(data, cuts, limit=20)
    fits = len(large) <= 20
    assert framer.too_large is not fits
    assert events == ([StreamEvent(b"a"), StreamEvent(b"x" * size), StreamEvent(b"b")] if fits else [StreamEvent(b"a")])
    assert framer.feed(b"data: c\n\n") == ([StreamEvent(b"c")] if fits else [])


def test_an_event_that_never_ends_is_too_large_before_it_is_kept() -> None:
    framer = SseCutter(1000)
    for _ in range(1002):
        framer.feed(b"x")
    assert framer.too_large


@pytest.mark.timing
def test_one_byte_at_a_time_takes_time_in_step_with_the_size() -> None:
    def best(count: int) -> float:
        times = []
        for _ in range(3):
            framer = SseCutter(10**9)
            began = time.perf_counter()
            for _ in range(count):
                framer.feed(b"x")
            times.append(time.perf_counter() - began)
        return min(times)

    assert best(40_000) < 0.02 + 10 * best(10_000)


def test_frames_are_read_back() -> None:
    assert feed(frame(b"a") + frame(b"b", "x") + KEEP_ALIVE, [])[0] == [
        StreamEvent(b"a"),
        StreamEvent(b"b", "x"),
        StreamEvent(None),
    ]
    assert frame(b"b", "x") == b"event: x\ndata: b\n\n"


def test_a_comment_is_no_event_of_a_text() -> None:
    assert cutter(100).feed(comment("a: b")) == [StreamEvent(None)]
