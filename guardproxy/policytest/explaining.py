"""Explains what policies do with a text: the findings of each check, the rules that held, the rule that decided, and
the reasons why other rules did not hold or decide.

In: policies, a text or a request's JSON, and a clock. Out: the explanation, with the time that each check took.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from types import MappingProxyType
from typing import Literal
from urllib.parse import urlsplit

from guardproxy.errors import DownstreamError
from guardproxy.exchange.gate import Job
from guardproxy.findings import Direction, Kind, Scan
from guardproxy.gateway import Head, LimitSet, UsageLimits
from guardproxy.policy import CHECK_ERROR, BoundRule, Name, PolicySet
from guardproxy.policy.sections import LIMITS
from guardproxy.policy.usage import MICRO, Unit, limit_words
from guardproxy.policy.values import VERDICTS, RawExchange, RequestFacts, Rule, Texts, Verdict, verdict_of
from guardproxy.policytest.playing import SceneResult, TextFinding, play_scene
from guardproxy.policytest.scan import scan_job
from guardproxy.policytest.scenes import Cuts, codec_of, request_of
from guardproxy.wire import Author, Codec

RUNS = 5
RuleState = Literal["decided", "held", "shadow", "no"]
"""`held`: the rule held, but a stronger rule decided. `shadow`: it held in shadow mode. `no`: it did not hold."""

Scores = Mapping[tuple[str, str], float]


@dataclass(frozen=True, slots=True)
class RuleOutcome:
    """The outcome of a rule, and the reason."""

    policy: str
    rule: str
    action: str
    state: RuleState
    why: str


@dataclass(frozen=True, slots=True)
class CheckTiming:
    """The time of a check for all texts that it read, in ms: the median of several runs, summed over the texts."""

    check: str
    ms: float
    texts: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the policies do with a scene. `policies`: the policies that apply. `elsewhere`: the other policies. `limits`: the
    limits that count the request."""

    result: SceneResult
    policies: tuple[str, ...]
    elsewhere: tuple[str, ...]
    rules: tuple[RuleOutcome, ...]
    timings: tuple[CheckTiming, ...]
    limits: tuple[CountedLimit, ...] = ()

    @property
    def decision(self) -> Verdict:
        return self.result.decision


@dataclass(frozen=True, slots=True)
class CountedLimit:
    """A limit that counts a request. `takes`: what the request reserves, in `unit`; `None` for the cost of a model for which
    the policies have no price. `words`: what the limit allows."""

    policy: str
    limit: str
    unit: Unit
    takes: int | float | None
    mode: Literal["enforce", "shadow"]
    words: str


def counted_limits(policies: PolicySet, scene: Texts | RawExchange, facts: RequestFacts) -> tuple[CountedLimit, ...]:
    """Returns the limits of policies that count the request of a scene."""
    duty = UsageLimits(LimitSet, 0.0, lambda limit, mode: None, lambda: policies)
    served = facts.formats.served(facts.route)
    route = served.route.text if served else facts.route
    body = request_of(scene, facts, streamed=False)
    try:
        request = codec_of(facts).read_request(facts.route.partition(" ")[2], "", body)
    except DownstreamError:  # the exchange refuses it
        return ()
    head = Head("explain", route=route, tenant=facts.tenant, tenant_name=facts.tenant, headers=facts.headers)
    return tuple(
        CountedLimit(
            rule.policy,
            rule.name,
            rule.unit,
            _in_unit(units, rule.unit),
            "shadow" if rule.is_shadow else "enforce",
            limit_words(rule),
        )
        for rule, units in duty.counted(head, request)
    )


def _in_unit(units: int | None, unit: Unit) -> int | float | None:
    """Returns an amount in its unit. Limits count money in millionths."""
    return units / MICRO if units is not None and unit == "cost" else units


def kinds_of(codec: Codec, direction: Direction) -> tuple[Kind, ...]:
    """Returns the kinds of texts that can be explained. The plain text of a message comes first."""
    first: Kind = "user" if direction == "request" else "assistant"
    kinds = [kind for kind in codec.contract.carried()[direction] if kind != "error"]
    if direction == "response":
        kinds = [kind for kind in kinds if codec.author.answer_with(kind, "") is not None]
    return tuple(sorted(kinds, key=lambda kind: kind != first))


def scene_of(text: str, direction: Direction, kind: Kind, author: Author) -> RawExchange:
    """Returns a scene whose only text is `text`, at a place of this kind."""
    if direction == "request":
        return RawExchange(author.request_with(kind, text))
    answer = author.answer_with(kind, text)
    return RawExchange(author.request_with("user", ""), () if answer is None else (answer,))


def explain(
    policies: PolicySet,
    scene: RawExchange,
    facts: RequestFacts,
    clock: Callable[[], float],
    runs: int = RUNS,
    lowest: PolicySet | None = None,
    scanning: Callable[[Job], Scan] = scan_job,
) -> Explanation:
    """Explains what the policies do with a scene. `runs`: how often each check is timed; 0: not at all. `lowest`: the same
    policies with thresholds of 0, for the highest score of a check without a finding. `scanning`: runs a check on a window."""
    jobs: list[Job] = []

    def scan(job: Job) -> Scan:
        jobs.append(job)
        return scanning(job)

    result = play_scene(policies, scene, facts, Cuts(), scan)
    scores = _scores(lowest, play_scene(lowest, scene, facts, Cuts(), scanning)) if lowest else {}
    timings = tuple(_timings(jobs, clock, runs)) if runs else ()
    limits = counted_limits(policies, scene, facts) if LIMITS.name in policies.section_names else ()
    return explained(policies, result, scores, timings, limits)


