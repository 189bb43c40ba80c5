"""Actions: guardproxy's own, and those of other packages, whose faults are faults of the policy."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.decisions import DropChunk, Edit, Pass, Retry, Stop
from guardproxy.errors import ConfigError, OptionError, PolicyError
from guardproxy.policy import acting
from guardproxy.policy.document import Rule
from guardproxy.policy.document_schema import schema
from guardproxy.policy.load import parse
from guardproxy.policy.reader import read_policies
from guardproxy.policytest.scan import scan_text
from tests.kit.play import policy_set
from tests.kit.plugins import Install

POLICY = """\
policy: p
checks: {one: {use: pattern, words: [falcon]}, two: {use: pattern, words: [heron]}}
rules:
  - {id: r, on: %s, when: %s, action: hush%s}
"""


def text(more: str = "", on: str = "request", when: str = "one") -> str:
    return POLICY % (on, when, more)


def hush(rule: Rule) -> Stop:
    """An action of another package."""
    if "reason" not in rule.options:
        raise OptionError("reason", "must be there")
    return Stop(rule.id, f"hush: {rule.options['reason']}")


def test_another_package_may_bring_an_action(install: Install) -> None:
    install("guardproxy.actions", "hush", hush)
    found = policy_set(text(", with: {reason: night}"))
    assert acting.decide(found.policies[0].rules[0]) == Stop("r", "hush: night")
    assert scan_text(found, "a falcon", "request").decision == "block"
    assert "hush" in schema()["$defs"]["rule"]["properties"]["action"]["anyOf"][0]["enum"]


def test_without_it_the_word_is_unknown() -> None:
    with pytest.raises(
        PolicyError, match=r"4:\d+: unknown word `hush` \(expected one of flag, redact, drop_chunk, retry, block\)"
    ):
        parse(text(), "p.yaml")


def test_what_an_action_is_told_belongs_to_it(install: Install) -> None:
    install("guardproxy.actions", "hush", hush)
    with pytest.raises(PolicyError, match="`with` belongs to actions of other packages, not to block"):
        parse(text(", with: {}").replace("hush", "block"), "p.yaml")
    with pytest.raises(PolicyError, match="expected a mapping, found a word"):
        parse(text(", with: night"), "p.yaml")
    with pytest.raises(PolicyError, match="`message` belongs to the actions block and retry, not to hush"):
        parse(text(", message: no"), "p.yaml")


def broken(error: Exception) -> Any:
    def decide(rule: Rule) -> Stop:
        raise error

    return decide


@pytest.mark.parametrize(
    ("decide", "on", "when", "column", "said"),
    [
        (hush, "request", "one", 51, "reason: must be there"),
        (broken(KeyError("x")), "request", "one", 37, "failed: KeyError: 'x'"),
        (broken(ConfigError("not today")), "request", "one", 37, "not today"),
        (lambda rule: "block", "request", "one", 37, "must return a decision that names the rule"),
        (lambda rule: Stop("other"), "request", "one", 37, "must return a decision that names the rule"),
        (lambda rule: Edit(rule.id), "request", "one and two", 26, "`and` cannot be used in a redact rule"),
        (lambda rule: DropChunk(rule.id), "request", "one", 13, "so it inspects only these: `on: request.tool_result`"),
        (lambda rule: Retry(rule.id), "request", "one", 13, "it inspects only answers: `on: response`"),
        (lambda rule: Retry(rule.id, upstream="u"), "response", "one", 38, "which only the action retry can do"),
        (ImportError("gone"), "request", "one", 37, "of acme 1.0 cannot be loaded: ImportError: gone"),
    ],
)
def test_what_is_wrong_with_it_is_said_at_the_rule(
    decide: Any, on: str, when: str, column: int, said: str, install: Install
) -> None:
    install("guardproxy.actions", "hush", decide)
    with pytest.raises(PolicyError) as caught:
        policy_set(text(", with: {}", on, when))
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"policy0.yaml:4:{column}: ")


def test_each_kind_of_decision_is_done(install: Install) -> None:
    decisions: list[Any] = [lambda rule: Pass(rule.id), lambda rule: Edit(rule.id), lambda rule: Stop(rule.id)]
    for number, decide in enumerate(decisions):
        install("guardproxy.actions", f"does{number}", decide)
    found = [
        scan_text(policy_set(text().replace("hush", f"does{number}")), "a falcon", "request").decision
        for number in range(3)
    ]
    assert found == ["flag", "redact", "block"]


@pytest.mark.parametrize(
    ("rule", "loosens"),
    [("", False), (", with: {reason: day}", True), (", action: block", True), (", severity: high", False)],
)
def test_who_extends_a_policy_leaves_it_as_it_is(rule: str, loosens: bool, install: Install) -> None:
    install("guardproxy.actions", "hush", hush)
    base = text(", with: {reason: night}").replace("policy: p", "policy: base")
    team = f"policy: team\nextends: base\nrules:\n  - {{id: r, on: [request, response]{rule}}}\n"
    found = [one for one in read_policies([("b.yaml", base), ("t.yaml", team)]) if isinstance(one, PolicyError)]
    assert bool(found) == loosens
    if "reason" in rule:
        assert "`action` of the rule `r` of another package may not change" in found[0].message
