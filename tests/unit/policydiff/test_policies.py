"""Two sets of policies, in words: what changed, and what that does to protection."""

from __future__ import annotations

from itertools import pairwise, permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.policy.conditions.expression import parse_expression
from guardproxy.policy.file.load import parse_all
from guardproxy.policydiff.policies import Change, changes, expression_text

POLICY = """
policy: support
description: one
checks:
  attack: {use: supervisor, label: injection, threshold: 0.8}
  pii: {use: pii, entities: [PERSON, EMAIL_ADDRESS]}
  words: {use: pattern, words: [a]}
rules:
  - {id: attack, on: [user, tool_result], when: attack, action: block}
  - {id: pii, on: request, when: pii or words, action: redact}
  - {id: watch, on: response, when: pii, action: block, mode: shadow}
  - {id: again, on: response, when: words, action: retry, attempts: 1}
"""


def policies(*texts: str) -> Any:
    return parse_all([(f"p{number}.yaml", text) for number, text in enumerate(texts)])


def said(new: str, old: str = POLICY) -> list[tuple[str, str]]:
    return [(str(one).removeprefix("support: "), one.effect) for one in changes(policies(old), policies(new))]


@pytest.mark.parametrize(
    ("old", "new", "words", "effect"),
    [
        ("0.8", "0.6", "`attack` threshold 0.8 -> 0.6", "tightens"),
        ("[PERSON, EMAIL_ADDRESS]", "[EMAIL_ADDRESS]", "`pii` entities lost PERSON", "loosens"),
        ("description: one", "description: two", "the description changed", "neutral"),
        ("description: one", "on_error: flag", "on_error block -> flag", "loosens"),
        ("description: one", "unmapped: refuse", "unmapped scan -> refuse", "tightens"),
        ("description: one", "opaque: {image: refuse}", "opaque image pass -> refuse", "tightens"),
        ("description: one", "audit: {keep: none}", "keep redacted -> none", "neutral"),
        ("description: one", "match: {models: [m]}", "applies only to models m, before to all", "loosens"),
        ("description: one", "match: {when: 'tenant.name == \"a\"'}", 'applies when always -> tenant.name == "a"', "loosens"),
        ("description: one", "match: {headers: {x-a: b}}", "match headers {} -> {\"x-a\": [\"b\"]}", "either"),
        ("when: pii or words", "when: pii", "rule `pii`: when pii or words -> pii", "loosens"),
        ("on: request, when", "on: user, when",
         "rule `pii`: no longer inspects assistant, metadata, reasoning, refusal, system, tool_arguments, tool_definition, "
         "tool_result, unmapped of the request", "loosens"),
        ("on: request, when", "when", "rule `pii`: now inspects response", "tightens"),
        ("action: redact", "action: block", "rule `pii`: action redact -> block", "tightens"),
        ("action: redact", "action: flag", "rule `pii`: action redact -> flag", "loosens"),
        ("action: redact}", "action: redact, restore: false}", "rule `pii`: restore true -> false", "tightens"),
        ("mode: shadow", "mode: enforce", "rule `watch`: mode shadow -> enforce", "tightens"),
        ("attempts: 1", "attempts: 2", "rule `again`: retry attempts 1 -> 2", "neutral"),
        ("attempts: 1", "attempts: 1, then: pass_flagged", "rule `again`: retry then block -> pass_flagged", "loosens"),
        ("action: block}", "action: block, message: no}", "rule `attack`: message (nothing) -> no", "neutral"),
        ("action: block}", "action: block, enforce: 10 %}", "rule `attack`: enforce 100 % -> 10 %", "loosens"),
        ("action: block}", "action: block, severity: low}", "rule `attack`: severity (default) -> low", "neutral"),
        ("action: block}", "action: block, early: true}", "rule `attack`: early false -> true", "loosens"),
        ("  - {id: watch, on: response, when: pii, action: block, mode: shadow}\n", "",
         "the rule `watch` was removed (block in shadow mode when pii, on response)", "neutral"),
        ("  - {id: attack, on: [user, tool_result], when: attack, action: block}\n", "",
         "the rule `attack` was removed (block when attack, on tool_result, user)", "loosens"),
        ("rules:\n", "rules:\n  - {id: new, on: response, when: pii, action: redact}\n",
         "the rule `new` is new (redact when pii, on response)", "tightens"),
        ("rules:\n", "rules:\n  - {id: new, on: response, when: pii, action: flag}\n",
         "the rule `new` is new (flag when pii, on response)", "neutral"),
        ("rules:\n", "tests: [{name: t, request: a, expect: {rule: none}}]\nrules:\n", "tests: 1 new", "neutral"),
        ("  words: {", "  more: {use: secrets}\n  words: {", "the check `more` is new (secrets)", "neutral"),
    ],
)  # fmt: skip
def test_one_change(old: str, new: str, words: str, effect: str) -> None:
    assert POLICY.count(old) >= 1
    changed = POLICY.replace(old, new, 1)
    if "severity" in new or ", message" in new or "early" in new or "on: user" in new:
        assert (words, effect) in said(changed)
        return
    found = said(changed)
    if "mode: enforce" in new or "restore: false" in new or "action: flag" in new:
        assert (words, effect) in found
    elif "action: block" in new and "redact" in old:
        assert (words, effect) in found
        assert ("rule `pii`: restore true -> false", "neutral") in found or len(found) == 2
    else:
        expected = [("the description changed", "neutral")] if "description" in old and "description" not in new else []
        assert sorted(found) == sorted([(words, effect), *expected])


