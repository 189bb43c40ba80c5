"""`action: block`: nothing is forwarded; the client gets a refusal in its wire format."""

from __future__ import annotations

from guardproxy.decisions import Decision, Stop
from guardproxy.findings import ALL_PLACES
from guardproxy.policy.document import Rule

REACH = ALL_PLACES


def decide(rule: Rule) -> Decision:
    return Stop(rule.id, rule.message)
