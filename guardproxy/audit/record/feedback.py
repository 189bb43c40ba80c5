"""The typed parts of a record about the worth of an answer: feedback of a client, and judges that are to be asked."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from guardproxy.audit.record.part import RecordLeaf


class RecordedOpinion(RecordLeaf, frozen=True, kw_only=True):
    """An opinion about a part of an answer."""

    start: Annotated[int, Meta(description="The start of the part, in code points of the answer that the client got.")]
    end: int
    thumbs: Literal["up", "down"] | None = None


class RecordedFeedback(RecordLeaf, frozen=True, kw_only=True):
    """Feedback of a client about an earlier exchange. Its comments are texts of the request."""

    exchange: Annotated[str, Meta(description="The id of the exchange that the feedback is about.")]
    thumbs: Literal["up", "down"] | None = None
    score: Annotated[float | None, Meta(description="From 0 to 1.")] = None
    spans: tuple[RecordedOpinion, ...] = ()


class RecordedJudge(RecordLeaf, frozen=True, kw_only=True):
    """A judge that is to score the answer. In shadow mode it is not asked. The score is an entry of its own."""

    policy: str
    mode: Literal["enforce", "shadow"]
