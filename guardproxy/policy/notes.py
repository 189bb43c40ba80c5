"""What a reviewer should know of policies that are right: `policy lint` prints it beside the mistakes.

In: policies. Out: notes, in the form of errors, for their places. Kept: nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from guardproxy.decisions import Retry
from guardproxy.errors import PolicyError
from guardproxy.policy.document import Policy, Rule


def notes(policies: Iterable[Policy]) -> list[PolicyError]:
    """Which rules hold a streaming answer back, and what that costs."""
    return [
        PolicyError(_cost(rule, rule.retry), policy.source, rule.place.line, rule.place.column)
        for policy in policies
        for rule in policy.rules
        if rule.retry and rule.mode == "enforce"
    ]


def _cost(rule: Rule, retry: Retry) -> str:
    answers = retry.attempts + 1 + (retry.then == "fallback")
    if rule.early:
        return f"`{rule.id}` asks again only while no text of a stream was sent; a later fault ends it with an error"
    return (
        f"`{rule.id}` holds a streaming answer back to its end: the client sees its first text when the last of up to "
        f"{answers} answers is complete, no attempt begins after {retry.total_s:g} s, and each costs its own tokens; "
        "`early: true` streams what is right so far instead"
    )
