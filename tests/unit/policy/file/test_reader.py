"""What the reading of policy files gives, and what each broken file is told: file, line, column, message."""

from __future__ import annotations

import pytest

from guardproxy.errors import PolicyError
from guardproxy.findings import KINDS
from guardproxy.policy.conditions.expression import And, Name, Or
from guardproxy.policy.file.load import PolicyErrors, parse, parse_all
from guardproxy.policy.file.reader import read_policies
from guardproxy.policy.values.document import Match, Policy
from guardproxy.policy.yaml.tree import FilePlace
from tools.pages import broken_policies

OK = "policy: p\nchecks: {pii: {use: pii}}\nrules: [{id: r, when: pii, action: flag}]\n"
ONLY_RULE = "rules: [{id: r, when: check_error, action: flag}]\n"


def rule(text: str) -> str:
    return f"policy: p\nchecks: {{pii: {{use: pii}}, words: {{use: pattern}}}}\nrules:\n  - {{id: r, {text}}}\n"


@pytest.fixture(scope="module")
def broken() -> dict[str, list[str]]:
    return broken_policies.every()


def test_a_broken_file_is_told_what_to_change_and_where(broken: dict[str, list[str]]) -> None:
    assert len(broken) >= 60
    assert [name for name, messages in broken.items() if not messages] == []


def test_a_file_that_is_too_large_is_not_read() -> None:
    with pytest.raises(PolicyErrors, match=r"p\.yaml:1:1: the file is larger than 1048576 bytes"):
        parse("#" * (1 << 20) + "\n", "p.yaml")


EXAMPLE = """\
# what a support bot needs
policy: support-bot
description: >
  Customer identifiers never
  reach the model.
match:
  routes: ["POST /v1/chat/completions", "POST /v1/messages"]
  models: ["gpt-*"]
checks:
  pii:     {use: pii, entities: [PERSON, EMAIL_ADDRESS], threshold: 0.5, deep: {on: no, off: ~}}
  secrets: {use: secrets}
  attack:  {use: supervisor, label: injection}
rules:
  - {id: out, on: request, when: pii or secrets, action: redact}
  - {id: keep-out, on: [user, error], when: attack and (pii or check_error), action: block, message: "no: not here"}
  - {id: watch, on: response, when: secrets, action: redact, mode: shadow, severity: high}
  - {id: seen, when: "pii", action: flag}
on_error: flag
unmapped: refuse
audit: {keep: none}
tests:
  - name: a card number never leaves
    request: "charge 4111 1111 1111 1111 please"
    expect: {rule: out, decision: redact, upstream_lacks: ["4111", charge], upstream_has: please, client_lacks: x}
  - {name: an answer, response: fine, expect: {decision: pass}}
"""


@pytest.fixture
def policy() -> Policy:
    return parse(EXAMPLE, "some/p.yaml")


def test_every_key_of_a_file_arrives(policy: Policy) -> None:
    assert (policy.name, policy.source) == ("support-bot", "some/p.yaml")
    assert policy.description == "Customer identifiers never reach the model.\n"
    assert policy.match == Match(("POST /v1/chat/completions", "POST /v1/messages"), ("gpt-*",), None)
    assert (policy.on_error, policy.unmapped, policy.keep) == ("flag", "refuse", "none")
    assert list(policy.checks) == ["pii", "secrets", "attack"]
    assert (policy.place.line, policy.place.column) == (2, 9)


def test_options_are_plain_values_with_places(policy: Policy) -> None:
    pii = policy.checks["pii"]
    assert pii.use == "pii"
    # `on`, `no` and `off` are words in YAML 1.2
    assert pii.options == {
        "entities": ["PERSON", "EMAIL_ADDRESS"],
        "threshold": 0.5,
        "deep": {"on": "no", "off": None},
    }
    assert (pii.place.line, pii.place.column) == (10, 3)
    assert {key: place.column for key, place in pii.places.items()} == {
        "use": 13,
        "entities": 23,
        "threshold": 58,
        "deep": 74,
        "entities[0]": 34,
        "entities[1]": 42,
    }


def test_rules_arrive_with_their_defaults(policy: Policy) -> None:
    out, keep_out, watch, seen = policy.rules
    assert (out.id, out.action, out.mode, out.restore, out.severity) == ("out", "redact", "enforce", True, None)
    assert out.when == Or((Name("pii"), Name("secrets")))
    assert keep_out.when == And((Name("attack"), Or((Name("pii"), Name("check_error")))))
    assert (keep_out.message, keep_out.restore) == ("no: not here", False)
    assert (watch.mode, watch.severity) == ("shadow", "high")
    assert seen.when == Name("pii")
    assert [rule.place.line for rule in policy.rules] == [14, 15, 16, 17]


