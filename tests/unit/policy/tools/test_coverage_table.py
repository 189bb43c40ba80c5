"""Which texts are looked at, by which check: as a table, and against what the policies do with a text of each kind."""

from __future__ import annotations

import pytest

from guardproxy.findings import Channel
from guardproxy.policy.tools.coverage_table import CheckUse, coverage, table
from guardproxy.wire.registry import codecs
from tests.kit.play import policy_set

POLICIES = (
    "policy: a\nchecks: {w: {use: pattern, words: [x]}, k: {use: secrets}}\n"
    "rules:\n  - {id: one, on: [user, reasoning], when: w, action: flag}\n"
    "  - {id: two, on: request, when: k, action: flag, mode: shadow}\n"
    "  - {id: three, on: user, when: k, action: flag}\n",
    "policy: b\nmatch: {routes: [POST /v1/messages]}\nchecks: {s: {use: json_schema, schema: from_request}}\n"
    "rules: [{id: r, when: s, on: response, action: block}]\ntenants: {acme: {on_error: block}}\n",
    "policy: c\nmatch: {models: [m]}\nchecks: {v: {use: pattern, words: [y]}}\n"
    "rules: [{id: r, when: check_error, on: error, action: flag}]\n",
)


def cells() -> dict[tuple[str, str, str], str]:
    rows = coverage(policy_set(*POLICIES))
    return {(row.format, row.direction, row.kind): ", ".join(map(str, row.checks)) for row in rows}


@pytest.mark.parametrize(
    ("place", "shown"),
    [
        (("openai_chat", "request", "user"), "a/k, a/w"),
        (("openai_chat", "request", "system"), "(a/k)"),
        (("openai_chat", "response", "reasoning"), "a/w"),
        (("openai_chat", "response", "assistant"), ""),
        (("anthropic_messages", "response", "assistant"), "b/s*"),
        (("anthropic_messages", "response", "reasoning"), "a/w"),
        (("anthropic_messages", "response", "error"), "c/v*"),
    ],
)
def test_a_cell_says_what_looks_and_when(place: tuple[str, str, str], shown: str) -> None:
    assert cells()[place] == shown


def test_the_table_agrees_with_what_scans_a_text() -> None:
    it = policy_set(*POLICIES)
    for codec in codecs():
        bound = it.bind(codec.routes[0], "m", "t")
        for row in coverage(it):
            if row.format == codec.name and row.direction == "request":
                checks = bound.checks_for(Channel(row.direction, row.kind, "x"))
                assert {check.name for check in checks} == {one.check for one in row.checks}


def test_the_table_as_text() -> None:
    lines = table(coverage(policy_set(*POLICIES)))
    assert lines[0].split() == ["format", "direction", "kind", "checks"]
    assert lines[1].split() == ["openai_chat", "request", "system", "(a/k)"]
    assert any(line.endswith("NONE") for line in lines)
    assert len({line.index(line.split()[3]) for line in lines[1:3]}) == 1


def test_looking_in_shadow_mode_is_shown_so() -> None:
    assert str(CheckUse("p", "c", True, False)) == "(p/c)"
