"""Judges the recorded findings of an exchange again, where the record keeps no texts.

In: a record, and policies. Out: which rules hold now and which no longer. A finding of an unchanged check (same digest) counts
as found. A rule that uses a new or changed check, or a check that did not read a text that it would read now, cannot be told.
Edits, fields and the end of the exchange are not compared: they depend on texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

from guardproxy.audit import Record
from guardproxy.audit.record import RecordedSide, RecordedText
from guardproxy.findings import Channel, Direction, Finding, Kind
from guardproxy.policy import CHECK_ERROR, BoundRules, MatchVerdict, PolicySet, Tally
from guardproxy.replay.comparison import ShownPath
from guardproxy.replay.results import ReplayResult, ReplayVerdict

_Key = tuple[str, str, str, str, str, str, int]  # rule, action, mode, direction, path, label, attempt


def replay_findings(record: Record, policies: PolicySet, why: str, shown: ShownPath = str) -> ReplayResult:
    """Returns which rules hold for the recorded findings. `why`: why the texts are not judged."""
    bound = rules_for(record, policies)
    assumed = {policy.name for policy in policies.policies if bound.matched.get(policy.match.digest) == "unknown"}
    untold = _untold(record, bound, record.policies == policies.digest)
    before = dict.fromkeys(
        (found.rule, found.action, found.mode, found.direction, found.path, found.label, found.attempt)
        for found in record.decisions
        if found.rule not in untold
    )
    after = dict.fromkeys(key for key in _held(record, bound) if key[0] not in untold)
    differences = [
        *(f"{_words(key, shown)} no longer holds" for key in before if key not in after),
        *(f"{_words(key, shown)} now holds" for key in after if key not in before),
    ]
    unclear = [
        f"rule `{rule}`: whether it holds cannot be told; `{check}` would have to read a text"
        for rule, check in sorted(untold.items())
    ]
    verdict: ReplayVerdict = "different" if differences else "cannot be told" if unclear else "identical"
    return ReplayResult(verdict, (*differences, *unclear), (), tuple(sorted(assumed)), why)


def rules_for(record: Record, policies: PolicySet) -> BoundRules:
    """Returns the rules that apply to a recorded exchange. A condition on what the record does not hold counts as it does in an
    exchange that cannot evaluate it: its policy applies."""
    return policies.bind(
        record.route,
        record.model,
        record.tenant_name if record.tenant else "",
        record.conversation,
        known={**_unknown_conditions(policies), **record.matched},
        demanded=record.demanded,
    )


def _unknown_conditions(policies: PolicySet) -> Mapping[str, MatchVerdict]:
    """Returns the conditions in CEL, which may read the body of the request."""
    return {policy.match.digest: "unknown" for policy in policies.policies if policy.match.when}


def _sides(record: Record) -> Iterator[tuple[int, Direction, RecordedSide]]:
    yield 0, "request", record.request
    for attempt, answer in enumerate(record.answers):
        yield attempt, "response", answer


def _untold(record: Record, bound: BoundRules, is_same_set: bool) -> dict[str, str]:
    """Returns the rules that cannot be told, each with a check that would have to read a text."""
    untold: dict[str, str] = {}
    for _, direction, side in _sides(record):
        for text in side.texts:
            channel = _channel(direction, text)
            failed = {found.check for found in text.findings if found.label == CHECK_ERROR}
            for check in bound.checks_for(channel):
                is_same = record.checks.get(check.name) == (check.traits.partner_of or check.digest)
                is_read = is_same_set or (check.name in text.checks and check.name not in failed)
                if not is_same or not is_read:
                    untold.update((rule.rule.id, check.name) for rule in bound.rules_using(channel, check.name))
    return untold


def _held(record: Record, bound: BoundRules) -> Iterator[_Key]:
    """Yields the rules that hold for the recorded findings."""
    tally = Tally(bound)
    for attempt, direction, side in _sides(record):
        if direction == "response" and attempt == 0:
            tally.begin_answers()
        elif direction == "response":
            tally.next_attempt()
        for text in side.texts:
            for found in sorted(text.findings, key=lambda found: (found.start, found.end)):
                finding = Finding(found.start, found.end, found.check, found.label, found.score)
                tally.see(_channel(direction, text), finding)
    for held in tally.outcomes:
        place = (held.channel.direction, held.channel.path, held.finding.label, held.attempt)
        yield held.rule, held.action, "enforce" if held.enforced else "shadow", *place


def _channel(direction: Direction, text: RecordedText) -> Channel:
    return Channel(direction, cast(Kind, text.kind), text.path)


def _words(key: _Key, shown: ShownPath) -> str:
    rule, action, mode, direction, path, label, attempt = key
    answer = f" of answer {attempt}" if attempt else ""
    return (
        f"{'shadow ' if mode == 'shadow' else ''}rule `{rule}` ({action}, {label} in {direction} {shown(path)}{answer})"
    )
