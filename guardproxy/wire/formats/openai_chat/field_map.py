"""The maps of OpenAI Chat Completions: the meaning of each place of a request and of an answer."""

from __future__ import annotations

from functools import partial
from typing import Any

from guardproxy.findings import Kind
from guardproxy.wire.families.openai import PADDINGS
from guardproxy.wire.json import (
    KEYS,
    NAME,
    OTHERS,
    PADDING,
    STRUCTURE,
    TOKEN_IDS,
    TOKENS,
    UNMAPPED,
    Map,
    MapFields,
    MapLeaf,
    opaque,
    part_text,
    text,
    unknown,
)
from guardproxy.wire.request.azure import CHOICE_FILTERS, CONTEXT, DATA_SOURCES, PROMPT_FILTERS
from guardproxy.wire.request.conversation import content, message
from guardproxy.wire.request.vllm_fields import ANSWER, CHAT_OPTIONS, CHOICE

_ROLES: dict[str, Kind] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool_result",
    "function": "tool_result",
}
_JSON_ARGUMENTS = MapLeaf("json", "tool_arguments")

_CACHE: MapFields = {"type": STRUCTURE, "ttl": STRUCTURE}
_BREAKPOINT: MapFields = {"mode": STRUCTURE, "ttl": STRUCTURE}
_MODE: MapFields = {"mode": STRUCTURE}
_METADATA = text("metadata")


def _part(kind: Kind, others: MapLeaf) -> Map:
    def choose(value: Any) -> Map:
        if not isinstance(value, (dict, str)):
            return TOKEN_IDS if isinstance(value, (int, float, list)) and not isinstance(value, bool) else others
        return {
            "type": STRUCTURE,
            "text": part_text(kind),
            "refusal": part_text("refusal"),
            "image_url": _url(kind),
            "video_url": _url(kind),
            "audio_url": _url(kind),
            "input_audio": _audio(kind),
            "file": {
                "file_data": opaque("file", kind),
                "file_id": STRUCTURE,
                "filename": text("metadata"),
                OTHERS: others,
            },
            "cache_control": _CACHE,
            "prompt_cache_breakpoint": _BREAKPOINT,
            OTHERS: others,
        }

    return choose


def _url(kind: Kind) -> Map:
    """Maps an image or similar content: an object, or its address alone. Both are in use; a `data:` URL holds the content
    itself."""
    url = opaque("url", kind)
    return lambda value: {"url": url, "detail": STRUCTURE, OTHERS: unknown(kind)} if isinstance(value, dict) else url


def _audio(kind: Kind) -> Map:
    def choose(value: Any) -> Map:
        form = value.get("format") if isinstance(value, dict) else None
        raw = form in ("pcm16", "pcm", "g711_ulaw", "g711_alaw")  # raw samples, which have no known first bytes
        return {"data": opaque("pieces" if raw else "audio", kind), "format": STRUCTURE, OTHERS: unknown(kind)}

    return choose


_content = partial(content, _part)

_CALL: MapFields = {
    "index": STRUCTURE,
    "id": STRUCTURE,
    "type": STRUCTURE,
    "function": {"name": text("tool_arguments"), "arguments": _JSON_ARGUMENTS},
    "custom": {"name": text("tool_arguments"), "input": text("tool_arguments")},
}


def _texts_of(kind: Kind, mapped: Map) -> MapFields:
    return {
        "role": STRUCTURE,
        "content": mapped,
        "refusal": text("refusal"),
        "reasoning_content": text("reasoning"),
        "reasoning": text("reasoning"),
        "tool_calls": [_CALL],
        "function_call": {"name": text("tool_arguments"), "arguments": _JSON_ARGUMENTS},
    }


def _fields(kind: Kind, mapped: Map) -> MapFields:
    return {
        **_texts_of(kind, mapped),
        "name": text("metadata"),
        "tool_call_id": STRUCTURE,
        "audio": {"id": STRUCTURE},
        "cache_control": _CACHE,
    }


def _choice_of_tool(value: Any) -> Map:
    if not isinstance(value, dict):
        return STRUCTURE
    name = text("tool_definition")  # a tool's own name must stay equal to that in its definition
    allowed: MapFields = {"mode": STRUCTURE, "tools": name}
    named: MapFields = {"name": name}
    return {"type": STRUCTURE, "name": name, "function": named, "custom": named, "allowed_tools": allowed}