def test_a_share_that_grows_or_falls() -> None:
    old = POLICY.replace("action: block}", "action: block, enforce: 0.5 %}")
    assert said(old.replace("0.5 %", "20 %"), old) == [("rule `attack`: enforce 0.5 % -> 20 %", "tightens")]
    assert said(POLICY, old) == [("rule `attack`: enforce 0.5 % -> 100 %", "tightens")]


def test_where_values_come_back() -> None:
    few = POLICY.replace("action: redact}", "action: redact, restore: {in: [assistant]}}")
    more = few.replace("[assistant]", "[assistant, reasoning]")
    less, much = "assistant (in URLs: never)", "assistant, reasoning (in URLs: never)"
    assert said(more, few) == [(f"rule `pii`: restores values in {less} -> {much}", "loosens")]
    assert said(few, more) == [(f"rule `pii`: restores values in {much} -> {less}", "tightens")]


def test_a_share_in_place_of_shadow_mode() -> None:
    old = POLICY.replace("action: block}", "action: block, mode: shadow}")
    assert said(POLICY.replace("action: block}", "action: block, enforce: 10 %}"), old) == [
        ("rule `attack`: enforce 0 % -> 10 %", "tightens"),
        ("rule `attack`: mode shadow -> enforce", "tightens"),
    ]


def test_what_belonged_to_the_weaker_action_goes_with_it() -> None:
    old = POLICY.replace("action: redact}", "action: redact, operators: {DEFAULT: redact}, restore: false}")
    assert dict(
        said(old.replace("action: redact, operators: {DEFAULT: redact}, restore: false", "action: block"), old)
    ) == {
        "rule `pii`: action redact -> block": "tightens",
        "rule `pii`: operator for DEFAULT: redact -> placeholder": "neutral",
    }


def test_what_the_failure_of_a_check_leads_to() -> None:
    new = POLICY.replace("words: [a]}", "words: [a], on_error: flag}")
    assert said(new) == [("`words` on_error block -> flag", "loosens")]
    assert said(POLICY, new) == [("`words` on_error flag -> block", "tightens")]
    assert said(POLICY.replace("words: [a]}", "words: [a], on_error: block}")) == []


