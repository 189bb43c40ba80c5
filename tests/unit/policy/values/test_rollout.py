"""Shares: how they are read, who is in, and that the rules of a policy stay together."""

from __future__ import annotations

import hashlib
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.errors import PolicyError
from guardproxy.policy.file.load import PolicyErrors, parse
from guardproxy.policy.file.reader import read_policies
from guardproxy.policy.values.document import Policy
from guardproxy.policy.values.rollout import WHOLE, excluding_share, position_of, shares
from tests.kit.checks import promise
from tests.kit.play import policy_set

HEAD = "policy: p\n{top}checks: {{word: {{use: pattern, words: [falcon]}}}}\nrules:\n"
RULE = "  - {{id: {id}, when: word, action: block{more}}}\n"


def policy(*more: str, top: str = "") -> str:
    rules = (RULE.format(id=f"r{number}", more=one) for number, one in enumerate(more))
    return HEAD.format(top=top) + "".join(rules)


def rule_shares(text: str) -> list[int | None]:
    return [rule.share for rule in parse(text, "p.yaml").rules]


@pytest.mark.parametrize(
    ("written", "share"),
    [
        ("10 %", 100_000),
        ("10%", 100_000),
        ('" 10 % "', 100_000),
        ("0.5 %", 5_000),
        ("0.0001%", 1),
        ("100 %", WHOLE),
        ("0 %", 0),
    ],
)
def test_a_share_is_a_percentage(written: str, share: int) -> None:
    assert rule_shares(policy(f", enforce: {written}")) == [share]


@pytest.mark.parametrize("written", ["10", "0.1", "100.1 %", "101 %", "ten %", "-1 %", "1.23456 %", "true", "[10 %]"])
def test_what_is_no_share_is_refused(written: str) -> None:
    with pytest.raises(PolicyErrors, match=r"p.yaml:4:\d+: expected a share of all conversations, from 0 % to 100 %"):
        parse(policy(f", enforce: {written}"), "p.yaml")


def test_a_rule_in_shadow_mode_has_no_share() -> None:
    with pytest.raises(PolicyErrors, match="a rule in shadow mode enforces nothing"):
        parse(policy(", enforce: 10 %, mode: shadow"), "p.yaml")


def test_the_share_of_a_policy_is_that_of_its_rules() -> None:
    text = policy("", ", enforce: 50 %", ", mode: shadow", top="enforce: 10 %\n")
    assert rule_shares(text) == [100_000, 500_000, None]


def enforced(text: str, conversation: str) -> list[str]:
    bound = policy_set(text).bind("POST /a", "m", "t", conversation=conversation)
    return [rule.rule.id for rule in bound.rules if rule.enforced]


def test_without_a_conversation_every_rule_is_enforced() -> None:
    assert enforced(policy(", enforce: 0 %", ", enforce: 10 %"), "") == ["r0", "r1"]


@promise
@given(st.text(min_size=1), st.integers(0, WHOLE), st.integers(0, WHOLE))
def test_who_is_in_at_a_small_share_is_in_at_a_larger(conversation: str, one: int, other: int) -> None:
    small, large = sorted((one, other))
    reach = excluding_share((small, large), "p", conversation)
    assert not (small > reach >= large)
    assert (excluding_share((small,), "p", conversation) < small) <= (
        excluding_share((large,), "p", conversation) < large
    )


@promise
@given(st.text(min_size=1))
def test_all_are_in_at_the_whole_and_nobody_at_nothing(conversation: str) -> None:
    assert 0 <= position_of("p", conversation) < WHOLE
    text = policy(", enforce: 0 %", ", enforce: 100 %", "")
    assert enforced(text, conversation) == ["r1", "r2"]


@promise
@given(st.text(min_size=1))
def test_rules_of_equal_shares_take_the_same_conversations(conversation: str) -> None:
    found = enforced(policy(", enforce: 30 %", ", enforce: 60 %", ", enforce: 30 %"), conversation)
    assert ("r0" in found) == ("r2" in found)
    assert ("r0" in found) <= ("r1" in found)


