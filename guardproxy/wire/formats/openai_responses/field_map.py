"""The maps of OpenAI Responses: the meaning of each place of a request and of an answer.

An answer repeats much of its request (`instructions`, `tools`, `metadata`). Such a text is read as an answer's text of the same
kind.

Decision: docs/decisions/0090-a-stored-answer-is-read-by-the-rules-of-its-route.md
"""

from __future__ import annotations

from typing import Any

from guardproxy.findings import Kind
from guardproxy.wire.contract.stored import StoredIds
from guardproxy.wire.formats.openai_responses.items import REASONING, TEXT, answer_item, content, item, json_item, part
from guardproxy.wire.formats.openai_responses.tools import choice, tool
from guardproxy.wire.json import (
    KEYS,
    NAME,
    OTHERS,
    STRUCTURE,
    TOKEN_IDS,
    UNMAPPED,
    Map,
    MapFields,
    members,
    naming,
    part_text,
    text,
    unknown,
)
from guardproxy.wire.request.vllm_fields import CHAT_OPTIONS

_METADATA = text("metadata")


_STORED = naming("answer")  # the id of a stored answer or conversation


def _conversation(value: Any) -> Map:
    return {"id": _STORED} if isinstance(value, dict) else _STORED


def _items(kind: Kind, item: Map = item) -> Map:
    """Returns the map of `input` and `instructions`: a text of the kind, or items. `item`: the map of an item."""

    def choose(value: Any) -> Map:
        if not isinstance(value, list):
            return text(kind)
        if any(isinstance(entry, dict) for entry in value):
            return [item]
        has_numbers = any(not isinstance(entry, str) and entry is not None for entry in value)
        return TOKEN_IDS if has_numbers else part_text(kind, unmapped=True)

    return choose


def _variable(value: Any) -> Map:
    """Returns the map of a variable of a stored prompt: a text or a part of a content."""
    return (part if isinstance(value, dict) else content)("user", unknown("user"))


_SHARED_FIELDS: MapFields = {
    **dict.fromkeys(
        (
            *("background", "max_output_tokens", "max_tool_calls", "parallel_tool_calls", "prompt_cache_retention"),
            *("service_tier", "temperature", "top_logprobs", "top_p", "truncation"),
        ),
        STRUCTURE,
    ),
    **dict.fromkeys(("metadata", "user", "safety_identifier", "prompt_cache_key"), _METADATA),
    "model": NAME,
    "previous_response_id": _STORED,
    "access_programs": {"cyber": STRUCTURE},
    "conversation": _conversation,
    "image": {"context_compression": STRUCTURE},
    "instructions": _items("system"),
    "prompt": {"id": STRUCTURE, "version": STRUCTURE, "variables": {KEYS: _METADATA, OTHERS: _variable}},
    "prompt_cache_options": {"mode": STRUCTURE, "ttl": STRUCTURE, "comparison_response_id": _STORED},
    "reasoning": REASONING,
    "text": TEXT,
    "tool_choice": choice,
    "tools": [tool],
}
"""The fields that a request and an answer share."""

_MODE: MapFields = {"mode": STRUCTURE}
REQUEST: MapFields = {
    **CHAT_OPTIONS,
    **_SHARED_FIELDS,
    "input": _items("user"),
    "background_options": {"completion_window": STRUCTURE, "continuation_id": _STORED},
    "context_management": [{"type": STRUCTURE, "compact_threshold": STRUCTURE}],
    "include": [STRUCTURE],
    "moderation": {"model": NAME, "policy": {"input": _MODE, "output": _MODE}},
    "personality": STRUCTURE,
    "store": STRUCTURE,
    "stream": STRUCTURE,
    "stream_options": {"include_obfuscation": STRUCTURE},
}

_RATING: MapFields = {
    "type": STRUCTURE,
    "model": NAME,
    "flagged": STRUCTURE,
    "code": text("error"),
    "message": text("error"),
    **dict.fromkeys(("categories", "category_scores"), _METADATA),
    "category_applied_input_types": {OTHERS: [STRUCTURE], KEYS: _METADATA},
}
_COUNTS: MapFields = dict.fromkeys(
    ("cached_tokens", "cache_write_tokens", "reasoning_tokens", "text_tokens", "image_tokens"), STRUCTURE
)
_USAGE: MapFields = {
    **dict.fromkeys(("input_tokens", "output_tokens", "total_tokens"), STRUCTURE),
    "input_tokens_details": _COUNTS,
    "output_tokens_details": _COUNTS,
}
ERROR: MapFields = {"type": STRUCTURE, OTHERS: text("error"), KEYS: text("error")}


def _response(item_map: Map) -> MapFields:
    return {
        **_SHARED_FIELDS,
        "instructions": _items("system", answer_item),
        "id": _STORED,
        **dict.fromkeys(("object", "created_at", "completed_at", "status", "store"), STRUCTURE),
        "output": [item_map],
        "error": ERROR,
        "incomplete_details": {"reason": STRUCTURE},
        "input_transformations": [
            {**dict.fromkeys(("type", "action", "reason"), STRUCTURE), OTHERS: _METADATA, KEYS: _METADATA}
        ],
        "moderation": {"input": _RATING, "output": _RATING},
        "prompt_cache_diagnostics": {"type": STRUCTURE, "reason": STRUCTURE},
        "usage": _USAGE,
        "input_tokens": STRUCTURE,
    }


RESPONSE, JSON_RESPONSE = _response(answer_item), _response(json_item)
_PAGE: MapFields = {
    **dict.fromkeys(("object", "first_id", "last_id", "has_more"), STRUCTURE),
    "data": [answer_item],
}


def retrieved(value: Any) -> Map:
    """Returns the map of what is read back: a stored answer, which says whether its text is JSON, or a page of items."""
    if isinstance(value, dict) and value.get("object") == "list":
        return _PAGE
    return JSON_RESPONSE if is_json(value) else RESPONSE


def is_json(response: Any) -> bool:
    """Whether the text of an answer is JSON, as its request demanded."""
    form = members(members(members(response).get("text")).get("format"))
    return form.get("type") in ("json_schema", "json_object")


def _again(value: Any) -> Map:
    return _STORED_REQUEST


_MORE: MapFields = dict.fromkeys(
    ("response_id", "conversation_id"), naming("answer", UNMAPPED)
)  # of other servers and routes
_STORED_REQUEST: MapFields = {
    **_MORE,
    **REQUEST,
    "items": [item],
    "extra_body": _again,
}  # gateways merge `extra_body`
_STORED_ANSWER: MapFields = {**_MORE, **RESPONSE}
CREATES = ("POST /v1/responses", "POST /openai/v1/responses", "POST /openai/responses")
"""The routes that a model answers. OpenAI, Azure and gateways differ in the beginning of the path."""
_READ_BACK = ("responses/{response_id}", "responses/{response_id}/input_items", "conversations/{conversation_id}/items")
STORED = StoredIds(
    _STORED_REQUEST,
    {**_STORED_ANSWER, "response": _STORED_ANSWER},
    own=(("response", "id"), ("id",)),
    lasting=frozenset(("conversation", "conversation_id")),
    prefixes=("resp_", "conv_"),
    collections=("responses", "conversations"),
    operations=frozenset(("input_tokens", "compact")),
    made_by={
        create.replace("POST", "GET").removesuffix("responses") + name: create
        for create in CREATES
        for name in _READ_BACK
    },
)
