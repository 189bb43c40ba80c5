"""Sums up the entries of a period for a report: what was guarded, blocked, redacted and not inspected, and what was in
force.

In: entries, one after the other. Out: counts. Kept: counts by name, never a text and never an exchange. Names that
clients choose (models, routes) are kept up to `LIMIT_NAMES` each; further names count as one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TypeVar

from guardproxy.audit import AnyEntry, Closing, Gap, Judged, OperatorEntry, Record, Reviewed
from guardproxy.errors import ErrorCode
from guardproxy.reading.period import Period

LIMIT_NAMES = 1000
OTHERS = "(others)"
HOUR_S = 3600

# The classes of exchanges, each exchange in the first that fits. Every exchange is in one class.
BLOCKED = "blocked"
REDACTED = "redacted"
INSPECTED = "inspected, unchanged"
UNREAD = "not inspected"
REFUSED = "refused without a verdict"
UNKNOWN = "end unknown"
CLASSES = (INSPECTED, REDACTED, BLOCKED, UNREAD, REFUSED, UNKNOWN)

_BLOCKS = ("blocked_request", "blocked_response")
_REFUSALS = ("refused", ErrorCode.NO_CAPACITY, ErrorCode.AUDIT_UNAVAILABLE)
_Name = TypeVar("_Name")


@dataclass(slots=True)
class InForce:
    """When a version of something was in force, by the exchanges that name it."""

    first_s: float
    last_s: float
    count: int = 0

    def see(self, at: float) -> None:
        """Adds an exchange."""
        self.first_s, self.last_s = min(self.first_s, at), max(self.last_s, at)
        self.count += 1


@dataclass(slots=True)
class TrafficSummary:
    """The sums of a period.

    `classes`: see `CLASSES`. `hours`: the classes by the hour, in hours of Unix time. `refusals`: refused exchanges by
    reason. `held`: the rules that held, by the digest of the policies. `rules`: the exchanges in which a
    rule held, by policy, rule, action and mode. `findings`: findings by check, label and direction. `partly_unread`:
    the inspected exchanges with parts that no check can read, which `parts_unread` counts by kind. `names`: exchanges
    by group and name. `in_force`: versions by group and name. `gaps`: start, end and reason. `custody`: what operators did
    with sealed texts: time, what, by whom and why. `sealed`: exchanges whose texts are sealed. `feedback`: feedback by
    its thumbs (`up`, `down`, `none`), or `blocked`. `scores`: of judges, by policy, digest of the question, scale and score.
    `reviews`: verdicts of people, by policy, rule and verdict.
    """

    period: Period
    classes: Counter[str] = field(default_factory=Counter)
    hours: defaultdict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    outcomes: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    held: dict[str, Counter[str]] = field(default_factory=dict)
    rules: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    findings: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    partly_unread: int = 0
    parts_unread: Counter[str] = field(default_factory=Counter)
    names: dict[str, Counter[str]] = field(default_factory=dict)
    in_force: dict[str, dict[str, InForce]] = field(default_factory=dict)
    gaps: list[tuple[float, float, str]] = field(default_factory=list)
    custody: list[tuple[float, str, str, str]] = field(default_factory=list)
    sealed: int = 0
    feedback: Counter[str] = field(default_factory=Counter)
    scores: Counter[tuple[str, str, tuple[int, int], int]] = field(default_factory=Counter)
    reviews: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    oldest_s: float | None = None
    newest_s: float | None = None

    @property
    def total(self) -> int:
        """Returns the number of exchanges."""
        return self.classes.total()

    def see(self, entry: AnyEntry) -> None:
        """Adds an entry. Entries outside the period only move `oldest_s` and `newest_s`, which cover the whole log."""
        self.oldest_s = entry.at if self.oldest_s is None else min(self.oldest_s, entry.at)
        self.newest_s = entry.at if self.newest_s is None else max(self.newest_s, entry.at)
        if isinstance(entry, Gap):
            if entry.since < self.period.end_s and entry.at >= self.period.start_s:
                self.gaps.append((entry.since, entry.at, entry.why))
            return
        if isinstance(entry, Reviewed):
            if entry.at in self.period:
                _count(self.reviews, (entry.policy or "", entry.rule or "", entry.verdict), (OTHERS, "", entry.verdict))
            return
        if isinstance(entry, OperatorEntry):
            if entry.at in self.period:
                self.custody.append((entry.at, entry.done, entry.by, entry.reason))
            return
        if isinstance(entry, Judged):
            if entry.at in self.period and entry.score is not None:
                _count(self.scores, (entry.policy, entry.rubric, entry.scale, entry.score), (OTHERS, "", (0, 0), 0))
            return
        at = entry.began if isinstance(entry, Closing) and entry.began is not None else entry.at
        if at not in self.period or not isinstance(entry, Record | Closing):
            return
        if isinstance(entry, Record) and entry.feedback is not None:
            self.feedback[(entry.feedback.thumbs or "none") if entry.is_given_feedback else "blocked"] += 1
            return
        kind = class_of(entry)
        self.classes[kind] += 1
        self.hours[int(at // HOUR_S)][kind] += 1
        self.outcomes[entry.outcome] += 1
        self._name("routes", entry.route)
        self._force("policies", entry.policies, at)
        self._force("programs", entry.engine, at)
        if isinstance(entry, Record):
            self._record(entry)
        else:
            self._name("tenants", entry.tenant or "(no credential)")

    def _record(self, record: Record) -> None:
        self._name("tenants", record.tenant_name or record.tenant or "(no credential)")
        if record.model:
            self._name("models asked for", record.model)
            self._force("models", record.response.model or record.model, record.at)
        if class_of(record) == REFUSED:
            _count(self.refusals, _reason(record), OTHERS)
        if record.decisions:
            under = self.held.setdefault(
                record.policies if record.policies in self.held or len(self.held) < LIMIT_NAMES else OTHERS, Counter()
            )
            for name in {f"{decision.policy}: {decision.rule}" for decision in record.decisions}:
                _count(under, name, OTHERS)
        self.sealed += record.sealed is not None
        for check, digest in record.checks.items():
            self._force("checks", f"{check} {digest}", record.at)
        for held in {(found.policy, found.rule, found.action, found.mode) for found in record.decisions}:
            _count(self.rules, held, (OTHERS, "", "", ""))
        sides = (("request", record.request), *(("response", answer) for answer in record.answers))
        for direction, side in sides:
            for text in side.texts:
                for finding in text.findings:
                    _count(self.findings, (finding.check, finding.label, direction), (OTHERS, "", direction))
        kinds = {kind for _, side in sides for kind in side.uninspected_kinds or side.uninspected}
        if class_of(record) in (INSPECTED, REDACTED, BLOCKED) and kinds:
            self.partly_unread += 1
            for kind in kinds:
                _count(self.parts_unread, "everything" if kind == "*" else kind, OTHERS)

    def _name(self, group: str, name: str) -> None:
        _count(self.names.setdefault(group, Counter()), name, OTHERS)

    def _force(self, group: str, name: str, at: float) -> None:
        versions = self.in_force.setdefault(group, {})
        known = name if name in versions or len(versions) < LIMIT_NAMES else OTHERS
        versions.setdefault(known, InForce(at, at)).see(at)


def _reason(record: Record) -> str:
    """Returns why an exchange was refused: the code of the error, and the limit."""
    limits = [refusal.name for refusal in record.refusals if refusal.mode == "enforce" and refusal.name]
    code = record.error.code if record.error else record.outcome
    return f"{code}, limit {', '.join(limits)}" if limits else code


def class_of(entry: Record | Closing) -> str:
    """Returns the class of an exchange, one of `CLASSES`."""
    if isinstance(entry, Closing):
        return UNKNOWN
    if entry.outcome in _BLOCKS:
        return BLOCKED
    if entry.outcome in _REFUSALS:
        return REFUSED
    if not entry.is_read or not entry.checks:
        return UNREAD
    edited = any(text.edits for side in (entry.request, *entry.answers) for text in side.texts)
    return REDACTED if edited else INSPECTED


def _count(counter: Counter[_Name], name: _Name, others: _Name) -> None:
    counter[name if name in counter or len(counter) < LIMIT_NAMES else others] += 1
