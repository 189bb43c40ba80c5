"""The maps of Anthropic Messages: the meaning of each place of a request and of an answer."""

from __future__ import annotations

from functools import partial
from typing import Any

from guardproxy.findings import Kind
from guardproxy.wire.json import (
    KEYS,
    NAME,
    OTHERS,
    SECRET,
    STRUCTURE,
    TOKEN_IDS,
    UNMAPPED,
    Map,
    MapFields,
    MapLeaf,
    naming,
    opaque,
    part_text,
    text,
    unknown,
)
from guardproxy.wire.request.conversation import content, message
from guardproxy.wire.request.vllm_fields import CHAT_OPTIONS

_CACHE: MapFields = {"type": STRUCTURE, "ttl": STRUCTURE}
_ROLES: dict[str, Kind] = {"user": "user", "assistant": "assistant", "system": "system"}


_MEDIA = {"image": "image", "document": "file"}


def _source(kind: Kind, block: str) -> Map:
    def choose(value: Any) -> Map:
        source = value if isinstance(value, dict) else {}
        declared = source.get("media_type")
        plain = source.get("type") == "text"
        data = opaque(_MEDIA.get(block, "file"), kind, declared if isinstance(declared, str) else None)
        return {
            "type": STRUCTURE,
            "media_type": STRUCTURE,
            "file_id": STRUCTURE,
            "data": text(kind) if plain else data,
            "url": opaque("url", kind),
            "content": _content(kind, unknown(kind)),
            OTHERS: unknown(kind),
        }

    return choose


_CALLER: MapFields = {"type": STRUCTURE, "tool_id": STRUCTURE}


def _opaque(media: str) -> MapLeaf:
    return opaque(media, "assistant")


def _citation(kind: Kind) -> Map:
    return {"type": STRUCTURE, "encrypted_index": opaque("encrypted", kind), OTHERS: text(kind), KEYS: text(kind)}


def _citations(kind: Kind) -> Map:
    """Maps the sources of a text. Only the provider can read `encrypted_index`, and an edit would break it."""
    return lambda value: [_citation(kind)] if isinstance(value, list) else text(kind)


_SEALED = ("encrypted_content", "encrypted_index", "encrypted_stdout")


def _payload(value: Any) -> Map:
    """Maps a server tool's result: all text, except for content that only the provider can read."""
    if isinstance(value, dict):
        if value.get("type") == "base64":
            return _source("tool_result", "document")
        return {
            "type": STRUCTURE,
            "cache_control": _CACHE,
            **dict.fromkeys(_SEALED, opaque("encrypted", "tool_result")),
            OTHERS: _payload,
            KEYS: text("tool_result"),
        }
    return [_payload] if isinstance(value, list) else text("tool_result")


