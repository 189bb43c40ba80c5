"""The contract of OpenAI Responses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from guardproxy.events import Path, RunCall
from guardproxy.findings import Kind
from guardproxy.wire.contract.calls import CallMap, arguments_in, calls_in, calls_of_all
from guardproxy.wire.contract.contract import (
    ANY_OBJECT,
    SDK_QUERY,
    Contract,
    Demand,
    KeyHeader,
    MediaTypes,
    QuerySyntax,
    RefusedRoutes,
    Signs,
    TelemetryNames,
    UsageFields,
    demand_of,
    name_beside,
    unchanged,
)
from guardproxy.wire.contract.request_facts import EVERY_SERVER, USER_FIELDS
from guardproxy.wire.contract.side_effects import acts_beyond
from guardproxy.wire.decoding.token_data import TOKENS
from guardproxy.wire.families.openai_headers import LIMIT_HEADERS, OPENAI_HEADERS
from guardproxy.wire.formats.openai_responses.events import number
from guardproxy.wire.formats.openai_responses.field_map import REQUEST, STORED
from guardproxy.wire.formats.openai_responses.items import NAMED
from guardproxy.wire.formats.openai_responses.words import WORDS
from guardproxy.wire.framing.sse import frame
from guardproxy.wire.json import listed, members, objects
from guardproxy.wire.json.opaque import MEDIA
from guardproxy.wire.request.vllm_fields import DENIED

COUNT = "POST /v1/responses/input_tokens"
COMPACT = "POST /v1/responses/compact"
UNANSWERED = (COUNT, COMPACT, *(f"POST /openai/v1/responses/{name}" for name in ("input_tokens", "compact")))
_BOTH: tuple[Kind, ...] = (
    *("system", "user", "assistant", "tool_arguments", "tool_result", "tool_definition", "reasoning", "refusal"),
    *("metadata", "unmapped"),
)
_STORED_ADVICE = (
    "no check reads this route of stored responses and conversations. Guarded are GET /v1/responses/{id}, its `/input_items` "
    "and GET /v1/conversations/{id}/items, with ids as providers make them. Otherwise keep the answer of POST /v1/responses, "
    "and send earlier turns in `input`"
)
_ENDS = ("completed", "incomplete", "failed")


def _demand(tree: Mapping[str, Any]) -> Demand:
    tools: dict[str, Any] = {}
    for tool in objects(tree.get("tools")):
        inner = objects(tool.get("tools")) if tool.get("type") == "namespace" else [tool]
        for callable_ in inner:
            if isinstance(name := callable_.get("name"), str):
                tools[name] = callable_.get("parameters") or {} if callable_.get("type") == "function" else None
    form = members(members(tree.get("text")).get("format"))
    return demand_of(_answer_schema(form), tools)


def _answer_schema(form: Mapping[str, Any]) -> Any:
    return form.get("schema", ANY_OBJECT) if form.get("type") in ("json_schema", "json_object") else None


_CALL = "_call"  # the end of the types of calls
_NAMED = tuple(sorted(kind for kind in NAMED if kind.endswith(_CALL)))  # types of calls that name their tool
_OTHERS = ("tool_search_output", "program")  # further items that tell of a tool that the provider runs


def _runs(tree: Any) -> Iterator[RunCall]:
    """Yields the calls of tools without a name in a request, an answer or an event."""
    if not isinstance(tree, dict):
        return
    if isinstance(item := tree.get("item"), dict):
        yield from _run(item, ("item",), f"output[{number(tree, 'output_index')}]")
    for holder, path in ((tree, ()), (members(tree.get("response")), ("response",))):
        for key in ("input", "output"):
            for at, item in enumerate(listed(holder, key)):
                if isinstance(item, dict):
                    yield from _run(item, (*path, key, at), f"{key}[{at}]")


def _run(item: dict[str, Any], path: Path, call: str) -> Iterator[RunCall]:
    kind = item.get("type")
    if not isinstance(kind, str) or kind in _NAMED:
        return
    if kind.endswith(_CALL) or kind in _OTHERS:
        yield RunCall(path, kind.removesuffix(_CALL), call)


_CALLS = CallMap(
    re.compile(r"(?P<call>(?:input|output|items)\[\d+\])\.(?P<member>\w+)"),
    arguments_in("arguments", "input", "action", "actions", "operation"),
    servers=("server_label",),
    runs=_runs,
    named=calls_of_all(
        *(calls_in(place, _NAMED) for place in (("item",), ("output", None), ("response", "output", None)))
    ),
)


CONTRACT = Contract(
    carries={"request": frozenset((*_BOTH, "document")), "response": frozenset((*_BOTH, "error"))},
    words=WORDS,
    opaque=frozenset((*MEDIA, "token_ids", "tokens", "secret")),
    repeats=TOKENS | {"logprobs", "numbers", "obfuscation"},
    demand=_demand,
    parts={
        "answer": re.compile(r"output\[\d+\]\.content\[\d+\]\.text"),
        "tool": re.compile(r"output\[\d+\]\.name"),
        "input": re.compile(r"output\[\d+\]\.arguments"),
    },
    answer_path=("output", 0, "content", 0, "text"),
    calls=_CALLS,
    name_path=name_beside,
    choice=re.compile(""),
    usage=UsageFields(
        prompt=("input_tokens", "prompt_tokens"),
        answer=("output_tokens", "completion_tokens"),
        cached=("input_tokens_details.cached_tokens", "prompt_tokens_details.cached_tokens"),
    ),
    lists=None,
    terminal=tuple(frame(f'{{"type":"response.{end}"}}'.encode(), f"response.{end}") for end in _ENDS),
    error_path=("error", "message"),
    media=MediaTypes("application/json", "text/event-stream", ("application/json",)),
    unanswered=frozenset((*UNANSWERED, *STORED.made_by)),
    limits={"messages": ("input", "messages"), "tools": ("tools", "functions")},
    serves_models=True,
    statements=EVERY_SERVER.of(REQUEST),
    acts=acts_beyond("function|custom|local_shell|apply_patch", ("conversation", "background", "plugins")),
    query=SDK_QUERY,
    signs=Signs(paths=("/v1/responses", "/v1/conversations", "/openai/v1/responses", "/openai/responses"), headers=()),
    denied=DENIED,
    refused=(
        RefusedRoutes(re.compile(r"[A-Z]+ /(?:openai/)?(?:v1/)?(?:responses|conversations)(?:/.*)?"), _STORED_ADVICE),
    ),
    with_wait=unchanged,
    stored=STORED,
    key_header=KeyHeader("Authorization", "Bearer "),
    headers=OPENAI_HEADERS,
    repeated=None,
    limit_headers=LIMIT_HEADERS,
    user_fields=USER_FIELDS,
    telemetry=TelemetryNames("openai", "chat"),
)

_INCLUDED = (
    *("file_search_call.results", "web_search_call.results", "web_search_call.action.sources"),
    *("message.input_image.image_url", "computer_call_output.output.image_url", "code_interpreter_call.outputs"),
    *("reasoning.encrypted_content", "message.output_text.logprobs"),
)
_INCLUDE = r"include(?:\[\d?\]|%5B\d?%5D)?=(?:" + "|".join(map(re.escape, _INCLUDED)) + ")"
_STORED_QUERY = QuerySyntax(
    re.compile(
        rf"(?:{SDK_QUERY.pattern.pattern}|(?:stream|include_obfuscation)=(?:true|false)|limit=[0-9]{{1,3}}|order=(?:asc|desc)"
        rf"|(?:after|before)=[a-z]{{2,8}}_[0-9a-f]{{1,128}}|{_INCLUDE}|&)*",
        re.ASCII,
    ),
    "stream, include, include_obfuscation, limit, order, and the id of an item in after or before (no starting_after: a "
    "stream is read from its beginning)",
)
STORED_CONTRACT = replace(CONTRACT, serves_models=False, query=_STORED_QUERY)
"""The contract of the routes that read back what is stored. No model is asked, and nothing is asked again elsewhere."""
