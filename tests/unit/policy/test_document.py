"""What the reading of a policy file gives, and what each broken file is told: file, line, column, message."""

from __future__ import annotations

import pytest

from guardproxy.findings import KINDS
from guardproxy.policy.document import Match, Policy
from guardproxy.policy.expression import And, Name, Or
from guardproxy.policy.load import PolicyErrors, parse

OK = "policy: p\nchecks: {pii: {use: pii}}\nrules: [{id: r, when: pii, action: flag}]\n"
ONLY_RULE = "rules: [{id: r, when: check_error, action: flag}]\n"


def rule(text: str) -> str:
    return f"policy: p\nchecks: {{pii: {{use: pii}}, words: {{use: pattern}}}}\nrules:\n  - {{id: r, {text}}}\n"


def example(text: str) -> str:
    return f"{OK}tests:\n  - {text}\n"


def case(name: str, text: str | bytes, *messages: str) -> object:
    return pytest.param(text, [f"p.yaml:{message}" for message in messages], id=name)


BROKEN = [
    case(
        "empty",
        "",
        "1:1: the file is empty; begin with `policy: some-name`",
    ),
    case(
        "only a comment",
        "# nothing yet\n",
        "1:1: the file is empty; begin with `policy: some-name`",
    ),
    case(
        "an empty document",
        "---\n",
        "2:1: expected a mapping that begins with `policy: some-name`, found nothing",
    ),
    case(
        "a list",
        "- policy: p\n",
        "1:1: expected a mapping that begins with `policy: some-name`, found a list",
    ),
    case(
        "a text",
        "hello\n",
        "1:1: expected a mapping that begins with `policy: some-name`, found a word",
    ),
    case(
        "not utf-8",
        b"policy: p\ndescription: caf\xe9\n",
        "2:17: not UTF-8; save the file as UTF-8",
    ),
    case(
        "too large",
        "#" * (1 << 20) + "\n",
        "1:1: the file is larger than 1048576 bytes",
    ),
    case(
        "tab for indent",
        "policy: p\nchecks:\n\tpii: {use: pii}\n",
        "3:1: a tab; indent with spaces, and write \\t between double quotes where a text needs one",
    ),
    case(
        "control character",
        "policy: p\ndescription: a\x07b\n",
        "2:15: a control character; write it as an escape between double quotes",
    ),
    case(
        "nul",
        "policy: p\x00\n",
        "1:10: a control character; write it as an escape between double quotes",
    ),
    case(
        "two documents",
        OK + "---\n" + OK,
        "4:1: a second document; write one policy a file",
    ),
    case(
        "yaml 1.1",
        "%YAML 1.1\n---\n" + OK,
        "1:1: directives are not available; leave the line out",
    ),
    case(
        "tag directive",
        "%TAG !e! tag:example.test,2000:\n---\n" + OK,
        "1:1: directives are not available; leave the line out",
    ),
    case(
        "unknown directive yaml 2",
        "%YAML 2.0\n---\n" + OK,
        "1:1: not valid YAML: found incompatible YAML document (version 1.* is required)",
    ),
    case(
        "anchor",
        "policy: p\nchecks:\n  pii: &a {use: pii}\n",
        "3:8: anchors are not available; write the value out where it is needed",
    ),
    case(
        "alias",
        "policy: p\nrules: *rules\n",
        "2:8: aliases are not available; write the value out",
    ),
    case(
        "anchor on a key",
        "&k policy: p\n",
        "1:1: anchors are not available; write the value out where it is needed",
    ),
    case(
        "tag",
        "policy: !!str p\n",
        "1:9: tags are not available; leave the `!` word out, or put the text between quotes",
    ),
    case(
        "python tag",
        "policy: !!python/object/apply:os.system [ls]\n",
        "1:9: tags are not available; leave the `!` word out, or put the text between quotes",
    ),
    case(
        "bare tag",
        "policy: ! p\n",
        "1:9: tags are not available; leave the `!` word out, or put the text between quotes",
    ),
    case(
        "alias bomb",
        "a: &a [x, x]\nb: &b [*a, *a]\n",
        "1:4: anchors are not available; write the value out where it is needed",
    ),
    case(
        "duplicate top",
        OK + "rules: []\n",
        "4:1: duplicate key `rules`, first on line 3",
    ),
    case(
        "duplicate nested quoted",
        'policy: p\nchecks:\n  pii: {use: pii, "use": secrets}\n',
        "3:19: duplicate key `use`, first on line 3",
    ),
    case(
        "number key",
        OK + "1: x\n",
        "4:1: a key must be a word, found a number; quote it if it is meant",
    ),
    case(
        "true key",
        OK + "true: x\n",
        "4:1: a key must be a word, found `true`; quote it if it is meant",
    ),
    case(
        "null key",
        OK + "~: x\n",
        "4:1: a key must be a word, found nothing; quote it if it is meant",
    ),
    case(
        "list key",
        OK + "? [a, b]\n: x\n",
        "4:3: a key must be a word, found a list; quote it if it is meant",
    ),
    case(
        "unclosed",
        "policy: p\nrules: [{id: r\n",
        "3:1: not valid YAML: expected ',' or '}', but got '<stream end>'",
    ),
    case(
        "bad indentation",
        "policy: p\n  rules: []\n",
        "2:8: not valid YAML: mapping values are not allowed here",
    ),
    case(
        "unclosed quote",
        "policy: 'p\n",
        "2:1: not valid YAML: found unexpected end of stream",
    ),
    case(
        "bad escape",
        'policy: "p\\q"\n',
        "1:12: not valid YAML: found unknown escape character 'q'",
    ),
    case(
        "colon in text",
        "policy: p\ndescription: never: ever\n",
        "2:19: not valid YAML: mapping values are not allowed here",
    ),
    case(
        "at sign",
        "policy: p\ndescription: @home\n",
        "2:14: not valid YAML: found character '@' that cannot start any token",
    ),
    case(
        "too deep",
        "policy: " + "[" * 25 + "]" * 25 + "\n",
        "1:28: nested more than 20 levels deep",
    ),
    case(
        "huge number",
        "policy: " + "9" * 5000 + "\n",
        "1:9: a number with too many digits; quote it if it is a text",
    ),
    case(
        "unknown key",
        OK + "on_eror: block\n",
        (
            "4:1: unknown key `on_eror`; did you mean `on_error`? (allowed here: policy, description, match, "
            "checks, rules, on_error, unmapped, enforce, audit, tests)"
        ),
    ),
    case(
        "unknown key far",
        OK + "zzz: block\n",
        (
            "4:1: unknown key `zzz` (allowed here: policy, description, match, checks, rules, on_error, "
            "unmapped, enforce, audit, tests)"
        ),
    ),
    case(
        "extends",
        OK + "extends: other\n",
        "4:1: `extends` is not available in this version",
    ),
    case(
        "no policy no rules",
        "description: x\n",
        "1:1: `policy` is missing",
        "1:1: `rules` is missing",
    ),
    case(
        "number name",
        "policy: 12\n" + ONLY_RULE,
        "1:9: expected a word, found a number; quote it",
    ),
    case(
        "bad name",
        "policy: Support Bot\n" + ONLY_RULE,
        "1:9: a name has only the characters a-z, 0-9 and `-`",
    ),
    case(
        "empty name",
        "policy: ''\n" + ONLY_RULE,
        "1:9: expected a word, found an empty text",
    ),
    case(
        "description list",
        OK + "description: [a]\n",
        "4:14: expected a text, written as words, found a list",
    ),
    case(
        "on_error",
        OK + "on_error: blok\n",
        "4:11: unknown word `blok`; did you mean `block`? (expected one of block, flag)",
    ),
    case(
        "on_error allow",
        OK + "on_error: allow\n",
        "4:11: unknown word `allow` (expected one of block, flag)",
    ),
    case(
        "unmapped",
        OK + "unmapped: true\n",
        "4:11: expected one of scan, refuse, found `true`",
    ),
    case(
        "audit word",
        OK + "audit: redacted\n",
        "4:8: expected a mapping like `{keep: redacted}`, found a word",
    ),
    case(
        "keep sealed",
        OK + "audit: {keep: sealed}\n",
        "4:15: `sealed` is not available in this version; use one of none, redacted",
    ),
    case(
        "keep full",
        OK + "audit: {keep: full}\n",
        "4:15: `full` is not available in this version; use one of none, redacted",
    ),
    case(
        "keep unknown",
        OK + "audit: {keep: redact}\n",
        "4:15: unknown word `redact`; did you mean `redacted`? (expected one of none, redacted)",
    ),
    case(
        "audit key",
        OK + "audit: {kept: redacted}\n",
        "4:9: unknown key `kept`; did you mean `keep`? (allowed here: keep)",
    ),
    case(
        "match list",
        OK + "match: [a]\n",
        "4:8: expected a mapping, found a list",
    ),
    case(
        "match when",
        OK + "match: {when: tenant.name}\n",
        "4:9: `when` is not available in this version",
    ),
    case(
        "match unknown",
        OK + "match: {route: [x]}\n",
        "4:9: unknown key `route`; did you mean `routes`? (allowed here: routes, models, tenants)",
    ),
    case(
        "match word",
        OK + "match: {models: gpt-4}\n",
        "4:17: expected a list of words, found a word",
    ),
    case(
        "match number",
        OK + "match: {models: 4}\n",
        "4:17: expected a list of words, found a number; quote it",
    ),
    case(
        "match item",
        OK + "match: {models: [gpt, 4, [x], '', {a: b}]}\n",
        "4:23: expected a word, found a number; quote it",
        "4:26: expected a word, found a list",
        "4:31: expected a word, found an empty text",
        "4:35: expected a word, found a mapping",
    ),
    case(
        "match empty",
        OK + "match: {tenants: []}\n",
        "4:18: an empty list matches nothing; leave `tenants` out to match everything",
    ),
    case(
        "match route",
        OK + "match: {routes: [/v1/messages]}\n",
        "4:18: a route is a method and a path, like `POST /v1/chat/completions`",
    ),
    case(
        "checks list",
        "policy: p\nchecks: [pii]\n" + ONLY_RULE,
        "2:9: expected a mapping of check names, like `pii: {use: pii}`, found a list",
    ),
    case(
        "check word",
        "policy: p\nchecks: {pii: pii}\nrules: [{id: r, when: pii, action: flag}]\n",
        "2:15: expected a mapping with `use`, like `{use: pii}`, found a word",
    ),
    case(
        "check no use",
        "policy: p\nchecks: {pii: {entities: [PERSON]}}\nrules: [{id: r, when: pii, action: flag}]\n",
        "2:15: `use` is missing",
    ),
    case(
        "check use number",
        "policy: p\nchecks: {pii: {use: 1}}\nrules: [{id: r, when: pii, action: flag}]\n",
        "2:21: expected a word, found a number; quote it",
    ),
    case(
        "check reserved",
        "policy: p\nchecks: {or: {use: pii}}\n" + ONLY_RULE,
        "2:10: `or` has a meaning of its own in `when`; give the check another name",
    ),
    case(
        "check bad name",
        "policy: p\nchecks: {my check: {use: pii}}\n" + ONLY_RULE,
        "2:10: the name of a check begins with a-z and goes on with a-z, 0-9, `_` and `-`",
    ),
    case(
        "rules mapping",
        "policy: p\nrules: {id: r}\n",
        "2:8: expected a list of rules, found a mapping",
    ),
    case(
        "rules empty",
        "policy: p\nrules: []\n",
        "2:8: a policy without rules does nothing; write at least one rule",
    ),
    case(
        "rules nothing",
        "policy: p\nrules:\n",
        "2:7: expected a list of rules, found nothing",
    ),
    case(
        "rule word",
        "policy: p\nrules: [block]\n",
        "2:9: expected a mapping with `id`, found a word",
    ),
    case(
        "rule missing",
        "policy: p\nrules:\n  - {on: request}\n",
        "3:5: `id` is missing",
        "3:5: `when` is missing",
        "3:5: `action` is missing",
    ),
    case(
        "rule unknown key",
        rule("wen: pii, when: pii, action: flag"),
        (
            "4:13: unknown key `wen`; did you mean `when`? (allowed here: id, on, when, action, operators, restore, mode, "
            "enforce, message, severity, early, attempts, then, fallback, template, total_s, total_tokens, price)"
        ),
    ),
    case(
        "rule id",
        rule("when: pii, action: flag").replace("id: r", "id: No_Way"),
        "4:10: a name has only the characters a-z, 0-9 and `-`",
    ),
    case(
        "rule twice",
        rule("when: pii, action: flag") + "  - {id: r, when: words, action: flag}\n",
        "5:10: duplicate rule `r`, first on line 4",
    ),
    case(
        "rule action",
        rule("when: pii, action: blck"),
        "4:32: unknown word `blck`; did you mean `block`? (expected one of flag, redact, retry, block)",
    ),
    case(
        "rule action far",
        rule("when: pii, action: allow"),
        "4:32: unknown word `allow` (expected one of flag, redact, retry, block)",
    ),
    case(
        "rule on",
        rule("on: usr, when: pii, action: flag"),
        (
            "4:17: unknown word `usr`; did you mean `user`? (expected any of request, response, system, user, "
            "assistant, tool_result, tool_arguments, tool_definition, reasoning, refusal, metadata, error, unmapped)"
        ),
    ),
    case(
        "rule on list",
        rule("on: [user, answer], when: pii, action: flag"),
        (
            "4:24: unknown word `answer`; did you mean `user`? (expected any of request, response, system, "
            "user, assistant, tool_result, tool_arguments, tool_definition, reasoning, refusal, metadata, error, "
            "unmapped)"
        ),
    ),
    case(
        "rule on empty",
        rule("on: [], when: pii, action: flag"),
        "4:17: an empty list sees nothing; leave `on` out to see everything",
    ),
    case(
        "rule on number",
        rule("on: 3, when: pii, action: flag"),
        "4:17: expected a word or a list of words, found a number; quote it",
    ),
    case(
        "rule on true",
        rule("on: [true], when: pii, action: flag"),
        "4:18: expected a word, found `true`; quote it",
    ),
    case(
        "restore with block",
        rule("when: pii, action: block, restore: true"),
        "4:39: `restore` belongs to the action redact, not to block",
    ),
    case(
        "restore response",
        rule("on: response, when: pii, action: redact, restore: true"),
        "4:54: `restore` gives back what was taken out of a request; this rule sees none",
    ),
    case(
        "restore yes",
        rule("when: pii, action: redact, restore: yes"),
        "4:49: expected true or false, found the word `yes`; write `true`",
    ),
    case(
        "restore number",
        rule("when: pii, action: redact, restore: 1"),
        "4:49: expected true or false, found a number",
    ),
    case(
        "message with flag",
        rule("when: pii, action: flag, message: no"),
        "4:38: `message` belongs to the actions block and retry, not to flag",
    ),
    case(
        "message number",
        rule("when: pii, action: block, message: 4"),
        "4:48: expected a text, written as words, found a number; quote it",
    ),
    case(
        "mode",
        rule("when: pii, action: block, mode: shadows"),
        "4:45: unknown word `shadows`; did you mean `shadow`? (expected one of enforce, shadow)",
    ),
    case(
        "severity",
        rule("when: pii, action: block, severity: mild"),
        "4:49: unknown word `mild` (expected one of low, medium, high, critical)",
    ),
    case(
        "severity number",
        rule("when: pii, action: block, severity: 1"),
        "4:49: expected one of low, medium, high, critical, found a number",
    ),
    case(
        "when unknown",
        rule("when: pi, action: flag"),
        "4:19: unknown check `pi`; did you mean `pii`?",
    ),
    case(
        "when unknown far",
        rule("when: pii or harmful, action: flag"),
        "4:26: unknown check `harmful`; checks of this file: pii, words",
    ),
    case(
        "when no checks",
        "policy: p\nrules: [{id: r, when: pii, action: flag}]\n",
        "2:23: unknown check `pii`; this file has no `checks`",
    ),
    case(
        "when true",
        rule("when: true, action: flag"),
        "4:19: expected an expression like `pii or secrets`, written as words, found `true`; quote it",
    ),
    case(
        "when and redact",
        rule("when: pii and words, action: redact"),
        (
            "4:19: `and` cannot stand in a redact rule: in a stream the first finding has left before the "
            "second is known; write `or`, or use the action block"
        ),
    ),
    case(
        "when and redact inside",
        rule("when: pii or (words and pii), action: redact"),
        (
            "4:19: `and` cannot stand in a redact rule: in a stream the first finding has left before the "
            "second is known; write `or`, or use the action block"
        ),
    ),
    case(
        "when not",
        rule("when: not pii, action: flag"),
        "4:19: `not` is not available: a rule speaks of what was found",
    ),
    case(
        "when &&",
        rule("when: pii && words, action: flag"),
        "4:23: expected `and` or `or`, found `&`; write `and`",
    ),
    case(
        "when ||",
        rule("when: 'pii || words', action: flag"),
        "4:24: expected `and` or `or`, found `|`; write `or`",
    ),
    case(
        "when two",
        rule("when: pii words, action: flag"),
        "4:23: expected `and` or `or`, found `words`",
    ),
    case(
        "when AND",
        rule("when: pii AND words, action: flag"),
        "4:23: expected `and` or `or`, found `AND`; write `and`",
    ),
    case(
        "when trailing",
        rule("when: pii or, action: flag"),
        "4:25: expected the name of a check, found the end",
    ),
    case(
        "when paren",
        rule("when: (pii or words, action: flag"),
        "4:32: expected `)`, found the end",
    ),
    case(
        "when paren extra",
        rule("when: pii), action: flag"),
        "4:22: expected `and` or `or`, found `)`",
    ),
    case(
        "when paren empty",
        rule("when: (), action: flag"),
        "4:20: expected the name of a check, found `)`",
    ),
    case(
        "when deep",
        rule("when: " + "(" * 30 + "pii" + ")" * 30 + ", action: flag"),
        "4:39: more than 20 parentheses inside each other, found `(`",
    ),
    case(
        "when leading",
        rule("when: or pii, action: flag"),
        "4:19: expected the name of a check, found `or`",
    ),
    case(
        "when quoted",
        rule("when: 'pii or wrds', action: flag"),
        "4:27: unknown check `wrds`; did you mean `words`?",
    ),
    case(
        "when escaped",
        rule('when: "pii\\x20or wrds", action: flag'),
        "4:19: unknown check `wrds`; did you mean `words`?",
    ),
    case(
        "when folded",
        "policy: p\nchecks: {pii: {use: pii}}\nrules:\n"
        "  - id: r\n    when: >\n      pii or\n      pi\n    action: flag\n",
        "5:11: unknown check `pi`; did you mean `pii`?",
    ),
    case(
        "tests mapping",
        OK + "tests: {name: x}\n",
        "4:8: expected a list of tests, found a mapping",
    ),
    case(
        "test word",
        example("x"),
        "5:5: expected a mapping with `name`, found a word",
    ),
    case(
        "test missing",
        example("{request: hello}"),
        "5:5: `name` is missing",
        "5:5: `expect` is missing",
    ),
    case(
        "test both",
        example("{name: t, request: a, response: b, expect: {rule: r}}"),
        "5:5: a test has either `request` or `response`, found both",
    ),
    case(
        "test neither",
        example("{name: t, expect: {rule: r}}"),
        "5:5: a test has either `request` or `response`, found neither",
    ),
    case(
        "test number",
        example("{name: t, request: 4111, expect: {rule: r}}"),
        "5:24: expected a text, written as words, found a number; quote it",
    ),
    case(
        "test unknown key",
        example("{name: t, requests: a, request: a, expect: {rule: r}}"),
        "5:15: unknown key `requests`; did you mean `request`? (allowed here: name, request, response, expect)",
    ),
    case(
        "test expect word",
        example("{name: t, request: a, expect: r}"),
        "5:35: expected a mapping, found a word",
    ),
    case(
        "test expect nothing",
        example("{name: t, request: a, expect: {}}"),
        (
            "5:35: a test that expects nothing cannot fail; use one of rule, decision, upstream_lacks, "
            "upstream_has, client_lacks"
        ),
    ),
    case(
        "test expect key",
        example("{name: t, request: a, expect: {upstream_lack: x}}"),
        (
            "5:36: unknown key `upstream_lack`; did you mean `upstream_lacks`? (allowed here: rule, decision, "
            "upstream_lacks, upstream_has, client_lacks)"
        ),
    ),
    case(
        "test rule",
        example("{name: t, request: a, expect: {rule: rr}}"),
        "5:42: unknown rule `rr`; did you mean `r`?",
    ),
    case(
        "test decision",
        example("{name: t, request: a, expect: {decision: deny}}"),
        "5:46: unknown word `deny` (expected one of pass, flag, redact, retry, block)",
    ),
    case(
        "test lacks number",
        example("{name: t, request: a, expect: {upstream_lacks: 4111}}"),
        "5:52: expected a word or a list of words, found a number; quote it",
    ),
    case(
        "test lacks list",
        example("{name: t, request: a, expect: {upstream_lacks: [a, 4]}}"),
        "5:56: expected a word, found a number; quote it",
    ),
]


