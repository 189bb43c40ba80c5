"""What counts as looser: every way in which a policy could take back what the one under it says."""

from __future__ import annotations

import pytest

from guardproxy.policy.file.extending import overlay
from guardproxy.policy.file.load import PolicyErrors, parse_all
from guardproxy.policy.yaml.tree import FilePlace, YamlNode

BASE = """\
policy: base
checks:
  a: {use: pattern, words: [x]}
  s: {use: supervisor, labels: [one], threshold: {one: 0.5}}
  p: {use: pii, threshold: 0.5, evasions: standard, allow: [jo@ab.io]}
  k: {use: secrets, skip: [b, c]}
rules:
  - {id: cut, on: request, when: a, action: redact, operators: {LONG: {type: mask, chars_to_mask: 4}, CARD: hash}}
  - {id: ask, on: response, when: a, action: retry, then: fallback, fallback: {model: m}}
  - {id: stop, when: a and p, action: block, early: true, enforce: 10 %}
"""


def wrong(text: str) -> list[str]:
    try:
        parse_all([("base.yaml", BASE), ("team.yaml", f"policy: team\nextends: base\n{text}\n")])
    except PolicyErrors as errors:
        return [error.message.partition(" (base.yaml")[0] for error in errors.errors]
    return []


def rule(text: str) -> str:
    return f"rules: [{{{text}}}]"


@pytest.mark.parametrize(
    "text",
    [
        "checks: {a: {words: [x, y]}}",
        "checks: {a: {use: pattern, patterns: [z]}}",
        "checks: {a: {evasions: strict}}",
        "checks: {s: {first_stage: false, labels: [one, two], threshold: {one: 0.5}}}",
        "checks: {s: {threshold: {one: 0.4}}}",
        "checks: {s: {threshold: 0.5}}",
        "checks: {p: {threshold: 0.1}}",
        "checks: {k: {skip: [b]}}",
        "checks: {p: {allow: []}}",
        "checks: {p: {allow: [jo@ab.io], allow_patterns: []}}",
        "checks: {p: {language: [en, de]}}",
        "checks: {p: {parity: extended}}",
        rule("id: cut, operators: {LONG: {type: mask, chars_to_mask: 9}, CARD: redact, DEFAULT: hash}, restore: false"),
        rule("id: cut, operators: {LONG: mask, CARD: {type: hash, hash_type: sha512}}"),
        rule("id: cut, action: block"),
        rule("id: cut, on: [request, response]"),
        rule("id: ask, then: block"),
        rule("id: ask, attempts: 1, template: again, total_s: 5, message: sorry"),
        rule("id: stop, when: a and p or k"),
        rule("id: stop, when: (a or k) and (p or s)"),
        rule("id: stop, early: false"),
        rule("id: stop, enforce: 20 %"),
        rule("id: stop, enforce: 100 %"),
        rule("id: new, when: k, action: flag"),
    ],
)
def test_a_policy_may_become_stricter(text: str) -> None:
    assert wrong(text) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "checks: {s: {threshold: {one: 0.6}}}",
            "`threshold` of `s` may not be weakened from {'one': 0.5} to {'one': 0.6}",
        ),
        (
            "checks: {s: {threshold: {two: 0.1}}}",
            "`threshold` of `s` cannot be compared: {'one': 0.5} in the baseline, {'two': 0.1} here",
        ),
        (
            "checks: {s: {threshold: true}}",
            "`threshold` of `s` cannot be compared: {'one': 0.5} in the baseline, true here",
        ),
        (
            "checks: {s: {threshold: often}}",
            "`threshold` of `s` cannot be compared: {'one': 0.5} in the baseline, often here",
        ),
        ("checks: {s: {labels: [two]}}", "`labels` of `s` may not lose `one`"),
        (
            "checks: {p: {entities: [PERSON]}}",
            "`entities` of `p` is not set in the baseline, so ['PERSON'] is not provably stricter",
        ),
        ("checks: {p: {evasions: most}}", "`evasions` of `p` may not be weakened from standard to most"),
        ("checks: {k: {skip: [b, c, d]}}", "`skip` of `k` may not gain `d`"),
        ("checks: {k: {allow: [known]}}", "`allow` of `k` may not gain `known`"),
        ("checks: {p: {allow: [jo@ab.io, al@ab.io]}}", "`allow` of `p` may not gain `al@ab.io`"),
        ("checks: {p: {allow: [JO@ab.io]}}", "`allow` of `p` may not gain `JO@ab.io`"),
        ("checks: {p: {allow_patterns: ['.*']}}", "`allow_patterns` of `p` may not gain `.*`"),
        ("checks: {p: {parity: strict}}", "`parity` of `p` may not be weakened from extended to strict"),
        ("checks: {p: {language: de}}", "`language` of `p` may not lose `en`"),
        ("checks: {a: {unknown: 3}}", "`unknown` of `a` may only be set where the check is first declared"),
        (
            rule("id: cut, operators: {LONG: {type: mask, chars_to_mask: 3}, CARD: hash}"),
            "`operators` of the rule `cut` may not show more of LONG",
        ),
        (
            rule("id: cut, operators: {LONG: {type: mask, chars_to_mask: 4, from_end: true}, CARD: hash}"),
            "`operators` of the rule `cut` may not show more of LONG",
        ),
        (rule("id: cut, operators: {LONG: mask}"), "`operators` of the rule `cut` may not show more of CARD"),
        (rule("id: ask, fallback: {model: n}"), "`fallback` of the rule `ask` may not change"),
        (rule("id: stop, enforce: 5 %"), "`enforce` of the rule `stop` may not be reduced"),
        (rule("id: ask, enforce: 50 %"), "`enforce` of the rule `ask` may not be reduced"),
        (rule("id: stop, when: a and p and k"), "`when` of the rule `stop` may only be widened, with `or`"),
    ],
)
def test_nothing_may_become_looser(text: str, message: str) -> None:
    assert wrong(text) == [message]


