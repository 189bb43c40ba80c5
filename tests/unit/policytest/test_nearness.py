"""The examples of topics near the line: which they are, and what is said of them."""

from __future__ import annotations

from guardproxy.policy import PolicySet
from guardproxy.policy.file import build_checks, parse
from guardproxy.policytest import near_line
from tests.kit.topics import BILLING, resources

ODD = "boats in the harbour"
POLICY = f"""
policy: shop
description: One example has nothing to do with the others.
checks:
  about: {{use: topic, deny: [{{name: billing, about: Invoices., examples: {[*BILLING["examples"], ODD]}}}]}}
  words: {{use: pattern, words: [falcon]}}
rules:
  - {{id: stay, on: user, when: about or words, action: block}}
"""


def test_an_example_that_the_others_do_not_find_is_near_the_line() -> None:
    policy = parse(POLICY, "shop.yaml")
    loaded = PolicySet((policy,), build_checks((policy,), resources()), "sha256:test")
    found = list(near_line(loaded))
    assert (found[0].policy, found[0].check, found[0].topic, found[0].text) == ("shop", "about", "billing", ODD)
    assert found[0].score < found[0].threshold
    assert str(found[0]).startswith(f"`{ODD}` is missed by the other examples of billing: ")
    assert all(example.score < example.threshold + 0.1 for example in found)
    assert all("just found" in str(example) for example in found if example.score >= example.threshold)
