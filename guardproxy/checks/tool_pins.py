"""The check `tool_pins`: definitions of tools that differ from those that a person approved.

In: definitions of tools, each as one text with `Facts.definition`: those that a request offers to a model, and those that a
server lists. Out: a finding over the definition: it has changed (CHANGED), its name is that of a tool of another server
(SHADOWED), it is a near copy of another tool, pinned or earlier in the list (NEAR_COPY), or nobody approved a tool like it
(NEW).

Options: `pins`: the file of pins, below the policies' folder; `guardproxy tools pin` writes it. `first_seen`: what earlier
exchanges of the tenant saw first of each tool. `find`: the labels to report.

Decision: docs/decisions/0069-a-call-is-judged-as-a-whole.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.checks._shared.declared.options import Option, Options, chosen, options_digest, with_defaults
from guardproxy.errors import OptionError
from guardproxy.findings import DIRECTIONS, Detail, Finding, Scan, Traits, Window
from guardproxy.tool_pins import LABELS, PinFileError, ToolPins, read_pins

VERSION = 1
FIRST_SEEN = "first_seen"
OPTIONS: Options = {
    "pins": Option(
        "The file of pins, below the policies' folder; or `first_seen`: what was first seen of each tool.",
        {"type": "string", "minLength": 1},
    ),
    "find": Option(
        "The differences that are findings.",
        {"type": "array", "minItems": 1, "items": {"enum": list(LABELS)}},
        default=list(LABELS),
        tighter="longer",
    ),
}
_WORDS = {
    "CHANGED": "another definition than the one that was approved",
    "SHADOWED": "the name of a tool of another server",
    "NEAR_COPY": "a near copy of another tool",
    "NEW": "a tool that nobody approved",
}
_TRAITS = Traits(
    is_sensitive=False,
    needs_definition=True,
    labels=frozenset(LABELS),
    looks_at=frozenset((direction, "tool_definition") for direction in DIRECTIONS),
)


@dataclass(frozen=True, slots=True)
class PinnedTools:
    """The check `tool_pins`. `pins`: those of its file; `None`: those of `Facts.seen_tools`."""

    name: str
    digest: str
    pins: ToolPins | None
    find: frozenset[str]
    traits: Traits = _TRAITS

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        """See `Check.scan`."""
        return [self._scan(window) for window in windows]

    def _scan(self, window: Window) -> Scan:
        end, definition = window.start + len(window.text), window.facts.definition
        pins = window.facts.seen_tools or ToolPins() if self.pins is None else self.pins
        found = None if definition is None else pins.judge(definition)
        if definition is None or found is None or found[0] not in self.find:
            return Scan((), end, end)
        label, pin = found
        of = f" (`{pin.name}`{f' of `{pin.server}`' if pin.server else ''})" if pin is not None else ""
        detail = Detail(definition.name, "", f"a definition as it was approved{of}", _WORDS[label])
        return Scan((Finding(0, end, self.name, label, 1.0, (detail,)),), end, end)


def build(name: str, options: Mapping[str, Any], resources: Resources) -> PinnedTools:
    """Builds the check `name`. Raises `OptionError` for an invalid option, or a file that cannot be read."""
    values = with_defaults(options, OPTIONS)
    find = chosen(values, "find", LABELS)
    path = values["pins"]
    if not isinstance(path, str) or not path:
        raise OptionError("pins", "`pins` must be the path of a file of pins below the policies' folder")
    if path == FIRST_SEEN:
        digest = options_digest("tool_pins", VERSION, {"find": sorted(find), "pins": path})
        return PinnedTools(name, digest, None, frozenset(find), replace(_TRAITS, needs_seen_tools=True))
    if resources.read is None:
        raise OptionError("pins", "files of pins cannot be read here")
    try:
        content = resources.read(path)
        pins = read_pins(content)
    except OSError as error:
        reason = str(error.strerror).lower()
        raise OptionError("pins", f"cannot read `{path}`: {reason}; `guardproxy tools pin` writes it") from None
    except PinFileError as error:
        raise OptionError("pins", f"`{path}`: {error}") from None
    digest = options_digest("tool_pins", VERSION, {"find": sorted(find)}, pins.written().decode())
    return PinnedTools(name, digest, pins, frozenset(find))
