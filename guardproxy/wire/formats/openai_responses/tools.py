"""The maps of tools in OpenAI Responses: their definitions, the choice of a tool, the calls' identifiers.

A definition is text of the kind `tool_definition`. Credentials of tools (the key and the headers for an MCP server, secrets of
domains) are never read.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from guardproxy.wire.json import KEYS, NAME, OTHERS, SECRET, STRUCTURE, Map, MapFields, opaque, text, unknown

_TEXT = text("tool_definition")
_OTHERS = unknown("tool_definition")
CALLER: MapFields = {"type": STRUCTURE, "caller_id": STRUCTURE}


def _either(how: Map) -> Map:
    """Returns the map of a word or an object. `how`: the map of the object."""
    return lambda value: how if isinstance(value, dict) else STRUCTURE


def _source(value: Any) -> Map:
    declared = value.get("media_type") if isinstance(value, dict) else None
    data = opaque("file", "tool_definition", declared if isinstance(declared, str) else None)
    return {"type": STRUCTURE, "media_type": STRUCTURE, "data": data, OTHERS: _OTHERS}


_NETWORK: MapFields = {
    "type": STRUCTURE,
    "allowed_domains": [_TEXT],
    "domain_secrets": [{"domain": _TEXT, "name": _TEXT, "value": SECRET, OTHERS: _OTHERS}],
    OTHERS: _OTHERS,
}
_SKILL: MapFields = {
    "type": STRUCTURE,
    "skill_id": STRUCTURE,
    "version": STRUCTURE,
    **dict.fromkeys(("name", "description", "path"), _TEXT),
    "source": _source,
    OTHERS: _OTHERS,
}
ENVIRONMENT: MapFields = {
    **dict.fromkeys(("type", "container_id", "memory_limit"), STRUCTURE),
    "file_ids": [STRUCTURE],
    "network_policy": _NETWORK,
    "skills": [_SKILL],
    OTHERS: _OTHERS,
}
_LOCATION: MapFields = {"type": STRUCTURE, OTHERS: text("metadata")}
_EFFORT: MapFields = {"effort": STRUCTURE}
# Fields of every kind of tool that hold words of the protocol, identifiers or numbers.
_WORDS: MapFields = dict.fromkeys(
    ("type", "strict", "defer_loading", "execution", "max_num_results", "search_context_size"), STRUCTURE
)
_SEARCH: MapFields = {
    "filters": _TEXT,
    "user_location": _LOCATION,
    "search_content_types": [STRUCTURE],
    "vector_store_ids": [STRUCTURE],
    "ranking_options": {"ranker": STRUCTURE, OTHERS: _TEXT},
}
_MCP: MapFields = {
    **dict.fromkeys(("server_label", "server_url", "server_description", "allowed_tools"), _TEXT),
    "authorization": SECRET,
    "headers": {KEYS: text("metadata"), OTHERS: SECRET},
    "connector_id": STRUCTURE,
    "tunnel_id": STRUCTURE,
    "require_approval": lambda value: _TEXT if isinstance(value, dict) else STRUCTURE,
}
_IMAGE: MapFields = {
    **dict.fromkeys(
        (
            *("action", "background", "complexity", "input_fidelity", "moderation", "output_format", "quality", "size"),
            *("output_compression", "partial_images"),
        ),
        STRUCTURE,
    ),
    "model": NAME,
    "input_image_mask": {"file_id": STRUCTURE, "image_url": opaque("url", "tool_definition"), OTHERS: _OTHERS},
    "svg": {"model": NAME, "reasoning": _EFFORT, OTHERS: _OTHERS},
}


@cache
def _of_type(name: str) -> Map:
    """The map of a kind of tool."""
    shared: MapFields = {**_WORDS, "allowed_callers": [STRUCTURE], OTHERS: _OTHERS, KEYS: _OTHERS}
    defined: MapFields = dict.fromkeys(("name", "description", "parameters", "output_schema"), _TEXT)
    match name:
        case "function" | "tool_search":
            return {**shared, **defined}
        case "custom":
            form: MapFields = {"type": STRUCTURE, "syntax": STRUCTURE, "definition": _TEXT, OTHERS: _OTHERS}
            return {**shared, **defined, "format": form}
        case "namespace":
            return {**shared, **defined, "tools": [tool]}
        case "mcp":
            return {**shared, **_MCP}
        case "code_interpreter":
            return {**shared, "container": _either(ENVIRONMENT)}
        case "shell":
            return {**shared, "environment": _either(ENVIRONMENT)}
        case "image_generation":
            return {**shared, **_IMAGE}
        case "computer_use_preview":
            return {**shared, **dict.fromkeys(("environment", "display_width", "display_height"), STRUCTURE)}
    return {**shared, **_SEARCH} if "search" in name else shared


_KINDS = frozenset(
    (
        *("function", "custom", "namespace", "tool_search", "mcp", "code_interpreter", "shell", "image_generation"),
        *("computer_use_preview", "file_search", "web_search", "web_search_2025_08_26", "web_search_preview"),
        "web_search_preview_2025_03_11",
    )
)


def tool(value: Any) -> Map:
    """Returns the map of the definition of a tool."""
    name = value.get("type") if isinstance(value, dict) else None
    return _of_type(name if isinstance(name, str) and name in _KINDS else "")


def choice(value: Any) -> Map:
    """Returns the map of `tool_choice`. A name must stay equal to that in the definition."""
    if not isinstance(value, dict):
        return STRUCTURE
    return {"type": STRUCTURE, "mode": STRUCTURE, **dict.fromkeys(("name", "server_label", "tools"), _TEXT)}
