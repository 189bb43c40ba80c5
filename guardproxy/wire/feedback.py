"""The format of feedback about an exchange, which a client sends to `POST /guard/feedback`.

    {"id": "9f...", "thumbs": "down", "score": 0.2, "comment": "the total is wrong",
     "spans": [{"start": 10, "end": 14, "thumbs": "down", "comment": "should be 42"}]}

`id` is the value of `x-guardproxy-id`; at least one other member is needed. The comments are texts of a user, so policies
redact them like texts of a request. `user` names the end user as in other requests: it is the owner of sealed comments. No
other member can hold a text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.wire.declared import AnswerPlaces, DeclaredCodec, DeclaredFormat, RequestPlaces, StreamPlaces
from guardproxy.wire.json import NUMBER_TYPES

FEEDBACK_ROUTE = "POST /guard/feedback"
FEEDBACK_ANSWER = b'{"recorded":true}'
THUMBS = ("up", "down")
LIMIT_COMMENT_CHARS = 10_000
LIMIT_USER_CHARS = 1000
LIMIT_SPANS = 100
LIMIT_OFFSET = 10_000_000
_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_FORMAT = DeclaredFormat(
    name="guardproxy_feedback",
    routes=(FEEDBACK_ROUTE,),
    request=RequestPlaces(
        texts=((("comment",), "user"), (("spans", "*", "comment"), "user"), (("user",), "metadata")),
        structure=(
            *(("id",), ("thumbs",), ("score",)),
            *(("spans", "*", "start"), ("spans", "*", "end"), ("spans", "*", "thumbs")),
        ),
    ),
    answer=AnswerPlaces(texts=((("message",), "assistant"),), structure=(("recorded",),)),
    stream=StreamPlaces(framing="none"),
    error=("error",),
)


class FeedbackCodec(DeclaredCodec):
    """Reads feedback. No model answers it."""

    def __init__(self) -> None:
        super().__init__(_FORMAT)
        self.contract = replace(self.contract, unanswered=frozenset(self.routes))

    def check(self, tree: dict[str, Any]) -> None:
        """Raises `DownstreamError` (400), which names the member, unless `tree` is feedback."""
        _expect(tree, "", ("id", "thumbs", "score", "comment", "spans", "user"))
        if not isinstance(tree.get("id"), str) or not _ID.fullmatch(tree["id"]):
            raise _fault("id", "must be the value of the header `x-guardproxy-id` of an answer")
        if not tree.keys() - {"id", "user"}:
            raise _fault("id", "stands alone; say something with `thumbs`, `score`, `comment` or `spans`")
        _opinion(tree, "")
        score = tree.get("score", 0)
        if type(score) not in NUMBER_TYPES or not 0 <= score <= 1:
            raise _fault("score", "must be a number from 0 to 1")
        if not isinstance(user := tree.get("user", ""), str) or len(user) > LIMIT_USER_CHARS:
            raise _fault("user", f"must be a text of at most {LIMIT_USER_CHARS} characters")
        spans = tree.get("spans", [])
        if not isinstance(spans, list) or len(spans) > LIMIT_SPANS:
            raise _fault("spans", f"must be a list of at most {LIMIT_SPANS} spans")
        for number, span in enumerate(spans):
            _span(span, f"spans[{number}]")


def _span(span: Any, place: str) -> None:
    if not isinstance(span, dict):
        raise _fault(place, "must be an object")
    _expect(span, f"{place}.", ("start", "end", "thumbs", "comment"))
    start, end = span.get("start"), span.get("end")
    is_span = type(start) is int and type(end) is int and 0 <= start < end <= LIMIT_OFFSET  # a `bool` is no offset
    if not is_span:
        raise _fault(place, "needs whole numbers `start` and `end`, with `start` before `end`")
    _opinion(span, f"{place}.")


def _opinion(members: Mapping[str, Any], place: str) -> None:
    if "thumbs" in members and members["thumbs"] not in THUMBS:
        raise _fault(f"{place}thumbs", "must be `up` or `down`")
    comment = members.get("comment", "")
    if not isinstance(comment, str) or len(comment) > LIMIT_COMMENT_CHARS:
        raise _fault(f"{place}comment", f"must be a text of at most {LIMIT_COMMENT_CHARS} characters")


def _expect(members: Mapping[str, Any], place: str, names: tuple[str, ...]) -> None:
    if any(name not in names for name in members):
        raise DownstreamError(
            ErrorCode.INVALID_VALUE, f"`{place or 'feedback'}` has an unknown member; known are {', '.join(names)}"
        )


def _fault(place: str, problem: str) -> DownstreamError:
    return DownstreamError(ErrorCode.INVALID_VALUE, f"`{place}` {problem}", place)


FEEDBACK = FeedbackCodec()
