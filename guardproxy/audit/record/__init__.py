"""What a line of the audit log holds: records of exchanges and other entries, their JSON forms, the chain of hashes,
versions."""

from __future__ import annotations

from guardproxy.audit.record.document import (
    SERVER_ERROR,
    UPSTREAM_5XX,
    RecordedAnswer,
    RecordedAttempt,
    RecordedDecision,
    RecordedError,
    RecordedFault,
    RecordedFinding,
    RecordedOrigin,
    RecordedPlaces,
    RecordedRequest,
    RecordedSaving,
    RecordedShortage,
    RecordedSide,
    RecordedText,
    RecordedValues,
)
from guardproxy.audit.record.feedback import RecordedFeedback, RecordedJudge, RecordedOpinion
from guardproxy.audit.record.private import Private, PrivateRecord
from guardproxy.audit.record.tasks import (
    RecordedCache,
    RecordedDuty,
    RecordedField,
    RecordedLikeness,
    RecordedPlan,
    RecordedPrompt,
    RecordedRefusal,
    RecordedRoute,
)

__all__ = [
    "SERVER_ERROR",
    "UPSTREAM_5XX",
    "Private",
    "PrivateRecord",
    "RecordedAnswer",
    "RecordedAttempt",
    "RecordedCache",
    "RecordedDecision",
    "RecordedDuty",
    "RecordedError",
    "RecordedFault",
    "RecordedFeedback",
    "RecordedField",
    "RecordedFinding",
    "RecordedJudge",
    "RecordedLikeness",
    "RecordedOpinion",
    "RecordedOrigin",
    "RecordedPlaces",
    "RecordedPlan",
    "RecordedPrompt",
    "RecordedRefusal",
    "RecordedRequest",
    "RecordedRoute",
    "RecordedSaving",
    "RecordedShortage",
    "RecordedSide",
    "RecordedText",
    "RecordedValues",
]
