"""The maps of MCP: the meaning of each place of a message, in both directions.

A message is a request, a notification, a result or an error. The params of a request are mapped by its method. A result does
not say to which request it belongs, so all results of one direction have one map: their fields have different names.

| text | from the client | from the server |
|---|---|---|
| names and arguments of calls, prompts and resources | tool_arguments | tool_arguments |
| lists of tools, prompts and resources; `instructions`, `serverInfo`, schemas | tool_definition | tool_definition |
| results, contents of resources, messages of prompts, progress and log messages | | tool_result |
| what a server asks a model or a user (sampling, elicitation) | | tool_result |
| what a user typed: content of an elicitation, the argument of a completion | user | |
| what the client's model answered (sampling) | assistant | |
| errors | metadata | error |
| names of clients and roots, reasons, `_meta`, cursors | metadata | metadata |
| a field or a method that is not known | unmapped | unmapped |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from guardproxy.findings import Kind
from guardproxy.wire.formats.mcp.words import CAPABILITIES_KEY, CLIENT_KEY, SERVER_KEY, VERSION_KEY
from guardproxy.wire.json import (
    KEYS,
    OTHERS,
    STRUCTURE,
    TIME,
    UNMAPPED,
    Map,
    MapFields,
    MapLeaf,
    members,
    opaque,
    part_text,
    text,
    unknown,
)

_METADATA, _DEFINITION, _ARGUMENTS = text("metadata"), text("tool_definition"), text("tool_arguments")
_TOKEN = opaque("encrypted", "metadata")
_META_FIELDS: MapFields = {
    "progressToken": STRUCTURE,
    VERSION_KEY: STRUCTURE,
    CLIENT_KEY: _METADATA,
    SERVER_KEY: _METADATA,
    CAPABILITIES_KEY: _METADATA,
    OTHERS: _METADATA,
    KEYS: _METADATA,
}


def _meta(value: Any) -> Map:
    return _META_FIELDS if isinstance(value, dict) else _METADATA


def _with_meta(fields: MapFields) -> MapFields:
    return {"_meta": _meta, **fields}


def _annotations(kind: Kind) -> MapFields:
    return {"audience": [STRUCTURE], "priority": STRUCTURE, "lastModified": TIME, "title": text(kind)}


def _icons(kind: Kind) -> list[Map]:
    return [{"src": opaque("url", kind), "mimeType": STRUCTURE, "sizes": [STRUCTURE], "theme": STRUCTURE}]


def _described(kind: Kind, fields: MapFields) -> MapFields:
    """Maps an entry of a list, or another thing with a name, a title and a description."""
    return _with_meta(
        {
            **dict.fromkeys(("name", "title", "description"), text(kind)),
            **dict.fromkeys(("mimeType", "size"), STRUCTURE),
            "icons": _icons(kind),
            "annotations": _annotations(kind),
            **fields,
        }
    )


def _hints(kind: Kind) -> MapFields:
    hints = ("readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint")
    return {"title": text(kind), **dict.fromkeys(hints, STRUCTURE)}


_IMPLEMENTATION: MapFields = dict.fromkeys(("version", "websiteUrl"), _METADATA)
_TOOL = _described(
    "tool_definition",
    {
        "inputSchema": _DEFINITION,
        "outputSchema": _DEFINITION,
        "execution": {"taskSupport": STRUCTURE},
        "annotations": _hints("tool_definition"),
    },
)
_PROMPT = _described("tool_definition", {"arguments": [_described("tool_definition", {"required": STRUCTURE})]})
_RESOURCE = _described("tool_definition", {"uri": opaque("url", "tool_definition")})
_TEMPLATE = _described("tool_definition", {"uriTemplate": _DEFINITION})
_TASK: MapFields = {
    **dict.fromkeys(("taskId", "status", "ttl", "pollInterval"), STRUCTURE),
    **dict.fromkeys(("createdAt", "lastUpdatedAt"), TIME),
}
_TASK_OPTIONS: MapFields = {"ttl": STRUCTURE, "pollInterval": STRUCTURE}
_CAPABILITIES = _METADATA


# Contents.


def _declared(value: Any) -> str | None:
    declared = members(value).get("mimeType")
    return declared if isinstance(declared, str) else None


def _contents(kind: Kind) -> Callable[[Any], Map]:
    """Maps the contents of a resource: a text, or bytes in base64."""

    def choose(value: Any) -> Map:
        if not isinstance(value, dict):
            return text(kind)
        return _with_meta(
            {
                "uri": opaque("url", kind),
                "mimeType": STRUCTURE,
                "text": part_text(kind),
                "blob": opaque("file", kind, _declared(value)),
                **dict.fromkeys(("name", "title"), text(kind)),
            }
        )

    return choose


def _is_json(value: Any) -> bool:
    """Whether a text looks like an object or an array of JSON."""
    return isinstance(value, str) and value.lstrip()[:1] in ("{", "[")


def _block(kind: Kind, *, is_repeated: bool = False) -> Callable[[Any], Map]:
    """Maps a block of content. `is_repeated`: whether `structuredContent` beside the blocks repeats their texts, which are
    then often JSON, and are read as such so that an edit keeps them JSON."""

    def choose(value: Any) -> Map:
        if not isinstance(value, dict):
            return unknown(kind)
        shared = _with_meta({"type": STRUCTURE, "annotations": _annotations(kind), OTHERS: unknown(kind)})
        name = value.get("type")
        match name:
            case "text":
                is_json = is_repeated and _is_json(value.get("text"))
                return {**shared, "text": MapLeaf("json", kind) if is_json else part_text(kind)}
            case "image" | "audio":
                return {**shared, "data": opaque(name, kind, _declared(value)), "mimeType": STRUCTURE}
            case "resource":
                return {**shared, "resource": _contents(kind)}
            case "resource_link":
                return {**shared, **_described(kind, {"uri": opaque("url", kind)})}
            case "tool_use":
                return {**shared, "id": STRUCTURE, "name": _ARGUMENTS, "input": _ARGUMENTS}
            case "tool_result":
                return {**shared, "toolUseId": STRUCTURE, **_results(value, "tool_result")}
        return {**shared, KEYS: unknown(kind)}

    return choose


def _content(kind: Kind, value: Any, *, is_repeated: bool = False) -> Map:
    block = _block(kind, is_repeated=is_repeated)
    return [block] if isinstance(value, list) else block if isinstance(value, dict) else text(kind)


def _results(value: Any, kind: Kind) -> MapFields:
    """Maps the fields of the result of a tool."""
    is_repeated = members(value).get("structuredContent") is not None
    return {
        "content": lambda content: _content(kind, content, is_repeated=is_repeated),
        "structuredContent": text(kind),
        "isError": STRUCTURE,
    }


def _message(kind: Kind, kinds: dict[str, Kind] | None = None) -> Callable[[Any], Map]:
    """Maps a message of a prompt or of a sampling. `kinds`: the kinds of its text by its role; otherwise it is `kind`."""

    def choose(value: Any) -> Map:
        if not isinstance(value, dict):
            return text(kind)
        role = value.get("role")
        its = (kinds or {}).get(role, kind) if isinstance(role, str) else kind
        return _with_meta({"role": STRUCTURE, "content": lambda content: _content(its, content)})

    return choose


# Requests and notifications.


def _params(fields: MapFields) -> Map:
    """Maps the params of a method."""
    return _with_meta(fields)


_PAGE = _params({"cursor": _TOKEN})
_NOTHING = _params({})
_STATE: MapFields = {"requestState": _TOKEN}


def _input_responses(value: Any) -> Map:
    """Maps the answers of the client to what a result asked for, by the names that the server gave."""
    return {OTHERS: _client_result, KEYS: _METADATA} if isinstance(value, dict) else UNMAPPED


def _input_requests(value: Any) -> Map:
    """Maps what a result asks the client for, by the names that the server gave."""
    return {OTHERS: _server_message, KEYS: _METADATA} if isinstance(value, dict) else UNMAPPED


_INPUTS: MapFields = {**_STATE, "inputResponses": _input_responses}
_CLIENT_PARAMS: dict[str, Map] = {
    "initialize": _params(
        {
            "protocolVersion": STRUCTURE,
            "capabilities": _CAPABILITIES,
            "clientInfo": _described("metadata", _IMPLEMENTATION),
        }
    ),
    "tools/call": _params({"name": _ARGUMENTS, "arguments": _ARGUMENTS, "task": _TASK_OPTIONS, **_INPUTS}),
    "prompts/get": _params({"name": _ARGUMENTS, "arguments": _ARGUMENTS, **_INPUTS}),
    "resources/read": _params({"uri": _ARGUMENTS, **_INPUTS}),
    **dict.fromkeys(("resources/subscribe", "resources/unsubscribe"), _params({"uri": _ARGUMENTS})),
    **dict.fromkeys(("tools/list", "prompts/list", "resources/list", "resources/templates/list", "tasks/list"), _PAGE),
    "completion/complete": _params(
        {
            "ref": {"type": STRUCTURE, **dict.fromkeys(("name", "uri", "title"), _ARGUMENTS)},
            "argument": {"name": _ARGUMENTS, "value": text("user")},
            "context": {"arguments": _ARGUMENTS},
        }
    ),
    "logging/setLevel": _params({"level": STRUCTURE}),
    **dict.fromkeys(("tasks/get", "tasks/result", "tasks/cancel"), _params({"taskId": STRUCTURE})),
    "tasks/update": _params({"taskId": STRUCTURE, **_INPUTS}),
    "subscriptions/listen": _params(
        {
            "notifications": {
                **dict.fromkeys(("toolsListChanged", "promptsListChanged", "resourcesListChanged"), STRUCTURE),
                "resourceSubscriptions": _ARGUMENTS,
            }
        }
    ),
}
_SERVER_PARAMS: dict[str, Map] = {
    "sampling/createMessage": _params(
        {
            "messages": [_message("tool_result")],
            "systemPrompt": text("tool_result"),
            "tools": [_TOOL],
            "toolChoice": {"mode": STRUCTURE},
            "stopSequences": _METADATA,
            "metadata": _METADATA,
            "modelPreferences": {
                "hints": [{"name": _METADATA}],
                **dict.fromkeys(("costPriority", "speedPriority", "intelligencePriority"), STRUCTURE),
            },
            **dict.fromkeys(("includeContext", "temperature", "maxTokens"), STRUCTURE),
            "task": _TASK_OPTIONS,
        }
    ),
    "elicitation/create": _params(
        {
            "message": text("tool_result"),
            "requestedSchema": _DEFINITION,
            "url": opaque("url", "tool_result"),
            "mode": STRUCTURE,
            "elicitationId": STRUCTURE,
            "task": _TASK_OPTIONS,
        }
    ),
    "roots/list": _NOTHING,
    "notifications/elicitation/complete": _params({"elicitationId": STRUCTURE}),
    "notifications/message": _params({"level": STRUCTURE, "logger": text("tool_result"), "data": text("tool_result")}),
    "notifications/resources/updated": _params({"uri": opaque("url", "tool_result"), "title": text("tool_result")}),
    **dict.fromkeys(
        (
            "notifications/tools/list_changed",
            "notifications/prompts/list_changed",
            "notifications/resources/list_changed",
        ),
        _NOTHING,
    ),
    "notifications/subscriptions/acknowledged": _CLIENT_PARAMS["subscriptions/listen"],
}


def _shared_params(kind: Kind) -> dict[str, Map]:
    """Maps the params of the methods of both directions. `kind`: of what the sender says in them."""
    return {
        "ping": _NOTHING,
        "notifications/initialized": _NOTHING,
        "notifications/roots/list_changed": _NOTHING,
        "server/discover": _NOTHING,
        "notifications/cancelled": _params({"requestId": STRUCTURE, "reason": text(kind)}),
        "notifications/progress": _params(
            {**dict.fromkeys(("progressToken", "progress", "total"), STRUCTURE), "message": text(kind)}
        ),
        "notifications/tasks/status": _params({**_TASK, "statusMessage": text(kind)}),
    }


_FROM_CLIENT = {**_shared_params("metadata"), **_CLIENT_PARAMS}
_FROM_SERVER = {**_shared_params("tool_result"), **_SERVER_PARAMS}


# Results.


def _client_result(value: Any) -> Map:
    """Maps the answer of a client: of its model (sampling), of its user (elicitation), or its roots."""
    if not isinstance(value, dict):
        return UNMAPPED
    is_said = isinstance(value.get("role"), str)
    return _with_meta(
        {
            **dict.fromkeys(("role", "stopReason", "action", "resultType"), STRUCTURE),
            "model": _METADATA,
            # What a user typed into a form is no list.
            "content": lambda content: (
                _content("assistant", content) if is_said or isinstance(content, list) else text("user")
            ),
            "roots": [_with_meta({"name": _METADATA, "uri": _METADATA})],
            "task": {**_TASK, "statusMessage": _METADATA},
            "tasks": [{**_TASK, "statusMessage": _METADATA}],
            **_TASK,
            "statusMessage": _METADATA,
            "nextCursor": _TOKEN,
        }
    )


_STATUS: MapFields = {**_TASK, "statusMessage": text("tool_result")}


def _server_result(value: Any) -> Map:
    """Maps the answer of a server to any request."""
    if not isinstance(value, dict):
        return text("tool_result")
    return _with_meta(
        {
            **dict.fromkeys(("resultType", "ttlMs", "cacheScope", "protocolVersion"), STRUCTURE),
            "supportedVersions": [STRUCTURE],
            "capabilities": _CAPABILITIES,
            "serverInfo": _described("tool_definition", {"version": _DEFINITION, "websiteUrl": _DEFINITION}),
            "instructions": _DEFINITION,
            "tools": [_TOOL],
            "prompts": [_PROMPT],
            "resources": [_RESOURCE],
            "resourceTemplates": [_TEMPLATE],
            "nextCursor": _TOKEN,
            **_results(value, "tool_result"),
            "contents": [_contents("tool_result")],
            "description": text("tool_result"),
            "messages": [_message("tool_result")],
            "completion": {"values": text("tool_result"), "total": STRUCTURE, "hasMore": STRUCTURE},
            "inputRequests": _input_requests,
            **_STATE,
            "task": _STATUS,
            "tasks": [_STATUS],
            **_STATUS,
        }
    )


# Messages.

_ENVELOPE: MapFields = dict.fromkeys(("jsonrpc", "id", "method"), STRUCTURE)


def _direction(params: dict[str, Map], result: Map, error: Kind) -> Callable[[Any], Map]:
    """Maps the messages of a direction. `error`: the kind of the texts of an error."""
    answers: MapFields = {
        "result": result,
        "error": {"code": STRUCTURE, **dict.fromkeys(("message", "data"), text(error))},
    }
    by_method: dict[str, MapFields] = {
        method: {**_ENVELOPE, "params": how, **answers} for method, how in params.items()
    }
    unknown_method: MapFields = {**_ENVELOPE, "params": UNMAPPED, **answers}

    def choose(value: Any) -> Map:
        method = members(value).get("method")
        return by_method.get(method, unknown_method) if isinstance(method, str) else unknown_method

    return choose


_client_message = _direction(_FROM_CLIENT, _client_result, "metadata")
_server_message = _direction(_FROM_SERVER, _server_result, "error")
REQUEST: Map = _client_message
RESPONSE: Map = _server_message
FIELDS: MapFields = {**_ENVELOPE, **dict.fromkeys(("params", "result", "error"), _client_message)}
"""The fields of a message, whatever its method."""
