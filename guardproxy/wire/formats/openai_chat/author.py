"""Writes OpenAI Chat Completions: requests, answers, streams and errors.

Field names and the order of events follow the types of the official SDK; identifiers are functions of the arguments.
https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from guardproxy.findings import Kind
from guardproxy.wire import openai
from guardproxy.wire.authoring import CutText, Prompt, Reply, text_of, word_parts
from guardproxy.wire.framing.sse import frame
from guardproxy.wire.json import write
from guardproxy.wire.turns import Call

ROUTE = "POST /v1/chat/completions"
ID_HEADER = "x-request-id"
PROMPT_PATH = ("messages", 0, "content")
DONE = "[DONE]"
_FIELDS: dict[str, str] = {"assistant": "content", "reasoning": "reasoning_content", "refusal": "refusal"}

models = openai.models
error = openai.upstream_error


# Requests.


def read(tree: Any) -> Prompt:
    """The prompt of a request. Raises `ValueError` when it is no chat request."""
    if not isinstance(tree, dict) or not isinstance(tree.get("messages"), list) or not tree["messages"]:
        raise ValueError("messages must be a list with at least one message")
    if not isinstance(tree.get("model"), str):
        raise ValueError("model must be a string")
    messages = [message for message in tree["messages"] if isinstance(message, dict)]
    prompts = [message for message in messages if message.get("role") in ("user", "tool", "function")]
    form = tree.get("response_format") or {}
    options = tree.get("stream_options") or {}
    return Prompt(
        model=tree["model"],
        text=text_of(prompts[-1].get("content")) if prompts else "",
        tool_result=bool(prompts) and prompts[-1].get("role") != "user",
        system=" ".join(
            text_of(message.get("content")) for message in messages if message.get("role") in ("system", "developer")
        ),
        prompt_words=sum(len(text_of(message.get("content")).split()) for message in messages),
        stream=bool(tree.get("stream")),
        count=int(tree.get("n") or 1),
        limit_words=tree.get("max_completion_tokens") or tree.get("max_tokens"),
        schema=(form.get("json_schema") or {}).get("schema") if form.get("type") == "json_schema" else None,
        with_usage=bool(options.get("include_usage")),
        with_logprobs=bool(tree.get("logprobs")),
        with_obfuscation=bool(options.get("include_obfuscation")),
    )


def is_request(tree: Any) -> bool:
    """Whether a tree looks like a request."""
    return isinstance(tree, dict) and isinstance(tree.get("messages"), list)


def request(prompt: Prompt) -> dict[str, Any]:
    """A request."""
    system = [{"role": "system", "content": prompt.system}] if prompt.system else []
    body: dict[str, Any] = {
        "model": prompt.model,
        "messages": [*system, {"role": "user", "content": prompt.text}],
    }
    if prompt.schema is not None:
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": prompt.schema},
        }
    if prompt.tools:
        body["tools"] = [
            {"type": "function", "function": {"name": name, "parameters": schema}}
            for name, schema in prompt.tools.items()
        ]
    return {**body, "stream": True} if prompt.stream else body


def request_with(kind: Kind, text: str) -> dict[str, Any]:
    """A request with one text of a kind."""
    empty = {"messages": [{"role": "user", "content": ""}]}
    call = {"id": "call_1", "type": "function", "function": {"name": "tool", "arguments": "{}"}}
    calling = {"role": "assistant", "content": None, "tool_calls": [call]}
    function = {"name": "tool", "description": text}
    bodies: dict[Kind, dict[str, Any]] = {
        "tool_result": {"messages": [calling, {"role": "tool", "tool_call_id": "call_1", "content": text}]},
        "tool_arguments": {"messages": [_message("tool_arguments", text)]},
        "document": {**empty, "documents": [{"text": text}]},
        "tool_definition": {**empty, "tools": [{"type": "function", "function": function}]},
        "reasoning": {"messages": [_message("reasoning", text)]},
        "refusal": {"messages": [_message("refusal", text)]},
        "metadata": {**empty, "metadata": {"note": text}},
        "unmapped": {**empty, "x_unknown": text},
    }
    return bodies.get(kind, {"messages": [{"role": kind, "content": text}]})


def _message(kind: Kind, text: str) -> dict[str, Any]:
    """A message of the model with one text of a kind."""
    match kind:
        case "tool_arguments":
            call = {"id": "call_1", "type": "function", "function": {"name": "tool", "arguments": text}}
            return {"role": "assistant", "content": None, "tool_calls": [call]}
        case "reasoning":
            return {"role": "assistant", "content": "", "reasoning_content": text}
        case "refusal":
            return {"role": "assistant", "content": None, "refusal": text}
        case "tool_result":  # a document of Azure's "On Your Data"
            return {"role": "assistant", "content": "", **_documents(text)}
    return {"role": "assistant", "content": text}


def _documents(text: str) -> dict[str, Any]:
    return {"context": {"citations": [{"content": text}]}}


# Plain answers.


def answer(prompt: Prompt, reply: Reply, ident: str) -> dict[str, Any]:
    """A plain answer."""
    choices = []
    for number in range(prompt.count):
        variant = _variant(reply, number)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": variant.text or None,
            "refusal": variant.refusal or None,
            "annotations": [],
        }
        if variant.reasoning:
            message["reasoning_content"] = variant.reasoning
        if variant.calls:
            message["tool_calls"] = [_call(call, ident, number, at) for at, call in enumerate(variant.calls)]
        logprobs = {"content": _logprobs(word_parts(variant.text)), "refusal": None} if prompt.with_logprobs else None
        choices.append({"index": number, "message": message, "logprobs": logprobs, "finish_reason": _finish(variant)})
    return {
        "id": f"chatcmpl-{ident}",
        "object": "chat.completion",
        "created": openai.CREATED_S,
        "model": prompt.model,
        "choices": choices,
        "usage": _usage(prompt, reply),
        "service_tier": "default",
        "system_fingerprint": "fp_scripted",
    }


def answer_with(kind: Kind, text: str) -> dict[str, Any] | None:
    """A plain answer with one text of a kind."""
    if kind == "error":
        return error(500, text)
    if kind == "metadata":
        return {"model": text, **(answer_with("assistant", "") or {})}
    message = _message("assistant" if kind == "unmapped" else kind, "" if kind == "unmapped" else text)
    tree: dict[str, Any] = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    return {**tree, "x_unknown": text} if kind == "unmapped" else tree


def unanswered(route: str, tree: Any, ident: str) -> dict[str, Any]:
    """Writes nothing: a model answers on every route."""
    return {}


# Streams.


def frames(prompt: Prompt, reply: Reply, ident: str, cut: CutText) -> Iterator[bytes]:
    """A stream, `[DONE]` last."""
    head = {
        "id": f"chatcmpl-{ident}",
        "object": "chat.completion.chunk",
        "created": openai.CREATED_S,
        "model": prompt.model,
        "service_tier": "default",
        "system_fingerprint": "fp_scripted",
    }

    def chunk(choices: list[dict[str, Any]], usage: dict[str, Any] | None = None) -> bytes:
        tree: dict[str, Any] = {**head, "choices": choices}
        if prompt.with_usage:
            tree["usage"] = usage
        if prompt.with_obfuscation:
            tree["obfuscation"] = "x" * (len(write(choices)) % 16)
        return event(tree)

    # The choices take turns, as they do when a server batches them.
    waiting = [(number, _deltas(_variant(reply, number), ident, number, cut)) for number in range(prompt.count)]
    while waiting:
        still = []
        for number, deltas in waiting:
            delta = next(deltas, None)
            finish = None if delta is not None else _finish(_variant(reply, number))
            logprobs = None
            if prompt.with_logprobs and delta and delta.get("content"):
                logprobs = {"content": _logprobs([delta["content"]]), "refusal": None}
            yield chunk([{"index": number, "delta": delta or {}, "logprobs": logprobs, "finish_reason": finish}])
            if delta is not None:
                still.append((number, deltas))
        waiting = still
    if prompt.with_usage:
        yield chunk([], _usage(prompt, reply))
    yield event(DONE)


def frames_with(kind: Kind, pieces: Sequence[str]) -> list[bytes] | None:
    """A stream with one text of a kind."""
    match kind:
        case "error":
            return [error_event("".join(pieces))]
        case "tool_arguments":
            deltas: list[dict[str, Any]] = [{"tool_calls": [{"index": 0, **_call(Call("tool", ""), "1", 0, 0)}]}]
            deltas += [{"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in pieces]
        case "unmapped":
            deltas = [{"x_unknown": piece} for piece in pieces]
        case "tool_result":
            deltas = [_documents(piece) for piece in pieces]
        case "metadata":
            return chunks([], {"model": "".join(pieces)})
        case _:
            deltas = [{_FIELDS[kind]: piece} for piece in pieces]
    return chunks(deltas, {})


def chunks(
    deltas: Iterable[Mapping[str, Any]], head: Mapping[str, Any], finish: str = "stop", index: int = 0
) -> list[bytes]:
    """Writes a stream of these deltas of one choice. `head`: the fields before `choices`."""

    def chunk(delta: Mapping[str, Any], reason: str | None = None) -> bytes:
        return event({**head, "choices": [{"index": index, "delta": delta, "finish_reason": reason}]})

    return [chunk({"role": "assistant"}), *map(chunk, deltas), chunk({}, finish), event(DONE)]


def event(item: Any) -> bytes:
    """One event: an object as JSON, a string as it is."""
    return frame(item.replace("\n", " ").encode() if isinstance(item, str) else write(item))


def ending(items: Sequence[Any]) -> list[Any]:
    """Writes the end of a stream of these items."""
    return [] if DONE in items else [DONE]


def _deltas(reply: Reply, ident: str, number: int, cut: CutText) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": "" if reply.text else None, "refusal": None}
    for piece in cut(reply.reasoning):
        yield {"reasoning_content": piece}
    for piece in cut(reply.text):
        yield {"content": piece}
    for piece in cut(reply.refusal):
        yield {"refusal": piece}
    for at, call in enumerate(reply.calls):
        yield {"tool_calls": [{"index": at, **_call(Call(call.name, ""), ident, number, at)}]}
        for piece in cut(call.arguments):
            yield {"tool_calls": [{"index": at, "function": {"arguments": piece}}]}


# Errors and parts.


def error_event(message: str) -> bytes:
    """An error in the middle of a stream, and its end."""
    return event(error(500, message)) + event(DONE)


def _variant(reply: Reply, number: int) -> Reply:
    """Returns the reply of choice `number`: the first is the reply itself, the others differ from it."""
    return replace(reply, text=f"{reply.text} (answer {number + 1})") if number and reply.text else reply


def _call(call: Call, ident: str, number: int, at: int) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": f"call_{ident[:12]}_{number}_{at}", "type": "function", "function": function}


def _finish(reply: Reply) -> str:
    return "tool_calls" if reply.calls else "length" if reply.cut else "stop"


def _usage(prompt: Prompt, reply: Reply) -> dict[str, Any]:
    output = reply.words * prompt.count
    return {
        "prompt_tokens": prompt.prompt_words,
        "completion_tokens": output,
        "total_tokens": prompt.prompt_words + output,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": len(reply.reasoning.split()),
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _logprobs(tokens: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {"token": token, "logprob": -0.5, "bytes": list(token.encode()), "top_logprobs": []}
        for token in tokens
        if token
    ]