def test_a_redacting_rule_restores_only_what_left_in_a_request(policy: Policy) -> None:
    assert policy.rules[2].restore is False
    both = parse(rule("when: pii, action: redact"), "p.yaml").rules[0]
    assert both.restore is True
    without = parse(rule("on: request, when: pii, action: redact, restore: false"), "p.yaml").rules[0]
    assert without.restore is False


def test_on_is_a_direction_a_kind_or_both(policy: Policy) -> None:
    out, keep_out, watch, seen = policy.rules
    assert out.on == {("request", kind) for kind in KINDS if kind != "error"}
    assert keep_out.on == {("request", "user"), ("response", "user"), ("response", "error")}
    assert watch.on == {("response", kind) for kind in KINDS if kind != "document"}
    assert seen.on == out.on | watch.on


def test_a_file_needs_only_a_name_and_rules() -> None:
    policy = parse(b"policy: p\n" + ONLY_RULE.encode(), "p.yaml")
    assert (policy.match, policy.checks, policy.tests, policy.description) == (Match(), {}, (), "")
    assert (policy.on_error, policy.unmapped, policy.keep) == ("block", "scan", "redacted")


def test_a_byte_order_mark_and_windows_line_ends_are_read() -> None:
    assert parse("\ufeff" + OK.replace("\n", "\r\n"), "p.yaml").name == "p"


def test_errors_of_one_file_come_together_in_its_order() -> None:
    text = "policy: P\non_error: allow\nrules:\n  - {id: r, on: usr, when: pii, action: flag}\nunmapped: 3\n"
    with pytest.raises(PolicyErrors) as caught:
        parse(text, "p.yaml")
    assert [error.line for error in caught.value.errors] == [1, 2, 4, 4, 5]


def test_a_broken_check_or_rule_may_still_be_named() -> None:
    text = (
        "policy: p\nchecks: {pii: 3}\nrules: [{id: r, when: pii, action: fly}]\n"
        "tests: [{name: t, request: a, expect: {rule: r}}]\n"
    )
    with pytest.raises(PolicyErrors) as caught:
        parse(text, "p.yaml")
    assert [error.line for error in caught.value.errors] == [2, 3]


BASE = """\
policy: base
vars: {limit: 0.8, contact: security@example.com}
checks:
  attack: {use: supervisor, threshold: "${limit}"}
  words: {use: pattern, words: [umbrella]}
rules:
  - {id: no-attacks, on: request, when: attack, action: block, message: "ask ${contact}"}
  - {id: no-words, when: words, action: redact, mode: shadow, severity: low}
tenants:
  acme: {vars: {limit: 0.6}}
unmapped: refuse
"""


def every(*texts: str) -> dict[str, Policy]:
    return {policy.name: policy for policy in parse_all([(f"{at}.yaml", text) for at, text in enumerate(texts)])}


def test_a_policy_has_everything_of_the_one_that_it_extends() -> None:
    team = every(BASE, "policy: team\nextends: base\nmatch: {models: [m]}\n")["team"]
    base = parse(BASE, "b.yaml")
    assert (team.checks, team.rules, team.unmapped) == (base.checks, base.rules, "refuse")
    assert team.match.models == ("m",), "what a policy is for is its own"
    assert team.stands_for == {"base"}
    assert team.checks["attack"].places["threshold"].path == "0.yaml"


def test_a_policy_may_add_and_tighten() -> None:
    text = """\
policy: team
extends: base
vars: {limit: 0.7}
checks:
  words: {words: [umbrella, falcon]}
  keys: {use: secrets}
rules:
  - {id: no-words, mode: enforce, action: block, severity: high, when: words or keys}
  - {id: no-keys, when: keys, action: redact}
"""
    team = every(BASE, text)["team"]
    assert team.checks["attack"].options["threshold"] == 0.7, (
        "a variable that is set again counts for what is inherited"
    )
    assert team.checks["words"].options["words"] == ["umbrella", "falcon"]
    assert [(one.id, one.action, one.mode) for one in team.rules] == [
        ("no-attacks", "block", "enforce"),
        ("no-words", "block", "enforce"),
        ("no-keys", "redact", "enforce"),
    ]


