"""The form of feedback: what is accepted, and which member a refusal names."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.wire.feedback import FEEDBACK, LIMIT_COMMENT_CHARS, LIMIT_SPANS

ID = "01234567cdef" + "0123abcd" * 2 + "beef"


@pytest.mark.parametrize(
    "said",
    [
        {"thumbs": "up"},
        {"score": 0},
        {"score": 1.0},
        {"comment": "x" * LIMIT_COMMENT_CHARS, "user": "ann"},
        {"spans": [{"start": 0, "end": 1}] * LIMIT_SPANS},
        {"spans": [{"start": 3, "end": 9, "thumbs": "down", "comment": "no"}]},
    ],
)
def test_feedback_is_accepted(said: dict[str, Any]) -> None:
    FEEDBACK.check({"id": ID, **said})


@pytest.mark.parametrize(
    ("tree", "field"),
    [
        ({"thumbs": "up"}, "id"),
        ({"id": 7, "thumbs": "up"}, "id"),
        ({"id": ID + "\n", "thumbs": "up"}, "id"),
        ({"id": "call 555 0100", "thumbs": "up"}, "id"),
        ({"id": ID}, "id"),
        ({"id": ID, "user": "ann"}, "id"),
        ({"id": ID, "thumbs": "sideways"}, "thumbs"),
        ({"id": ID, "thumbs": ["up"]}, "thumbs"),
        ({"id": ID, "thumbs": None}, "thumbs"),
        ({"id": ID, "score": True}, "score"),
        ({"id": ID, "score": "0.5"}, "score"),
        ({"id": ID, "score": 1.01}, "score"),
        ({"id": ID, "score": -1}, "score"),
        ({"id": ID, "comment": 1}, "comment"),
        ({"id": ID, "comment": "x" * (LIMIT_COMMENT_CHARS + 1)}, "comment"),
        ({"id": ID, "thumbs": "up", "user": 1}, "user"),
        ({"id": ID, "thumbs": "up", "user": "x" * 1001}, "user"),
        ({"id": ID, "spans": {}}, "spans"),
        ({"id": ID, "spans": [{"start": 0, "end": 1}] * (LIMIT_SPANS + 1)}, "spans"),
        ({"id": ID, "spans": ["a"]}, "spans[0]"),
        ({"id": ID, "spans": [{"start": 1, "end": 1}]}, "spans[0]"),
        ({"id": ID, "spans": [{"start": False, "end": 1}]}, "spans[0]"),
        ({"id": ID, "spans": [{"start": 0, "end": 4111111111111111}]}, "spans[0]"),
        ({"id": ID, "spans": [{"start": 0, "end": 1, "comment": 3}]}, "spans[0].comment"),
        ({"id": ID, "spans": [{"start": 0, "end": 1, "thumbs": ""}]}, "spans[0].thumbs"),
        ({"id": ID, "spans": [{"start": 0, "end": 1, "note": "x"}]}, None),
        ({"id": ID, "thumbs": "up", "mara@example.com": 1}, None),
    ],
)
def test_a_refusal_names_the_member_and_quotes_nothing(tree: dict[str, Any], field: str | None) -> None:
    with pytest.raises(DownstreamError) as refused:
        FEEDBACK.check(tree)
    assert (refused.value.code, refused.value.field) == (ErrorCode.INVALID_VALUE, field)
    assert "mara" not in str(refused.value)


def test_no_model_answers_feedback() -> None:
    (route,) = FEEDBACK.routes
    assert not FEEDBACK.contract.is_answered(route)
