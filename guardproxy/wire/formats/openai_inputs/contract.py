"""The contract of OpenAI Embeddings and Moderations."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from guardproxy.wire.contract.calls import NO_CALLS
from guardproxy.wire.contract.contract import (
    NO_DEMAND,
    SDK_QUERY,
    Contract,
    Demand,
    KeyHeader,
    MediaTypes,
    Signs,
    TelemetryNames,
    UsageFields,
    name_beside,
    unchanged,
)
from guardproxy.wire.contract.request_facts import EVERY_SERVER, USER_FIELDS
from guardproxy.wire.contract.side_effects import never_acts
from guardproxy.wire.families.openai import DONE
from guardproxy.wire.families.openai_headers import LIMIT_HEADERS, OPENAI_HEADERS
from guardproxy.wire.formats.openai_inputs.field_map import REQUEST
from guardproxy.wire.json.opaque import MEDIA
from guardproxy.wire.json.vocabulary import SHARED, Vocabulary
from guardproxy.wire.request.azure import hosted_routes
from guardproxy.wire.request.vllm_fields import DENIED

EMBEDDINGS = "POST /v1/embeddings"
MODERATIONS = "POST /v1/moderations"
ROUTES = (EMBEDDINGS, MODERATIONS, *hosted_routes("embeddings"))


def _demand(tree: Mapping[str, Any]) -> Demand:
    return NO_DEMAND


CONTRACT = Contract(
    carries={
        "request": frozenset(("user", "metadata", "unmapped")),
        "response": frozenset(("metadata", "unmapped", "error")),
    },
    words=Vocabulary(SHARED.keys, SHARED.values | {"embedding", "float"}),
    opaque=frozenset((*MEDIA, "token_ids", "vectors", "scores")),
    repeats=frozenset(),
    demand=_demand,
    parts={"answer": None, "tool": None, "input": None},
    answer_path=(),
    calls=NO_CALLS,
    name_path=name_beside,
    choice=re.compile(""),
    usage=UsageFields(prompt=("prompt_tokens", "input_tokens"), answer=()),
    lists=None,
    terminal=(DONE,),
    error_path=("error", "message"),
    media=MediaTypes("application/json", "text/event-stream", ("application/json",)),
    unanswered=frozenset(ROUTES),
    limits={"messages": (), "tools": ()},
    serves_models=True,
    statements=EVERY_SERVER.of(REQUEST),
    acts=never_acts,
    query=SDK_QUERY,
    signs=Signs(paths=("/v1/embeddings", "/v1/moderations"), headers=()),
    denied=DENIED,
    refused=(),
    with_wait=unchanged,
    stored=None,
    key_header=KeyHeader("Authorization", "Bearer "),
    headers=OPENAI_HEADERS,
    repeated=None,
    limit_headers=LIMIT_HEADERS,
    user_fields=USER_FIELDS,
    telemetry=TelemetryNames("openai", "embeddings"),
)
