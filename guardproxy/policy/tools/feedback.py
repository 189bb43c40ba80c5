"""The policies for feedback about exchanges.

In: the policies in force. Out: policies for the comments in feedback. A comment may repeat what any exchange of its tenant
held, and its route and model are not known. So the rules for requests of every policy apply: whatever the routes, models,
headers and conditions of its `match`, and for all conversations. Fields and tasks of the gateway do not apply, because feedback
does not go to a model.
"""

from __future__ import annotations

from dataclasses import replace

from guardproxy.policy.conditions.matching import Match
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.policy.values.document import Policy
from guardproxy.policy.values.fields import NO_FIELD_RULES


def feedback_policies(policies: PolicySet) -> PolicySet:
    """Returns the policies for feedback, with the digest of `policies`."""
    return PolicySet(tuple(map(_for_feedback, policies.policies)), policies.checks, policies.digest)


def _for_feedback(policy: Policy) -> Policy:
    reading = (rule for rule in policy.rules if any(direction == "request" for direction, _ in rule.on))
    rules = tuple(replace(rule, share=None) for rule in reading)
    match = Match(tenants=policy.match.tenants, places=policy.match.places)
    return replace(policy, match=match, rules=rules, share=None, fields=NO_FIELD_RULES, sections={}, formats=())
