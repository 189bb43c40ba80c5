"""The maps of Ollama Chat: the meaning of each place of a request and of an answer."""

from __future__ import annotations

from guardproxy.findings import Kind
from guardproxy.wire.families import ollama
from guardproxy.wire.json import STRUCTURE, Map, MapFields, MapLeaf, opaque, text
from guardproxy.wire.request.conversation import message

_ROLES: dict[str, Kind] = {
    "system": "system",
    "control": "system",  # a switch of some models' templates
    "user": "user",
    "assistant": "assistant",
    "tool": "tool_result",
}


def _part(kind: Kind, others: MapLeaf) -> Map:
    """Maps a part of a content that is a list, which the server refuses."""
    return others


def _fields(kind: Kind, mapped: Map) -> MapFields:
    return {
        "role": STRUCTURE,
        "content": mapped,
        "thinking": text("reasoning"),
        "images": [opaque("image", kind)],
        "tool_calls": ollama.CALLS,
        "tool_name": text("metadata"),
        "tool_call_id": STRUCTURE,
    }


REQUEST: MapFields = {
    **ollama.ASKING,
    "messages": [message(_ROLES, _part, _fields)],
    "tools": [{"type": STRUCTURE, "function": text("tool_definition"), "items": text("tool_definition")}],
}


def _response(content: MapLeaf) -> MapFields:
    return {**ollama.RESPONSE, "message": _fields("assistant", content)}


RESPONSE = _response(text("assistant"))
JSON_RESPONSE = _response(MapLeaf("json", "assistant"))
