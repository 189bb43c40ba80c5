"""`action: flag`: the text goes on, the record says what was seen."""

from __future__ import annotations

from guardproxy.decisions import Decision, Pass
from guardproxy.policy.document import Rule


def decide(rule: Rule) -> Decision:
    return Pass(rule.id)
