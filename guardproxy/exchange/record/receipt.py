"""The receipt of an answer: a header that tells the client what was checked and decided (a dictionary of RFC 9651).

In: the notes of an exchange when the head of its answer leaves, and again at the end of a stream. Out: a header's value.
It names the record and the policies' digest, but no rule, so that a blocked client does not learn how to evade the rule.

    id           the id of the exchange, as in the record
    policies     the digest of the policies
    outcome      the outcome, as in the record; missing at the head of a stream
    decision     the strongest decision of all rules: pass, flag, redact, retry, block
    attempts     the number of attempts, if there was more than one
    shadow       a rule in shadow mode held
    partial      the answer is a stream: this receipt covers the request, and a comment before its end covers the answer
    request, response
                 the kinds of texts that checks read; `texts`, `chars`: their counts, `edits`: spans that were replaced,
                 `unmapped`: texts in fields that the format does not have, `failed`: texts that a check could not read
    request-unread, response-unread
                 the kinds that passed without a check, `*`: all; `uninspected`: places that no check can read

Decision: docs/decisions/0028-a-receipt-names-no-rule.md
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from guardproxy.exchange.gate.lanes import CHECK_ERROR, Lane
from guardproxy.exchange.gate.notes import Side, is_unmapped
from guardproxy.findings import KINDS, Direction
from guardproxy.policy import Outcome
from guardproxy.policy.values import strongest
from guardproxy.redaction import RESTORE

HEADER = "guardproxy-receipt"


def unread(exchange: str, policies: str) -> str:
    """The receipt of a pass-through route."""
    return ", ".join([*_about(exchange, policies), "request-unread=(*)", "response-unread=(*)"])


def refused(exchange: str, policies: str, outcome: str) -> str:
    """The receipt of a request that could not be read."""
    return ", ".join([*_about(exchange, policies), f"outcome={outcome}"])


def receipt(
    exchange: str,
    policies: str,
    outcome: str,
    sides: Mapping[Direction, Side],
    outcomes: Sequence[Outcome],
    attempts: int = 1,
    known: Mapping[Direction, Sequence[str]] = {},
) -> str:
    """The receipt of an exchange. `sides`: the directions that it covers; `outcome`: empty while the exchange goes on;
    `known`: results of `members_of`, by direction."""
    covered = [rule_outcome for rule_outcome in outcomes if rule_outcome.channel.direction in sides] if outcomes else ()
    members = _about(exchange, policies)
    if outcome:
        members.append(f"outcome={outcome}")
    decision = strongest([each.decision for each in covered if each.enforced]) if covered else "pass"
    members.append(f"decision={decision}")
    if attempts > 1:
        members.append(f"attempts={attempts}")
    if covered and not all(rule_outcome.enforced for rule_outcome in covered):
        members.append("shadow")
    if not outcome:
        members.append("partial")
    for name, side in sides.items():
        members += known[name] if name in known else members_of(name, side)
    return ", ".join(members)


def line(value: str) -> str:
    """A receipt as a line, for a comment in a stream."""
    return f"{HEADER}: {value}"


def _about(exchange: str, policies: str) -> list[str]:
    return [f'id="{exchange}"', f'policies="{policies}"']


def members_of(name: str, side: Side) -> list[str]:
    """The members of a receipt for a direction."""
    if not side.read:
        return [f"{name}-unread=(*)"]
    # Only released text of an answer counts, as the amount of further text in a stopped answer depends on timing.
    lanes = [lane for lane in side.gate.lanes.every if not lane.judged and (name == "request" or lane.rewrite.released)]
    if (cut := side.gate.lanes.cut) is not None:
        lanes = [lane for lane in lanes if not cut.repeats(lane)]
    scanned: list[Lane] = []
    others: list[Lane] = []
    for lane in lanes:
        checks = lane.progress.checks
        # The search for placeholders is no check: a text that only this reads counts as unread.
        is_scanned = bool(checks) and (checks[0].name != RESTORE or any(check.name != RESTORE for check in checks))
        (scanned if is_scanned else others).append(lane)
    members = []
    if scanned:
        counts = dict.fromkeys(("texts", "chars", "edits", "unmapped", "failed"), 0)
        for lane in scanned:
            reach = lane.text.total if name == "request" else lane.rewrite.released
            counts["texts"] += 1
            counts["chars"] += reach
            if lane.rewrite.edits:
                counts["edits"] += sum(start < reach for start, _, _ in lane.rewrite.edits)
            counts["unmapped"] += is_unmapped(lane)
            if lane.progress.findings:
                counts["failed"] += any(finding.label == CHECK_ERROR for finding in lane.progress.findings)
        members.append(f"{name}={_kinds(scanned)}{_parameters(counts, always=('texts', 'chars'))}")
    if others or side.uninspected:
        counts = {"texts": len(others), "uninspected": len(side.uninspected)}
        members.append(f"{name}-unread={_kinds(others)}{_parameters(counts)}")
    return members


def _kinds(lanes: Iterable[Lane]) -> str:
    kinds = {lane.channel.kind for lane in lanes}
    return f"({' '.join(kinds if len(kinds) < 2 else [kind for kind in KINDS if kind in kinds])})"


def _parameters(counts: Mapping[str, int], always: Sequence[str] = ()) -> str:
    return "".join(f";{name}={count}" for name, count in counts.items() if count or name in always)
