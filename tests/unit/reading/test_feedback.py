"""Rows for fine-tuning: which exchanges have one, and what it says."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from guardproxy.audit import AnyEntry, Judged, Record
from guardproxy.audit.record import RecordedFeedback, RecordedOpinion
from guardproxy.reading.feedback import NO_EXCHANGE, NO_TEXTS, feedback_rows
from guardproxy.reading.period import Period
from guardproxy.reading.report import Verification, report_page
from guardproxy.reading.samples import HourlySamples
from guardproxy.reading.sql import LogDatabase
from guardproxy.reading.summary import TrafficSummary
from tests.kit.logs import write_log
from tests.kit.records import plain_answer, plain_record, plain_text


def exchange(name: str, answer: str | None = "42", **more: Any) -> Record:
    asked = (
        plain_text("messages[0].content", "be brief", kind="system"),
        plain_text("messages[1].content[0].text", "a"),
    )
    again = plain_text("messages[1].content[1].text", "b")
    texts = (plain_text("choices[0].message.content", answer, kind="assistant"),)
    other = plain_text("choices[1].message.content", "43", kind="assistant")
    about = {"id": name, "tenant": "t", "route": "POST /v1/chat/completions", **more}
    return plain_record(plain_answer(*texts, other), *asked, again, **about)


def feedback(about: str, *, at: float = 1_750_000_001.0, outcome: str = "answered", **said: Any) -> Record:
    given = RecordedFeedback(exchange=about, **said)
    comments = (plain_text("comment", "fine"), plain_text("spans[1].comment", "why"))
    more: dict[str, Any] = {"feedback": given, "outcome": outcome, "route": "POST /guard/feedback", "at": at}
    return plain_record(None, *comments, id=f"of-{about}-{at}", tenant="t", **more)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    spans = (RecordedOpinion(start=0, end=1), RecordedOpinion(start=1, end=2, thumbs="up"))
    write_log(tmp_path, "a", exchange("x1"), exchange("x2", None), exchange("x3"), feedback("x3", outcome="refused"))
    write_log(tmp_path, "b", feedback("x1", thumbs="up", score=0.5, spans=spans), feedback("x2"), feedback("gone"))
    return tmp_path


def test_a_row_has_the_messages_and_what_was_said(folder: Path) -> None:
    unread: Counter[str] = Counter()
    without: Counter[str] = Counter()
    (row,) = map(json.loads, feedback_rows(folder, Period(), unread, without))
    assert row == {
        "id": "x1",
        "model": row["model"],
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "a\nb"},
            {"role": "assistant", "content": "42"},
        ],
        "thumbs": "up",
        "score": 0.5,
        "comment": "fine",
        "spans": [{"start": 0, "end": 1}, {"start": 1, "end": 2, "thumbs": "up", "comment": "why"}],
    }
    assert (unread, without) == ({}, {NO_TEXTS: 1, NO_EXCHANGE: 1})
    assert not list(feedback_rows(folder, Period(end_s=1.0), Counter(), Counter()))


def test_a_route_of_no_known_format_has_a_row_with_all_texts(tmp_path: Path) -> None:
    write_log(tmp_path, "a", exchange("x1", route="POST /own"), feedback("x1"))
    (row,) = map(json.loads, feedback_rows(tmp_path, Period(), Counter(), Counter()))
    assert row["messages"][-1]["content"] == "4243"


def test_scores_have_a_table_and_a_mean(tmp_path: Path) -> None:
    about: dict[str, Any] = {
        "v": 3,
        "engine": "e",
        "policy": "p",
        "upstream": "u",
        "model": "m",
        "rubric": "r",
        "ms": 1.5,
    }
    scores = [Judged(**about, at=2.0, id=f"x{score}", scale=(1, 5), score=score) for score in (3, 4)]
    failed = Judged(**about, at=2.0, id="x1", scale=(1, 5), failure="timeout")
    write_log(tmp_path, "a", exchange("x3"), *scores, failed)
    with LogDatabase(tmp_path) as database:
        _, rows = database.query("SELECT id, policy, low, high, score, failure FROM scores ORDER BY id")
        assert list(rows) == [
            ("x1", "p", 1, 5, None, "timeout"),
            ("x3", "p", 1, 5, 3, None),
            ("x4", "p", 1, 5, 4, None),
        ]
        _, rows = database.query("SELECT count(*) FROM events")
        assert list(rows) == [(0,)]
    summary = TrafficSummary(Period())
    entries: list[AnyEntry] = [exchange("x3"), *scores, failed, feedback("x3", thumbs="down"), feedback("x3")]
    for entry in entries:
        summary.see(entry)
    TrafficSummary(Period(5.0)).see(scores[0])
    assert (summary.total, sum(summary.scores.values())) == (1, 2)
    page = report_page("t", summary, Verification((), False, 0, Counter(), None), 1.0, "p")
    assert "<td>p</td><td>r</td>" in page.replace(' class="number"', "")
    assert "3.50" in page
    assert "with feedback 2 times (1 thumbs down, 1 without thumbs)" in page


def test_feedback_counts_apart_from_exchanges(folder: Path) -> None:
    entries = [exchange("x1"), feedback("x1", thumbs="up"), feedback("x1"), feedback("x1", outcome="blocked_request")]
    summary, samples = TrafficSummary(Period()), HourlySamples()
    for entry in entries:
        summary.see(entry)
        samples.see(entry)
    assert (summary.total, summary.feedback) == (1, {"up": 1, "none": 1, "blocked": 1})
    assert sum(sample.exchanges for sample in samples.days.values()) == 1
    with LogDatabase(folder) as database:
        _, rows = database.query("SELECT exchange, thumbs, score, comment FROM feedback ORDER BY exchange")
        assert list(rows) == [("gone", None, None, "fine"), ("x1", "up", 0.5, "fine"), ("x2", None, None, "fine")]
        _, rows = database.query("SELECT count(*) FROM exchanges")
        assert list(rows) == [(3,)]
