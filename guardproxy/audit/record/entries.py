"""The entries about what people do, and about scores of judges, and the type of all entries of the audit log.

In: values. Out: JSON objects. These entries hold no text that is not sealed and no name of a subject, because a log is never
shortened: what it says about a person would outlive the erasure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta

from guardproxy.audit.record.document import Closing, Engine, ExchangeId, Gap, Intent, LogEntry, Record, RecordedSealing
from guardproxy.audit.record.part import RecordLeaf

Better = Literal["answer", "candidate", "equal"]
ReviewVerdict = Literal["right", "false_alarm", "missed", "withdrawn"]
BOTH_ORDERS = 2
Who = Annotated[
    str,
    Meta(
        description="The user of the machine who ran the command, the name that `--by` gives, or the login of the console."
    ),
]
Why = Annotated[str, Meta(description="The reason that the command was given.")]


class OperatorEntry(LogEntry, frozen=True, kw_only=True):
    """What a person did with a log. `commands.py` says where these entries are; readers show what they say of themselves."""

    engine: Engine
    by: Who

    @property
    def brief(self) -> str:
        """Returns what was done, in a few words for a list."""
        raise NotImplementedError

    @property
    def done(self) -> str:
        """Returns what was done, as a part of a sentence that begins with a verb."""
        raise NotImplementedError

    @property
    def reason(self) -> str:
        """Returns the reason that the person gave; empty if none is asked for."""
        return str(getattr(self, "why", ""))

    @property
    def shows_texts(self) -> bool:
        """Whether sealed texts were shown to the person."""
        return False

    @property
    def details(self) -> Mapping[str, str | tuple[str, ...]]:
        """Returns what else the entry says, by name."""
        return {}


class Erased(OperatorEntry, frozen=True, kw_only=True, tag="erased"):
    """Data keys were destroyed: no one can read the texts that they seal any more."""

    keys: Annotated[tuple[str, ...], Meta(description="The ids of the data keys: `sealed.key` of their records.")]
    why: Why

    @property
    def brief(self) -> str:
        return f"erased {len(self.keys)} data keys"

    @property
    def done(self) -> str:
        return f"destroyed {len(self.keys):,} data keys: their texts cannot be read any more"

    @property
    def details(self) -> Mapping[str, str | tuple[str, ...]]:
        return {"data key": self.keys}


class Rotated(OperatorEntry, frozen=True, kw_only=True, tag="rotated"):
    """All data keys were wrapped again under a new key of the operator. No record changed."""

    count: Annotated[int, Meta(description="The number of data keys.")]
    why: Why

    @property
    def brief(self) -> str:
        return f"rotated {self.count} data keys"

    @property
    def done(self) -> str:
        return f"changed the operator's key, which wraps {self.count:,} data keys"


class Unsealed(OperatorEntry, frozen=True, kw_only=True, tag="unsealed"):
    """The sealed texts of an exchange were opened for a person."""

    id: ExchangeId
    key: Annotated[str, Meta(description="The id of the data key.")]
    why: Why

    @property
    def brief(self) -> str:
        return "unsealed"

    @property
    def done(self) -> str:
        return f"opened the texts of the exchange {self.id}"

    @property
    def shows_texts(self) -> bool:
        return True

    @property
    def details(self) -> Mapping[str, str | tuple[str, ...]]:
        return {"data key": self.key}


class Reviewed(OperatorEntry, frozen=True, kw_only=True, tag="reviewed"):
    """A person judged what was decided about an exchange. A later entry of the same person about the same exchange and rule
    replaces this one."""

    id: ExchangeId
    verdict: Annotated[
        ReviewVerdict,
        Meta(
            description="`right`: the decision was right; `false_alarm`: the rule should not have held; `missed`: a "
            "rule should have held; `withdrawn`: the person takes the earlier verdict back."
        ),
    ]
    policy: Annotated[str | None, Meta(description="The policy of the rule.")] = None
    rule: Annotated[
        str | None,
        Meta(description="The rule that was judged. Missing: the exchange as a whole, if no rule was asked about."),
    ] = None
    text: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(
            description="The number of the text that the verdict is about, counted from 0 through the texts of the request and "
            "then of all answers.",
        ),
    ] = None

    @property
    def brief(self) -> str:
        about = f"{self.policy}: {self.rule} " if self.rule else ""
        return f"reviewed {about}as {self.verdict.replace('_', ' ')}"

    @property
    def done(self) -> str:
        about = f"the rule {self.policy}: {self.rule} in " if self.rule else ""
        return f"judged {about}the exchange {self.id}: {self.verdict.replace('_', ' ')}"

    @property
    def details(self) -> Mapping[str, str | tuple[str, ...]]:
        known = {"policy": self.policy, "rule": self.rule, "verdict": self.verdict}
        number = {} if self.text is None else {"text": str(self.text)}
        return {**{name: value for name, value in known.items() if value is not None}, **number}


FileDigest = Annotated[
    str | None,
    Meta(description="The digest of the file's bytes: `sha256:` and 64 hexadecimal digits. Missing: no file."),
]


class ChangedFile(RecordLeaf, frozen=True, kw_only=True):
    """A file of policies before and after a change."""

    name: Annotated[str, Meta(description="The name of the file in the folder of policies.")]
    before: FileDigest = None
    after: FileDigest = None

    @property
    def words(self) -> str:
        """Returns what happened to the file."""
        if self.before is None:
            return f"{self.name} is new: {self.after}"
        return (
            f"{self.name} is gone: {self.before}"
            if self.after is None
            else f"{self.name}: {self.before} -> {self.after}"
        )


class PolicyChanged(OperatorEntry, frozen=True, kw_only=True, tag="policy_changed"):
    """A person changed files of policies in the console, after a second person had approved. The entry is written first: a file
    never changes without it."""

    files: tuple[ChangedFile, ...]
    approved_by: Annotated[str, Meta(description="The login of the person who approved; another one than `by`.")]
    why: Why

    @property
    def brief(self) -> str:
        return f"changed {', '.join(file.name for file in self.files)}, approved by {self.approved_by}"

    @property
    def done(self) -> str:
        return (
            f"changed the policies in {', '.join(file.name for file in self.files)}, which {self.approved_by} approved"
        )

    @property
    def details(self) -> Mapping[str, str | tuple[str, ...]]:
        return {"approved by": self.approved_by, "file": tuple(file.words for file in self.files)}

    @staticmethod
    def changed(digests: Mapping[str, tuple[str | None, str | None]]) -> tuple[ChangedFile, ...]:
        """Returns the files of a change. `digests`: before and after, by the names of the files."""
        return tuple(ChangedFile(name=name, before=old, after=new) for name, (old, new) in sorted(digests.items()))


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
    policy: Annotated[str, Meta(description="The policy that asks the judge.")]
    upstream: Annotated[str, Meta(description="The upstream of the judge.")]
    model: Annotated[str, Meta(description="The model that judged.")]
    rubric: Annotated[str, Meta(description="A digest of the question: scores with another digest do not compare.")]
    scale: Annotated[tuple[int, int], Meta(description="The lowest and the highest score.")]
    ms: Annotated[float, Meta(description="How long the judge took, in milliseconds.")]
    score: Annotated[int | None, Meta(description="The score, on the scale.")] = None
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


CommandEntry = Erased | Rotated | Unsealed | Reviewed | PolicyChanged
"""What people do with a log: the entries of the log `operator`, besides gaps."""
AnyEntry = Record | Intent | Closing | Gap | CommandEntry | Judged
