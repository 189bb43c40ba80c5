"""The maps of items in OpenAI Responses: messages, calls of tools and their results, reasoning.

Items of a request and of an answer differ in token data: only an answer may hold it, as it is withheld there. A request that
repeats an answer's log probabilities goes on without them. An answer has `json` if its text is JSON.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

from guardproxy.findings import Kind
from guardproxy.wire.formats.openai_responses.tools import CALLER, ENVIRONMENT, tool
from guardproxy.wire.json import (
    KEYS,
    NAME,
    OTHERS,
    STRUCTURE,
    TOKEN_IDS,
    TOKENS,
    UNMAPPED,
    Map,
    MapChoice,
    MapFields,
    MapLeaf,
    conversation,
    naming,
    opaque,
    part_text,
    text,
    unknown,
)

Holder = Literal["request", "answer", "json"]
"""Of a request, which is read most strictly; of an answer; of an answer whose text is JSON."""

ROLES: dict[str, Kind] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool_result",
}
_JSON_ARGUMENTS = MapLeaf("json", "tool_arguments")
_BREAKPOINT: MapFields = {"mode": STRUCTURE, "ttl": STRUCTURE}
_ARGUMENT, _RESULT = text("tool_arguments"), text("tool_result")
_TOOL_NAMES: MapFields = dict.fromkeys(("name", "namespace"), _ARGUMENT)
_SEALED_CONTENT = opaque("encrypted", "reasoning")


@cache
def annotation(kind: Kind) -> Map:
    """Returns the map of a citation in a text."""
    words = ("type", "file_id", "container_id", "index", "start_index", "end_index")
    return {**dict.fromkeys(words, STRUCTURE), **dict.fromkeys(("title", "url", "filename"), text(kind))}


@cache
def _echo(kind: Kind) -> Map:
    """Returns the map of log probabilities in a request."""
    echo, other = naming("echo", unknown(kind)), unknown(kind)
    return lambda value: echo if isinstance(value, (list, dict)) else other


@cache
def _fields_of_part(kind: Kind, others: MapLeaf, holder: Holder) -> MapFields:
    return {
        "type": STRUCTURE,
        "text": MapLeaf("json", kind, joins=True) if holder == "json" else part_text(kind),
        "refusal": part_text("refusal"),
        "annotations": [annotation(kind)],
        "logprobs": _echo(kind) if holder == "request" else TOKENS,
        "detail": STRUCTURE,
        "file_id": STRUCTURE,
        "image_url": opaque("url", kind),
        "file_url": opaque("url", kind),
        "file_data": opaque("file", kind),
        "filename": text("metadata"),
        "prompt_cache_breakpoint": _BREAKPOINT,
        OTHERS: others,
    }


_REASONING_PART: MapFields = {"type": STRUCTURE, "text": part_text("reasoning")}


def part(kind: Kind, others: MapLeaf = UNMAPPED, holder: Holder = "request") -> Map:
    """Returns the map of a part of a content. `others`: the map of unknown fields."""

    def choose(value: Any) -> Map:
        if not isinstance(value, (dict, str)):
            return TOKEN_IDS if isinstance(value, (int, float, list)) and not isinstance(value, bool) else others
        is_reasoning = isinstance(value, dict) and value.get("type") in ("reasoning_text", "summary_text")
        return _REASONING_PART if is_reasoning else _fields_of_part(kind, others, holder)

    return choose


def content(kind: Kind, others: MapLeaf = UNMAPPED, holder: Holder = "request") -> MapChoice:
    """Returns the map of a content: a text or a list of parts."""

    def choose(value: Any) -> Map:
        if not isinstance(value, list):
            return text(kind)
        if any(isinstance(item, dict) for item in value):
            return [part(kind, others, holder)]
        has_numbers = any(not isinstance(item, str) and item is not None for item in value)
        return TOKEN_IDS if has_numbers else part_text(kind, unmapped=True)

    return choose


@cache
def _message(role: str, holder: Holder) -> MapFields:
    kind = ROLES.get(role, "user")  # an unknown role may be any role
    content_map = conversation(content(kind, unknown(kind), holder)) if role in ROLES else unknown(kind)
    return {"role": STRUCTURE, "phase": STRUCTURE, "content": content_map, OTHERS: unknown(kind)}


_ACTION: MapFields = {
    **dict.fromkeys(("type", "button", "x", "y", "scroll_x", "scroll_y", "timeout_ms", "max_output_length"), STRUCTURE),
    "path": [{"x": STRUCTURE, "y": STRUCTURE}],
    **dict.fromkeys(("text", "keys", "query", "queries", "pattern", "commands", "command", "env", "user"), _ARGUMENT),
    "working_directory": _ARGUMENT,
    "url": opaque("url", "tool_arguments"),
    "sources": [{"type": STRUCTURE, "url": opaque("url", "tool_arguments")}],
}
_SAFETY: MapFields = {"id": STRUCTURE, OTHERS: text("tool_arguments")}
_SCREENSHOT: MapFields = {"type": STRUCTURE, "file_id": STRUCTURE, "image_url": opaque("url", "tool_result")}
_OUTCOME: MapFields = {"type": STRUCTURE, "exit_code": STRUCTURE}
_PIECE = part_text("tool_result")
STREAMS: MapFields = {"stdout": _PIECE, "stderr": _PIECE, "outcome": _OUTCOME, "created_by": STRUCTURE}
_SEARCH_RESULT: MapFields = {
    "file_id": STRUCTURE,
    "score": STRUCTURE,
    **dict.fromkeys(("filename", "text", "attributes"), _RESULT),
}
_TOOL_ENTRY: MapFields = dict.fromkeys(("name", "description", "input_schema", "annotations"), text("tool_definition"))
_FAILURE: MapFields = {"type": STRUCTURE, "code": _RESULT, "message": _RESULT, "content": _RESULT}
_REMOTE: MapFields = {
    **dict.fromkeys(("name", "server_label"), _ARGUMENT),
    "approval_request_id": STRUCTURE,
}
_IMAGE_CALL: MapFields = {
    **dict.fromkeys(("action", "background", "output_format", "quality", "size"), STRUCTURE),
    "revised_prompt": _ARGUMENT,
    "result": opaque("image", "tool_result"),
    "error": {"type": STRUCTURE, OTHERS: _RESULT, KEYS: _RESULT},
    "svg_usage": {"model": NAME},
}
_FORMAT: MapFields = {
    **dict.fromkeys(("type", "strict"), STRUCTURE),
    **dict.fromkeys(("name", "description", "schema", OTHERS, KEYS), text("tool_definition")),
}
TEXT: MapFields = {"format": _FORMAT, "verbosity": STRUCTURE}
"""The map of `text`: the form of the answer."""
REASONING: MapFields = dict.fromkeys(("context", "effort", "generate_summary", "mode", "summary"), STRUCTURE)


def _failure(value: Any) -> Map:
    return _FAILURE if isinstance(value, dict) else _RESULT


def _output(value: Any) -> Map:
    """Returns the map of a tool's result: a text or a list of parts."""
    return content("tool_result", unknown("tool_result"))


