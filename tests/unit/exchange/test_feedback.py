"""What a record holds of feedback."""

from __future__ import annotations

from guardproxy.audit import RecordedFeedback, RecordedOpinion
from guardproxy.exchange.feedback import recorded_feedback


def test_comments_are_left_to_the_texts_of_the_request() -> None:
    span = {"start": 1, "end": 2, "thumbs": "up", "comment": "mara@example.com"}
    tree = {"id": "x", "thumbs": "down", "score": 0.41111111, "comment": "mara@example.com", "spans": [span]}
    spans = (RecordedOpinion(start=1, end=2, thumbs="up"),)
    assert recorded_feedback(tree) == RecordedFeedback(exchange="x", thumbs="down", score=0.4111, spans=spans)


def test_what_was_not_said_is_not_recorded() -> None:
    assert recorded_feedback({"id": "x", "comment": "fine"}) == RecordedFeedback(exchange="x")
