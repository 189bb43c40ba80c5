"""The contract of Anthropic Messages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
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
from guardproxy.wire.contract.headers import (
    DATE,
    IDENTIFIER,
    WORD,
    FormatHeaders,
    LimitHeaders,
    Remaining,
    header_form,
    limits_family,
)
from guardproxy.wire.contract.refused import ANTHROPIC_REFUSED
from guardproxy.wire.contract.request_facts import EVERY_SERVER, USER_FIELDS
from guardproxy.wire.contract.side_effects import acts_beyond
from guardproxy.wire.formats.anthropic_messages.field_map import REQUEST
from guardproxy.wire.framing.sse import frame
from guardproxy.wire.json import members, objects
from guardproxy.wire.json.opaque import MEDIA
from guardproxy.wire.json.vocabulary import SHARED
from guardproxy.wire.request.vllm_fields import DENIED

CREATES = ("POST /v1/messages", "POST /anthropic/v1/messages")
"""The routes of Anthropic, and of Amazon Bedrock and Azure, which put `/anthropic` before them."""
COUNTS = tuple(f"{route}/count_tokens" for route in CREATES)
_BOTH: tuple[Kind, ...] = (
    *("assistant", "tool_arguments", "reasoning", "unmapped", "tool_result", "tool_definition", "metadata"),
)
# Names that a server's own tool may use for itself, beside the name that the request declares.
_ALIASES = {"code_execution": ("bash_code_execution", "text_editor_code_execution")}


def _demand(tree: Mapping[str, Any]) -> Demand:
    tools: dict[str, Any] = {}
    for tool in objects(tree.get("tools")):
        if isinstance(name := tool.get("name"), str):
            tools[name] = tool.get("input_schema")
    for name, aliases in _ALIASES.items():
        if name in tools:
            tools |= dict.fromkeys(aliases)
    form = members(members(tree.get("output_config")).get("format")) or members(tree.get("output_format"))
    return demand_of(_answer_schema(form), tools)


def _answer_schema(form: Mapping[str, Any]) -> Any:
    return form.get("schema", ANY_OBJECT) if form.get("type") in ("json_schema", "json_object") else None


_TYPES = ("tool_use", "server_tool_use", "mcp_tool_use")
_CALLS = CallMap(
    re.compile(
        r"(?P<call>(?:messages\[\d+\]\.)?content\[\d+\](?:\.content\[\d+\])*)\.(?P<member>name|server_name|input)"
    ),
    arguments_in("input", comes_later=True),
    servers=("server_name",),
    named=calls_of_all(
        *(
            calls_in(place, _TYPES, inputs=("input",))
            for place in (("content", None), ("content_block",), ("message", "content", None))
        )
    ),
)
_HEADERS = FormatHeaders(
    credentials=("x-api-key", "authorization"),
    meaning={
        "anthropic-version": header_form(DATE),
        # The name of a feature has up to three digits beside its date: `max-tokens-3-5-sonnet-2024-07-15`.
        "anthropic-beta": header_form(
            rf"(?!(?:\D*\d){{12}})[a-z][a-z0-9-]{{0,60}}-{DATE}|[a-z][a-z-]{{0,60}}", is_list=True
        ),
        "anthropic-dangerous-direct-browser-access": header_form(r"true|false"),
    },
    single=frozenset(("anthropic-version",)),
    client={"x-app": header_form(WORD)},
    account={},
    answer=dict.fromkeys(("request-id", "anthropic-organization-id"), IDENTIFIER),
    families=(limits_family("anthropic-ratelimit", "anthropic-priority", "anthropic-fast"),),
    needed={"anthropic-version": "2023-06-01"},
)


def _limit_headers(limit: Remaining, unix_s: float) -> Mapping[str, str]:
    base = f"anthropic-ratelimit-{limit.unit}"
    reset = _utc(int(unix_s + limit.reset_s))
    return {f"{base}-limit": str(limit.limit), f"{base}-remaining": str(limit.remaining), f"{base}-reset": reset}


@lru_cache(maxsize=256)
def _utc(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


CONTRACT = Contract(
    carries={
        "request": frozenset((*_BOTH, "system", "user", "document")),
        "response": frozenset((*_BOTH, "refusal", "error")),
    },
    words=SHARED,
    opaque=frozenset((*MEDIA, "token_ids", "secret")),
    repeats=frozenset(),
    demand=_demand,
    parts={
        "answer": re.compile(r"content\[\d+\]\.text"),
        "tool": re.compile(r"content\[\d+\]\.name"),
        "input": re.compile(r"content\[\d+\]\.input"),
    },
    answer_path=("content", 0, "text"),
    calls=_CALLS,
    name_path=name_beside,
    choice=re.compile(""),
    usage=UsageFields(
        prompt=("input_tokens", "prompt_tokens"),
        answer=("output_tokens", "completion_tokens"),
        more_prompt=("cache_read_input_tokens", "cache_creation_input_tokens"),  # `input_tokens` leaves them out
        cached=("cache_read_input_tokens",),
        written=("cache_creation_input_tokens",),
    ),
    lists=None,
    terminal=(frame(b'{"type":"message_stop"}', "message_stop"),),
    error_path=("error", "message"),
    media=MediaTypes("application/json", "text/event-stream", ("application/json",)),
    unanswered=frozenset(COUNTS),
    limits={"messages": ("messages", "input"), "tools": ("tools", "functions")},
    serves_models=True,
    statements=EVERY_SERVER.of(REQUEST),
    acts=acts_beyond(r"|custom|(?:bash|text_editor|computer|memory)_\d{8}", ("container",)),
    query=SDK_QUERY,
    signs=Signs(paths=("/v1/messages", "/anthropic/"), headers=("anthropic-version",)),
    denied=DENIED,
    refused=ANTHROPIC_REFUSED,
    with_wait=unchanged,
    stored=None,
    key_header=KeyHeader("x-api-key", ""),
    headers=_HEADERS,
    repeated=None,
    limit_headers=LimitHeaders("anthropic-ratelimit-", _limit_headers),
    user_fields=USER_FIELDS,
    telemetry=TelemetryNames("anthropic", "chat"),
)
