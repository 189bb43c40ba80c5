"""Which calls are on no list of allowed tools."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.checks.tool_list import build
from guardproxy.errors import OptionError
from guardproxy.findings import Channel, Facts, Finding, ToolCall, Window

NAME = Channel("response", "tool_arguments", "name")


def scan(call: ToolCall | None, text: str = "text", **options: Any) -> list[tuple[str, int, int]]:
    its = build("tools", options or {"allow": ["search"]}, Resources())
    (scanned,) = its.scan([Window(NAME, text, facts=Facts(call=call))])
    findings: tuple[Finding, ...] = scanned.findings
    return [(finding.label, finding.start, finding.end) for finding in findings]


def test_the_finding_is_in_the_name() -> None:
    assert scan(ToolCall("refund", role="name"), "refund") == [("NOT_ALLOWED", 0, 6)]
    assert scan(ToolCall("search", role="name"), "search") == []
    assert scan(ToolCall("refund", arguments="{}")) == [], "its name has the finding"


def test_a_tool_without_a_clear_name_is_not_allowed() -> None:
    assert scan(ToolCall("search", is_clear=False, role="name"), "ch") == [("UNCLEAR", 0, 2)]
    assert scan(ToolCall("", is_clear=False, arguments="{}")) == [("UNCLEAR", 0, 0)]
    assert scan(ToolCall("", is_clear=False, arguments="x", is_json=False)) == [("UNCLEAR", 0, 4)]


def test_what_is_no_call_made_here() -> None:
    assert scan(None) == []
    assert scan(ToolCall("refund", role="name", is_made=False)) == []


def test_lists_for_servers() -> None:
    call = ToolCall("send", "mail", role="name")
    assert scan(call, servers={"mail": {"deny": ["send"]}}) == [("NOT_ALLOWED", 0, 4)]
    assert scan(call, servers={"shop": {"allow": ["search"]}}) == []


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({}, "allow"),
        ({"allow": []}, "allow"),
        ({"deny": "x"}, "deny"),
        ({"servers": ["x"]}, "servers"),
        ({"servers": {"x": {}}}, "servers"),
        ({"servers": {"x": {"allowed": ["a"]}}}, "servers"),
        ({"servers": {"x": {"allow": [" "]}}}, "allow"),
    ],
)
def test_wrong_options(options: dict[str, Any], key: str) -> None:
    with pytest.raises(OptionError) as caught:
        build("tools", options, Resources())
    assert caught.value.key == key
