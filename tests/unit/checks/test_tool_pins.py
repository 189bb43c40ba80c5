"""The check `tool_pins`: what it reports, and the options."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.checks.tool_pins import PinnedTools, build
from guardproxy.errors import OptionError
from guardproxy.findings import Channel, Facts, Finding, Window
from guardproxy.tool_pins import ToolDefinition, ToolPins, pin_of

PLACE = Channel("response", "tool_definition", "result.tools[0]#definition")
OWN = ToolDefinition("send", "mail", {"name": "send"})


def check(content: bytes | OSError | None = None, **options: Any) -> PinnedTools:
    def read(path: str) -> bytes:
        if isinstance(content, OSError):
            raise content
        return ToolPins((pin_of(OWN),)).written() if content is None else content

    return build("pinned", {"pins": "pins.json", **options}, Resources(read=read))


def scan(its: PinnedTools, definition: ToolDefinition | None) -> list[Finding]:
    (scanned,) = its.scan([Window(PLACE, "text", facts=Facts(definition=definition))])
    return list(scanned.findings)


def test_the_finding_says_which_pin() -> None:
    assert scan(check(), OWN) == []
    assert scan(check(), None) == []
    (finding,) = scan(check(), ToolDefinition("send", "shop", {"name": "send"}))
    assert (finding.label, finding.start, finding.end) == ("SHADOWED", 0, 4)
    (detail,) = finding.details
    assert detail.expected == "a definition as it was approved (`send` of `mail`)"
    (new,) = scan(check(), ToolDefinition("other", "", {}))
    assert (new.label, new.details[0].expected) == ("NEW", "a definition as it was approved")


def test_only_the_differences_that_are_asked_for() -> None:
    assert scan(check(find=["CHANGED"]), ToolDefinition("other", "", {})) == []
    assert len(scan(check(find=["CHANGED"]), ToolDefinition("send", "mail", {"name": "send", "title": "x"}))) == 1


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        (b"x", {}, "not JSON"),
        (FileNotFoundError(2, "No such file"), {}, "no such file; `guardproxy tools pin`"),
        (None, {"pins": ""}, "must be the path"),
        (None, {"pins": 5}, "must be the path"),
        (None, {"find": ["OTHER"]}, "unknown word"),
    ],
)
def test_wrong_options(content: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        check(content, **options)
    with pytest.raises(OptionError, match="cannot be read here"):
        build("pinned", {"pins": "a"}, Resources())


def test_the_digest_depends_on_the_pins() -> None:
    assert len({check().digest, check(ToolPins().written()).digest, check(find=["NEW"]).digest}) == 3
