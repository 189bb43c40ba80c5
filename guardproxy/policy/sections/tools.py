"""The section `tools` of a policy file: the tools that may be offered and called, and what their arguments may be.

In: the section in YAML. Out: its frozen value, and the checks and rules that it stands for, which judge calls like any other
check: of answers, and of requests to an MCP server. What is offered is judged by the same lists: a definition that is not
allowed is taken out of a request to a model (`offered: drop`) or ends it (`offered: refuse`), and is taken out of the list of
a server.

A tool whose name cannot be read is not allowed. Several policies all count.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from guardproxy.conditions import ToolNames
from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.policy.sections.section import Section
from guardproxy.policy.values.strictness import Order
from guardproxy.policy.yaml.reading import FileReading, join
from guardproxy.policy.yaml.tree import YamlNode

Offered = Literal["drop", "refuse"]
OFFERED: tuple[Offered, ...] = get_args(Offered)
_PLAIN = re.compile(r"[\w.:/-]{1,80}", re.ASCII)
_UNCLEAR = "the request offers a tool without a clear name, and the policy allows certain tools"
_LISTS = ("allow", "deny")
_KEYS = (*_LISTS, "servers", "offered", "arguments", "message")
_WANTED = 'a mapping like `{allow: [search, "mail_*"]}`'
_ARGUMENTS = "a mapping like `{when: call.arguments.amount <= 100}`"


@dataclass(frozen=True, slots=True)
class ToolsSection:
    """A section `tools`. `options`: of its check of names, empty if it has no list; `arguments`: for globs of tools, the
    options of a check of their arguments. `message`: what a client gets instead of a call."""

    names: ToolNames
    offered: Offered = "drop"
    message: str = ""
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    arguments: tuple[Mapping[str, Any], ...] = field(default=(), hash=False)

    def refuses(self, names: Sequence[str], server: str) -> bool:
        """Whether the section does not allow an offered tool. Its name must be allowed, and none of its names may be denied."""
        first, *others = names
        return self.names.refuses(first, server) or any(self.names.denies(name, server) for name in others)

    def error(self, name: str, place: str) -> DownstreamError:
        """Returns the refusal of a request that offers a tool at a place."""
        shown = f"the policy does not allow the tool `{name}`" if _PLAIN.fullmatch(name) else _UNCLEAR
        return DownstreamError(ErrorCode.TOOL_NOT_ALLOWED, self.message or shown, place)


def _read(reading: FileReading, node: YamlNode) -> ToolsSection | None:
    before = len(reading.errors)
    keys = reading.entries(node, _WANTED, _KEYS)
    options, names = _lists(reading, keys)
    servers: list[tuple[str, ToolNames]] = []
    inner: dict[str, Any] = {}
    entries = (
        reading.mapping(keys["servers"], "a mapping from servers to lists of their tools") if "servers" in keys else {}
    )
    for glob, value in (entries or {}).items():
        its = reading.entries(value, _WANTED, _LISTS)
        inner[glob], lists = _lists(reading, its)
        servers.append((glob, lists))
        if not its:
            reading.fail(value.place, f"`{glob}` names no tool: give `allow` or `deny`")
    if inner:
        options["servers"] = inner
    arguments = _arguments(reading, keys.get("arguments"))
    if not options and not arguments and "arguments" not in keys:
        reading.fail(node.place, "the section names no tool; give `allow`, `deny`, `servers` or `arguments`")
    offered = reading.choice(keys.get("offered"), OFFERED) or "drop"
    message = reading.word(keys.get("message"), "a text, written as words") or ""
    if len(reading.errors) > before:
        return None
    return ToolsSection(ToolNames(names.allow, names.deny, tuple(servers)), offered, message, options, arguments)


def _lists(reading: FileReading, keys: Mapping[str, YamlNode]) -> tuple[dict[str, Any], ToolNames]:
    found: dict[str, tuple[str, ...]] = {}
    for key in _LISTS:
        if key in keys:
            found[key] = reading.words(keys[key], "a list of tools")
            if keys[key].value == ():
                reading.fail(keys[key].place, "an empty list names no tool; leave the key out")
    return {key: list(globs) for key, globs in found.items()}, ToolNames(found.get("allow"), found.get("deny", ()))


def _arguments(reading: FileReading, node: YamlNode | None) -> tuple[Mapping[str, Any], ...]:
    out: list[Mapping[str, Any]] = []
    for glob, value in ((reading.mapping(node, "a mapping from tools to conditions") if node else None) or {}).items():
        its = reading.entries(value, _ARGUMENTS, ("when", "schema"))
        options: dict[str, Any] = {"tools": [glob]}
        if (when := reading.word(its.get("when"), "a condition, written as text")) is not None:
            options["when"] = f"!({when})"  # the check finds what is not allowed
        if "schema" in its:
            options["schema"] = its["schema"].plain()
        if len(options) == 1:
            reading.fail(value.place, f"`{glob}` has no condition: give `when` or `schema`")
        out.append(options)
    return tuple(out)


def _order(old: ToolsSection, new: ToolsSection) -> Order:
    """Compares two sections: a shorter `allow`, a longer `deny` and more conditions are tighter."""
    return _of(_is_within(new, old), _is_within(old, new))


def _is_within(inner: ToolsSection, outer: ToolsSection) -> bool:
    """Whether a section surely lets pass no more than another."""
    return (
        _lists_within(inner.names, outer.names)
        and all(options in inner.arguments for options in outer.arguments)
        and inner.offered in (outer.offered, "refuse")
    )


def _lists_within(inner: ToolNames, outer: ToolNames) -> bool:
    servers = dict(inner.servers)
    return (
        (outer.allow is None or (inner.allow is not None and set(inner.allow) <= set(outer.allow)))
        and set(outer.deny) <= set(inner.deny)
        and all(glob in servers and _lists_within(servers[glob], its) for glob, its in outer.servers)
    )


def _of(is_at_least_as_strict: bool, is_at_most_as_strict: bool) -> Order:
    if is_at_least_as_strict:
        return "same" if is_at_most_as_strict else "tighter"
    return "looser" if is_at_most_as_strict else "unclear"


def _explained(value: ToolsSection) -> str:
    said = _words(value.names)
    said += [f"of the server `{glob}` {' and '.join(_words(its))}" for glob, its in value.names.servers]
    said += [f"conditions on the arguments of `{options['tools'][0]}`" for options in value.arguments]
    dealt = "are taken out of a request" if value.offered == "drop" else "end a request that offers them"
    return f"{'; '.join(said)}; others {dealt}" if value.options else "; ".join(said)


def _words(names: ToolNames) -> list[str]:
    allow = [] if names.allow is None else [f"only the tools {join(names.allow)}"]
    return [*allow, *([f"none of the tools {join(names.deny)}"] if names.deny else [])]


_TOOLS: Mapping[str, Any] = {"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 1}}
_LISTED: Mapping[str, Any] = {
    "allow": {**_TOOLS, "description": "Globs of the only tools that may be offered and called."},
    "deny": {**_TOOLS, "description": "Globs of tools that may not be offered or called."},
}
_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "minProperties": 1,
    "properties": {
        **_LISTED,
        "servers": {
            "type": "object",
            "description": "Further lists for servers, by globs of their names.",
            "additionalProperties": {"type": "object", "additionalProperties": False, "properties": _LISTED},
        },
        "offered": {
            "enum": list(OFFERED),
            "description": "What happens to the definition of another tool: it is dropped, or the request is refused.",
        },
        "arguments": {
            "type": "object",
            "description": "What arguments must be, by globs of tools.",
            "additionalProperties": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "when": {"type": "string", "minLength": 1, "description": "A condition in CEL that must hold."},
                    "schema": {
                        "type": "object",
                        "description": "A JSON Schema that they must fit: `{inline: ...}` or `{file: ...}`.",
                    },
                },
            },
        },
        "message": {"type": "string", "minLength": 1, "description": "The message for the client."},
    },
}
TOOLS: Section[ToolsSection] = Section(
    "tools",
    "The tools that may be offered and called, and what their arguments may be.",
    _SCHEMA,
    _read,
    order=_order,
    explain=_explained,
)