@pytest.mark.parametrize(("text", "messages"), BROKEN)
def test_a_broken_file_is_told_what_to_change_and_where(text: str | bytes, messages: list[str]) -> None:
    with pytest.raises(PolicyErrors) as caught:
        parse(text, "p.yaml")
    assert str(caught.value).split("\n") == messages
    assert [(error.path, error.line > 0, error.column > 0) for error in caught.value.errors] == [
        ("p.yaml", True, True) for _ in messages
    ]


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
    assert watch.on == {("response", kind) for kind in KINDS}
    assert seen.on == out.on | watch.on


def test_examples_arrive(policy: Policy) -> None:
    card, answer = policy.tests
    assert (card.name, card.direction, card.text) == (
        "a card number never leaves",
        "request",
        "charge 4111 1111 1111 1111 please",
    )
    assert (card.rule, card.decision) == ("out", "redact")
    assert (card.upstream_lacks, card.upstream_has, card.client_lacks) == (("4111", "charge"), ("please",), ("x",))
    assert (answer.direction, answer.text, answer.rule, answer.decision) == ("response", "fine", None, "pass")


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


@pytest.mark.parametrize(
    ("match", "request_facts", "holds"),
    [
        (Match(), ("POST /a", "", ""), True),
        (Match(routes=("POST /a",)), ("POST /a", "m", "t"), True),
        (Match(routes=("POST /a",)), ("POST /ab", "m", "t"), False),
        (Match(models=("gpt-*", "claude-?")), ("POST /a", "gpt-4", ""), True),
        (Match(models=("gpt-*", "claude-?")), ("POST /a", "claude-3", ""), True),
        (Match(models=("gpt-*",)), ("POST /a", "GPT-4", ""), False),
        (Match(tenants=("acme",)), ("POST /a", "m", "acme"), True),
        (Match(tenants=("acme",)), ("POST /a", "m", ""), False),
        (Match(tenants=("*",)), ("POST /a", "m", ""), True),
    ],
)
def test_match(match: Match, request_facts: tuple[str, str, str], holds: bool) -> None:
    assert match.holds(*request_facts) is holds
