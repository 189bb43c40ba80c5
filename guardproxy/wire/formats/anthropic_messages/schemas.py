"""The schemas in an Anthropic Messages request, and the texts that each applies to."""

from __future__ import annotations

from typing import Any

from guardproxy.events import Path
from guardproxy.redaction import NAME, Shape, Shapes
from guardproxy.wire.formats.anthropic_messages.citations import documents
from guardproxy.wire.json import TreeLeaf, listed, reach


def shapes_of(tree: Any) -> Shapes:
    """Returns the schemas of a request: of its tools' arguments, and of a JSON answer."""
    tools = {
        tool["name"]: Shape(f"tools[{at}]", tool["input_schema"])
        for at, tool in enumerate(listed(tree, "tools"))
        if isinstance(tool.get("name"), str) and "input_schema" in tool
    }
    config = tree.get("output_config")
    wanted = tree.get("output_format") or (config.get("format") if isinstance(config, dict) else None)
    if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
        return Shapes(tools, documents=documents(tree))
    return Shapes(tools, Shape("output_format", wanted.get("schema")), documents(tree))


def shape_of_block(shapes: Shapes, block: Any, at: Path) -> Shape | None:
    """Returns the demand on a leaf `at` in a block that calls a tool."""
    if at == ("name",):
        return NAME
    return shapes.tool(block.get("name"), at[1:]) if at[0] == "input" else None


def shape_of(shapes: Shapes, tree: Any, leaf: TreeLeaf) -> Shape | None:
    path = leaf.path
    if leaf.leaf.how == "json":
        return shapes.answer
    if (path[0], *path[2:]) == ("tools", "name") or path == ("tool_choice", "name"):
        return NAME
    start = path.index("content") if "content" in path else len(path)
    if leaf.leaf.kind == "tool_arguments" and path[0] in ("messages", "content") and path[start + 2 :]:
        return shape_of_block(shapes, reach(tree, path[: start + 2]), path[start + 2 :])
    return None
