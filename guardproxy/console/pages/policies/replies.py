"""Makes replies of what policies, tests and comparisons return: words, marked texts and counts, all bounded (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from guardproxy.console.pages.policies.tasks import (
    CoverageCell,
    DiffChange,
    DiffExample,
    DiffGroup,
    DiffReply,
    FieldCell,
    MarkedPart,
    PlayedFinding,
    PlayedRule,
    PlayedStep,
    PlayedStream,
    PlayedText,
    PlayReply,
    PolicyWords,
    RuleWords,
    TriedTest,
)
from guardproxy.policy import PolicySet
from guardproxy.policy.sections import SECTIONS
from guardproxy.policy.tools import coverage, denied_fields
from guardproxy.policy.values import Policy
from guardproxy.policydiff import ExcerptPart, Traffic, rule_words
from guardproxy.policytest import CaseResult, Explanation, Simulation

LIMIT_STEPS = 400  # of a stream that are shown
LIMIT_SHOWN_CHARS = 20_000
LIMIT_FINDINGS = 200
LIMIT_HELD_CHARS = 160


def policy_words(policy: Policy) -> PolicyWords:
    sections = []
    for key, value in sorted(policy.sections.items()):
        explain_section = SECTIONS[key].explain
        if explain_section is not None:
            sections.append(f"{key}: {explain_section(value)}")
    return PolicyWords(
        policy.name,
        Path(policy.source).name,
        policy.description,
        _match_words(policy),
        policy.mode,
        tuple(
            RuleWords(rule.id, rule_words(rule), rule.place.line, rule.mode, rule.action)
            for rule in policy.rules
            if not rule.place.path
        ),
        tuple(sections),
        tuple((test.name, test.place.line) for test in policy.tests),
        tuple(f"{name} ({spec.use})" for name, spec in sorted(policy.checks.items())),
    )


def _match_words(policy: Policy) -> str:
    match = policy.match
    named = {"routes": match.routes, "models": match.models, "tenants": match.tenants}
    parts = [f"{name} {', '.join(values)}" for name, values in named.items() if values is not None]
    parts += [f"header {name} {', '.join(values)}" for name, values in sorted(match.headers.items())]
    parts += [f"when {match.when.text}"] if match.when else []
    return "; ".join(parts) or "every request"


def coverage_cells(policies: PolicySet) -> Iterator[CoverageCell]:
    for row in coverage(policies):
        yield CoverageCell(row.format, row.direction, row.kind, tuple(map(str, row.checks)))


def field_cells(policies: PolicySet) -> Iterator[FieldCell]:
    for row in denied_fields(policies):
        allowed = ", ".join(row.allowed)
        state = "refused" if not allowed else f"allowed where only {allowed} applies" if row.refused else "allowed"
        yield FieldCell(row.field, row.why, state, row.formats)


def play_reply(
    explanation: Explanation,
    distant: tuple[str, ...],
    waiting: tuple[str, ...],
    stream: PlayedStream | None,
    no_stream: str,
) -> PlayReply:
    result = explanation.result
    findings = [(finding, False) for finding in result.findings] + [(finding, True) for finding in result.allowed]
    return PlayReply(
        decision=result.decision,
        trouble=result.trouble,
        policies=explanation.policies,
        elsewhere=explanation.elsewhere,
        texts=tuple(_texts(explanation)),
        findings=tuple(
            PlayedFinding(
                finding.check,
                finding.label,
                f"{finding.direction} {finding.path}, {finding.start} to {finding.end}",
                finding.text[:200],
                round(finding.score, 4),
                allowed,
                finding.origins,
            )
            for finding, allowed in sorted(findings)[:LIMIT_FINDINGS]
        ),
        rules=tuple(
            PlayedRule(rule.policy, rule.rule, rule.action, rule.state, rule.why) for rule in explanation.rules
        ),
        sent=None if result.upstream is None else _delivered(result.upstream.texts),
        shown=None if result.client is None else _delivered(result.client.texts),
        more=tuple(_more(explanation)),
        stream=stream,
        no_stream=no_stream,
        distant=distant,
        waiting=waiting,
    )


def _texts(explanation: Explanation) -> Iterator[PlayedText]:
    result = explanation.result
    rules = {rule.rule: rule.state for rule in explanation.rules}
    for text in result.texts:
        if not text.text:
            continue
        spans = []
        for finding in (*result.findings, *result.allowed):
            if (finding.direction, finding.path, finding.attempt) != (text.direction, text.path, text.attempt):
                continue
            hits = [
                hit
                for hit in result.hits
                if (hit.path, hit.direction, hit.attempt) == (text.path, text.direction, text.attempt)
                and hit.start < finding.end
                and finding.start < hit.end
            ]
            states = {rules.get(hit.rule, "no") for hit in hits}
            kind = "bad" if "decided" in states else "warn" if states & {"held", "shadow"} else "info"
            kind = "good" if finding in result.allowed else kind
            title = f"{finding.label}, {finding.check}" + "".join(f"; rule {hit.rule}" for hit in hits[:3])
            spans.append((finding.start, finding.end, kind, title))
        yield PlayedText(text.direction, text.path, text.kind, pieces(text.text[:LIMIT_SHOWN_CHARS], spans))


def pieces(text: str, spans: Sequence[tuple[int, int, str, str]]) -> tuple[MarkedPart, ...]:
    """Returns a text in parts. `spans`: start, end, class and title of what is marked; of spans that overlap, the first
    counts, and the others only behind it."""
    parts: list[MarkedPart] = []
    at = 0
    for start, end, kind, title in sorted(spans):
        low, high = max(start, at), min(end, len(text))
        if low >= high:
            continue
        if low > at:
            parts.append(MarkedPart(text[at:low]))
        parts.append(MarkedPart(text[low:high], kind, title))
        at = high
    return (*parts, MarkedPart(text[at:])) if at < len(text) else tuple(parts)


def _delivered(texts: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((path, text[:LIMIT_SHOWN_CHARS]) for path, text in texts if text)


def _more(explanation: Explanation) -> Iterator[str]:
    """Yields what else policies do, in words."""
    result = explanation.result
    for change in result.fields:
        yield f"{change.policy}: {change.action} the field {change.place}" + (
            "" if change.enforced else "; in shadow mode"
        )
    for prompt in result.prompts:
        yield f"{prompt.policy}: {prompt.words()}" + ("" if prompt.enforced else "; in shadow mode")
    if (cache := result.cache) is not None:
        yield f"{', '.join(cache.policies)}: the cache may answer" + ("" if cache.is_enforced else "; in shadow mode")
    for key, bound, words in result.explained():
        yield f"{bound.policy}: {key}: {words}" + ("" if bound.enforced else "; in shadow mode")
    for route in result.routes:
        places = [f"{route.upstream or '-'} {route.model}".rstrip(), *route.next]
        yield f"{route.policy}: route to {', then '.join(places)}" + (
            "" if route.mode == "enforce" else "; in shadow mode"
        )
    for limit in explanation.limits:
        yield f"{limit.policy}: limit {limit.words}"


def stream_reply(simulation: Simulation, differences: Sequence[str], what: str) -> PlayedStream:
    steps: list[PlayedStep] = []
    arrived = released = 0
    for number, step in enumerate(simulation.steps, 1):
        came, left = ("".join(text for _, text in deltas) for deltas in (step.arrived, step.released))
        arrived, released = arrived + len(came), released + len(left)
        held = "".join(part.text for part in step.held)
        why = dict.fromkeys(reason for part in step.held for reason in part.reasons)
        if len(steps) < LIMIT_STEPS:
            cut = held if len(held) <= LIMIT_HELD_CHARS else "…" + held[-LIMIT_HELD_CHARS:]
            steps.append(
                PlayedStep(number, came[:1000], left[:1000], cut, tuple(why), arrived, len(held), released, step.ending)
            )
    more = len(simulation.steps) - len(steps)
    return PlayedStream(tuple(steps), simulation.most_held, tuple(differences), more, what)


# Tests and differences.


def tried_test(result: CaseResult) -> TriedTest:
    state = "skipped" if result.skipped else "failed" if result.mismatches else "passed"
    faults = [result.skipped] if result.skipped else []
    for mismatch in result.mismatches:
        wanted = f" (expected: {mismatch.wanted}; got: {mismatch.got})" if mismatch.wanted is not None else ""
        faults.append(f"{mismatch.message}{wanted}"[:2000])
    return TriedTest(result.policy.name, result.test.name, result.test.place.line, state, tuple(faults))


def diff_reply(listed: tuple[DiffChange, ...], traffic: Traffic) -> DiffReply:
    groups = tuple(
        DiffGroup(
            group.policy,
            group.rule,
            group.way,
            group.action,
            group.count,
            tuple(
                DiffExample(
                    example.id,
                    example.at,
                    example.route,
                    example.before,
                    example.after,
                    example.where,
                    _parts(example.pieces),
                )
                for example in group.examples
            ),
        )
        for group in traffic.groups[:LIMIT_FINDINGS]
    )
    return DiffReply(
        headline=traffic.headline,
        changes=listed,
        counts=dict(traffic.counts),
        reasons=dict(traffic.reasons.most_common(20)),
        outcomes=tuple((old, new, count) for (old, new), count in traffic.outcomes.most_common(20)),
        groups=groups,
        rescanned=tuple(sorted(traffic.rescanned)),
    )


def _parts(found: Sequence[ExcerptPart]) -> tuple[MarkedPart, ...]:
    return tuple(MarkedPart(piece.text, "warn" if piece.mark else "", piece.mark) for piece in found)
