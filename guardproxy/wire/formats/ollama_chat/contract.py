"""The contract of Ollama Chat."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from guardproxy.findings import Kind
from guardproxy.wire.contract.contract import (
    Contract,
    Demand,
    TelemetryNames,
    demand_of,
    name_beside,
    unchanged,
)
from guardproxy.wire.contract.headers import NO_LIMIT_HEADERS
from guardproxy.wire.contract.request_facts import USER_FIELDS
from guardproxy.wire.contract.side_effects import acts_beyond
from guardproxy.wire.decoding.token_data import TOKENS
from guardproxy.wire.families import ollama, ollama_contract
from guardproxy.wire.formats.ollama_chat.field_map import REQUEST
from guardproxy.wire.json import members, objects

_BOTH: tuple[Kind, ...] = ("assistant", "tool_arguments", "reasoning", "metadata", "unmapped")
_CALL = r"message\.tool_calls\[\d+\]\.function\."


def _demand(tree: Mapping[str, Any]) -> Demand:
    functions = [members(tool.get("function")) for tool in objects(tree.get("tools"))]
    tools = {
        name: function.get("parameters") or {}
        for function in functions
        if isinstance(name := function.get("name"), str)
    }
    return demand_of(ollama.schema_of(tree), tools)


CONTRACT = Contract(
    carries={
        "request": frozenset((*_BOTH, "system", "user", "tool_result", "tool_definition")),
        "response": frozenset((*_BOTH, "error")),
    },
    words=ollama_contract.WORDS,
    opaque=frozenset(("image", "token_ids", "tokens")),
    repeats=TOKENS | {"logprobs", "numbers"},
    demand=_demand,
    parts={
        "answer": re.compile(r"message\.content"),
        "tool": re.compile(_CALL + "name"),
        "input": re.compile(_CALL + "arguments"),
    },
    answer_path=("message", "content"),
    calls=ollama_contract.CALLS,
    name_path=name_beside,
    choice=re.compile(""),
    usage=ollama_contract.USAGE,
    lists=None,
    terminal=ollama_contract.TERMINAL,
    error_path=("error",),
    media=ollama_contract.MEDIA,
    unanswered=frozenset(),
    limits={"messages": ("messages",), "tools": ("tools",)},
    serves_models=True,
    statements=ollama_contract.STATEMENTS.of(REQUEST),
    acts=acts_beyond("|function", ()),
    query=ollama_contract.NO_QUERY,
    signs=ollama_contract.SIGNS,
    refused=ollama_contract.REFUSED,
    denied={"_debug_render_only": ollama_contract.RENDERED},
    with_wait=unchanged,
    stored=None,
    key_header=ollama_contract.KEY_HEADER,
    headers=ollama_contract.HEADERS,
    repeated=None,
    limit_headers=NO_LIMIT_HEADERS,
    user_fields=USER_FIELDS,
    telemetry=TelemetryNames("ollama", "chat"),
)
