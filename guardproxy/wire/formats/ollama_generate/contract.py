"""The contract of Ollama Generate."""

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
from guardproxy.wire.contract.side_effects import never_acts
from guardproxy.wire.decoding.token_data import TOKENS
from guardproxy.wire.families import ollama, ollama_contract
from guardproxy.wire.formats.ollama_generate.field_map import REQUEST

_ANSWER: tuple[Kind, ...] = ("assistant", "reasoning", "tool_arguments", "metadata", "unmapped", "error")
_CALL = r"tool_calls\[\d+\]\.function\."


def _demand(tree: Mapping[str, Any]) -> Demand:
    return demand_of(ollama.schema_of(tree), {})


CONTRACT = Contract(
    carries={
        "request": frozenset(("user", "system", "tool_definition", "metadata", "unmapped")),
        "response": frozenset(_ANSWER),
    },
    words=ollama_contract.WORDS,
    opaque=frozenset(("image", "token_ids", "tokens")),
    repeats=TOKENS | {"logprobs", "numbers", "context"},
    demand=_demand,
    parts={
        "answer": re.compile("response"),
        "tool": re.compile(_CALL + "name"),
        "input": re.compile(_CALL + "arguments"),
    },
    answer_path=("response",),
    calls=ollama_contract.CALLS,
    name_path=name_beside,
    choice=re.compile(""),
    usage=ollama_contract.USAGE,
    lists=None,
    terminal=ollama_contract.TERMINAL,
    error_path=("error",),
    media=ollama_contract.MEDIA,
    unanswered=frozenset(),
    limits={"messages": (), "tools": ()},
    serves_models=True,
    statements=ollama_contract.STATEMENTS.of(REQUEST),
    acts=never_acts,
    query=ollama_contract.NO_QUERY,
    signs=ollama_contract.SIGNS,
    refused=ollama_contract.REFUSED,
    denied={"_debug_render_only": ollama_contract.RENDERED, "template": ollama_contract.TEMPLATE},
    with_wait=unchanged,
    stored=None,
    key_header=ollama_contract.KEY_HEADER,
    headers=ollama_contract.HEADERS,
    repeated=None,
    limit_headers=NO_LIMIT_HEADERS,
    user_fields=USER_FIELDS,
    telemetry=TelemetryNames("ollama", "text_completion"),
)