_SHARED_FIELDS: MapFields = {
    **dict.fromkeys(("type", "id", "call_id", "status", "created_by", "async", "execution"), STRUCTURE),
    "caller": CALLER,
}
_BY_TYPE: dict[str, MapFields] = {
    "reasoning": {
        "summary": [_REASONING_PART],
        "content": [_REASONING_PART],
        "encrypted_content": _SEALED_CONTENT,
    },
    "compaction": {"encrypted_content": _SEALED_CONTENT},
    "compaction_trigger": {},
    "item_reference": {},
    "function_call": {**_TOOL_NAMES, "arguments": _JSON_ARGUMENTS},
    "function_call_output": {**dict.fromkeys(("name", "namespace"), _RESULT), "output": _output},
    "custom_tool_call": {**_TOOL_NAMES, "input": _ARGUMENT},
    "custom_tool_call_output": {**dict.fromkeys(("name", "namespace"), _RESULT), "output": _output},
    "file_search_call": {"queries": _ARGUMENT, "results": [_SEARCH_RESULT]},
    "web_search_call": {"action": _ACTION},
    "computer_call": {"action": _ACTION, "actions": [_ACTION], "pending_safety_checks": [_SAFETY]},
    "computer_call_output": {"output": _SCREENSHOT, "acknowledged_safety_checks": [_SAFETY]},
    "code_interpreter_call": {
        "code": _ARGUMENT,
        "container_id": STRUCTURE,
        "outputs": [{"type": STRUCTURE, "logs": _PIECE, "url": opaque("url", "tool_result")}],
    },
    "local_shell_call": {"action": _ACTION},
    "local_shell_call_output": {"output": _RESULT},
    "shell_call": {"action": _ACTION, "environment": ENVIRONMENT, "max_output_length": STRUCTURE},
    "shell_call_output": {"output": [STREAMS], "max_output_length": STRUCTURE},
    "apply_patch_call": {"operation": {"type": STRUCTURE, **dict.fromkeys(("path", "diff"), _ARGUMENT)}},
    "apply_patch_call_output": {"output": _RESULT},
    "image_generation_call": _IMAGE_CALL,
    "mcp_list_tools": {"server_label": text("tool_definition"), "tools": [_TOOL_ENTRY], "error": _RESULT},
    "mcp_approval_request": {**_REMOTE, "arguments": _JSON_ARGUMENTS},
    "mcp_approval_response": {"approval_request_id": STRUCTURE, "approve": STRUCTURE, "reason": text("user")},
    "mcp_call": {**_REMOTE, "arguments": _JSON_ARGUMENTS, "output": _RESULT, "error": _failure},
    "tool_search_call": {"arguments": _ARGUMENT},
    "tool_search_output": {"tools": [tool]},
    "additional_tools": {"role": STRUCTURE, "tools": [tool]},
    "configuration_update": {"text": TEXT, "reasoning": REASONING},
    "program": {"code": _ARGUMENT, "fingerprint": _SEALED_CONTENT},
    "program_output": {"result": _RESULT},
}
"""The fields of each kind of item, beside those that all items share."""
NAMED = frozenset(kind for kind, fields in _BY_TYPE.items() if "name" in fields)
"""The kinds of items that have the name of a tool as a text."""


