"""Tells whether a provider may act for a request beyond answering it: run a tool, or add to a stored conversation.

In: the tree of a request. Out: yes or no, for `Contract.acts`. What is not known to be harmless counts as an act.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from guardproxy.wire.contract.request_facts import EVERY_SERVER
from guardproxy.wire.json import objects

_CLIENT_LISTS = frozenset(("functions",))
"""Fields that hold tools which only a client can run."""


def never_acts(tree: Mapping[str, Any]) -> bool:
    """Always `False`: the format has no tools and stores nothing."""
    return False


def acts_beyond(client_tools: str, switches: tuple[str, ...]) -> Callable[[Mapping[str, Any]], bool]:
    """Returns a function for `Contract.acts`.

    `client_tools`: a regular expression for the types of tools that the client runs; the empty string is a tool without a
    type. `switches`: the fields that make the provider act when they are set.
    """
    ours = re.compile(client_tools)

    def is_ours(tool: Any) -> bool:
        kind = tool.get("type", "") if isinstance(tool, Mapping) else None
        return isinstance(kind, str) and ours.fullmatch(kind) is not None

    def is_act(name: str, tools: Any) -> bool:
        if not _is_set(tools) or name in _CLIENT_LISTS:
            return False
        return name != "tools" or not isinstance(tools, list) or not all(map(is_ours, tools))

    def acts(tree: Mapping[str, Any]) -> bool:
        if any(_is_set(tree.get(switch)) for switch in switches) or any(
            is_act(name, tree.get(name)) for name in EVERY_SERVER.tools
        ):
            return True
        return any(
            _is_set(message.get("tools")) for name in EVERY_SERVER.messages for message in objects(tree.get(name))
        )

    return acts


def _is_set(value: Any) -> bool:
    """Whether a field has a value that may do something. An empty object does: `web_search_options: {}` searches."""
    return isinstance(value, Mapping) or bool(value)
