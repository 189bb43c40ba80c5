"""`action: redact`: a placeholder, or the result of an operator, replaces the value; `restore` restores it in the
answer."""

from __future__ import annotations

from guardproxy.decisions import Decision, Edit
from guardproxy.findings import ALL_PLACES
from guardproxy.policy.document import Rule

REACH = ALL_PLACES


def decide(rule: Rule) -> Decision:
    return Edit(rule.id, rule.restore, rule.operators, rule.restoration)