def test_whom_a_fallback_asks() -> None:
    old = POLICY.replace("attempts: 1", "then: fallback, fallback: {model: m}")
    assert said(old.replace("{model: m}", "{model: n}"), old) == [("rule `again`: retry model m -> n", "either")]
    assert dict(said(old.replace("then: fallback, fallback: {model: m}", "then: block"), old)) == {
        "rule `again`: retry model m -> (nothing)": "neutral",
        "rule `again`: retry then fallback -> block": "tightens",
    }


def test_content_that_may_pass_unread_again() -> None:
    refused = POLICY.replace("description: one", "opaque: {image: refuse}")
    assert said(POLICY.replace("description: one\n", ""), refused) == [("opaque image refuse -> pass", "loosens")]


def test_operators() -> None:
    new = POLICY.replace("action: redact}", "action: redact, restore: false, operators: {DEFAULT: hash, PERSON: mask}}")
    assert ("rule `pii`: operator for PERSON: placeholder -> mask", "loosens") in said(new)
    assert ("rule `pii`: operator for DEFAULT: placeholder -> hash", "tightens") in said(new)


def test_of_a_rule_that_only_records_nothing_matters() -> None:
    new = POLICY.replace("{id: watch, on: response, when: pii", "{id: watch, on: response, when: words")
    assert said(new) == [("rule `watch`: when pii -> words", "neutral")]


def test_what_a_shadow_rule_looked_for_does_not_loosen_what_it_enforces_now() -> None:
    new = POLICY.replace(
        "on: response, when: pii, action: block, mode: shadow", "on: assistant, when: pii, action: block"
    )
    effects = dict(said(new))
    assert effects.pop("rule `watch`: mode shadow -> enforce") == "tightens"
    assert set(effects.values()) == {"neutral"}


def test_a_check_that_only_records_is_neutral() -> None:
    old = POLICY.replace("action: block}", "action: flag}")
    assert said(old.replace("0.8", "0.6"), old) == [("`attack` threshold 0.8 -> 0.6", "neutral")]


def test_a_check_that_is_gone() -> None:
    more = POLICY.replace("  words: {", "  more: {use: secrets}\n  words: {")
    assert said(POLICY, more) == [("the check `more` was removed", "neutral")]


def test_for_whom() -> None:
    old = POLICY.replace("description: one", "match: {tenants: [acme], models: [a, b]}")
    assert said(old.replace("0.8", "0.6"), old) == [
        ("`attack` threshold 0.8 -> 0.6 for tenant acme, model a or b", "tightens")
    ]
    wider = said(old.replace("[a, b]", "[b, c]"), old)
    assert wider == [
        ("also applies to models c for tenant acme", "tightens"),
        ("no longer applies to models a for tenant acme", "loosens"),
    ]
    assert said(old.replace(", models: [a, b]", ""), old) == [
        ("applies to all models, before only to a, b for tenant acme", "tightens")
    ]
    assert said(old.replace("[a, b]", "[b, a]"), old) == []
    assert said(old.replace("[a, b]", "[a, b, c]"), old) == [("also applies to models c for tenant acme", "tightens")]
    assert said(old.replace("[a, b]", "[a]"), old) == [("no longer applies to models b for tenant acme", "loosens")]
    when = POLICY.replace("description: one", "match: {when: 'tenant.name == \"a\"'}")
    assert ('applies when tenant.name == "a" -> always', "tightens") in said(POLICY, when)
    assert ('applies when tenant.name == "a" -> tenant.name == "b"', "either") in said(when.replace('"a"', '"b"'), when)


def test_overrides_of_a_tenant() -> None:
    old = POLICY + "tenants: {acme: {checks: {attack: {threshold: 0.7}}}}\n"
    assert said(old.replace("0.7", "0.6"), old) == [("`attack` threshold 0.7 -> 0.6 for tenant acme", "tightens")]
    assert said(old) == [("has overrides for tenant acme", "tightens")]
    assert said(POLICY, old) == [("no longer has overrides for tenant acme", "loosens")]
    assert said(old.replace("words: [a]", "words: [a, b]"), old) == [("`words` words gained b", "tightens")]


