"""The contract of Gemini generateContent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from guardproxy.findings import Kind
from guardproxy.wire.contract.contract import (
    Contract,
    KeyHeader,
    MediaTypes,
    QuerySyntax,
    RefusedRoutes,
    Signs,
    TelemetryNames,
    UsageFields,
    name_beside,
)
from guardproxy.wire.contract.headers import NO_LIMIT_HEADERS, PRODUCTS, FormatHeaders, header_form
from guardproxy.wire.contract.request_facts import EVERY_SERVER, USER_FIELDS
from guardproxy.wire.formats.gemini_generate.calls import CALLS
from guardproxy.wire.formats.gemini_generate.derived_fields import REPEATS
from guardproxy.wire.formats.gemini_generate.field_map import REQUEST
from guardproxy.wire.formats.gemini_generate.schemas import demand
from guardproxy.wire.formats.gemini_generate.words import WORDS
from guardproxy.wire.framing import data_lines
from guardproxy.wire.json import read, write
from guardproxy.wire.json.opaque import MEDIA

_BOTH: tuple[Kind, ...] = ("assistant", "tool_arguments", "tool_result", "reasoning", "metadata", "unmapped")
_ANSWERED = ("generateContent", "streamGenerateContent")
_COUNTED = ("countTokens", "embedContent", "batchEmbedContents")
MODELS = "POST /{version}/models/{model}:"
TUNED = "POST /{version}/tunedModels/{model}:"
ROUTES = (
    *(f"{MODELS}{action}" for action in (*_ANSWERED, *_COUNTED)),
    *(f"{TUNED}{action}" for action in (*_ANSWERED, "countTokens")),
)
UNANSWERED = frozenset(route for route in ROUTES if route.endswith(_COUNTED))
_PART = r"candidates\[\d+\]\.content\.parts\[\d+\]"
_CALL = rf"{_PART}\.(?:functionCall|function_call)"
_WHOLE = ("", "generateContentRequest.", "generate_content_request.")
_CONFIGS = ("generationConfig", "generation_config")
_STATEMENTS = replace(
    EVERY_SERVER.of(REQUEST),
    tokens=(
        *(f"{at}{of}.{name}" for at in _WHOLE for of in _CONFIGS for name in ("maxOutputTokens", "max_output_tokens")),
        *EVERY_SERVER.tokens,
    ),
    messages=(*(f"{at}contents" for at in _WHOLE), "requests", *EVERY_SERVER.messages),
    tools=(*(f"{at}tools" for at in _WHOLE), *EVERY_SERVER.tools),
    answers=(
        *(f"{at}{of}.{name}" for at in _WHOLE for of in _CONFIGS for name in ("candidateCount", "candidate_count")),
        *EVERY_SERVER.answers,
    ),
)
_HEADERS = FormatHeaders(
    credentials=("x-goog-api-key", "authorization"),
    meaning={},
    single=frozenset(),
    client={"x-goog-api-client": header_form(PRODUCTS)},
    account={},
    answer={},
    families=(),
)
_DECLARED = frozenset(("functionDeclarations", "function_declarations"))
_VERSION = r"/v1(?:alpha|beta)?1?"
_ADVICE = (
    "of the Gemini API only generateContent, streamGenerateContent, countTokens, embedContent and batchEmbedContents are "
    "guarded: no check reads what this route carries or gives back. Send the whole conversation to POST "
    "/v1beta/models/MODEL:generateContent"
)
_REFUSED = RefusedRoutes(
    re.compile(
        rf"[A-Z]+ (?:/upload)?{_VERSION}/(?:(?:models|tunedModels)/[^/]+:[A-Za-z]+"
        r"|(?:cachedContents|files|fileSearchStores|interactions|auth_tokens|batches|tunedModels|corpora|agents|environments"
        r"|triggers)(?:[/:].*)?)"
    ),
    _ADVICE,
)


def acts(tree: Mapping[str, Any]) -> bool:
    """Whether Google may run a tool for a request: any tool but the functions that the client declares."""
    tools = tree.get("tools") or []
    return not isinstance(tools, list) or not all(
        isinstance(tool, Mapping) and _DECLARED.issuperset(tool) for tool in tools
    )


def ended(tree: dict[str, Any]) -> bytes:
    """Returns the event of an error, which ends a stream."""
    return data_lines.frame(write(tree))


def with_wait(body: bytes, wait_s: int) -> bytes:
    """Adds the time to wait to the details of an error, where clients of Google's APIs look for it."""
    tree = read(body)
    wait = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{wait_s}s"}
    tree["error"]["details"].append(wait)
    return write(tree)


CONTRACT = Contract(
    carries={
        "request": frozenset((*_BOTH, "system", "user", "tool_definition")),
        "response": frozenset((*_BOTH, "refusal", "error")),
    },
    words=WORDS,
    opaque=frozenset((*MEDIA, "secret", "token_ids", "tokens", "vectors")),
    repeats=REPEATS,
    demand=demand,
    parts={
        "answer": re.compile(rf"{_PART}\.text"),
        "tool": re.compile(rf"{_CALL}\.name"),
        "input": re.compile(rf"{_CALL}\.args"),
    },
    answer_path=("candidates", 0, "content", "parts", 0, "text"),
    calls=CALLS,
    name_path=name_beside,
    choice=re.compile(r"(?:candidates\[\d+\])?"),
    usage=UsageFields(
        prompt=("promptTokenCount",),
        answer=("candidatesTokenCount",),
        more_prompt=("toolUsePromptTokenCount",),
        more_answer=("thoughtsTokenCount",),  # billed as tokens of the answer
        cached=("cachedContentTokenCount",),
    ),
    lists=None,
    terminal=(ended({"error": {"code": 500, "message": "", "status": "INTERNAL"}}),),
    error_path=("error", "message"),
    media=MediaTypes("application/json", "text/event-stream", ("application/json",)),
    unanswered=UNANSWERED,
    limits={"messages": ("contents", "requests"), "tools": ("tools",)},
    serves_models=True,
    statements=_STATEMENTS,
    acts=acts,
    query=QuerySyntax(re.compile(r"(?:alt=(?:sse|json))?"), "alt=sse, alt=json and key=KEY", credential="key"),
    signs=Signs(paths=("/v1beta/", "/v1alpha/", "/v1beta1/"), headers=("x-goog-api-key",)),
    denied={},
    refused=(_REFUSED,),
    key_header=KeyHeader("x-goog-api-key", ""),
    headers=_HEADERS,
    repeated=None,
    limit_headers=NO_LIMIT_HEADERS,
    user_fields=USER_FIELDS,
    telemetry=TelemetryNames("gcp.gemini", "generate_content"),
    with_wait=with_wait,
    stored=None,
)
