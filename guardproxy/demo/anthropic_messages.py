"""The scripted model in Anthropic's Messages dialect: parsed requests in, JSON trees and SSE frames out.

Pure. The whole event sequence (`message_start` .. `message_stop`, with a `ping`), as the types of the official SDK have
it; ids and signatures are functions of the request. https://docs.anthropic.com/en/api/messages-streaming
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from typing import Any

from guardproxy.demo.script import Asked, Reply, pieces

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def read(tree: Any) -> Asked:
    """The request. Raises `ValueError` (safe to show) when it is no Messages request."""
    if not isinstance(tree, dict) or not isinstance(tree.get("messages"), list) or not tree["messages"]:
        raise ValueError("messages: a list with at least one message is required")
    if not isinstance(tree.get("model"), str):
        raise ValueError("model: a string is required")
    messages = [message for message in tree["messages"] if isinstance(message, dict)]
    asked = [message.get("content") for message in messages if message.get("role") == "user"]
    last = asked[-1] if asked else ""
    results = [block for block in last if _is(block, "tool_result")] if isinstance(last, list) else []
    system = _text(tree.get("system"))
    shape = (tree.get("output_config") or {}).get("format") or {}
    return Asked(
        model=tree["model"],
        text="\n".join(_text(block.get("content")) for block in results) if results else _text(last),
        tool_result=bool(results),
        system=system,
        prompt_words=len(system.split()) + sum(len(_text(message.get("content")).split()) for message in messages),
        stream=bool(tree.get("stream")),
        limit_words=tree.get("max_tokens"),
        schema=shape.get("schema"),
    )


def _is(block: Any, kind: str) -> bool:
    return isinstance(block, dict) and block.get("type") == kind


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(
            block["text"] for block in content if _is(block, "text") and isinstance(block.get("text"), str)
        )
    return content if isinstance(content, str) else ""


def body(asked: Asked, reply: Reply, ident: str) -> dict[str, Any]:
    """The plain answer."""
    return {
        **_message(asked, ident),
        "content": [block for block, _ in _blocks(reply, ident, None)],
        **_ending(reply),
        "usage": _usage(asked, reply.words),
    }


def frames(asked: Asked, reply: Reply, ident: str, size: int | None) -> Iterator[bytes]:
    """The answer as SSE frames, `message_stop` last. `size`: characters a delta (`None`: parts of words)."""
    opening = {**_message(asked, ident), "content": [], "stop_reason": None, "stop_sequence": None}
    yield frame("message_start", {"message": {**opening, "usage": _usage(asked, 1)}})
    for index, (block, deltas) in enumerate(_blocks(reply, ident, size)):
        yield frame("content_block_start", {"index": index, "content_block": _emptied(block)})
        if not index:
            yield frame("ping", {})
        for delta in deltas:
            yield frame("content_block_delta", {"index": index, "delta": delta})
        yield frame("content_block_stop", {"index": index})
    yield frame("message_delta", {"delta": _ending(reply), "usage": {"output_tokens": reply.words}})
    yield frame("message_stop", {})


def _blocks(reply: Reply, ident: str, size: int | None) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Each content block whole, and the deltas that build it."""
    if reply.reasoning:
        signature = base64.b64encode(hashlib.sha256(reply.reasoning.encode()).digest()).decode()
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(reply.reasoning, size)]
        deltas.append({"type": "signature_delta", "signature": signature})
        yield {"type": "thinking", "thinking": reply.reasoning, "signature": signature}, deltas
    if text := reply.text or reply.refusal:
        yield {"type": "text", "text": text}, [{"type": "text_delta", "text": piece} for piece in pieces(text, size)]
    for at, call in enumerate(reply.calls):
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ["", *pieces(call.arguments, size)]]
        try:
            value = json.loads(call.arguments)
        except ValueError:
            value = {}
        yield {"type": "tool_use", "id": f"toolu_{ident[:12]}_{at}", "name": call.name, "input": value}, deltas


def _emptied(block: dict[str, Any]) -> dict[str, Any]:
    """A block as `content_block_start` shows it."""
    empty: dict[str, Any] = {"text": "", "thinking": "", "signature": "", "input": {}}
    return {key: empty.get(key, value) for key, value in block.items()}


def _message(asked: Asked, ident: str) -> dict[str, Any]:
    return {"id": f"msg_{ident}", "type": "message", "role": "assistant", "model": asked.model}


def _ending(reply: Reply) -> dict[str, Any]:
    reason = "refusal" if reply.refusal else "tool_use" if reply.calls else "max_tokens" if reply.cut else "end_turn"
    ending: dict[str, Any] = {"stop_reason": reason, "stop_sequence": None}
    if reply.refusal:
        ending["stop_details"] = {"type": "refusal", "category": None, "explanation": "asked to refuse"}
    return ending


def _usage(asked: Asked, output: int) -> dict[str, Any]:
    return {
        "input_tokens": asked.prompt_words,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": output,
        "service_tier": "standard",
    }


def frame(event: str, fields: dict[str, Any]) -> bytes:
    """One SSE event; its name is its `type`."""
    data = json.dumps({"type": event, **fields}, ensure_ascii=False, separators=(",", ":"))
    return f"event: {event}\ndata: {data}\n\n".encode()


def error(status: int, message: str, ident: str | None = None) -> dict[str, Any]:
    """The dialect's error body."""
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": ident}


def error_frame(message: str) -> bytes:
    """An error in the middle of a stream."""
    tree = error(529, message)
    return frame("error", {key: tree[key] for key in ("error", "request_id")})


def models(names: list[str]) -> dict[str, Any]:
    """The answer of `GET /v1/models`."""
    data = [{"type": "model", "id": name, "display_name": name, "created_at": "2023-11-14T22:13:20Z"} for name in names]
    return {"data": data, "has_more": False, "first_id": names[0], "last_id": names[-1]}