def _block(kind: Kind, others: MapLeaf = UNMAPPED, text_map: MapLeaf | None = None) -> Map:
    """Maps a content block. `others`: the map of unknown fields and types; `text_map`: the map of a text block's text, if it
    is not plain text of its kind."""

    def choose(value: Any) -> Map:
        name = value.get("type") if isinstance(value, dict) else None
        # Each tool of the server has a type of its own for its results, and new ones come.
        if isinstance(name, str) and name.endswith("_tool_result"):
            return {
                "type": STRUCTURE,
                "tool_use_id": STRUCTURE,
                "cache_control": _CACHE,
                "caller": _CALLER,
                "content": _payload,
                OTHERS: others,
            }
        shared: MapFields = {"type": STRUCTURE, "cache_control": _CACHE, OTHERS: others}
        match name:
            case "text" | "mid_conv_system":
                return {
                    **shared,
                    "text": text_map or part_text(kind),
                    "citations": _citations(kind),
                    "content": _content(kind, others),
                }
            case "image":
                return {**shared, "source": _source(kind, "image")}
            case "document":
                given = _GIVEN.get(kind, kind)
                return {**shared, "source": _source(given, "document"), "title": text(given), "context": text(given)}
            case "search_result":
                found = text(_GIVEN.get(kind, "tool_result"))
                return {**shared, **dict.fromkeys(("title", "source", "content"), found)}
            case "thinking":
                return {**shared, "thinking": part_text("reasoning"), "signature": opaque("signature", "reasoning")}
            case "redacted_thinking":
                return {**shared, "data": opaque("encrypted", "reasoning")}
            case "tool_use" | "server_tool_use":
                called: MapFields = dict.fromkeys(("name", "input"), text("tool_arguments"))
                words: MapFields = dict.fromkeys(("id", "toolset_name"), STRUCTURE)
                return {**shared, **words, "caller": _CALLER, **called}
            case "tool_result":
                words = dict.fromkeys(("tool_use_id", "toolset_name", "is_error"), STRUCTURE)
                return {**shared, **words, "content": _content("tool_result", unknown("tool_result"))}
            case "tool_reference":
                return {**shared, "tool_name": STRUCTURE}
            case "browser_state":
                return {**shared, **dict.fromkeys(("tabs", "state_changes"), text("tool_result"))}
            case "mcp_tool_listing":
                return {**shared, "mcp_server_name": STRUCTURE, "tools": text("tool_definition")}
            case "compaction":
                sealed: MapFields = {"encrypted_content": _opaque("encrypted"), "signature": _opaque("signature")}
                return {**shared, **sealed, "content": text("assistant"), "tool_changes": text("tool_definition")}
            case "tool_addition" | "tool_removal":
                return {**shared, "tool": text("tool_definition")}
            case "fallback":
                return {**shared, **dict.fromkeys(("trigger", "from", "to"), text("metadata"))}
            case "mcp_tool_use":
                called = dict.fromkeys(("name", "server_name", "input"), text("tool_arguments"))
                return {**shared, "id": STRUCTURE, **called}
            case "container_upload":
                return {**shared, "file_id": STRUCTURE}
        if isinstance(value, (dict, str)) or value is None or isinstance(value, bool):
            return {"type": STRUCTURE, OTHERS: others, KEYS: others} if isinstance(value, dict) else others
        return TOKEN_IDS

    return choose


# The user did not write a document that they attach: it comes from elsewhere, like a tool's result.
_GIVEN: dict[Kind, Kind] = {"user": "document"}


_content = partial(content, _block)


def _fields(kind: Kind, mapped: Map) -> MapFields:
    return {"role": STRUCTURE, "content": mapped}


def _container(value: Any) -> Map:
    skill: MapFields = dict.fromkeys(("type", "skill_id", "version"), STRUCTURE)
    known: MapFields = {"id": STRUCTURE, "expires_at": STRUCTURE, "skills": [skill]}
    return known if isinstance(value, dict) else STRUCTURE


def _management(value: Any) -> Map:
    """Maps how the provider shortens the conversation: instructions to it, and parameters."""
    if isinstance(value, dict):
        return {
            "type": STRUCTURE,
            "instructions": text("system"),
            "model": naming("model", text("metadata")),
            OTHERS: _management,
            KEYS: text("metadata"),
        }
    return [_management] if isinstance(value, list) else text("metadata")


def _credit(value: Any) -> Map:
    return {"token": SECRET, "type": STRUCTURE} if isinstance(value, dict) else SECRET


def _fallbacks(value: Any) -> Map:
    """Maps the requests to other models that the provider makes by itself if it refuses this one."""
    return [_fallback] if isinstance(value, list) else naming("model", text("metadata"))


def _fallback(value: Any) -> Map:
    """Maps one of these requests. Another gateway's object names models under any key."""
    model = naming("model", text("metadata"))
    own: MapFields = {
        "model": NAME,
        "output_config": _OUTPUT,
        **dict.fromkeys(("max_tokens", "thinking", "speed"), text("metadata")),
    }
    return {**own, OTHERS: model, KEYS: text("metadata")} if isinstance(value, dict) else model