def test_a_tenant_has_a_policy_of_its_own_beside_the_file() -> None:
    found = every(BASE, "policy: team\nextends: base\ntenants: {acme: {rules: [{id: no-words, mode: enforce}]}}\n")
    assert list(found) == ["base", "base@acme", "team", "team@acme"]
    mine = found["team@acme"]
    assert (mine.tenant, mine.file, found["team"].file) == ("acme", "team", "team")
    assert mine.match.tenants == ("acme",)
    assert mine.checks["attack"].options["threshold"] == 0.6, "the baseline's overrides for the tenant count too"
    assert mine.rules[1].mode == "enforce"
    assert mine.stands_for == {"team", "base", "base@acme"}
    assert mine.tests == ()


def test_a_tenant_that_the_policy_is_not_for_is_left_out() -> None:
    found = every(BASE, "policy: team\nextends: base\nmatch: {tenants: [blue]}\n")
    assert "team@acme" not in found


def test_the_name_of_a_tenant_is_no_pattern() -> None:
    found = every(BASE.replace("acme", '"a*[x]?"'))
    assert found["base@a*[x]?"].match.tenants == ("a[*][[]x][?]",)


def test_a_chain_of_policies_is_read_from_its_beginning() -> None:
    chain = ["policy: c\nextends: b\n", "policy: b\nextends: base\n", BASE]
    assert every(*chain)["c"].stands_for == {"b", "base"}


def test_a_tenant_must_not_loosen_what_the_baseline_says_for_it() -> None:
    with pytest.raises(PolicyErrors, match=r"1.yaml:3:25: tenant acme: `threshold` .* from 0.6 to 0.7"):
        every(BASE, "policy: team\nextends: base\ntenants: {acme: {vars: {limit: 0.7}}}\n")


def test_mistakes_of_the_baseline_come_first() -> None:
    found = read_policies([("a.yaml", "policy: a\nextends: b\n"), ("b.yaml", "policy: b\nrules: []\n"), ("c.yaml", "")])
    assert [one.path for one in found if isinstance(one, PolicyError)] == ["b.yaml", "c.yaml"]


def test_a_file_that_extends_a_circle_is_not_blamed_for_it() -> None:
    files = [
        "policy: a\nextends: b\n",
        "policy: b\nextends: c\n",
        "policy: c\nextends: b\n",
        "policy: d\nextends: nobody\n",
    ]
    files.append("policy: e\nextends: d\n")
    found = read_policies([(f"{at}.yaml", text) for at, text in enumerate(files)])
    assert [one.path for one in found if isinstance(one, PolicyError)] == ["1.yaml", "2.yaml", "3.yaml"]


def test_variables_that_nothing_uses_are_known() -> None:
    policy = parse(OK + "vars: {a: 1, b: m}\nmatch: {models: ['${b}']}\n", "p.yaml")
    assert policy.unused == (("a", FilePlace(4, 8, "p.yaml")),)


@pytest.mark.parametrize(
    ("on", "places"),
    [
        ("request.assistant", {("request", "assistant")}),
        (
            "[request.system, tool_result]",
            {("request", "system"), ("request", "tool_result"), ("request", "document"), ("response", "tool_result")},
        ),
        ("document", {("request", "document")}),
        ("request.tool_result", {("request", "tool_result"), ("request", "document")}),
        ("[response.error]", {("response", "error")}),
    ],
)
def test_a_rule_looks_at_a_kind_in_one_direction(on: str, places: set[tuple[str, str]]) -> None:
    assert parse(rule(f"on: {on}, when: pii, action: flag"), "p.yaml").rules[0].on == places


def test_a_request_holds_no_error() -> None:
    with pytest.raises(PolicyErrors, match=r"unknown word `request\.error`"):
        parse(rule("on: request.error, when: pii, action: flag"), "p.yaml")


@pytest.mark.parametrize(("word", "parallel"), [("true", "on"), ("false", "off"), ("always", "always")])
def test_a_rule_may_be_parallel(word: str, parallel: str) -> None:
    (read,) = parse(rule(f"on: request, when: pii, action: block, parallel: {word}"), "p.yaml").rules
    assert read.parallel == parallel


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("on: request, when: pii, action: block, parallel: often", "expected `true`, `false` or `always`"),
        ("on: response, when: pii, action: block, parallel: true", "`parallel` is about requests"),
        ("on: request, when: pii, action: redact, parallel: true", "`parallel` belongs to the actions block and flag"),
    ],
)
def test_what_cannot_be_parallel(text: str, message: str) -> None:
    with pytest.raises(PolicyErrors, match=message):
        parse(rule(text), "p.yaml")
