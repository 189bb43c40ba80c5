"""The receipt of an answer: for its client, in one header, what was looked at and what was done (RFC 9651, a dictionary).

In: what an exchange knows when the head of its answer leaves, and once more at the end of a stream. Out: a header's value.
It names the record and the policies' digest, but no rule: a client that is being refused is not told how to get around it.

    id           the exchange, as the record calls it
    policies     the digest of the policies that it ran under
    outcome      how it ended, as in the record; missing while a stream goes on
    decision     the strongest that a rule asked for: pass, flag, redact, retry, block
    attempts     how many answers the model gave, where it was more than one
    shadow       a rule in shadow mode held
    partial      the answer is a stream: what is known of the request is here, the rest is in a comment before its end
    request, response
                 the kinds of texts that checks read; `texts` and `chars`: how much, `edits`: spans that were replaced,
                 `unmapped`: texts in fields that the format does not have, `failed`: texts that a check could not read
    request-unread, response-unread
                 the kinds that went on although no check read them, `*`: all; `uninspected`: places that none can read
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from guardproxy.exchange.lanes import CHECK_ERROR, Lane
from guardproxy.exchange.notes import Side, is_unmapped
from guardproxy.findings import KINDS, Direction
from guardproxy.policy import Outcome, strongest
from guardproxy.redaction import RESTORE

HEADER = "guardproxy-receipt"


def unread(exchange: str, policies: str) -> str:
    """The receipt of a route that goes on unread."""
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
    """The receipt of an exchange. `sides`: the directions that it is to speak of; `outcome` is empty while it goes on;
    `known`: what `members_of` gave for some of them."""
    told = [one for one in outcomes if one.channel.direction in sides]
    members = [*_about(exchange, policies)]
    if outcome:
        members.append(f"outcome={outcome}")
    members.append(f"decision={strongest(one.decision for one in told if one.enforced)}")
    if attempts > 1:
        members.append(f"attempts={attempts}")
    if any(not one.enforced for one in told):
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
    """What a receipt says of one direction."""
    if not side.read:
        return [f"{name}-unread=(*)"]
    # Of an answer only what was cleared counts: how much more had come of one that was stopped is chance.
    lanes = [lane for lane in side.gate.lanes if not lane.judged and (name == "request" or lane.rewrite.released)]
    scanned: list[Lane] = []
    others: list[Lane] = []
    for lane in lanes:
        (scanned if any(check.name != RESTORE for check in lane.progress.checks) else others).append(lane)
    members = []
    if scanned:
        counts = {
            "texts": len(scanned),
            "chars": sum(_reach(name, lane) for lane in scanned),
            "edits": sum(start < _reach(name, lane) for lane in scanned for start, _, _ in lane.rewrite.edits),
            "unmapped": sum(map(is_unmapped, scanned)),
            "failed": sum(any(one.label == CHECK_ERROR for one in lane.progress.findings) for lane in scanned),
        }
        members.append(f"{name}={_kinds(scanned)}{_parameters(counts, always=('texts', 'chars'))}")
    if others or side.uninspected:
        counts = {"texts": len(others), "uninspected": len(side.uninspected)}
        members.append(f"{name}-unread={_kinds(others)}{_parameters(counts)}")
    return members


def _reach(name: str, lane: Lane) -> int:
    return lane.text.total if name == "request" else lane.rewrite.released


def _kinds(lanes: Iterable[Lane]) -> str:
    found = {lane.channel.kind for lane in lanes}
    return f"({' '.join(kind for kind in KINDS if kind in found)})"


def _parameters(counts: Mapping[str, int], always: Sequence[str] = ()) -> str:
    return "".join(f";{name}={count}" for name, count in counts.items() if count or name in always)
