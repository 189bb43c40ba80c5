"""The contract of Ollama's embeddings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from guardproxy.wire.contract.calls import NO_CALLS
from guardproxy.wire.contract.contract import (
    NO_DEMAND,
    Contract,
    Demand,
    TelemetryNames,
    UsageFields,
    name_beside,
    unchanged,
)
from guardproxy.wire.contract.headers import NO_LIMIT_HEADERS
from guardproxy.wire.contract.request_facts import EVERY_SERVER, USER_FIELDS
from guardproxy.wire.contract.side_effects import never_acts
from guardproxy.wire.families import ollama_contract
from guardproxy.wire.formats.ollama_embed.field_map import REQUEST

EMBED = "POST /api/embed"
EMBEDDINGS = "POST /api/embeddings"


def _demand(tree: Mapping[str, Any]) -> Demand:
    return NO_DEMAND


CONTRACT = Contract(
    carries={
        "request": frozenset(("user", "metadata", "unmapped")),
        "response": frozenset(("metadata", "unmapped", "error")),
    },
    words=ollama_contract.WORDS,
    opaque=frozenset(("token_ids", "tokens", "vectors")),
    repeats=frozenset(),
    demand=_demand,
    parts={"answer": None, "tool": None, "input": None},
    answer_path=(),
    calls=NO_CALLS,
    name_path=name_beside,
    choice=re.compile(""),
    usage=UsageFields(prompt=("prompt_eval_count",), answer=()),
    lists=None,
    terminal=ollama_contract.TERMINAL,
    error_path=("error",),
    media=ollama_contract.MEDIA,
    unanswered=frozenset((EMBED, EMBEDDINGS)),
    limits={"messages": (), "tools": ()},
    serves_models=True,
    statements=EVERY_SERVER.of(REQUEST),
    acts=never_acts,
    query=ollama_contract.NO_QUERY,
    signs=ollama_contract.SIGNS,
    refused=(),
    denied={},
    with_wait=unchanged,
    stored=None,
    key_header=ollama_contract.KEY_HEADER,
    headers=ollama_contract.HEADERS,
    repeated=None,
    limit_headers=NO_LIMIT_HEADERS,
    user_fields=USER_FIELDS,
    telemetry=TelemetryNames("ollama", "embeddings"),
)
