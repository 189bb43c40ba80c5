"""The calls of tools in OpenAI Responses. Tools that the provider runs have no name: the type of the item stands for it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from guardproxy.events import Path
from guardproxy.wire.contract.calls import CallMap, RunCall, arguments_in
from guardproxy.wire.formats.openai_responses.events import number
from guardproxy.wire.json import listed, members

_CALL = "_call"
_OTHERS = ("tool_search_output", "program")  # further items that tell of a tool that the provider runs


def runs(tree: Any) -> Iterator[RunCall]:
    """Yields the calls of tools without a name in a request, an answer or an event."""
    if not isinstance(tree, dict):
        return
    if isinstance(item := tree.get("item"), dict):
        yield from _run(item, ("item",), f"output[{number(tree, 'output_index')}]")
    for holder, path in ((tree, ()), (members(tree.get("response")), ("response",))):
        for key in ("input", "output"):
            for at, item in enumerate(listed(holder, key)):
                if isinstance(item, dict):
                    yield from _run(item, (*path, key, at), f"{key}[{at}]")


def _run(item: dict[str, Any], path: Path, call: str) -> Iterator[RunCall]:
    kind = item.get("type")
    if isinstance(kind, str) and (kind.endswith(_CALL) or kind in _OTHERS) and not isinstance(item.get("name"), str):
        yield RunCall(path, kind.removesuffix(_CALL), call)


CALLS = CallMap(
    re.compile(r"(?P<call>(?:input|output|items)\[\d+\])\.(?P<member>\w+)"),
    arguments_in("arguments", "input", "action", "actions", "operation"),
    servers=("server_label",),
    runs=runs,
)