def _voice(value: Any) -> Map:
    return {"id": STRUCTURE} if isinstance(value, dict) else STRUCTURE


REQUEST: MapFields = {
    **CHAT_OPTIONS,
    **DATA_SOURCES,
    **dict.fromkeys(
        (
            *("stream", "n", "seed", "temperature", "top_p", "max_tokens", "max_completion_tokens"),
            *("frequency_penalty", "presence_penalty", "logprobs", "top_logprobs", "store", "parallel_tool_calls"),
            *("reasoning_effort", "verbosity", "service_tier", "prompt_cache_retention"),
        ),
        STRUCTURE,
    ),
    "model": NAME,
    "models": [NAME],
    "messages": [message(_ROLES, _part, _fields)],
    "tools": [
        {
            "type": STRUCTURE,
            "function": text("tool_definition"),
            "custom": text("tool_definition"),
            "cache_control": _CACHE,
        }
    ],
    "functions": text("tool_definition"),
    "tool_choice": _choice_of_tool,
    "function_call": _choice_of_tool,
    "response_format": {"type": STRUCTURE, "json_schema": text("tool_definition")},
    "prediction": {"type": STRUCTURE, "content": _content("assistant")},
    "modalities": [STRUCTURE],
    "logit_bias": text("metadata"),
    "audio": {"voice": _voice, "format": STRUCTURE},
    "stream_options": {"include_usage": STRUCTURE, "include_obfuscation": STRUCTURE},
    **dict.fromkeys(("stop", "user", "metadata", "safety_identifier", "prompt_cache_key"), _METADATA),
    "moderation": {"model": NAME, "policy": {"input": _MODE, "output": _MODE}, OTHERS: _METADATA, KEYS: _METADATA},
    "prompt_cache_options": _BREAKPOINT,
    "web_search_options": {
        "search_context_size": STRUCTURE,
        "user_location": {"type": STRUCTURE, OTHERS: _METADATA, KEYS: _METADATA},
        OTHERS: _METADATA,
        KEYS: _METADATA,
    },
}


_RATED: MapFields = {
    "model": NAME,
    "flagged": STRUCTURE,
    "type": STRUCTURE,
    "code": STRUCTURE,
    "message": text("error"),
    "categories": _METADATA,
    "category_scores": _METADATA,
    "category_applied_input_types": {KEYS: _METADATA, OTHERS: [STRUCTURE]},
}
_RATING: MapFields = {**_RATED, "results": [_RATED]}


def _response(mapped: Map) -> MapFields:
    answer: MapFields = {
        **_texts_of("assistant", mapped),
        "audio": {
            "id": STRUCTURE,
            "data": opaque("pieces", "assistant"),
            "transcript": text("assistant"),
            "expires_at": STRUCTURE,
        },
        "annotations": [{"type": STRUCTURE, OTHERS: text("assistant"), KEYS: text("assistant")}],
        **CONTEXT,
    }
    choice: MapFields = {
        "index": STRUCTURE,
        "finish_reason": STRUCTURE,
        "message": answer,
        "delta": answer,
        "logprobs": TOKENS,
        **CHOICE_FILTERS,
        **CHOICE,
    }
    words = ("id", "object", "created", "system_fingerprint", "service_tier")
    return {
        **dict.fromkeys(words, STRUCTURE),
        **dict.fromkeys(PADDINGS, PADDING),
        "model": NAME,
        **dict.fromkeys(_TOKENS, TOKENS),
        "choices": [{**choice, **dict.fromkeys(_TOKENS, TOKENS)}],
        "error": text("error"),
        "metadata": _METADATA,
        "moderation": {"input": _RATING, "output": _RATING},
        "usage": UNMAPPED,
        **PROMPT_FILTERS,
        **ANSWER,
    }


_TOKENS = ("token_ids", "prompt_token_ids", "prompt_logprobs")
RESPONSE = _response(_content("assistant"))
JSON_RESPONSE = _response(
    lambda value: _content("assistant") if isinstance(value, list) else MapLeaf("json", "assistant")
)