def test_what_belonged_to_the_weaker_action_goes_with_it() -> None:
    files = [("base.yaml", BASE), ("team.yaml", f"policy: team\nextends: base\n{rule('id: cut, action: block')}\n")]
    team = parse_all(files)[-1]
    assert (team.rules[0].action, team.rules[0].restore, team.rules[0].operators.by_label) == ("block", False, {})


def test_a_second_rule_of_the_same_name_is_a_duplicate_as_ever() -> None:
    twice = "{id: new, when: a, action: flag}, {id: new, when: a, action: block}"
    text = f"rules: [{twice}, {{id: cut}}, {{id: cut, when: a, action: block}}]"
    assert wrong(text) == ["duplicate rule `new`, first on line 3", "duplicate rule `cut`, first on line 3"]


def test_only_what_can_be_read_is_laid_over() -> None:
    node = YamlNode("x", FilePlace(), FilePlace())
    under = {"checks": node, "rules": node, "match": node, "on_error": node}
    over = {"checks": node, "rules": YamlNode((), FilePlace(), FilePlace())}
    assert overlay(under, over) == {**over, "on_error": node}
    assert wrong("rules: []") == ["a policy without rules does nothing; write at least one rule"]
    assert wrong("rules: [x]") == ["expected a mapping with `id`, found a word"]
    assert wrong(rule("id: cut, action: fly"))[0].startswith("unknown word `fly`")


def test_a_condition_that_stays_is_never_looser_however_large_it_is() -> None:
    names = [f"{letter}{number}" for number in range(9) for letter in "ab"]
    entries = ", ".join(f"{name}: {{use: pattern, words: [{name}]}}" for name in names)
    when = " and ".join(f"(a{number} or b{number})" for number in range(9))
    base = f"policy: base\nchecks: {{{entries}}}\nrules: [{{id: r, when: {when}, action: flag}}]\n"
    team = "policy: team\nextends: base\nrules: [{id: r, action: block}]\n"
    assert parse_all([("base.yaml", base), ("team.yaml", team)])[-1].rules[0].action == "block"


def loosened(base: str, team: str) -> list[str]:
    head = "policy: {}\nchecks: {{a: {{use: pattern, words: [x]}}}}\n"
    try:
        parse_all([("base.yaml", head.format("base") + base), ("team.yaml", f"policy: team\nextends: base\n{team}\n")])
    except PolicyErrors as errors:
        return [error.message.partition(" (base.yaml")[0] for error in errors.errors]
    return []


CUT = "rules: [{id: cut, on: request, when: a, action: redact}]\n"


@pytest.mark.parametrize(
    ("text", "refused"), [("{image: refuse, audio: refuse}", 0), ("{image: refuse}", 1), ("pass", 1)]
)
def test_content_that_is_refused_stays_refused(text: str, refused: int) -> None:
    told = loosened(CUT + "opaque: {image: refuse, audio: refuse}\n", f"opaque: {text}")
    assert len(told) == refused
    assert all("`opaque` may not be weakened" in message for message in told)


@pytest.mark.parametrize(("urls", "refused"), [("[a.example]", 0), ("[b.example]", 0), ("[a.example, c.example]", 1)])
def test_values_come_back_in_no_more_places(urls: str, refused: int) -> None:
    base = CUT.replace("redact", "redact, restore: {urls: [a.example, b.example]}")
    told = loosened(base, f"rules: [{{id: cut, restore: {{urls: {urls}}}}}]")
    assert len(told) == refused
    assert all("may not restore in more places" in message for message in told)


FIELDS = """\
policy: base
set: {store: false, metadata: {team: a}}
strip: [logprobs]
enforce: 10 %
checks: {s: {use: supervisor}}
rules: [{id: stop, on: request, when: s, action: block}]
"""


def of_fields(text: str) -> list[str]:
    """The messages of a policy that lies over one with rules about fields."""
    try:
        parse_all([("base.yaml", FIELDS), ("team.yaml", f"policy: team\nextends: base\n{text}\n")])
    except PolicyErrors as errors:
        return [error.message.partition(" (base.yaml")[0] for error in errors.errors]
    return []


@pytest.mark.parametrize("text", ["strip: [top_logprobs]", "set: {seed: 1}", "enforce: 20 %", "refuse: [background]"])
def test_more_fields_may_be_changed(text: str) -> None:
    assert of_fields(text) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("set: {store: true}", "`set` of `store` may not change"),
        ("enforce: 5 %", "`enforce` may not be reduced"),
        ("mode: shadow", "`mode` may not be weakened"),
        ("rules: [{id: stop, parallel: true}]", "`parallel` of the rule `stop` may not let more requests go upstream"),
    ],
)
def test_no_field_may_be_left_alone(text: str, message: str) -> None:
    assert any(message in told for told in of_fields(text)), of_fields(text)


def test_a_list_lies_over_what_is_no_list() -> None:
    assert of_fields("strip: logprobs") != []
