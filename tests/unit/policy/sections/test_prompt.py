"""The section `prompt` of a policy file."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator

from guardproxy.policy.file.document_schema import schema
from guardproxy.policy.file.load import PolicyErrors, parse, parse_all
from guardproxy.policy.sections.prompt import LIMIT_CHARS, PromptSection, Wrap
from guardproxy.policydiff.policies import changes
from tests.kit.play import policy_set


def section(text: str) -> Any:
    return parse(f"policy: p\nprompt: {text}\n", "p.yaml").sections["prompt"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{prepend: Be kind.}", PromptSection(prepend="Be kind.")),
        ("{append: Be kind., canary: true}", PromptSection(append="Be kind.", canary=True)),
        ('{canary: false, prepend: "\\n x\\n"}', PromptSection(prepend=" x")),
        ("{wrap: {kinds: [tool_result]}}", PromptSection(wrap=Wrap(frozenset(("tool_result",)), "delimit"))),
        (
            "{wrap: {kinds: [tool_result], how: base64}}",
            PromptSection(wrap=Wrap(frozenset(("tool_result",)), "base64")),
        ),
    ],
)
def test_a_section_is_read(text: str, expected: PromptSection) -> None:
    assert section(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "found an empty mapping"),
        ("word", "expected a mapping like"),
        ("{prepnd: x}", "did you mean `prepend`?"),
        ("{prepend: ''}", "expected a text, found an empty text"),
        ("{prepend: 3}", "expected a text, found a number"),
        (f"{{append: {'x' * (LIMIT_CHARS + 1)}}}", "a text has at most"),
        (f"{{template: {'x' * (LIMIT_CHARS + 1)}}}", "a text has at most"),
        ("{template: '{{ x }}'}", "line 1 of the template: unknown value `x`"),
        ("{wrap: {how: delimit}}", "`kinds` is missing"),
        ("{wrap: {kinds: []}}", "`kinds` must not be empty"),
        ("{wrap: {kinds: [user]}}", "unknown word `user`"),
        ("{wrap: {kinds: tool_result}}", "expected a list of kinds"),
        ("{wrap: {kinds: [tool_result], how: rot13}}", "unknown word `rot13`"),
        ("{wrap: tool_result}", "expected a mapping like"),
        ("{canary: maybe}", "expected true or false"),
    ],
)
def test_a_wrong_section_is_an_error(text: str, message: str) -> None:
    with pytest.raises(PolicyErrors, match=message.replace("?", r"\?")):
        section(text)


def test_the_schema_accepts_what_is_read_and_refuses_what_is_not() -> None:
    validator = Draft202012Validator(schema())
    accepted: list[dict[str, Any]] = [
        {"prepend": "x"},
        {"wrap": {"kinds": ["tool_result"], "how": "datamark"}},
        {"canary": True},
    ]
    for fine in accepted:
        assert validator.is_valid({"policy": "p", "prompt": fine}), fine
    refused: list[dict[str, Any]] = [
        {},
        {"prepend": ""},
        {"wrap": {"kinds": []}},
        {"wrap": {}},
        {"canary": "yes"},
        {"x": 1},
    ]
    for wrong in refused:
        assert not validator.is_valid({"policy": "p", "prompt": wrong}), wrong


def test_a_section_is_inherited_and_may_not_change() -> None:
    base = ("base.yaml", "policy: base\nprompt: {prepend: x}\n")
    own = ("own.yaml", "policy: own\nextends: base\n")
    inherited = parse_all([base, own])[1]
    assert inherited.sections["prompt"] == PromptSection(prepend="x")
    with pytest.raises(PolicyErrors, match="`prompt` may not change"):
        parse_all([base, ("own.yaml", "policy: own\nextends: base\nprompt: {prepend: y}\n")])


def test_a_diff_shows_another_section() -> None:
    old, new = (policy_set(f"policy: p\nprompt: {{prepend: {text}}}\n") for text in "xy")
    assert any("prompt" in str(change) for change in changes(old.policies, new.policies))
