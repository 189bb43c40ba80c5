"""The policies for feedback: no route, model, condition or share takes a comment away from its rules."""

from __future__ import annotations

from guardproxy.policy.tools.feedback import feedback_policies
from tests.kit.play import policy_set

POLICY = """
policy: narrow
match: {routes: ["POST /v1/embeddings"], models: [gpt-4], headers: {x-team: red}, when: request.stream}
enforce: 1 %
checks:
  word: {use: pattern, words: [umbrella]}
rules:
  - {id: out, on: request, when: word, action: redact, enforce: 2 %}
  - {id: quiet, on: user, when: word, action: block, mode: shadow}
  - {id: answers, on: response, when: word, action: block}
strip: [seed]
"""


def test_rules_for_requests_apply_to_every_comment() -> None:
    policies = policy_set(POLICY)
    assert not policies.bind("POST /guard/feedback", "", "").rules
    (policy,) = feedback_policies(policies).policies
    bound = feedback_policies(policies).bind("POST /guard/feedback", "", "", "any conversation")
    assert [(rule.rule.id, rule.enforced) for rule in bound.rules] == [("out", True), ("quiet", False)]
    assert (bound.fields.changes, bound.sections, policy.share) == (False, {}, None)
    assert feedback_policies(policies).digest == policies.digest


def test_a_policy_for_other_tenants_does_not_apply() -> None:
    policies = feedback_policies(policy_set(POLICY.replace("models: [gpt-4]", "tenants: [acme]")))
    assert policies.bind("POST /guard/feedback", "", "acme").rules
    assert not policies.bind("POST /guard/feedback", "", "globex").rules
