"""The contract of OpenAI Chat Completions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from guardproxy.findings import Kind
from guardproxy.wire.contract import (
    ANY_OBJECT,
    SDK_QUERY,
    Contract,
    Demand,
    KeyHeader,
    MediaTypes,
    Signs,
    UsageFields,
    demand_of,
    name_beside,
    no_inputs,
)
from guardproxy.wire.formats.openai_chat.echoes import TOKENS
from guardproxy.wire.headers import (
    AMOUNT,
    DATE,
    IDENTIFIER,
    PRODUCTS,
    REGION,
    SWITCH,
    FormatHeaders,
    HeaderFamily,
    header_shape,
)
from guardproxy.wire.json import members, objects
from guardproxy.wire.statements import EVERY_SERVER
from guardproxy.wire.words import SHARED

_BOTH: tuple[Kind, ...] = ("assistant", "tool_arguments", "reasoning", "refusal", "metadata", "unmapped")
_CALL = r"choices\[\d+\]\.message\.(?:tool_calls\[\d+\]\.{}|function_call)\.{}"


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


# Azure and Google serve the format with key headers of their own.
_HEADERS = FormatHeaders(
    credentials=("authorization", "api-key", "x-goog-api-key"),
    meaning={
        "openai-beta": header_shape(rf"[a-z][a-z_-]{{0,40}}(?:=(?:v\d{{1,2}}|[a-z]{{1,20}}|{DATE}))?", is_list=True)
    },
    single=frozenset(),
    client={"originator": header_shape(r"[a-z][a-z_-]{0,30}"), "x-goog-api-client": header_shape(PRODUCTS)},
    account={
        "openai-organization": header_shape(r"org-(?!.*\d{7})[A-Za-z0-9]{1,40}"),
        "openai-project": header_shape(r"proj_(?!.*\d{7})[A-Za-z0-9_]{1,64}"),
    },
    answer={
        "openai-processing-ms": AMOUNT,
        **dict.fromkeys(("openai-version", "openai-model", "openai-organization", "openai-project"), IDENTIFIER),
        **dict.fromkeys(("apim-request-id", "x-ms-request-id", "x-ms-client-request-id"), IDENTIFIER),
        "x-ms-region": REGION,
    },
    families=(
        HeaderFamily(
            re.compile(r"azureml-[a-z]+(?:-[a-z]+){0,5}|x-ms-[a-z]+(?:-[a-z]+){0,6}", re.ASCII),
            (AMOUNT, SWITCH, IDENTIFIER),
        ),
    ),
)

CONTRACT = Contract(
    carries={
        "request": frozenset((*_BOTH, "system", "user", "tool_result", "tool_definition")),
        "response": frozenset((*_BOTH, "error")),
    },
    words=SHARED,
    opaque=frozenset(("image", "audio", "video", "file", "token_ids", "tokens")),
    repeats=TOKENS | {"logprobs", "top_logprobs", "numbers", "obfuscation"},
    demand=_demand,
    parts={
        "answer": re.compile(r"choices\[\d+\]\.message\.content"),
        "tool": re.compile(_CALL.format("(?:function|custom)", "name")),
        "input": re.compile(_CALL.format("function", "arguments")),
    },
    answer_path=("choices", 0, "message", "content"),
    inputs=no_inputs,
    name_path=name_beside,
    choice=re.compile(r"(?:choices\[\d+\])?"),
    usage=UsageFields(prompt=("prompt_tokens", "input_tokens"), answer=("completion_tokens", "output_tokens")),
    terminal=(b"data: [DONE]\n\n",),
    error_path=("error", "message"),
    media=MediaTypes("application/json", "text/event-stream", ("application/json",)),
    unanswered=frozenset(),
    limits={"messages": ("messages", "input"), "tools": ("tools", "functions")},
    statements=EVERY_SERVER,
    query=SDK_QUERY,
    signs=Signs(paths=(), headers=()),
    key_header=KeyHeader("Authorization", "Bearer "),
    headers=_HEADERS,
)
