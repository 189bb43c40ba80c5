"""What a request states of itself, whatever its dialect: how much it asks for, how many messages it has, which tools it offers.

In: the tree of a request. Out: numbers and names for conditions of policies. What has another type than it should counts as
absent: the dialects' own readers say what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Stated:
    """`max_tokens`: 0 where none are named. `tools`: their names, or kinds where they have none."""

    max_tokens: int = 0
    messages: int = 0
    tools: tuple[str, ...] = ()


def stated(tree: Any) -> Stated:
    """What the tree of a request says."""
    if not isinstance(tree, Mapping):
        return Stated()
    asked = (tree.get(key) for key in ("max_completion_tokens", "max_output_tokens", "max_tokens"))
    tokens = next((one for one in asked if isinstance(one, int) and not isinstance(one, bool)), 0)
    messages = tree.get("messages", tree.get("input"))
    tools = tree.get("tools")
    names = (_name(tool) for tool in tools) if isinstance(tools, list) else ()
    return Stated(
        max_tokens=max(0, min(tokens, _LARGEST)),
        messages=len(messages) if isinstance(messages, list) else int(isinstance(messages, str)),
        tools=tuple(name for name in names if name),
    )


def _name(tool: Any) -> str:
    if not isinstance(tool, Mapping):
        return ""
    inner = (tool.get(key) for key in ("function", "custom"))
    places = (tool.get("name"), *(one.get("name") for one in inner if isinstance(one, Mapping)), tool.get("type"))
    return next((one for one in places if isinstance(one, str)), "")
