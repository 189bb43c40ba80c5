"""What a record holds of feedback: its numbers and choices. Its comments are texts of the request, masked like others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from guardproxy.audit import RecordedFeedback, RecordedOpinion

_SCORE_DIGITS = 4  # a score with more digits could hold a number that is none of the record's business


def recorded_feedback(tree: Mapping[str, Any]) -> RecordedFeedback:
    """Returns what to record of feedback. `tree`: its body, which `FeedbackCodec.check` has accepted."""
    score = tree.get("score")
    return RecordedFeedback(
        exchange=tree["id"],
        thumbs=tree.get("thumbs"),
        score=None if score is None else round(float(score), _SCORE_DIGITS),
        spans=tuple(
            RecordedOpinion(start=span["start"], end=span["end"], thumbs=span.get("thumbs"))
            for span in tree.get("spans", ())
        ),
    )
