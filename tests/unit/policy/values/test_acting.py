"""Actions: guardproxy's own, and those of other packages, whose faults are faults of the policy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.decisions import Confirm, DropChunk, Edit, Pass, Retry, Stop
from guardproxy.errors import ConfigError, OptionError, PolicyError
from guardproxy.findings import Direction, Kind
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.policy.file.document_schema import schema
from guardproxy.policy.file.load import build_checks, parse, parse_all
from guardproxy.policy.file.reader import read_policies
from guardproxy.policy.values import acting
from guardproxy.policy.values.actions import ACTIONS, decides
from guardproxy.policy.values.cases import RawExchange, RequestFacts
from guardproxy.policy.values.document import WORDS_OF_ON, Rule, words_for
from guardproxy.policytest.explaining import scene_of
from guardproxy.policytest.playing import play_scene
from guardproxy.policytest.scan import scan_text
from guardproxy.policytest.scenes import Cuts
from guardproxy.wire import Codec, codecs
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
    assert "hush" in schema()["$defs"]["rule"]["properties"]["action"]["else"]["enum"]


def test_without_it_the_word_is_unknown() -> None:
    with pytest.raises(PolicyError, match=rf"4:\d+: unknown word `hush` \(expected one of {', '.join(ACTIONS)}\)"):
        parse(text(), "p.yaml")


def test_what_an_action_is_told_belongs_to_it(install: Install) -> None:
    install("guardproxy.actions", "hush", hush)
    with pytest.raises(PolicyError, match="`with` belongs to actions of other packages, not to block"):
        parse(text(", with: {}").replace("hush", "block"), "p.yaml")
    with pytest.raises(PolicyError, match="expected a mapping, found a word"):
        parse(text(", with: night"), "p.yaml")
    with pytest.raises(PolicyError, match="`message` belongs to the actions block and confirm and retry, not to hush"):
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


WATCH = "policy: p\nchecks: {%s}\nrules: [{id: r, %swhen: c, action: %s}]\n"
FALCON = "c: {use: pattern, words: [falcon]}"
CHECKS = {
    "all texts": FALCON,
    "answers": "c: {use: json_schema, schema: from_request}",
    "answers of any kind": "c: {use: grounded}",
}
Places = frozenset[tuple[Direction, Kind]]


def is_seen(policies: PolicySet, codec: Codec, direction: Direction, kind: Kind) -> bool:
    """Whether the rule holds for a text at a place of a format."""
    scene = scene_of("a falcon flies", direction, kind, codec.author)
    hits = play_scene(policies, scene, RequestFacts(codec.author.ROUTE), Cuts()).hits
    return any(hit.direction == direction for hit in hits)


def writable() -> Iterator[tuple[Codec, Direction, Kind]]:
    """Every place of a text in every format."""
    for codec in codecs():
        for direction, kinds in codec.contract.carried().items():
            for kind in kinds:
                if direction == "request" or codec.author.answer_with(kind, "x") is not None:
                    yield codec, direction, kind


@pytest.mark.parametrize("action", ACTIONS)
def test_a_rule_inspects_every_text_that_it_names_or_is_refused(action: str) -> None:
    """Real scans: each place that an action reaches is inspected in each format, and a rule that names a further place, where
    its check can find something, does not load."""
    reached: Places = acting.reach(action) & frozenset().union(*WORDS_OF_ON.values())
    policies = policy_set(WATCH % (FALCON, f"on: [{', '.join(words_for(reached))}], ", action))
    assert policies.policies[0].rules[0].on == reached
    for codec, direction, kind in writable():
        inspected = is_seen(policies, codec, direction, kind)
        is_history = decides(action, Confirm) and direction != codec.contract.calls.made  # of calls that are over
        assert inspected == ((direction, kind) in reached and not is_history), (codec.name, direction, kind)
    for check in CHECKS.values():
        traits = policy_set(WATCH % (check, "", "flag")).checks["p", "c"].traits
        if traits.judges_whole and decides(action, Edit):
            continue  # refused whatever the text is
        sees = traits.looks_at
        for on, places in [("", WORDS_OF_ON["request"] | WORDS_OF_ON["response"]), *WORDS_OF_ON.items()]:
            text = WATCH % (check, f"on: [{on}], " if on else "", action)
            if places & sees <= reached and places & reached:
                assert policy_set(text).policies[0].rules[0].on == places & reached
            else:
                with pytest.raises(PolicyError, match=re.escape(acting.only(action))):
                    policy_set(text)


@pytest.mark.parametrize(
    ("on", "place", "said"),
    [
        ("on: user, ", "3:17", "it would not inspect request.user, which `on` names"),
        (
            "on: [response, tool_result], ",
            "3:17",
            "it would not inspect request.tool_result, request.document, which `on` names",
        ),
        ("", "3:26", "it would not inspect request, which a rule without `on` inspects"),
    ],
)
def test_a_lost_text_is_named(on: str, place: str, said: str) -> None:
    with pytest.raises(PolicyError) as caught:
        policy_set(WATCH % (FALCON, on, "retry"))
    assert str(caught.value) == f"policy0.yaml:{place}: {acting.only('retry')}; {said}"


@pytest.mark.parametrize(
    ("on", "action", "change", "said"),
    [
        ("user", "flag", "action: retry", "3:17: .*`on` of the rule `r` may not lose `user` of the request"),
        ("response", "retry", "on: [user, response]", ":.* a retry .* would not inspect request.user"),
    ],
)
def test_an_heir_and_a_tenant_are_held_to_it_too(on: str, action: str, change: str, said: str) -> None:
    base = WATCH % (FALCON, f"on: {on}, ", action)
    with pytest.raises(PolicyError, match=said):
        build_checks(
            parse_all([("p.yaml", f"{base}tenants: {{acme: {{rules: [{{id: r, {change}}}]}}}}\n")]), Resources()
        )
    team = f"policy: team\nextends: p\nrules: [{{id: r, {change}}}]\n"
    with pytest.raises(PolicyError, match=said):
        build_checks(parse_all([("b.yaml", base), ("t.yaml", team)]), Resources())


@pytest.mark.parametrize("use", ["json_schema, schema: from_request", "grounded"])
def test_a_check_finds_nothing_where_it_says_that_it_does_not_look(use: str) -> None:
    """The errors above rest on what a check says of its texts: here many texts of an exchange are equal."""
    policies = policy_set(WATCH % (f"c: {{use: {use}}}", "", "flag"))
    said = "The fee of Falcon Airways is 712 euros."
    call = {"id": "a", "type": "function", "function": {"name": "fly", "arguments": said}}
    answer = {"role": "assistant", "content": said, "tool_calls": [call]}
    request = {
        "model": "m",
        "messages": [
            *({"role": "system", "content": said}, {"role": "user", "content": "What is it?"}),
            *(answer, {"role": "tool", "tool_call_id": "a", "content": "Nothing."}),
        ],
        "response_format": {"type": "json_schema", "json_schema": {"name": "fee", "schema": {"type": "object"}}},
        "tools": [
            {"type": "function", "function": {"name": "fly", "parameters": {"type": "object", "properties": {}}}}
        ],
    }
    scene = RawExchange(request, ({"choices": [{"index": 0, "finish_reason": "stop", "message": answer}]},))
    found = {
        (finding.direction, finding.kind) for finding in play_scene(policies, scene, RequestFacts(), Cuts()).findings
    }
    assert found
    assert found <= policies.checks["p", "c"].traits.looks_at
