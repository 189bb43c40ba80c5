"""Takes definitions of tools that policies do not allow (section `tools`) out of requests to a model, and out of the lists of a
server; or refuses the request.

In: the sections that apply. Out: the tree of the request without them, or an error; a function that takes them out of an
answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from guardproxy.events import Path
from guardproxy.exchange.phases.stage import RequestDraft
from guardproxy.policy import BoundRules
from guardproxy.policy.sections import TOOLS, BoundSection
from guardproxy.policy.values import FieldChange
from guardproxy.wire.json import dotted, members


@dataclass(frozen=True, slots=True)
class OfferedToolStage:
    """Judges the tools that a request offers. `sections`: those that apply to it."""

    sections: tuple[BoundSection[Any], ...]

    @classmethod
    def of(cls, bound: BoundRules) -> OfferedToolStage | None:
        """Returns the stage of a set of rules; `None` if no policy has the section."""
        sections = TOOLS.bound(bound.sections)
        return cls(sections) if sections else None

    def amend(self, draft: RequestDraft) -> None:
        """Drops what is not allowed. Raises `DownstreamError` for a policy that refuses the request."""
        contract = draft.setting.codec.contract
        if contract.calls.made == "request":  # the texts of such a request are calls
            return
        offers = contract.offered(draft.tree)
        gone: dict[Path, None] = {}
        for bound in self.sections:
            section = bound.value
            refused = [tool for tool in offers.every if section.refuses(tool.names, tool.server)]
            if refused and section.offered == "refuse":
                # Goes on only in shadow mode, in which nothing is dropped either.
                draft.refuse(TOOLS.name, bound, section.error(refused[0].names[0], dotted(refused[0].path)))
                continue
            changes = [FieldChange(dotted(tool.path), "strip", bound.policy, bound.enforced) for tool in refused]
            draft.guard.fields += changes
            if bound.enforced:
                gone |= dict.fromkeys(tool.path for tool in refused)
            # The model may not be told to call what it is not offered.
            for name in offers.chosen if section.options else ():
                if section.names.refuses(name):
                    draft.refuse(TOOLS.name, bound, section.error(name, "tool_choice"))
        if gone:
            draft.tree = offers.without(list(gone))


def listing_filter(bound: BoundRules, server: str) -> Callable[[Any], list[str]] | None:
    """Returns a function that takes the tools that are not allowed out of the list of a server, in place, and returns the
    names of the fields that it changed; `None` if no policy has the section."""
    sections = [each.value for each in TOOLS.bound(bound.sections) if each.enforced and each.value.options]
    if not sections:
        return None

    def taken_out(tree: Any) -> list[str]:
        return list(_shortened(tree, sections, server))

    return taken_out


def _shortened(tree: Any, sections: list[Any], server: str) -> Iterator[str]:
    result = members(members(tree).get("result"))
    tools = result.get("tools")
    if not isinstance(tools, list):
        return
    kept = [tool for tool in tools if not any(section.names.refuses(_name(tool), server) for section in sections)]
    if len(kept) < len(tools):
        result["tools"] = kept
        yield "tools"


def _name(tool: Any) -> str:
    name = tool.get("name") if isinstance(tool, dict) else None
    return name if isinstance(name, str) else ""