_OUTPUT: MapFields = {"effort": STRUCTURE, "format": text("tool_definition")}
REQUEST: MapFields = {
    **CHAT_OPTIONS,
    **dict.fromkeys(
        (
            *("stream", "max_tokens", "temperature", "top_p", "top_k", "service_tier", "speed"),
            *("inference_geo", "workspace_id", "user_profile_id", "anthropic_version"),
        ),
        STRUCTURE,
    ),
    "betas": [STRUCTURE],
    "anthropic_beta": [STRUCTURE],
    "thread": {"type": STRUCTURE, "previous_message_id": STRUCTURE},
    "container": _container,
    "context_management": _management,
    "compaction": _management,
    "diagnostics": {"previous_message_id": STRUCTURE},
    "fallbacks": _fallbacks,
    "fallback_credit_token": _credit,
    "mcp_servers": [
        {
            **dict.fromkeys(("type", "name"), STRUCTURE),
            "url": text("tool_definition"),
            "authorization_token": SECRET,
            "tool_configuration": text("tool_definition"),
            OTHERS: text("tool_definition"),
            KEYS: text("tool_definition"),
        }
    ],
    "model": NAME,
    "system": _content("system", unknown("system")),
    "messages": [message(_ROLES, _block, _fields)],
    "tools": [
        {
            "type": STRUCTURE,
            "cache_control": _CACHE,
            "model": naming("model", text("tool_definition")),  # of a tool that asks another model
            "input_schema": text("tool_definition"),
            "input_examples": text("tool_definition"),
            OTHERS: text("tool_definition"),
            KEYS: text("tool_definition"),
        }
    ],
    "tool_choice": {"type": STRUCTURE, "name": text("tool_definition")},
    "metadata": text("metadata"),
    "stop_sequences": text("metadata"),
    "thinking": {"type": STRUCTURE, "budget_tokens": STRUCTURE, "display": STRUCTURE},
    "output_config": _OUTPUT,
    "output_format": text("tool_definition"),
    "cache_control": _CACHE,
}

_STOP: MapFields = {"stop_reason": STRUCTURE, "stop_sequence": text("assistant"), "stop_details": text("refusal")}
_USAGE: MapFields = {
    "service_tier": STRUCTURE,
    "inference_geo": STRUCTURE,
    "fallback_credit": text("metadata"),
    "iterations": [{"type": STRUCTURE, "model": NAME}],
}
_JSON = MapLeaf("json", "assistant", joins=True)


def _response(text_map: MapLeaf | None = None) -> MapFields:
    words: MapFields = dict.fromkeys(("id", "type", "role"), STRUCTURE)
    return {
        **words,
        "model": NAME,
        "content": [_block("assistant", text_map=text_map)],
        "usage": _USAGE,
        "container": _container,
        **dict.fromkeys(("context_management", "diagnostics", "input_transformations"), text("metadata")),
        "fallback_credit_token": _credit,
        **_STOP,
    }


RESPONSE, JSON_RESPONSE = _response(), _response(_JSON)
ERROR: MapFields = {
    "type": STRUCTURE,
    "error": {"type": STRUCTURE, "message": text("error"), "details": text("error")},
    "request_id": STRUCTURE,
}
_DELTAS: MapFields = {
    "input_json_delta": {"type": STRUCTURE, "partial_json": MapLeaf("json", "tool_arguments")},
    "thinking_delta": {"type": STRUCTURE, "thinking": part_text("reasoning"), "estimated_tokens": STRUCTURE},
    "signature_delta": {"type": STRUCTURE, "signature": opaque("signature", "reasoning")},
    "citations_delta": {"type": STRUCTURE, "citation": _citation("assistant")},
    "compaction_delta": {
        "type": STRUCTURE,
        "content": text("assistant"),
        "encrypted_content": _opaque("encrypted"),
    },
}


def _events(text_map: MapLeaf | None = None) -> MapFields:
    deltas: MapFields = {**_DELTAS, "text_delta": {"type": STRUCTURE, "text": text_map or part_text("assistant")}}
    return {
        **_EVENTS,
        "message_start": {"type": STRUCTURE, "message": _response(text_map)},
        "content_block_start": {
            "type": STRUCTURE,
            "index": STRUCTURE,
            "content_block": _block("assistant", text_map=text_map),
        },
        "content_block_delta": {
            "type": STRUCTURE,
            "index": STRUCTURE,
            "delta": lambda delta: (
                deltas.get(str(delta.get("type")), UNMAPPED) if isinstance(delta, dict) else UNMAPPED
            ),
        },
    }


_EVENTS: MapFields = {
    "content_block_stop": {"type": STRUCTURE, "index": STRUCTURE},
    "message_delta": {"type": STRUCTURE, "delta": {**_STOP, "container": text("metadata")}, "usage": _USAGE},
    "message_stop": {"type": STRUCTURE},
    "ping": {"type": STRUCTURE},
    "error": ERROR,
}
TEXT_EVENTS, JSON_EVENTS = _events(), _events(_JSON)