@pytest.mark.parametrize("percent", [1, 10, 20, 50, 90])
@pytest.mark.parametrize("name", ["p", "support-bot", "another-policy"])
def test_as_many_are_in_as_the_share_says(name: str, percent: int) -> None:
    """Within five standard deviations of what a fair draw gives."""
    many, share = 40_000, percent * WHOLE // 100
    pseudonyms = (hashlib.blake2b(str(number).encode(), digest_size=16).hexdigest() for number in range(many))
    inside = sum(position_of(name, one) < share for one in pseudonyms)
    expected = many * percent / 100
    assert abs(inside - expected) < 5 * sqrt(expected * (1 - percent / 100))


def test_two_policies_take_different_conversations() -> None:
    both = sum(
        position_of("one", str(n)) < WHOLE // 10 and position_of("two", str(n)) < WHOLE // 10 for n in range(20_000)
    )
    assert 120 < both < 280, "a tenth of a tenth of 20,000"


def test_the_shares_that_occur() -> None:
    assert shares(parse(policy(", enforce: 60 %", "", ", enforce: 5 %", ", enforce: 60 %"), "p").rules) == (
        50_000,
        600_000,
    )


def test_ways_to_come_together_are_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guardproxy.policy.deciding.evaluate.MOST_BOUND", 3)
    found = policy_set(policy(*(f", enforce: {number} %" for number in range(0, 100, 5))))
    for number in range(60):
        found.bind("POST /a", "m", "t", conversation=str(number))
    assert len(found._bound) <= 3


BASE = policy(", enforce: 50 %").replace("policy: p", "policy: base")


def extended(rule: str, top: str = "") -> list[str]:
    """What is wrong with a policy that says this of the rule of its baseline."""
    team = f"policy: team\nextends: base\n{top}rules:\n  - {{id: r0{rule}}}\n"
    found = read_policies([("base.yaml", BASE), ("team.yaml", team)])
    return [one.message for one in found if isinstance(one, PolicyError)]


def test_who_extends_a_policy_may_only_reach_more_conversations() -> None:
    assert extended(", enforce: 60 %") == []
    (said,) = extended(", enforce: 40 %")
    assert said.startswith("`enforce` of the rule `r0` may not be reduced (base.yaml:4:")


def test_the_share_of_a_whole_policy_is_inherited() -> None:
    base = policy("", top="enforce: 10 %\n").replace("policy: p", "policy: base")
    team = "policy: team\nextends: base\nrules:\n  - {id: more, when: word, action: flag}\n"
    found = [one for one in read_policies([("base.yaml", base), ("team.yaml", team)]) if isinstance(one, Policy)]
    assert [[rule.share for rule in one.rules] for one in found] == [[100_000], [100_000, 100_000]]


CHECKED = (
    "policy: base\non_error: {whole}\nchecks: {{word: {{use: pattern, words: [falcon]{more}}}}}\nrules:\n"
    + RULE.format(id="r0", more="").replace("{", "{{").replace("}", "}}")
)


@pytest.mark.parametrize(
    ("whole", "more", "own", "loosens"),
    [
        ("block", "", "on_error: flag", True),
        ("block", ", on_error: flag", "on_error: block", False),
        ("flag", ", on_error: block", "on_error: flag", True),
        ("flag", "", "on_error: flag", False),
        ("flag", "", "on_error: block", False),
    ],
)
def test_who_extends_a_policy_may_not_weaken_what_a_failure_leads_to(
    whole: str, more: str, own: str, loosens: bool
) -> None:
    team = f"policy: team\nextends: base\nchecks: {{word: {{{own}}}}}\n"
    found = read_policies([("base.yaml", CHECKED.format(whole=whole, more=more)), ("team.yaml", team)])
    said = [one.message for one in found if isinstance(one, PolicyError)]
    assert bool(said) == loosens, said
    assert all(one.startswith("`on_error` of `word` may not be weakened from block to flag") for one in said)
