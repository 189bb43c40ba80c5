"""The entries about sealed texts and about scores of judges, and the type of all entries of the audit log.

In: values. Out: JSON objects. These entries hold no text that is not sealed and no name of a subject, because a log is never
shortened: what it says about a person would outlive the erasure.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from guardproxy.audit.record.document import Closing, Engine, ExchangeId, Gap, Intent, LogEntry, Record, RecordedSealing
from guardproxy.audit.record.part import RecordLeaf

Better = Literal["answer", "candidate", "equal"]
BOTH_ORDERS = 2
Who = Annotated[str, Meta(description="The user of the machine who ran the command, or the name that `--by` gives.")]
Why = Annotated[str, Meta(description="The reason that the command was given.")]


class Erased(LogEntry, frozen=True, kw_only=True, tag="erased"):
    """Data keys were destroyed: no one can read the texts that they seal any more."""

    engine: Engine
    keys: Annotated[tuple[str, ...], Meta(description="The ids of the data keys: `sealed.key` of their records.")]
    by: Who
    why: Why


class Rotated(LogEntry, frozen=True, kw_only=True, tag="rotated"):
    """All data keys were wrapped again under a new key of the operator. No record changed."""

    engine: Engine
    count: Annotated[int, Meta(description="The number of data keys.")]
    by: Who
    why: Why


class Unsealed(LogEntry, frozen=True, kw_only=True, tag="unsealed"):
    """The sealed texts of an exchange were opened for a person."""

    id: ExchangeId
    engine: Engine
    key: Annotated[str, Meta(description="The id of the data key.")]
    by: Who
    why: Why


class Comparison(RecordLeaf, frozen=True, kw_only=True):
    """A judge compared the answer of an exchange with that of a candidate, which got the same request. It was not told which is
    which, and was asked twice, in both orders."""

    upstream: str
    model: Annotated[str, Meta(description="The model that answered the same request.")]
    ms: Annotated[float, Meta(description="How long the candidate and the judge took, in milliseconds.")]
    said: Annotated[
        tuple[Better, ...],
        Meta(
            description="The better one (`answer`, `candidate` or `equal`), first with the answer in front, then behind."
        ),
    ] = ()
    tokens: Annotated[
        tuple[int, int] | None, Meta(description="The candidate's tokens of the request and of the answer.")
    ] = None
    cost: Annotated[
        int | None, Meta(description="The cost of the candidate's answer, in millionths of the unit of prices.")
    ] = None
    failure: Annotated[
        str | None,
        Meta(
            description="Why nothing was compared, as in `failure` of the entry; `no_answer`: the candidate said nothing."
        ),
    ] = None

    @property
    def better(self) -> Better | None:
        """Returns which answer is better: `equal` also if the order decided; `None` if nothing was compared."""
        if len(self.said) != BOTH_ORDERS:
            return None
        return self.said[0] if self.said[0] == self.said[1] else "equal"


class Judged(LogEntry, frozen=True, kw_only=True, tag="judged"):
    """A judge was asked about the answer of an exchange."""

    id: ExchangeId
    engine: Engine
    policy: str
    upstream: str
    model: Annotated[str, Meta(description="The model that judged.")]
    rubric: Annotated[str, Meta(description="A digest of the question: scores with another digest do not compare.")]
    scale: Annotated[tuple[int, int], Meta(description="The lowest and the highest score.")]
    ms: Annotated[float, Meta(description="How long the judge took, in milliseconds.")]
    score: int | None = None
    failure: Annotated[
        str | None,
        Meta(
            description="Why there is no score: `no_text` (the record keeps none), `no_score` (the answer holds none), "
            "`timeout`, `too_large`, `no_format`, `status_` and the HTTP status, or the code of an error."
        ),
    ] = None
    compared: Annotated[
        Comparison | None, Meta(description="The comparison with a candidate, if the policy names one.")
    ] = None
    sealed: Annotated[
        RecordedSealing | None,
        Meta(description="The judge's reason, encrypted. Only if the texts of the exchange are."),
    ] = None


AnyEntry = Record | Intent | Closing | Gap | Erased | Rotated | Unsealed | Judged
