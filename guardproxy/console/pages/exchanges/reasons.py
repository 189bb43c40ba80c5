"""Says which rule decided an exchange, and why the others did not.

In: a record and, if they are known, the rules that applied to it. Out: a headline, and the outcome of each rule with its
reason. Everything comes from recorded values: the decisions, the findings, the results of conditions. Nothing is judged again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from guardproxy.audit import Record
from guardproxy.audit.record import UPSTREAM_5XX, RecordedDecision, RecordedSide
from guardproxy.console.pages.exchanges.seen import read_text
from guardproxy.errors import ErrorCode
from guardproxy.findings import Direction, Kind
from guardproxy.policy import BoundRules, PolicySet
from guardproxy.policy.values import VERDICTS, Policy, verdict_of
from guardproxy.policytest import RuleHit, RuleOutcome, ScannedText, SceneResult, TextFinding, rule_outcomes
from guardproxy.redaction import RESTORE
from guardproxy.replay import rules_for

_BLOCKED = {"blocked_request": "request", "blocked_response": "response"}
_OUTCOMES = {
    "answered": "The model answered, and the client got the answer",
    "passed": "The route was passed through: no check read it",
    UPSTREAM_5XX: "The upstream answered with an error of its own",
    "client_closed": "The client left before the end",
    "refused": "The proxy refused the request",
    "blocked_request": "A rule blocked the request, so the model did not get it",
    "blocked_response": "A rule blocked the answer",
}


@dataclass(frozen=True, slots=True)
class Headline:
    """What happened to an exchange, in words. `tone`: how it ended: `good`, `edited`, `blocked` or `failed`. `decided`: the
    decision that counted, and `why`: its finding in words; `None` and empty if no rule did anything."""

    words: str
    tone: str
    decided: RecordedDecision | None
    why: str


@dataclass(frozen=True, slots=True)
class PolicyReason:
    """Whether a policy applied, and why."""

    policy: str
    applies: bool
    why: str


@dataclass(frozen=True, slots=True)
class RuleReasons:
    """Why each rule did what it did. `rules`: those that applied, with their outcome; `policies`: all. `known`: whether the
    rules in force are those of the exchange; otherwise `rules` has only what the record names."""

    rules: tuple[RuleOutcome, ...]
    policies: tuple[PolicyReason, ...]
    known: bool


def headline(record: Record) -> Headline:
    """Returns what happened, and the decision that counted."""
    decided = deciding(record)
    if record.outcome in _OUTCOMES:
        words = _OUTCOMES[record.outcome]
    else:
        code = ErrorCode.__members__.get(record.outcome.upper())
        words = f"The exchange failed: {code.sentence}" if code else f"The exchange ended: {record.outcome}"
    if record.outcome == "refused":
        words += _refused(record)
    edited = any(text.edits for side in (record.request, *record.answers) for text in side.texts)
    if record.outcome == "answered" and edited:
        words = "The model answered; parts of the texts were replaced"
    if record.outcome == "answered" and record.is_from_cache:
        words = "The cache had the answer, so no model was asked"
    return Headline(words, _tone(record, edited), decided, _why(decided))


def _tone(record: Record, edited: bool) -> str:
    if record.outcome in _BLOCKED:
        return "blocked"
    if record.outcome in ("answered", "passed"):
        return "edited" if edited else "good"
    return "failed"


def _refused(record: Record) -> str:
    by = next((refusal for refusal in record.refusals if refusal.mode == "enforce"), None)
    code = record.error.code if record.error else by.code if by else ""
    member = ErrorCode.__members__.get(code.upper())
    told = f": {member.sentence}" if member else f": {code}" if code else ""
    where = f" (field {record.error.field})" if record.error and record.error.field else ""
    return told + where + (f", by {by.duty} {by.name}".rstrip() if by else "")


def _why(decided: RecordedDecision | None) -> str:
    if decided is None:
        return ""
    place = "the request" if decided.direction == "request" else f"answer {decided.attempt + 1}"
    return f"{decided.check} found {decided.label} at {decided.start} to {decided.end} of {decided.path} in {place}"


def deciding(record: Record) -> RecordedDecision | None:
    """Returns the decision that counted: the strongest that was enforced. Of equally strong ones, the one that ended the
    exchange is in the direction of the outcome; otherwise the first."""
    enforced = [decision for decision in record.decisions if decision.mode == "enforce"]
    wanted = _BLOCKED.get(record.outcome)
    return max(enforced, key=lambda decision: (_strength(decision.action), decision.direction == wanted), default=None)


def _strength(action: str) -> int:
    """Returns the rank of an action. One of another package counts as the weakest: its decision is not recorded."""
    return VERDICTS.index(_verdict(action))


def _verdict(action: str) -> str:
    return action if action in VERDICTS else VERDICTS[0]


def reasons(record: Record, policies: PolicySet | None) -> RuleReasons:
    """Returns why each rule did what it did. `policies`: those that are served now; they count only if they are the policies of
    the exchange."""
    if policies is None or policies.digest != record.policies:
        return RuleReasons(tuple(_recorded(record)), (), known=False)
    bound = rules_for(record, policies)
    told = list(rule_outcomes(scene_of_record(record, bound)))
    named = {(outcome.policy, outcome.rule) for outcome in told}
    # A check that failed is decided by `on_error`, which is no rule of a file.
    told += [outcome for outcome in _recorded(record) if (outcome.policy, outcome.rule) not in named]
    told.sort(key=lambda outcome: ("decided", "held", "shadow", "no").index(outcome.state))
    return RuleReasons(tuple(told), tuple(_policies(record, policies, bound)), known=True)


def _recorded(record: Record) -> Iterator[RuleOutcome]:
    """Yields the rules that the record names, which are those that held."""
    counted = deciding(record)
    rules: dict[tuple[str, str], list[RecordedDecision]] = {}
    for decision in record.decisions:
        rules.setdefault((decision.policy, decision.rule), []).append(decision)
    for (policy, rule), held in rules.items():
        found = ", ".join(dict.fromkeys(f"`{each.check}` found {each.label}" for each in held))
        if held[0].mode == "shadow":
            yield RuleOutcome(policy, rule, held[0].action, "shadow", f"{found}; in shadow mode")
        elif counted is not None and _strength(held[0].action) == _strength(counted.action):
            yield RuleOutcome(policy, rule, held[0].action, "decided", found)
        else:
            stronger = f"; `{counted.rule}` ({counted.action}) is stronger" if counted else ""
            yield RuleOutcome(policy, rule, held[0].action, "held", found + stronger)


def _policies(record: Record, policies: PolicySet, bound: BoundRules) -> Iterator[PolicyReason]:
    applying = {policy.name for policy in bound.policies}
    replaced = {name: policy.name for policy in bound.policies for name in policy.stands_for}
    for policy in policies.policies:
        yield PolicyReason(policy.name, policy.name in applying, _of_policy(record, policy, applying, replaced))


def _of_policy(record: Record, policy: Policy, applying: set[str], replaced: dict[str, str]) -> str:
    verdict = record.matched.get(policy.match.digest) if policy.match.digest else None
    if policy.name in applying:
        if not policy.match.digest:
            return "it applies to every request"
        if policy.file in record.demanded and verdict == "no":
            return "the key of the client demands it, whatever its `match`"
        if verdict in ("failed", "unknown"):
            return "its `match` could not be evaluated, so it applies"
        return "its `match` holds"
    if policy.name in replaced:
        return f"`{replaced[policy.name]}` extends it and stands for it"
    return "its `match` does not hold"


def scene_of_record(record: Record, bound: BoundRules) -> SceneResult:
    """Returns the recorded exchange as the result of a scene, from which the outcomes of rules are told."""
    verdicts = {(rule.policy.name, rule.rule.id): verdict_of(rule.decision) for rule in bound.rules}
    hits = tuple(
        RuleHit(
            policy=decision.policy,
            rule=decision.rule,
            action=decision.action,
            enforced=decision.mode == "enforce",
            direction=decision.direction,
            path=decision.path,
            check=decision.check,
            label=decision.label,
            start=decision.start,
            end=decision.end,
            attempt=decision.attempt,
            verdict=verdicts.get((decision.policy, decision.rule)) or _verdict(decision.action),
        )
        for decision in record.decisions
    )
    return SceneResult(
        decision="",
        rules_of=bound.rules,
        hits=hits,
        findings=tuple(_findings(record)),
        upstream=None,
        client=None,
        texts=tuple(_texts(record)),
    )


def _sides(record: Record) -> Iterator[tuple[Direction, int, RecordedSide]]:
    yield "request", 0, record.request
    for attempt, answer in enumerate(record.answers):
        yield "response", attempt, answer


def _texts(record: Record) -> Iterator[ScannedText]:
    for direction, attempt, side in _sides(record):
        for text in side.texts:
            shown = text.text or " " * min(1, text.chars)  # a text that is not kept was read all the same
            yield ScannedText(direction, text.path, cast(Kind, text.kind), shown, text.checks, attempt)


def _findings(record: Record) -> Iterator[TextFinding]:
    for direction, attempt, side in _sides(record):
        for text in side.texts:
            shown = read_text(text) or ""
            for finding in text.findings:
                if finding.check != RESTORE:
                    yield TextFinding(
                        direction=direction,
                        path=text.path,
                        start=finding.start,
                        end=finding.end,
                        check=finding.check,
                        label=finding.label,
                        text=shown[finding.start : finding.end],
                        kind=cast(Kind, text.kind),
                        score=finding.score,
                        attempt=attempt,
                    )
