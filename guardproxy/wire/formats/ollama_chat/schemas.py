"""The schemas in an Ollama chat request, and the texts that each applies to."""

from __future__ import annotations

from typing import Any

from guardproxy.redaction import NAME, Shape, Shapes
from guardproxy.wire.families import ollama
from guardproxy.wire.json import TreeLeaf, listed, members


def shapes_of(tree: Any) -> Shapes:
    """Returns the schemas of a request: of its tools' arguments, and of a JSON answer."""
    tools: dict[str, Shape] = {}
    for at, tool in enumerate(listed(tree, "tools")):
        function = members(members(tool).get("function"))
        if isinstance(function.get("name"), str) and "parameters" in function:
            tools[function["name"]] = Shape(f"tools[{at}]", function["parameters"])
    return Shapes(tools, ollama.answer_shape(tree))


def shape_of(shapes: Shapes, tree: Any, leaf: TreeLeaf) -> Shape | None:
    """Returns the demand of the schemas on a leaf."""
    path = leaf.path
    if leaf.key or leaf.number:
        return None
    if leaf.leaf.how == "json":
        return shapes.answer
    if path[0] == "tools":
        return NAME if path[2:] == ("function", "name") else None
    return ollama.shape_of_call(shapes, tree, path) if "tool_calls" in path[1:3] else None
