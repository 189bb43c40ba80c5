"""`action: block`: nothing is forwarded; the client gets a refusal in its wire format."""

from __future__ import annotations

from guardproxy.decisions import Decision, Stop
from guardproxy.policy.document import Rule


def decide(rule: Rule) -> Decision:
    return Stop(rule.id, rule.message)
