"""The contract of MCP."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from guardproxy.events import Path
from guardproxy.wire.contract.calls import CallMap, arguments_in, as_json, calls_in
from guardproxy.wire.contract.contract import (
    NO_DEMAND,
    Contract,
    Demand,
    KeyHeader,
    MediaTypes,
    QuerySyntax,
    RefusedRoutes,
    Signs,
    TelemetryNames,
    UsageFields,
    unchanged,
)
from guardproxy.wire.contract.headers import NO_LIMIT_HEADERS, FormatHeaders, header_form
from guardproxy.wire.contract.listed import ListedEntries
from guardproxy.wire.contract.request_facts import Fields
from guardproxy.wire.formats.mcp.repeated import REPEATED
from guardproxy.wire.formats.mcp.words import CALL, WORDS
from guardproxy.wire.formats.mcp.words import LISTS as LISTS_OF
from guardproxy.wire.framing.sse import frame
from guardproxy.wire.json import OTHERS, members, text
from guardproxy.wire.json.opaque import MEDIA

POST, GET, DELETE = "POST /mcp/{server}", "GET /mcp/{server}", "DELETE /mcp/{server}"
ROUTES = (POST, GET, DELETE)
_ARGUMENTS = re.compile(r"params\.arguments(?:[.\[#].*)?", re.DOTALL)
_INPUT = re.compile(r"((?:.*\.)?content(?:\[\d+\])?)\.input(?:[.\[#].*)?", re.DOTALL)


def _demand(tree: Mapping[str, Any]) -> Demand:
    return NO_DEMAND


def _acts(tree: Mapping[str, Any]) -> bool:
    """Whether the server may act: it may for every message."""
    return True


def _name_path(path: str) -> str:
    """Returns the path of the name of the tool that gets the arguments at or above a path; empty if it names none."""
    if _ARGUMENTS.fullmatch(path):
        return "params.name"
    match = _INPUT.fullmatch(path)
    return f"{match[1]}.name" if match else ""


def called(tree: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the name of the tool that a message calls."""
    name = members(tree.get("params")).get("name") if tree.get("method") == CALL else None
    return (name,) if isinstance(name, str) else ()


def _is_call(tree: Any, call: str) -> bool:
    """Whether the object at a path calls a tool: other methods have a name and arguments, too."""
    return call != "params" or members(tree).get("method") == CALL


def _written(call: Mapping[str, Any], *, streamed: bool) -> tuple[str, str] | None:
    """Returns the arguments of a call: `arguments` of params, `input` of a block. A call with both is no JSON."""
    if all(call.get(key) is not None for key in _HOLDERS):
        return _HOLDERS[0], " ".join(as_json(call[key]) for key in _HOLDERS)
    return _one(call, streamed=streamed)


_HOLDERS = ("arguments", "input")
_one = arguments_in(*_HOLDERS)
_BLOCK = r"content(?:\[\d+\])?(?:\.content(?:\[\d+\])?)*"


_SAMPLED = calls_in(("result", "content", None), ("tool_use",), is_single=True)


def _named(tree: Mapping[str, Any], *, streamed: bool) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Yields the call of a message, and those in what a client's model says to a server. A message without `params` calls
    nothing: it stands for a call whose answer alone is known (`adapters/agentgateway_mcp`)."""
    if tree.get("method") == CALL and "params" in tree:
        yield ("params",), members(tree.get("params"))
    yield from _SAMPLED(tree, streamed=streamed)


def _beside(tree: Any) -> dict[str, Any]:
    """Returns the params of a call without its name, its arguments and `_meta`, which differs each time."""
    params = members(members(tree).get("params"))
    return {key: value for key, value in params.items() if key not in ("name", "arguments", "_meta")}


_CALLS = CallMap(
    re.compile(
        # The first `content` holds the blocks: one inside of the arguments of a call is an argument.
        rf"(?P<call>params\.inputResponses\.(?:.*?\.)?{_BLOCK}|params|(?:.*?\.)?{_BLOCK})\.(?P<member>[^.\[#]+)",
        re.DOTALL,
    ),
    _written,
    is_call=_is_call,
    named=_named,
    made="request",
    by_route=True,
    beside=_beside,
)
_LISTED = "|".join(LISTS_OF.values())
LISTS = ListedEntries(re.compile(rf"result\.(?:{_LISTED})\[\d+\]", re.ASCII))
_DATE = r"20\d\d-[01]\d-[0-3]\d"
_HEADERS = FormatHeaders(
    credentials=("authorization",),
    meaning={
        "mcp-protocol-version": header_form(_DATE),
    },
    single=frozenset(("mcp-protocol-version", "mcp-session-id", "last-event-id")),
    client={},
    account={},
    answer={"mcp-protocol-version": re.compile(_DATE, re.ASCII)},
    families=(),
    session="mcp-session-id",
)
CONTRACT = Contract(
    carries={
        "request": frozenset(("tool_arguments", "tool_result", "user", "assistant", "metadata", "unmapped")),
        "response": frozenset(("tool_result", "tool_definition", "tool_arguments", "metadata", "error", "unmapped")),
    },
    words=WORDS,
    opaque=frozenset(MEDIA),
    repeats=frozenset(("structuredContent",)),
    demand=_demand,
    parts={"answer": None, "tool": None, "input": None},
    answer_path=(),
    calls=_CALLS,
    name_path=_name_path,
    choice=re.compile(""),
    usage=UsageFields(prompt=(), answer=()),
    lists=LISTS,
    terminal=(frame(b'{"jsonrpc":"2.0","id":1,"result":{}}'),),
    error_path=("error", "message"),
    media=MediaTypes("application/json", "text/event-stream", ("application/json",), empty=frozenset((202, 204))),
    unanswered=frozenset(ROUTES),
    limits={"messages": (), "tools": ()},
    serves_models=False,
    statements=Fields(
        tokens=(),
        models={OTHERS: text("tool_arguments")},
        messages=(),
        tools=(),
        answers=(),
        prompts=(),
        lengths=(),
        called=called,
    ),
    acts=_acts,
    query=QuerySyntax(re.compile(""), "an empty one"),
    signs=Signs(paths=("/mcp/",), headers=("mcp-protocol-version", "mcp-session-id", "mcp-method")),
    denied={},
    refused=(
        RefusedRoutes(
            re.compile(r"[A-Z]+ /(?:mcp|sse|messages)/?"),
            "servers of MCP are guarded by name: use /mcp/NAME, with streamable HTTP",
        ),
    ),
    with_wait=unchanged,
    stored=None,
    key_header=KeyHeader("Authorization", "Bearer "),
    headers=_HEADERS,
    repeated=REPEATED,
    limit_headers=NO_LIMIT_HEADERS,
    user_fields=(),
    telemetry=TelemetryNames("mcp", "execute_tool"),
)