def explained(
    policies: PolicySet,
    result: SceneResult,
    scores: Scores = MappingProxyType({}),
    timings: tuple[CheckTiming, ...] = (),
    limits: tuple[CountedLimit, ...] = (),
) -> Explanation:
    """Explains a result, such as that of a recorded exchange. `scores`: the highest score of each check."""
    return Explanation(
        result,
        result.policies,
        tuple(policy.name for policy in policies.policies if policy.name not in result.policies),
        rule_outcomes(result, scores),
        timings,
        limits,
    )


def _timings(jobs: Sequence[Job], clock: Callable[[], float], runs: int) -> list[CheckTiming]:
    times: dict[str, list[float]] = {}
    for job in jobs:
        took = []
        for _ in range(runs):
            began = clock()
            scan_job(job)
            took.append((clock() - began) * 1000)
        times.setdefault(job.check.name, []).append(median(took))
    return [CheckTiming(name, sum(medians), len(medians)) for name, medians in sorted(times.items())]


def _scores(lowest: PolicySet, result: SceneResult) -> Scores:
    """Returns the highest score of each check, by policy and name."""
    best: dict[str, float] = {}
    for finding in result.findings:
        best[finding.check] = max(best.get(finding.check, 0.0), finding.score)
    return {key: best[check.name] for key, check in lowest.checks.items() if check.name in best}


def rule_outcomes(result: SceneResult, scores: Scores | None = None) -> tuple[RuleOutcome, ...]:
    """Returns the outcome of every rule that applies. `scores`: the highest score of each check, by policy and name, for rules
    that did not hold."""
    return tuple(_rule_outcome(bound, result, scores or {}) for bound in result.rules_of)


def _rule_outcome(bound: BoundRule, result: SceneResult, scores: Scores) -> RuleOutcome:
    hits = [hit for hit in result.hits if (hit.policy, hit.rule) == (bound.policy.name, bound.rule.id)]
    told = partial(RuleOutcome, bound.policy.name, bound.rule.id, bound.rule.action)
    if not hits:
        return told("no", _why_not(bound, result, scores))
    why = ", ".join(dict.fromkeys(f"`{bound.names.get(hit.check, hit.check)}` found {hit.label}" for hit in hits))
    if not hits[0].enforced:
        return told("shadow", f"{why}; in shadow mode")
    stronger = max((hit for hit in result.hits if hit.enforced), key=lambda hit: VERDICTS.index(hit.verdict))
    if verdict_of(bound.decision) == stronger.verdict:
        back = f"; restores values in {bound.rule.restoration}" if bound.rule.restore else ""
        sent = "; the upstream may have the request by then (`parallel`)" if bound.rule.parallel != "off" else ""
        return told("decided", why + back + sent + _told(bound.rule))
    return told("held", f"{why}; `{stronger.rule}` ({stronger.action}) is stronger{_told(bound.rule)}")


def _told(rule: Rule) -> str:
    """Returns where the alert of a rule goes, without the path of the URL, which may be secret."""
    return f"; tells `{urlsplit(rule.alert.webhook).netloc}` (`alert`)" if rule.alert else ""


def _why_not(bound: BoundRule, result: SceneResult, scores: Scores) -> str:
    rule = bound.rule
    texts = [text for text in result.texts if text.text]
    if not any((text.direction, text.kind) in rule.on for text in texts):
        kinds = ", ".join(dict.fromkeys(f"{text.kind} of the {text.direction}" for text in texts)) or "none"
        return f"it does not inspect these texts ({kinds})"
    if rule.when.names() == {CHECK_ERROR}:
        return "no check failed"
    names_found = _names_with_findings(bound, result.findings)
    missing = sorted(rule.when.names() - names_found - {CHECK_ERROR})
    if isinstance(rule.when, Name) or not names_found & rule.when.names():
        names = ", ".join(f"`{name}`" for name in missing)
        near = [f"{scores[bound.policy.name, name]:.2f}" for name in missing if (bound.policy.name, name) in scores]
        are_allowed = {bound.names.get(finding.check) for finding in result.allowed}.intersection(missing)
        only = " but allowed values" if are_allowed else ""
        return f"{names} found nothing{only}" + (f" (highest score {', '.join(near)})" if near else "")
    present, absent = (", ".join(f"`{name}`" for name in names) for names in (sorted(names_found), missing))
    return f"found {present}, but not {absent}"


def _names_with_findings(bound: BoundRule, findings: Sequence[TextFinding]) -> set[str]:
    """Returns the names of the rule's checks that have a finding in a text that the rule inspects."""
    return {
        bound.names[finding.check]
        for finding in findings
        if finding.check in bound.names and (finding.direction, finding.kind) in bound.rule.on
    }
