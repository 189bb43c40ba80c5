"""The schemas in an OpenAI chat request, and the texts that each applies to."""

from __future__ import annotations

from typing import Any

from guardproxy.redaction import NAME, Shape, Shapes
from guardproxy.wire.json import TreeLeaf, listed, reach


def shapes_of(tree: Any) -> Shapes:
    """Returns the schemas of a request: of its tools' arguments, and of a JSON answer."""
    tools: dict[str, Shape] = {}
    for key in ("tools", "functions"):
        for at, tool in enumerate(listed(tree, key)):
            about = tool.get("function") if key == "tools" and isinstance(tool, dict) else tool
            if isinstance(about, dict) and isinstance(about.get("name"), str) and "parameters" in about:
                tools[about["name"]] = Shape(f"{key}[{at}]", about["parameters"])
    wanted = tree.get("response_format")
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind not in ("json_schema", "json_object"):
        return Shapes(tools)
    about = wanted.get("json_schema")
    return Shapes(tools, Shape("response_format", about.get("schema") if isinstance(about, dict) else None))


_CALLS = ("function", "function_call", "custom", "tool_choice")
_CALLED = ("messages", "choices", "tools", "functions", "tool_choice", "function_call")


def shape_of(shapes: Shapes, tree: Any, leaf: TreeLeaf) -> Shape | None:
    *before, last = leaf.path
    if not before or leaf.key or leaf.number:
        return None
    if before[0] in _CALLED and (before[-1] in _CALLS or (before[0] == "functions" and len(before) == 2)):
        if last == "name":
            return NAME
        return shapes.tool(reach(tree, tuple(before)).get("name")) if last == "arguments" else None
    return shapes.answer if before[0] == "choices" and leaf.leaf.how == "json" else None
