"""The scripted model in OpenAI's Chat Completions dialect: parsed requests in, JSON trees and SSE frames out.

Pure. Field names and order of events follow the types of the official SDK; ids and times are functions of the request,
so that two runs give equal bytes. https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from guardproxy.demo.script import Asked, Reply, ToolCall, pieces, variant

CREATED_S = 1_700_000_000
DONE = b"data: [DONE]\n\n"
_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_exceeded",
}


def read(tree: Any) -> Asked:
    """The request. Raises `ValueError` (safe to show) when it is no chat request."""
    if not isinstance(tree, dict) or not isinstance(tree.get("messages"), list) or not tree["messages"]:
        raise ValueError("messages must be a list with at least one message")
    if not isinstance(tree.get("model"), str):
        raise ValueError("model must be a string")
    messages = [message for message in tree["messages"] if isinstance(message, dict)]
    asked = [message for message in messages if message.get("role") in ("user", "tool", "function")]
    shape = tree.get("response_format") or {}
    options = tree.get("stream_options") or {}
    return Asked(
        model=tree["model"],
        text=_text(asked[-1].get("content")) if asked else "",
        tool_result=bool(asked) and asked[-1].get("role") != "user",
        system=" ".join(_text(m.get("content")) for m in messages if m.get("role") in ("system", "developer")),
        prompt_words=sum(len(_text(message.get("content")).split()) for message in messages),
        stream=bool(tree.get("stream")),
        count=int(tree.get("n") or 1),
        limit_words=tree.get("max_completion_tokens") or tree.get("max_tokens"),
        schema=(shape.get("json_schema") or {}).get("schema") if shape.get("type") == "json_schema" else None,
        with_usage=bool(options.get("include_usage")),
        with_logprobs=bool(tree.get("logprobs")),
        with_obfuscation=bool(options.get("include_obfuscation")),
    )


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(
            part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)
        )
    return content if isinstance(content, str) else ""


def body(asked: Asked, reply: Reply, ident: str) -> dict[str, Any]:
    """The plain answer."""
    choices = []
    for number in range(asked.count):
        said = variant(reply, number)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": said.text or None,
            "refusal": said.refusal or None,
            "annotations": [],
        }
        if said.reasoning:
            message["reasoning_content"] = said.reasoning
        if said.calls:
            message["tool_calls"] = [_call(call, ident, number, at) for at, call in enumerate(said.calls)]
        logprobs = {"content": _logprobs(pieces(said.text)), "refusal": None} if asked.with_logprobs else None
        choices.append({"index": number, "message": message, "logprobs": logprobs, "finish_reason": _finish(said)})
    return {
        "id": f"chatcmpl-{ident}",
        "object": "chat.completion",
        "created": CREATED_S,
        "model": asked.model,
        "choices": choices,
        "usage": _usage(asked, reply),
        "service_tier": "default",
        "system_fingerprint": "fp_scripted",
    }


def frames(asked: Asked, reply: Reply, ident: str, size: int | None) -> Iterator[bytes]:
    """The answer as SSE frames, the terminal `[DONE]` last. `size`: characters a delta (`None`: parts of words)."""
    head = {
        "id": f"chatcmpl-{ident}",
        "object": "chat.completion.chunk",
        "created": CREATED_S,
        "model": asked.model,
        "service_tier": "default",
        "system_fingerprint": "fp_scripted",
    }

    def chunk(choices: list[dict[str, Any]], usage: dict[str, Any] | None = None) -> bytes:
        tree: dict[str, Any] = {**head, "choices": choices}
        if asked.with_usage:
            tree["usage"] = usage
        if asked.with_obfuscation:
            tree["obfuscation"] = "x" * (len(json.dumps(choices)) % 16)
        return frame(tree)

    # The choices take turns, as they do when a server batches them.
    waiting = [(number, _deltas(variant(reply, number), ident, number, size)) for number in range(asked.count)]
    while waiting:
        still = []
        for number, deltas in waiting:
            delta = next(deltas, None)
            finish = None if delta is not None else _finish(variant(reply, number))
            logprobs = None
            if asked.with_logprobs and delta and delta.get("content"):
                logprobs = {"content": _logprobs([delta["content"]]), "refusal": None}
            yield chunk([{"index": number, "delta": delta or {}, "logprobs": logprobs, "finish_reason": finish}])
            if delta is not None:
                still.append((number, deltas))
        waiting = still
    if asked.with_usage:
        yield chunk([], _usage(asked, reply))
    yield DONE


def _deltas(reply: Reply, ident: str, number: int, size: int | None) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": "" if reply.text else None, "refusal": None}
    for piece in pieces(reply.reasoning, size):
        yield {"reasoning_content": piece}
    for piece in pieces(reply.text, size):
        yield {"content": piece}
    for piece in pieces(reply.refusal, size):
        yield {"refusal": piece}
    for at, call in enumerate(reply.calls):
        whole = _call(call, ident, number, at)
        yield {"tool_calls": [{"index": at, **whole, "function": {"name": call.name, "arguments": ""}}]}
        for piece in pieces(call.arguments, size):
            yield {"tool_calls": [{"index": at, "function": {"arguments": piece}}]}


def frame(tree: dict[str, Any]) -> bytes:
    """One SSE event."""
    return b"data: " + json.dumps(tree, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def error(status: int, message: str, code: str | None = None) -> dict[str, Any]:
    """The dialect's error body."""
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": code or kind}}


def error_frame(message: str) -> bytes:
    """An error in the middle of a stream, and its end."""
    return frame(error(500, message)) + DONE


def models(names: list[str]) -> dict[str, Any]:
    """The answer of `GET /v1/models`."""
    data = [{"id": name, "object": "model", "created": CREATED_S, "owned_by": "guardproxy"} for name in names]
    return {"object": "list", "data": data}


def _call(call: ToolCall, ident: str, number: int, at: int) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": f"call_{ident[:12]}_{number}_{at}", "type": "function", "function": function}


def _finish(reply: Reply) -> str:
    return "tool_calls" if reply.calls else "length" if reply.cut else "stop"


def _usage(asked: Asked, reply: Reply) -> dict[str, Any]:
    output = reply.words * asked.count
    return {
        "prompt_tokens": asked.prompt_words,
        "completion_tokens": output,
        "total_tokens": asked.prompt_words + output,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": len(reply.reasoning.split()),
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _logprobs(tokens: list[str]) -> list[dict[str, Any]]:
    return [
        {"token": token, "logprob": -0.5, "bytes": list(token.encode()), "top_logprobs": []}
        for token in tokens
        if token
    ]
