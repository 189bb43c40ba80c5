"""`action: retry`: the model gets the errors of its answer and answers again."""

from __future__ import annotations

from guardproxy.decisions import Decision, Stop
from guardproxy.findings import ALL_PLACES
from guardproxy.policy.document import Rule

REACH = frozenset(place for place in ALL_PLACES if place[0] == "response")
ONLY = "a retry requests another answer, so it inspects only answers: `on: response`"


def decide(rule: Rule) -> Decision:
    return rule.retry or Stop(rule.id, rule.message)