@cache
def _map_of(name: str, role: str, holder: Holder) -> MapFields:
    return {**_SHARED_FIELDS, **(_BY_TYPE[name] if name in _BY_TYPE else _message(role, holder) if role else {})}


_STRANGE: MapFields = {**_SHARED_FIELDS, "text": part_text("unmapped", unmapped=True)}
_REFERENCE = naming("item")


def _is_reference(item: dict[str, Any]) -> bool:
    """Whether an item of a request stands for a stored item. The type of a reference may be missing or `null`, and a generated
    image without its data is one, too."""
    kind = item.get("type")
    if kind == "image_generation_call":
        return not item.get("result")
    return kind == "item_reference" or not (kind or item.get("role"))


def _item(value: Any, holder: Holder) -> Map:
    how = _item_of_type(value, holder)
    if holder == "request" and isinstance(value, dict) and isinstance(how, dict) and _is_reference(value):
        return {**how, "id": _REFERENCE}
    return how


def _item_of_type(value: Any, holder: Holder) -> Map:
    if not isinstance(value, (dict, str)):
        return TOKEN_IDS if isinstance(value, (int, float, list)) and not isinstance(value, bool) else UNMAPPED
    name, role = (value.get("type"), value.get("role")) if isinstance(value, dict) else (None, None)
    if name not in (None, "message") and not (isinstance(name, str) and name in _BY_TYPE):
        return _STRANGE  # the fields of an unknown kind of item are unknown
    known = role if isinstance(role, str) and role in ROLES else "?"
    return _map_of(name if isinstance(name, str) else "", known if isinstance(value, dict) else "", holder)


def item(value: Any) -> Map:
    """Returns the map of an item of a request."""
    return _item(value, "request")


def answer_item(value: Any) -> Map:
    """Returns the map of an item of an answer."""
    return _item(value, "answer")


def json_item(value: Any) -> Map:
    """Returns the map of an item of an answer whose text is JSON."""
    return _item(value, "json")
