"""Tests that are written from records: right ones pass, false alarms fail until the policy is mended, and they hold no value of
a person."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from guardproxy.audit import Record
from guardproxy.checks import Check, Resources, with_partner
from guardproxy.errors import RecordError
from guardproxy.inference.models import load_tagger
from guardproxy.library import all_but, loader
from guardproxy.policy import PolicySet
from guardproxy.policy.file import build_checks, parse
from guardproxy.policy.values import CheckSpec, Policy, RequestFacts, Rule, Texts
from guardproxy.policytest.authoring import LIMIT_CHARS, WrittenTest, written_test
from guardproxy.policytest.editing import with_allowed, with_test
from guardproxy.policytest.explaining import scene_of
from guardproxy.policytest.invented import EXAMPLES, invented
from guardproxy.policytest.running import run_tests
from guardproxy.testing import whole
from tests.kit.play import policy_set
from tests.kit.records import plain_answer, plain_text
from tests.kit.review_log import POLICY, SHIPPED, recorded
from tests.unit.policytest.test_invented import AROUND

MODELS = ("supervisor", "topic", "http", "llm")  # of checks that load a model or ask one
FORMS = ("It is {} here.", "{}", "![x]({})", "<a href='{}'>here</a>", "[a]({})", "<{}>", "[a]: {}")


@cache
def shipped(name: str) -> PolicySet:
    return loader(selection=all_but(MODELS))(SHIPPED / name)


def rules() -> Iterator[tuple[str, str, str, str, str]]:
    """Each rule of each shipped policy, with a check of it and a label of that check."""
    for path in sorted(SHIPPED.rglob("*.yaml")):
        name = path.parent.name if path.parent != SHIPPED else path.name
        policies = shipped(name)
        policy = next(known for known in policies.policies if Path(known.source).name == path.name)
        for rule in policy.rules:
            for check in sorted(rule.when.names() & policy.checks.keys()):
                if label := next(labels(policies.checks[policy.name, check], policy.checks[check]), ""):
                    yield name, policy.name, rule.id, check, label


def labels(check: Check, spec: CheckSpec) -> Iterator[str]:
    """The labels of a check that have made-up values."""
    for label in sorted((check.traits.labels or frozenset()) - {"UNDECODED"}):
        if any(True for _ in invented(check, spec.options, label)):
            yield label


def every_label() -> Iterator[tuple[str, str, str]]:
    """Each label of the checks of the shipped policies once: use, options as JSON, label."""
    seen: set[tuple[str, str]] = set()
    for name in ("agents", "default.yaml", "eu-ai-act", "healthcare", "payments", "pii-only", "strict"):
        policies = shipped(name)
        for policy in policies.policies:
            for check, spec in policy.checks.items():
                for label in labels(policies.checks[policy.name, check], spec):
                    if (spec.use, label) not in seen:
                        seen.add((spec.use, label))
                        yield spec.use, json.dumps(dict(spec.options)), label


def record_of(policies: PolicySet, policy: Policy, rule: Rule, name: str, label: str) -> Record | None:
    """A record of an exchange in which the rule held for this label, if a short text makes it hold."""
    built: Check = policies.checks[policy.name, name]
    route = next(iter(policy.match.routes or ()), RequestFacts().route).replace("*", "files")
    facts = RequestFacts(route=route, formats=policies.formats)
    codec = policies.formats.codec_for(route)
    assert codec
    around = EXAMPLES.get(label, "")
    forms = [re.sub(r"\{.*\}", "{}", around)] if "{" in around else []
    values = itertools.islice(invented(built, policy.checks[name].options, label), 1000)
    every = (form.replace("{}", value) for value in values for form in (*forms, AROUND.get(label, FORMS[0]), *FORMS))
    found = (
        text
        for text in every
        if any(finding.label == label for part in with_partner(built) for finding in whole(part, text))
    )
    usual = (("request", "user"), ("response", "assistant"))
    places = sorted(rule.on, key=lambda place: (place not in usual, place))[:3]
    for text in itertools.islice(found, 3):
        for direction, kind in places:
            try:
                scene = scene_of(text, direction, kind, codec.author)
            except (KeyError, ValueError, TypeError):
                continue
            record = recorded(policies, policy, scene, facts)
            if any((held.rule, held.label) == (rule.id, label) for held in record.decisions):
                return record
    return None


def holds(record: Record | None, policies: PolicySet, policy: str, rule: str) -> None:
    """Whether the tests of both verdicts say what they should."""
    if record is None:
        pytest.skip("no short text makes this rule hold for this label")
    right = written_test(record, policies, policy, rule, "right")
    assert right.passes, (right.faults, right.lines)
    alarm = written_test(record, policies, policy, rule, "false_alarm")
    assert not alarm.passes, (alarm.note, alarm.lines)
    for test in (right, alarm):
        assert with_test(POLICY, test.lines)


@pytest.mark.parametrize(("name", "policy_name", "rule_id", "check", "label"), list(rules()))
def test_every_rule_of_the_shipped_policies(name: str, policy_name: str, rule_id: str, check: str, label: str) -> None:
    policies = shipped(name)
    policy = next(known for known in policies.policies if known.name == policy_name)
    rule = next(known for known in policy.rules if known.id == rule_id)
    holds(record_of(policies, policy, rule, check, label), policies, policy_name, rule_id)


@cache
def alone(use: str, options: str) -> PolicySet:
    check = json.dumps({"use": use, **json.loads(options)})
    rule = "{id: r, on: [user, assistant], when: c, action: redact}"
    policies = (parse(f"policy: p\nchecks: {{c: {check}}}\nrules: [{rule}]\n", "p.yaml"),)
    return PolicySet(policies, build_checks(policies, Resources(tagger=cache(load_tagger))), "sha256:test")


@pytest.mark.parametrize(("use", "options", "label"), list(every_label()), ids=lambda value: value[:30])
def test_every_label_of_the_shipped_policies(use: str, options: str, label: str) -> None:
    policies = alone(use, options)
    policy = policies.policies[0]
    holds(record_of(policies, policy, policy.rules[0], "c", label), policies, "p", "r")


def written(
    text: str, verdict: str = "right", number: int | None = None, policy: str = POLICY, rule: str = "no-mail"
) -> WrittenTest:
    policies = policy_set(policy)
    record = recorded(policies, policies.policies[0], Texts(text, ("Ask desk@example.com, or 4111 1111 1111 1111.",)))
    return written_test(record, policies, "desk", rule, verdict, number)


def test_values_are_made_up_and_equal_ones_stay_equal() -> None:
    test = written("Write to jane.roe@example.com and bob@example.com, and again to jane.roe@example.com.")
    assert test.passes
    assert "jane" not in test.lines
    assert len(test.values) == 2
    first, second = test.values.values()
    assert f"Write to {first} and {second}, and again to {first}." in test.lines
    assert f'"upstream_lacks": ["{first}", "{second}"]' in test.lines


def test_a_false_alarm_lists_the_other_rules() -> None:
    test = written("Ask Globex at jane.roe@example.com.", "false_alarm")
    assert not test.passes
    assert 'expect: {"rule": "none"}' in test.lines
    assert test.faults == ("expected these rules to hold: none; rules that hold: no-mail",)
    quiet = written("Ask Globex at jane.roe@example.com.", "false_alarm", rule="no-rivals")
    assert not quiet.passes
    assert 'expect: {"shadow": "none"}' in quiet.lines
    assert written("Ask Globex at jane.roe@example.com.", "right", rule="no-rivals").passes


def test_a_mended_policy_passes_the_test_of_a_false_alarm() -> None:
    test = written("Ask jane.roe@example.com.", "false_alarm")
    (value,) = test.values.values()
    mended = policy_set(with_test(with_allowed(POLICY, "pii", value), test.lines))
    assert [case.mismatches for case in run_tests(mended, lambda path: b"")] == [()]


def test_what_was_missed_fails_until_the_rule_holds() -> None:
    test = written("Ask jane at example dot com.", "missed")
    assert not test.passes
    assert 'expect: {"rule": "no-mail"}' in test.lines
    shadow = written("Ask jane.roe@example.com about Gl0bex.", "missed", rule="no-rivals")
    assert not shadow.passes
    assert 'expect: {"shadow": ["no-rivals"]}' in shadow.lines


def test_a_long_text_is_cut_around_what_was_found() -> None:
    padding = "\n".join(["Nothing to see in this line."] * 200)
    test = written(f"{padding}\nWrite to jane.roe@example.com now.\n{padding}")
    assert test.passes
    assert len(test.lines) < 2000
    assert "Write to " in test.lines
    assert "\\n" in test.lines


def test_a_rule_that_needs_all_of_a_long_text_gets_it() -> None:
    policy = POLICY.replace("when: pii, action: redact", "when: pii and rivals, action: block")
    padding = "Nothing to see here. " * 150
    test = written(f"Globex. {padding} Write to jane.roe@example.com.", policy=policy)
    assert test.passes
    assert "Globex" in test.lines


def test_texts_of_other_kinds_are_sent_as_they_came() -> None:
    policies = policy_set(POLICY)
    codec = policies.formats.codec_for(RequestFacts().route)
    assert codec
    scene = scene_of("Write to jane.roe@example.com.", "request", "tool_result", codec.author)
    record = recorded(policies, policies.policies[0], scene)
    test = written_test(record, policies, "desk", "no-mail", "right")
    assert test.passes
    assert '    route: "POST /v1/chat/completions"' in test.lines
    assert '"role": "tool"' in test.lines


def test_a_rule_that_does_not_hold_any_more_says_so() -> None:
    policies = policy_set(POLICY)
    record = recorded(policies, policies.policies[0], Texts("Write to jane.roe@example.com."))
    changed = policy_set(POLICY.replace("entities: [EMAIL_ADDRESS, CREDIT_CARD]", "entities: [CREDIT_CARD]"))
    test = written_test(record, changed, "desk", "no-mail", "right")
    assert "does not hold" in test.note
    assert 'expect: {"decision": "pass"}' in test.lines


@pytest.mark.parametrize(("policy", "rule"), [("desk", "gone"), ("other", "no-mail")])
def test_a_rule_that_is_gone_makes_no_test(policy: str, rule: str) -> None:
    policies = policy_set(POLICY)
    record = recorded(policies, policies.policies[0], Texts("Write to jane.roe@example.com."))
    with pytest.raises(RecordError, match="renamed or removed"):
        written_test(record, policies, policy, rule, "right")


def test_texts_that_are_not_kept_make_no_test() -> None:
    policies = policy_set(POLICY + "audit: {keep: none}\n")
    record = recorded(policies, policies.policies[0], Texts("Write to jane.roe@example.com."))
    with pytest.raises(RecordError, match="sealed or not kept"):
        written_test(record, policies, "desk", "no-mail", "right")
    with pytest.raises(RecordError, match="sealed or not kept"):
        written_test(record, policies, "desk", "no-mail", "missed", 99)


def test_a_text_that_is_too_long_makes_no_test() -> None:
    policies = policy_set(POLICY)
    record = recorded(policies, policies.policies[0], Texts("x" * LIMIT_CHARS + " jane.roe@example.com"))
    with pytest.raises(RecordError, match="too long for a test"):
        written_test(replace(record, route="POST /other"), policies, "desk", "no-mail", "right")


def with_text(text: str, **changes: Any) -> Record:
    """The record of a request with another text in its place, as a log could hold it."""
    policies = policy_set(POLICY)
    record = recorded(policies, policies.policies[0], Texts("Write to jane.roe@example.com."))
    asked = replace(record.request.texts[-1], text=text, findings=())
    return replace(record, request=replace(record.request, texts=(asked,), body=None), **changes)


@pytest.mark.parametrize(
    ("mark", "value"),
    [
        ("[US_SSN_bcdfghjkmnpq]", "us ssn"),  # no check of the policy finds it
        ("[CREDIT_CARD_bcdfghjkmnpq]12345678", "4716 2093 8841 0577"),  # the digits behind it make another number
    ],
)
def test_a_mark_that_no_check_finds_becomes_the_likeliest_value(mark: str, value: str) -> None:
    test = written_test(with_text(f"It is {mark} here."), policy_set(POLICY), "desk", "no-mail", "missed")
    assert tuple(test.values.values()) == (value,)


def test_a_format_without_such_texts_makes_no_test() -> None:
    policies = policy_set(POLICY)
    record = recorded(policies, policies.policies[0], Texts("Hello.", ("Fine.",)))
    answer = plain_answer(plain_text("response", "No.", kind="refusal"))
    other = replace(record, response=answer, route="POST /api/generate")
    with pytest.raises(RecordError, match="too long for a test"):
        written_test(other, policies, "desk", "no-mail", "missed", len(record.request.texts))
