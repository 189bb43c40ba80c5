"""The contract of OpenAI Completions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
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
from guardproxy.wire.decoding.token_data import TOKENS
from guardproxy.wire.families.openai import DONE, PADDINGS
from guardproxy.wire.families.openai_headers import LIMIT_HEADERS, OPENAI_HEADERS
from guardproxy.wire.formats.openai_completions.field_map import REQUEST
from guardproxy.wire.json.vocabulary import SHARED
from guardproxy.wire.request.vllm_fields import DENIED


def _demand(tree: Mapping[str, Any]) -> Demand:
    return NO_DEMAND


CONTRACT = Contract(
    carries={
        "request": frozenset(("user", "metadata", "unmapped")),
        "response": frozenset(("assistant", "metadata", "unmapped", "error")),
    },
    words=SHARED,
    opaque=frozenset(("token_ids", "tokens")),
    repeats=TOKENS | {"logprobs", "numbers", *PADDINGS},
    demand=_demand,
    parts={"answer": re.compile(r"choices\[\d+\]\.text"), "tool": None, "input": None},
    answer_path=("choices", 0, "text"),
    calls=NO_CALLS,
    name_path=name_beside,
    choice=re.compile(r"(?:choices\[\d+\])?"),
    usage=UsageFields(
        prompt=("prompt_tokens", "input_tokens"),
        answer=("completion_tokens", "output_tokens"),
        cached=("prompt_tokens_details.cached_tokens",),
    ),
    lists=None,
    terminal=(DONE,),
    error_path=("error", "message"),
    media=MediaTypes("application/json", "text/event-stream", ("application/json",)),
    unanswered=frozenset(),
    limits={"messages": (), "tools": ()},
    serves_models=True,
    statements=replace(EVERY_SERVER.of(REQUEST), prompts=("prompt",)),
    acts=never_acts,
    query=SDK_QUERY,
    signs=Signs(paths=("/v1/completions",), headers=()),
    denied=DENIED,
    refused=(),
    with_wait=unchanged,
    stored=None,
    key_header=KeyHeader("Authorization", "Bearer "),
    headers=OPENAI_HEADERS,
    repeated=None,
    limit_headers=LIMIT_HEADERS,
    user_fields=USER_FIELDS,
    telemetry=TelemetryNames("openai", "text_completion"),
)
