"""`action: block`: nothing goes on; the client gets the dialect's own refusal."""

from __future__ import annotations

from guardproxy.decisions import Decision, Stop
from guardproxy.policy.document import Rule


def decide(rule: Rule) -> Decision:
    return Stop(rule.id, rule.message)
