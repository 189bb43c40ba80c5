"""The check `tool_list`: calls of tools that are not on a list. The section `tools` of a policy uses it.

In: the texts of a call, each with the call (`Facts.call`). Out: a finding in the name of a tool that is not allowed, before the
arguments of the call are complete. A call whose tool has no name has the finding in its arguments. Calls in the history of a
request are over, and have no findings.

Options: `allow`, `deny`: globs of names. `servers`: the same for the servers that fit a glob.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.checks._shared.declared.options import TEXTS, Option, Options, options_digest, with_defaults
from guardproxy.conditions import ToolNames
from guardproxy.errors import OptionError
from guardproxy.findings import DIRECTIONS, Detail, Finding, Scan, ToolCall, Traits, Window

VERSION = 1
NOT_ALLOWED, UNCLEAR = "NOT_ALLOWED", "UNCLEAR"
OPTIONS: Options = {
    "allow": Option("Globs of the only tools that may be called.", TEXTS, default_words="all", tighter="shorter"),
    "deny": Option("Globs of tools that may not be called.", TEXTS, default_words="none", tighter="longer"),
    "servers": Option(
        "The same for some servers: a mapping from globs of their names to `allow` and `deny`.",
        {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "additionalProperties": False,
                "properties": {"allow": TEXTS, "deny": TEXTS},
            },
        },
        default_words="none",
    ),
}
_TRAITS = Traits(
    is_sensitive=False,
    needs_call=True,
    labels=frozenset((NOT_ALLOWED, UNCLEAR)),
    looks_at=frozenset((direction, "tool_arguments") for direction in DIRECTIONS),
)


@dataclass(frozen=True, slots=True)
class ToolList:
    """The check `tool_list`."""

    name: str
    digest: str
    names: ToolNames
    traits: Traits = _TRAITS

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        """See `Check.scan`."""
        return [self._scan(window) for window in windows]

    def _scan(self, window: Window) -> Scan:
        end, call = window.start + len(window.text), window.facts.call
        label = "" if call is None else self._fault(call)
        if not label:
            return Scan((), end, end)
        detail = Detail("", "", "the name of a tool that the policy allows", "another name")
        at = 0 if call is not None and call.role == "arguments" and call.is_json else end
        return Scan((Finding(0, at, self.name, label, 1.0, (detail,)),), end, end)

    def _fault(self, call: ToolCall) -> str:
        if not call.is_made:
            return ""
        if call.role == "name":
            if not call.is_clear:
                return UNCLEAR
            return NOT_ALLOWED if self.names.refuses(call.name, call.server) else ""
        return UNCLEAR if call.role == "arguments" and not call.is_clear else ""


def build(name: str, options: Mapping[str, Any], resources: Resources) -> ToolList:
    """Builds the check `name`. Raises `OptionError` for an invalid option."""
    values = with_defaults(options, OPTIONS)
    servers = values["servers"]
    if servers is not None and not isinstance(servers, Mapping):
        raise OptionError("servers", "`servers` must be a mapping like `{mail: {allow: [search]}}`")
    names = names_of({key: values[key] for key in ("allow", "deny")}, servers or {})
    if names == ToolNames():
        raise OptionError("allow", "`allow` and `deny` are missing: the list names no tool")
    return ToolList(name, options_digest("tool_list", VERSION, values), names)


def names_of(lists: Mapping[str, Any], servers: Mapping[str, Any]) -> ToolNames:
    """Returns the lists of the options of the check. Raises `OptionError`."""
    inner = []
    for glob, its in servers.items():
        if not isinstance(its, Mapping) or not its or not its.keys() <= {"allow", "deny"}:
            raise OptionError("servers", f"`servers` has for `{glob}` no mapping with `allow` or `deny`")
        inner.append((glob, names_of(its, {})))
    allow = _globs(lists, "allow")
    return ToolNames(allow, _globs(lists, "deny") or (), tuple(inner))


def _globs(lists: Mapping[str, Any], option: str) -> tuple[str, ...] | None:
    globs = lists.get(option)
    if globs is None:
        return None
    if not isinstance(globs, list) or not globs or not all(isinstance(glob, str) and glob.strip() for glob in globs):
        raise OptionError(option, f'`{option}` must be a non-empty list of names, such as `[search, "mail_*"]`')
    return tuple(globs)
