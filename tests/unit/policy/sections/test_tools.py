"""The section `tools`: what it reads, how two sections compare, and the checks and rules that it stands for."""

from __future__ import annotations

import pytest

from guardproxy.policy.file.load import PolicyErrors, parse
from guardproxy.policy.sections import TOOLS, ToolsSection

FULL = """{allow: [search, "mail_*"], deny: [mail_wipe], offered: refuse, message: "no",
  servers: {shop: {allow: [refund]}}, arguments: {refund: {when: "call.arguments.amount <= 100"}}}"""


def section(text: str) -> ToolsSection:
    value = TOOLS.of(parse(f"policy: p\ntools: {text}\n", "p.yaml").sections)
    assert value is not None
    return value


def test_the_section_stands_for_checks_and_rules() -> None:
    policy = parse(f"policy: p\ntools: {FULL}\n", "p.yaml")
    assert {name: spec.use for name, spec in policy.checks.items()} == {
        "tools": "tool_list",
        "tool-arguments-1": "tool_call",
    }
    assert policy.checks["tool-arguments-1"].options["when"] == "!(call.arguments.amount <= 100)"
    assert [(rule.id, rule.action, rule.message) for rule in policy.rules] == [
        ("tools", "block", "no"),
        ("tool-arguments", "block", "no"),
    ]
    assert section(FULL).offered == "refuse"
    assert [rule.id for rule in parse("policy: p\ntools: {deny: [a]}\n", "p.yaml").rules] == ["tools"]
    only = parse("policy: p\ntools: {arguments: {a: {schema: {inline: {}}}}}\n", "p.yaml")
    assert [rule.id for rule in only.rules] == ["tool-arguments"]


def test_a_policy_in_shadow_mode_blocks_no_call() -> None:
    policy = parse("policy: p\nmode: shadow\ntools: {allow: [a]}\n", "p.yaml")
    assert [rule.mode for rule in policy.rules] == ["shadow"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "names no tool"),
        ("{allow: []}", "empty list"),
        ("[a]", "a mapping like"),
        ("{alow: [a]}", "unknown key"),
        ("{allow: [a], offered: keep}", "one of"),
        ("{servers: {shop: {}}}", "`shop` names no tool"),
        ("{arguments: {refund: {}}}", "`refund` has no condition"),
        ("{arguments: {refund: {wen: x}}}", "unknown key"),
    ],
)
def test_wrong_sections(text: str, said: str) -> None:
    with pytest.raises(PolicyErrors, match=said):
        parse(f"policy: p\ntools: {text}\n", "p.yaml")


def test_its_names_belong_to_the_section() -> None:
    with pytest.raises(PolicyErrors, match="`tools` is a name of this section"):
        parse("policy: p\nchecks: {tools: {use: secrets}}\ntools: {allow: [a]}\n", "p.yaml")


@pytest.mark.parametrize(
    ("old", "new", "order"),
    [
        ("{allow: [a, b]}", "{allow: [a]}", "tighter"),
        ("{allow: [a]}", "{allow: [a, b]}", "looser"),
        ("{allow: [a]}", "{deny: [a]}", "unclear"),
        ("{deny: [a]}", "{deny: [b, a]}", "tighter"),
        ("{deny: [a]}", "{deny: [a]}", "same"),
        ("{deny: [a]}", "{deny: [a], offered: refuse}", "tighter"),
        ("{deny: [a]}", "{deny: [a], servers: {s: {deny: [b]}}}", "tighter"),
        ("{deny: [a], servers: {s: {deny: [b]}}}", "{deny: [a], servers: {s: {deny: [c]}}}", "unclear"),
        ("{deny: [a], arguments: {b: {when: 'true'}}}", "{deny: [a]}", "looser"),
    ],
)
def test_which_of_two_is_stricter(old: str, new: str, order: str) -> None:
    assert TOOLS.order(section(old), section(new)) == order


def test_what_it_says_about_itself() -> None:
    assert TOOLS.explain is not None
    said = TOOLS.explain(section(FULL))
    assert said == (
        "only the tools search, mail_*; none of the tools mail_wipe; of the server `shop` only the tools refund; "
        "conditions on the arguments of `refund`; others end a request that offers them"
    )
    assert TOOLS.explain(section("{arguments: {a: {when: 'true'}}}")) == "conditions on the arguments of `a`"
    assert TOOLS.explain(section("{deny: [a]}")).endswith("others are taken out of a request")
