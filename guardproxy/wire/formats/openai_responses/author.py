"""Writes OpenAI Responses: requests, answers, streams and errors.

Field names and the order of events follow the types of the official SDK; identifiers are functions of the arguments.
https://platform.openai.com/docs/api-reference/responses
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from guardproxy.findings import Kind
from guardproxy.wire import openai
from guardproxy.wire.authoring import CutText, Prompt, Reply, text_of
from guardproxy.wire.formats.openai_responses import replies
from guardproxy.wire.formats.openai_responses.replies import ENDS
from guardproxy.wire.turns import Call

ROUTE = "POST /v1/responses"
ID_HEADER = "x-request-id"
PROMPT_PATH = ("input", 0, "content")
models = openai.models
error = openai.upstream_error
_OUTPUTS = ("function_call_output", "custom_tool_call_output")


# Requests.


def read(tree: Any) -> Prompt:
    """The prompt of a request. Raises `ValueError` when it is no request."""
    if not isinstance(tree, dict) or not isinstance(tree.get("input"), (str, list)) or not tree["input"]:
        raise ValueError("input must be a text or a list with at least one item")
    if not isinstance(tree.get("model"), str):
        raise ValueError("model must be a string")
    given = tree["input"]
    items = [{"role": "user", "content": given}] if isinstance(given, str) else _objects(given)
    prompts = [item for item in items if item.get("role") == "user" or item.get("type") in _OUTPUTS]
    system = [tree.get("instructions"), *(item.get("content") for item in items if item.get("role") in _OPERATORS)]
    options, form = tree.get("stream_options") or {}, (tree.get("text") or {}).get("format") or {}
    last = prompts[-1] if prompts else {}
    contents = (item.get("content") or item.get("output") for item in items)
    return Prompt(
        model=tree["model"],
        text=text_of(last.get("content") or last.get("output")),
        tool_result=last.get("type") in _OUTPUTS,
        system=" ".join(filter(None, map(text_of, system))),
        prompt_words=sum(len(text_of(content).split()) for content in [tree.get("instructions"), *contents]),
        stream=bool(tree.get("stream")),
        limit_words=tree.get("max_output_tokens"),
        schema=form.get("schema") if form.get("type") == "json_schema" else None,
        with_logprobs="message.output_text.logprobs" in (tree.get("include") or ()),
        with_obfuscation=bool(options.get("include_obfuscation")),
    )


_OPERATORS = ("system", "developer")


def _objects(items: Sequence[Any]) -> list[dict[str, Any]]:
    return [item for item in items if isinstance(item, dict)]


def is_request(tree: Any) -> bool:
    """Whether a tree looks like a request."""
    return isinstance(tree, dict) and "messages" not in tree and isinstance(tree.get("input"), (str, list))


def request(prompt: Prompt) -> dict[str, Any]:
    """A request."""
    body: dict[str, Any] = {"model": prompt.model, "input": [{"role": "user", "content": prompt.text}]}
    if prompt.system:
        body["instructions"] = prompt.system
    if prompt.schema is not None:
        body["text"] = {"format": {"type": "json_schema", "name": "answer", "schema": prompt.schema}}
    if prompt.tools:
        body["tools"] = [
            {"type": "function", "name": name, "parameters": schema} for name, schema in prompt.tools.items()
        ]
    return {**body, "stream": True} if prompt.stream else body


def request_with(kind: Kind, text: str) -> dict[str, Any]:
    """A request with one text of a kind."""
    empty: dict[str, Any] = {"input": [{"role": "user", "content": ""}]}
    match kind:
        case "system":
            return {**empty, "instructions": text}
        case "tool_definition" | "metadata":
            return {**empty, **_echo(kind, text)}
        case "unmapped":
            return {**empty, "x_unknown": text}
        case "document":
            return {**empty, "documents": [{"text": text}]}
        case "user":
            return {"input": [{"role": "user", "content": text}]}
        case "tool_result":
            return {"input": [_call("{}"), {"type": "function_call_output", "call_id": "call_1", "output": text}]}
    return {"input": [_item(kind, text)]}


def _call(arguments: str) -> dict[str, Any]:
    return {"type": "function_call", "call_id": "call_1", "name": "tool", "arguments": arguments}


def _item(kind: Kind, text: str) -> dict[str, Any]:
    """An item of the model with one text of a kind."""
    match kind:
        case "tool_arguments":
            return _call(text)
        case "tool_result":
            call = {"type": "mcp_call", "id": "mcp_1", "name": "tool", "server_label": "tools", "arguments": "{}"}
            return {**call, "output": text}
        case "reasoning":
            return {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": text}]}
        case "refusal":
            part: dict[str, Any] = {"type": "refusal", "refusal": text}
        case _:
            part = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "id": "msg_1", "role": "assistant", "content": [part]}


def _echo(kind: Kind, text: str) -> dict[str, Any]:
    """The fields of a request that an answer repeats, with one text of a kind."""
    match kind:
        case "system":
            return {"instructions": text}
        case "user":
            return {"instructions": [{"type": "message", "role": "user", "content": text}]}
        case "tool_definition":
            return {"tools": [{"type": "function", "name": "tool", "description": text}]}
    return {"metadata": {"note": text}}


_ECHO_KINDS: tuple[Kind, ...] = ("system", "user", "tool_definition", "metadata")


# Plain answers.


def answer(prompt: Prompt, reply: Reply, ident: str) -> dict[str, Any]:
    """A plain answer."""
    return replies.whole(prompt, reply, ident)


def answer_with(kind: Kind, text: str) -> dict[str, Any] | None:
    """A plain answer with one text of a kind."""
    if kind == "error":
        return error(500, text)
    tree: dict[str, Any] = {"object": "response", "status": "completed"}
    if kind in _ECHO_KINDS:
        return {**tree, **_echo(kind, text), "output": [_item("assistant", "")]}
    if kind == "unmapped":
        return {**tree, "output": [_item("assistant", "")], "x_unknown": text}
    return {**tree, "output": [_item(kind, text)]}


def unanswered(route: str, tree: Any, ident: str) -> dict[str, Any]:
    """The answer of `POST /v1/responses/input_tokens` or of `POST /v1/responses/compact`."""
    prompt = read(tree)
    if route.endswith("compact"):
        return replies.compacted(prompt, ident)
    return {"object": "response.input_tokens", "input_tokens": prompt.prompt_words}


# Streams.


def frames(prompt: Prompt, reply: Reply, ident: str, cut: CutText) -> Iterator[bytes]:
    """A stream; the last event repeats the whole answer."""
    return map(event, replies.events(prompt, reply, ident, cut))


def frames_with(kind: Kind, pieces: Sequence[str]) -> list[bytes] | None:
    """A stream with one text of a kind."""
    text = "".join(pieces)
    prompt, echo = Prompt("m", ""), _echo(kind, text) if kind in _ECHO_KINDS else {}
    match kind:
        case "error":
            return [error_event(text)]
        case "tool_result":
            items = [_item(kind, text)]
            return [event(item) for item in replies.around(_whole(items), {"output": items})]
        case "unmapped":
            where = {"output_index": 0, "content_index": 0}
            more = [
                {"type": "response.output_text.delta", **where, "delta": "", "x_unknown": piece} for piece in pieces
            ]
            return [event(item) for item in replies.around(more, {"output": []})]
    if echo:
        return [event(item) for item in replies.around([], {"output": [], **echo})]
    reply = {
        "assistant": Reply(text),
        "reasoning": Reply(reasoning=text),
        "refusal": Reply(refusal=text),
        "tool_arguments": Reply(calls=(Call("tool", text),)),
    }[str(kind)]
    inner = list(replies.events_of_items(prompt, reply, "1", lambda text: pieces if text else []))
    output = [entry["item"] for entry in inner if entry["type"] == "response.output_item.done"]
    return [event(item) for item in replies.around(inner, {"output": output})]


def _whole(items: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The events of items that come in one piece."""
    for at, item in enumerate(items):
        yield {"type": "response.output_item.added", "output_index": at, "item": item}
        yield {"type": "response.output_item.done", "output_index": at, "item": item}


def event(item: Any) -> bytes:
    """One event. Its name is its `type`."""
    return replies.event(item)


def ending(items: Sequence[Any]) -> list[Any]:
    """Writes the end of a stream of these items."""
    is_over = any(isinstance(item, dict) and item.get("type") in ENDS for item in items)
    return [] if is_over else [{"type": "response.completed", "response": {"status": "completed"}}]


# Errors.


def error_event(message: str) -> bytes:
    """An error in the middle of a stream, and its end."""
    return event({"type": "error", "code": "server_error", "message": message, "param": None, "sequence_number": 0})
