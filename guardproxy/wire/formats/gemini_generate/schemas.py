"""The schemas in a request: of its tools' arguments, and of a JSON answer.

Google's `Schema` is a part of OpenAPI's: types in capitals, `nullable`, limits as strings. It is translated to JSON Schema,
which fields named `...JsonSchema` hold as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from guardproxy.events import Path
from guardproxy.redaction import NAME, Shape, Shapes
from guardproxy.wire.contract.contract import Demand, demand_of
from guardproxy.wire.formats.gemini_generate.field_case import camel, value
from guardproxy.wire.json import TreeLeaf, dotted, objects

_JSON = "application/json"
_RENAMED = {"defs": "$defs", "ref": "$ref"}
_KEPT = frozenset(
    (
        *("title", "description", "enum", "format", "pattern", "required", "minimum", "maximum", "default"),
        *("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties", "ref"),
    )
)
_LIMITS = frozenset(("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"))
_NO_FORMATS = frozenset(("enum", "int32", "int64", "float", "double"))


def json_schema(schema: Any) -> Any:
    """Translates Google's `Schema` to JSON Schema. A value of another form is returned as it is."""
    if not isinstance(schema, dict):
        return schema
    out: dict[str, Any] = {}
    for name, child in schema.items():
        key = camel(name)
        if key == "type" and isinstance(child, str):
            if child != "TYPE_UNSPECIFIED":
                out["type"] = child.lower()
        elif key in ("properties", "defs") and isinstance(child, dict):
            out[_RENAMED.get(key, key)] = {inner: json_schema(its) for inner, its in child.items()}
        elif key in ("items", "additionalProperties"):
            out[key] = json_schema(child)
        elif key == "anyOf" and isinstance(child, list):
            out[key] = [json_schema(option) for option in child]
        elif key in _LIMITS and isinstance(child, str) and child.isdecimal():
            out[key] = int(child)
        elif key.startswith("$") or (key in _KEPT and not (key == "format" and child in _NO_FORMATS)):
            out[_RENAMED.get(key, key)] = child
    return {"anyOf": [out, {"type": "null"}]} if schema.get("nullable") is True else out


def _config(tree: Any) -> Any:
    return value(tree, "generationConfig")


def _answer(tree: Any) -> tuple[str, Any] | None:
    """Returns the place of the schema of a JSON answer and the schema; `None` if the answer need not be JSON."""
    config = _config(tree)
    if config is None:
        return None
    if value(config, "responseMimeType") == _JSON:
        for name in ("responseJsonSchema", "responseSchema"):
            if (schema := value(config, name)) is not None:
                return f"generationConfig.{name}", schema if name == "responseJsonSchema" else json_schema(schema)
        return "generationConfig.responseMimeType", {}
    for form in objects(value(config, "responseFormat")):
        about = form.get("text")
        if value(about, "mimeType") == _JSON:
            return "generationConfig.responseFormat", value(about, "schema") or {}
    return None


def _functions(tree: Any) -> Iterator[tuple[Path, str, Any]]:
    """Yields the place, the name and the schema of the arguments of each function of a request."""
    tools = value(tree, "tools")
    if tools is None:
        return
    for at, tool in enumerate(tools if isinstance(tools, list) else [tools]):
        declared = value(tool, "functionDeclarations")
        for number, function in enumerate(declared if isinstance(declared, list) else [declared]):
            name = value(function, "name")
            if isinstance(name, str):
                schema = value(function, "parametersJsonSchema")
                if schema is None:
                    schema = json_schema(value(function, "parameters"))
                yield ("tools", at, "functionDeclarations", number), name, schema


def demand(tree: Mapping[str, Any]) -> Demand:
    """Returns what a request demands of its answer."""
    answer = _answer(tree)
    tools = {name: {} if schema is None else schema for _, name, schema in _functions(tree)}
    return demand_of(None if answer is None else answer[1], tools)


def shapes_of(tree: Any) -> Shapes:
    """Returns the schemas of a request: of its tools' arguments, and of a JSON answer."""
    tools = {name: Shape(dotted(path), schema) for path, name, schema in _functions(tree) if schema is not None}
    answer = _answer(tree)
    return Shapes(tools, Shape(*answer) if answer else None)


def shape_of_part(shapes: Shapes, part: Any, at: Path) -> Shape | None:
    """Returns the demand on a leaf of a part that calls a function. `at`: the path in the part."""
    if not at or camel(str(at[0])) not in ("functionCall", "functionResponse"):
        return None
    if at[1:] == ("name",):
        return NAME
    if camel(str(at[0])) == "functionCall" and at[1:2] == ("args",):
        call = part[at[0]]
        return shapes.tool(call.get("name"), at[2:]) if isinstance(call, dict) else None
    return None


def shape_of(shapes: Shapes, tree: Any, leaf: TreeLeaf) -> Shape | None:
    """Returns the demand of the request's schemas on a leaf of a request or a plain answer."""
    path = leaf.path
    if leaf.key or leaf.number:
        return None
    if leaf.leaf.how == "json":
        return shapes.answer
    if path[0] == "tools":
        is_name = path[-1] == "name" and len(path) <= 5 and camel(str(path[-3])) == "functionDeclarations"
        return NAME if is_name else None
    at = path.index("parts") + 2 if "parts" in path else len(path)
    if path[0] not in ("contents", "candidates") or at >= len(path):
        return None
    node = tree
    for step in path[:at]:
        node = node[step]
    return shape_of_part(shapes, node, path[at:]) if isinstance(node, dict) else None
