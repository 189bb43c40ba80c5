"""The time line, and what a stream held back."""

from __future__ import annotations

from typing import Any

from guardproxy.audit import Record
from guardproxy.audit.record import RecordedFinding
from guardproxy.console.pages.exchanges import stream
from guardproxy.replay import HoldStep
from tests.kit.records import plain_answer, plain_attempt, plain_record, plain_text

TIMES = {"request_scanned": 5.0, "upstream_answered": 30.0, "first_byte": 42.0, "finished": 90.0}


def bars(record: Record) -> list[tuple[str, float, float]]:
    return [(bar.label, bar.at, bar.until) for bar in stream.time_line(record).bars]


def test_the_time_of_a_stream() -> None:
    line = stream.time_line(plain_record(plain_answer(streamed=True), timings=TIMES))
    assert [(bar.label, bar.at, bar.until) for bar in line.bars] == [
        ("request checked", 0.0, 5.0),
        ("model began", 5.0, 30.0),
        ("held", 30.0, 42.0),
        ("sent", 42.0, 90.0),
    ]
    assert (line.total_ms, line.added_ms) == (90.0, 17.0)
    assert "in characters, not in milliseconds" in line.missing[0]


def test_times_that_are_missing_are_not_invented() -> None:
    assert bars(plain_record(timings={})) == []
    empty = stream.time_line(plain_record(timings={}))
    assert (empty.total_ms, empty.added_ms) == (0.0, None)
    assert empty.missing == ("The record has no times.",)
    assert bars(plain_record(timings={"upstream_answered": 3.0})) == [("model began", 0.0, 3.0)]
    assert bars(plain_record(timings={"first_byte": 3.0})) == [("sent", 3.0, 3.0)]
    assert stream.time_line(plain_record(timings={"request_scanned": 4.0})).added_ms == 4.0


def test_attempts_have_bars_of_their_own() -> None:
    record = plain_record(attempts=(plain_attempt(plain_answer()), plain_attempt()), timings=TIMES)
    assert [label for label, _, _ in bars(record)] == ["request checked", "attempt 1", "attempt 2", "held", "sent"]
    assert stream.time_line(record).added_ms == 5.0


def steps(*places: tuple[int, int, str, bool], attempt: int = 0, path: str = "c") -> list[HoldStep]:
    return [
        HoldStep(attempt, path, arrived, released, tuple(by.split()), whole) for arrived, released, by, whole in places
    ]


def held(text: str, *places: tuple[int, int, str, bool], **changes: Any) -> stream.HeldStream:
    record = plain_record(plain_answer(plain_text(path="c", text=text, **changes), streamed=True))
    (only,) = stream.held_streams(record, steps(*places), 1)
    return only


def test_what_waited_for_what_came_after_it() -> None:
    finding = RecordedFinding(check="pii", label="NAME", start=3, end=7, score=1.0)
    found = held(
        "ab anna c",
        (2, 2, "", False),
        (4, 3, "pii words", False),
        (6, 3, "pii", False),
        (8, 7, "pii", False),
        (9, 9, "", False),
        findings=(finding,),
    )
    assert [(place.start, place.end, place.until, place.text) for place in found.held] == [
        (3, 6, 8, "ann"),
        (7, 8, 9, " "),
    ]
    assert found.held[0].by == "pii, words could not be sure, then pii found NAME"
    assert found.most == 3
    assert not found.is_whole
    assert found.points[0] == (0, 0)
    assert found.points[-1] == (9, 9)
    assert found.line(100, 10).startswith("0.0,10.0 22.2,")
    assert found.area(100, 10).startswith("100.0,0.0 0.0,10.0 0.0,10.0")


def test_what_never_left() -> None:
    found = held("abcdef", (2, 1, "words", False), (6, 1, "words", False))
    assert [(place.start, place.end, place.is_sent) for place in found.held] == [(1, 6, False)]


def test_a_rule_that_needs_the_whole_answer() -> None:
    found = held("abcd", (2, 0, "words", True), (4, 0, "", True), (4, 4, "", False))
    assert found.is_whole
    assert "needs the whole answer" in found.held[0].by


def test_a_piece_alone_is_no_reason() -> None:
    found = held("abcd", (2, 1, "", False), (4, 4, "", False))
    assert found.held[0].by == "the piece was not complete"


def test_many_places_are_cut_to_the_longest() -> None:
    places = [
        place
        for number in range(0, 200, 2)
        for place in ((number + 1, number, "pii", False), (number + 2, number + 2, "", False))
    ]
    found = held("x" * 200, *places)
    assert len(found.held) == stream.MOST_HELD
    assert found.more == 100 - stream.MOST_HELD


def test_words_of_the_protocol_are_left_out() -> None:
    texts = (plain_text(path="model", text="gpt", kind="metadata"), plain_text(path="role", text="x", fixed=True))
    record = plain_record(plain_answer(*texts, streamed=True))
    both = [*steps((3, 0, "pii", False), path="model"), *steps((1, 0, "pii", False), path="role")]
    assert stream.held_streams(record, both, 1) == ()


def test_a_text_that_the_record_does_not_have_is_shown_without_words() -> None:
    record = plain_record(plain_answer(streamed=True))
    (only,) = stream.held_streams(record, steps((2, 0, "pii", False), (200, 200, "", False), path="gone"), 1)
    assert only.held[0].text == ""
    long = held("y" * 300, (200, 0, "pii", False), (300, 300, "", False))
    assert "…" in long.held[0].text
