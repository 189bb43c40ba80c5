"""The schemas in an OpenAI Responses request, and the texts that each applies to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from guardproxy.events import Path
from guardproxy.redaction import NAME, Shape, Shapes
from guardproxy.wire.json import TreeLeaf, dotted, listed, members, reach

_CALLS = ("function_call", "custom_tool_call")


def shapes_of(tree: Any) -> Shapes:
    """Returns the schemas of a request: of its tools' arguments, and of a JSON answer."""
    tools = {
        tool["name"]: Shape(dotted(path), tool["parameters"])
        for path, tool in _tools(tree, ())
        if isinstance(tool.get("name"), str) and "parameters" in tool
    }
    form = members(members(tree.get("text")).get("format"))
    if form.get("type") not in ("json_schema", "json_object"):
        return Shapes(tools)
    return Shapes(tools, Shape("text.format", form.get("schema")))


def _tools(holder: Any, at: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yields the tools of a request, and those of its namespaces, with their paths."""
    for number, tool in enumerate(listed(holder, "tools")):
        if isinstance(tool, dict):
            path = (*at, "tools", number)
            if tool.get("type") == "namespace" and not at:
                yield from _tools(tool, path)
            else:
                yield path, tool


def shape_of_call(shapes: Shapes, item: Any, last: str | int) -> Shape | None:
    """Returns the demand on a field of an item that calls a tool."""
    if not isinstance(item, dict) or item.get("type") not in _CALLS:
        return None
    if last == "name":
        return NAME
    return shapes.tool(item.get("name")) if last == "arguments" else None


def shape_of(shapes: Shapes, tree: Any, leaf: TreeLeaf) -> Shape | None:
    """Returns the demand of the request's schemas on a leaf of a request or a plain answer."""
    *before, last = leaf.path
    if leaf.key or leaf.number or not before:
        return None
    if before[0] in ("tools", "tool_choice"):
        return NAME if last == "name" and len(before) <= 2 else None
    if before[0] in ("input", "output") and len(before) == 2:
        return shape_of_call(shapes, reach(tree, tuple(before)), last)
    return shapes.answer if before[0] == "output" and leaf.leaf.how == "json" and last == "text" else None