def test_policies_that_came_went_or_were_renamed() -> None:
    other = POLICY.replace("policy: support", "policy: other").replace("[a]", "[b]")
    quiet = "policy: quiet\nrules: [{id: r, when: check_error, action: flag}]\n"
    tenants = other + "tenants: {acme: {checks: {attack: {threshold: 0.7}}}}\n"
    assert changes(policies(POLICY), policies(POLICY, tenants, quiet)) == [
        Change("other", "the policy is new, with 4 rules", "tightens"),
        Change("quiet", "the policy is new, with 1 rule", "neutral"),
    ]
    assert changes(policies(POLICY, other), policies(POLICY)) == [
        Change("other", "the policy was removed, with 4 rules", "loosens")
    ]
    renamed = other.replace("policy: other", "policy: again")
    assert changes(policies(POLICY, other), policies(POLICY, renamed)) == [
        Change("again", "was named other", "neutral")
    ]
    assert changes(policies(POLICY), policies(other)) == [
        Change("other", "was named support", "neutral"),
        Change("other", "`words` words gained b", "tightens"),
        Change("other", "`words` words lost a", "loosens"),
    ]


def test_what_a_policy_extends() -> None:
    base = "policy: base\nchecks: {s: {use: secrets}}\nrules: [{id: s, when: s, action: block}]\n"
    team = "policy: team\n{}rules: [{{id: r, when: check_error, action: flag}}]\n"
    found = changes(policies(base, team.format("")), policies(base, team.format("extends: base\n")))
    assert Change("team", "extends nothing -> base", "neutral") in found
    assert Change("team", "the rule `s` is new (block when s, on request, response)", "tightens") in found


def test_order_never_matters() -> None:
    lines = POLICY.splitlines(keepends=True)
    checks, rules = lines[4:7], lines[8:12]
    for order in permutations(range(3)):
        mixed = [*lines[:4], *(checks[at] for at in order), lines[7], *reversed(rules)]
        assert said("".join(mixed)) == []
    other = POLICY.replace("policy: support", "policy: other")
    assert changes(policies(POLICY, other), policies(other, POLICY)) == []


NAMES = ("attack", "pii", "words")
WHEN = st.recursive(
    st.sampled_from(NAMES),
    lambda inner: st.tuples(inner, st.sampled_from(("and", "or")), inner).map(lambda x: f"({x[0]} {x[1]} {x[2]})"),
    max_leaves=5,
)


@given(WHEN, WHEN)
def test_what_a_condition_implies_is_the_reverse_the_other_way_round(one: str, other: str) -> None:
    texts = [
        POLICY.replace("on: [user, tool_result], when: attack", f"on: user, when: {when}") for when in (one, other)
    ]
    there = {effect for words, effect in said(texts[1], texts[0]) if "when" in words}
    back = {effect for words, effect in said(texts[0], texts[1]) if "when" in words}
    reverse = {"loosens": "tightens", "tightens": "loosens"}
    assert there == {reverse.get(effect, effect) for effect in back}


@given(WHEN)
def test_an_expression_is_written_as_it_can_be_read(when: str) -> None:
    tree = parse_expression(when, NAMES)
    again = parse_expression(expression_text(tree), NAMES)
    assert expression_text(again) == expression_text(tree)


def test_an_expression_of_many_names_is_not_tried_out() -> None:
    names = [f"n{number}" for number in range(12)]
    listed = "".join(f"  {name}: {{use: secrets}}\n" for name in names)
    policy = "policy: many\nchecks:\n{}rules: [{{id: r, when: {}, action: block}}]\n"
    old, new = (policy.format(listed, " or ".join(some)) for some in (names, names[:-1]))
    assert [effect for _, effect in said(new, old)] == ["loosens"]
    pairs = [" and ".join(f"({one} or {other})" for one, other in pairwise(names)) + end for end in ("", " and n0")]
    old, new = (policy.format(listed, when) for when in pairs)
    assert [effect for _, effect in said(new, old)] == ["either"]
