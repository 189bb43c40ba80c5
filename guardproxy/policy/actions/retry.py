"""`action: retry`: the model is told what is wrong with its answer and gives another."""

from __future__ import annotations

from guardproxy.decisions import Decision, Stop
from guardproxy.policy.document import Rule


def decide(rule: Rule) -> Decision:
    return rule.retry or Stop(rule.id, rule.message)
