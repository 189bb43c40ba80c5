"""Opinions in records: how they are written and read."""

from __future__ import annotations

from guardproxy.audit.record.feedback import RecordedFeedback, RecordedOpinion
from tests.kit.records import plain_record, through_log


def test_a_record_keeps_its_feedback() -> None:
    spans = (RecordedOpinion(start=0, end=4, thumbs="up"), RecordedOpinion(start=5, end=6))
    feedback = RecordedFeedback(exchange="x0", thumbs="down", score=0.5, spans=spans)
    record = through_log(plain_record(feedback=feedback, id="x1"))
    assert (record.feedback, record.is_given_feedback) == (feedback, True)
    assert not plain_record(feedback=feedback, outcome="blocked_request").is_given_feedback
    assert not plain_record().is_given_feedback


def test_what_was_not_said_is_not_written() -> None:
    assert RecordedFeedback(exchange="x0").document() == {"exchange": "x0"}
