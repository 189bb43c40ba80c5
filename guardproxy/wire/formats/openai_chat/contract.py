"""The contract of OpenAI Chat Completions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from guardproxy.findings import Kind
from guardproxy.wire.contract.calls import CallMap, arguments_in, calls_in, calls_of_all
from guardproxy.wire.contract.contract import (
    ANY_OBJECT,
    SDK_QUERY,
    Contract,
    Demand,
    KeyHeader,
    MediaTypes,
    Signs,
    TelemetryNames,
    UsageFields,
    demand_of,
    name_beside,
    unchanged,
)
from guardproxy.wire.contract.refused import OPENAI_REFUSED
from guardproxy.wire.contract.request_facts import EVERY_SERVER, USER_FIELDS
from guardproxy.wire.contract.side_effects import acts_beyond
from guardproxy.wire.decoding.token_data import TOKENS
from guardproxy.wire.families.openai import DONE, PADDINGS
from guardproxy.wire.families.openai_headers import LIMIT_HEADERS, OPENAI_HEADERS
from guardproxy.wire.formats.openai_chat.field_map import REQUEST
from guardproxy.wire.json import members, objects
from guardproxy.wire.json.vocabulary import SHARED
from guardproxy.wire.request.vllm_fields import DENIED

_BOTH: tuple[Kind, ...] = ("assistant", "tool_arguments", "reasoning", "refusal", "metadata", "unmapped")
_CALL = r"choices\[\d+\]\.message\.(?:tool_calls\[\d+\]\.{}|function_call)\.{}"

_CALLS = CallMap(
    re.compile(
        r"(?P<call>(?:(?:messages|choices)\[\d+\]\.)?(?:message\.)?(?:tool_calls\[\d+\]\.(?:function|custom)|function_call))"
        r"\.(?P<member>name|arguments|input)"
    ),
    arguments_in("arguments", "input"),
    named=calls_of_all(
        *(
            calls_in(("choices", None, holder, *place), goes_on=holder == "delta")
            for holder in ("message", "delta")
            for place in (("tool_calls", None, "function"), ("tool_calls", None, "custom"), ("function_call",))
        )
    ),
)


def _demand(tree: Mapping[str, Any]) -> Demand:
    tools: dict[str, Any] = {}
    for tool in objects(tree.get("tools")):
        function, custom = members(tool.get("function")), members(tool.get("custom"))
        if isinstance(name := function.get("name"), str):
            tools[name] = function.get("parameters", {})
        if isinstance(name := custom.get("name"), str):
            tools[name] = None
    for function in objects(tree.get("functions")):
        if isinstance(name := function.get("name"), str):
            tools[name] = function.get("parameters", {})
    return demand_of(_answer_schema(members(tree.get("response_format"))), tools)


def _answer_schema(form: Mapping[str, Any]) -> Any:
    match form.get("type"):
        case "json_schema":
            return members(form.get("json_schema")).get("schema", ANY_OBJECT)
        case "json_object":
            return form.get("schema", ANY_OBJECT)
    return None


CONTRACT = Contract(
    carries={
        "request": frozenset((*_BOTH, "system", "user", "tool_result", "document", "tool_definition")),
        "response": frozenset((*_BOTH, "tool_result", "error")),
    },
    words=SHARED,
    opaque=frozenset(("image", "audio", "video", "file", "token_ids", "tokens", "secret")),
    repeats=TOKENS | {"logprobs", "top_logprobs", "numbers", *PADDINGS},
    demand=_demand,
    parts={
        "answer": re.compile(r"choices\[\d+\]\.message\.content"),
        "tool": re.compile(_CALL.format("(?:function|custom)", "name")),
        "input": re.compile(_CALL.format("function", "arguments")),
    },
    answer_path=("choices", 0, "message", "content"),
    calls=_CALLS,
    name_path=name_beside,
    choice=re.compile(r"(?:choices\[\d+\])?"),
    usage=UsageFields(
        prompt=("prompt_tokens", "input_tokens"),
        answer=("completion_tokens", "output_tokens"),
        cached=("prompt_tokens_details.cached_tokens", "input_tokens_details.cached_tokens"),
    ),
    lists=None,
    terminal=(DONE,),
    error_path=("error", "message"),
    media=MediaTypes("application/json", "text/event-stream", ("application/json",)),
    unanswered=frozenset(),
    limits={"messages": ("messages", "input"), "tools": ("tools", "functions")},
    serves_models=True,
    statements=EVERY_SERVER.of(REQUEST),
    acts=acts_beyond("function|custom", ("web_search_options", "plugins")),
    query=SDK_QUERY,
    signs=Signs(paths=(), headers=()),
    denied=DENIED,
    refused=OPENAI_REFUSED,
    with_wait=unchanged,
    stored=None,
    key_header=KeyHeader("Authorization", "Bearer "),
    headers=OPENAI_HEADERS,
    repeated=None,
    limit_headers=LIMIT_HEADERS,
    user_fields=USER_FIELDS,
    telemetry=TelemetryNames("openai", "chat"),
)
