"""`action: retry`: the model gets the errors of its answer and answers again."""

from __future__ import annotations

from guardproxy.decisions import Decision, Stop
from guardproxy.policy.document import Rule


def decide(rule: Rule) -> Decision:
    return rule.retry or Stop(rule.id, rule.message)
