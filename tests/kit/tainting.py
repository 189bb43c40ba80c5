"""Conversations with a result of a tool, in every format of models: a request, an answer with a call, whole or streamed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from tests.kit.play import CHAT, MESSAGES, chat_frames, sse

RESPONSES = "POST /v1/responses"
GEMINI = "POST /{version}/models/{model}:generateContent"
GEMINI_STREAM = "POST /{version}/models/{model}:streamGenerateContent"
OLLAMA = "POST /api/chat"


class TaintScene(NamedTuple):
    """A format. `request(user, result)`: a request with a user's text and then a result; `path`: of the result's text;
    `answer(arguments)`: a whole answer with a call of `send`; `frames(arguments, cuts)`: the same as a stream, with the
    arguments cut; `route`: of both, `stream_route`: of a stream, if it has its own."""

    name: str
    route: str
    request: Callable[[str, str], dict[str, Any]]
    path: str
    answer: Callable[[dict[str, Any]], dict[str, Any]]
    frames: Callable[[dict[str, Any], Sequence[int]], list[bytes]]
    arguments: str
    stream_route: str = ""


def _pieces(text: str, cuts: Sequence[int]) -> list[str]:
    borders = [0, *sorted({cut % (len(text) + 1) for cut in cuts}), len(text)]
    return [text[low:high] for low, high in pairwise(borders)]


def _chat_request(user: str, result: str) -> dict[str, Any]:
    call = {"id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    return {
        "model": "m",
        "messages": [
            {"role": "system", "content": "You answer mails."},
            {"role": "user", "content": user},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "a", "content": result},
        ],
    }


def _chat_answer(arguments: dict[str, Any]) -> dict[str, Any]:
    call = {"id": "b", "type": "function", "function": {"name": "send", "arguments": json.dumps(arguments)}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    return {
        "id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
    }  # fmt: skip


def _chat_frames(arguments: dict[str, Any], cuts: Sequence[int]) -> list[bytes]:
    first = {"index": 0, "id": "b", "type": "function", "function": {"name": "send", "arguments": ""}}
    rest = [{"index": 0, "function": {"arguments": piece}} for piece in _pieces(json.dumps(arguments), cuts)]
    return chat_frames([{"tool_calls": [call]} for call in (first, *rest)], "tool_calls")


def _messages_request(user: str, result: str) -> dict[str, Any]:
    return {
        "model": "m",
        "max_tokens": 9,
        "system": "You answer mails.",
        "messages": [
            {"role": "user", "content": user},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "look", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": result}]},
        ],
    }


def _messages_answer(arguments: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "m", "type": "message", "role": "assistant", "model": "c", "stop_reason": "tool_use", "stop_sequence": None,
        "content": [{"type": "tool_use", "id": "b", "name": "send", "input": arguments}],
        "usage": {"input_tokens": 3, "output_tokens": 1},
    }  # fmt: skip


def _messages_frames(arguments: dict[str, Any], cuts: Sequence[int]) -> list[bytes]:
    def event(kind: str, **more: Any) -> bytes:
        return sse({"type": kind, **more}, kind)

    message = {**_messages_answer({}), "content": [], "stop_reason": None}
    block = {"type": "tool_use", "id": "b", "name": "send", "input": {}}
    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in _pieces(json.dumps(arguments), cuts)]
    return [
        event("message_start", message=message),
        event("content_block_start", index=0, content_block=block),
        *(event("content_block_delta", index=0, delta=delta) for delta in deltas),
        event("content_block_stop", index=0),
        event("message_delta", delta={"stop_reason": "tool_use", "stop_sequence": None}, usage={"output_tokens": 9}),
        event("message_stop"),
    ]


def _responses_request(user: str, result: str) -> dict[str, Any]:
    return {
        "model": "m",
        "instructions": "You answer mails.",
        "input": [
            {"role": "user", "content": user},
            {"type": "function_call", "call_id": "a", "name": "look", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "a", "output": result},
        ],
    }


def _responses_answer(arguments: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "resp_1", "object": "response", "created_at": 1, "model": "m", "status": "completed",
        "output": [_item(json.dumps(arguments), "completed")],
    }  # fmt: skip


def _item(arguments: str, status: str) -> dict[str, Any]:
    return {
        "type": "function_call", "id": "fc_1", "call_id": "b", "name": "send", "arguments": arguments, "status": status
    }  # fmt: skip


def _responses_frames(arguments: dict[str, Any], cuts: Sequence[int]) -> list[bytes]:
    text = json.dumps(arguments)
    at = {"output_index": 0, "item_id": "fc_1"}
    head = {**_responses_answer({}), "status": "in_progress", "output": []}
    items: list[dict[str, Any]] = [
        {"type": "response.created", "response": head},
        {"type": "response.output_item.added", "output_index": 0, "item": _item("", "in_progress")},
        *({"type": "response.function_call_arguments.delta", **at, "delta": piece} for piece in _pieces(text, cuts)),
        {"type": "response.function_call_arguments.done", **at, "name": "send", "arguments": text},
        {"type": "response.output_item.done", "output_index": 0, "item": _item(text, "completed")},
        {"type": "response.completed", "response": _responses_answer(arguments)},
    ]
    return [sse({**item, "sequence_number": at}, item["type"]) for at, item in enumerate(items)]


def _gemini_request(user: str, result: str) -> dict[str, Any]:
    reply = {"functionResponse": {"name": "look", "response": {"page": result}}}
    return {
        "systemInstruction": {"parts": [{"text": "You answer mails."}]},
        "contents": [
            {"role": "user", "parts": [{"text": user}]},
            {"role": "model", "parts": [{"functionCall": {"name": "look", "args": {}}}]},
            {"role": "user", "parts": [reply]},
        ],
    }


def _gemini_answer(arguments: dict[str, Any]) -> dict[str, Any]:
    content = {"role": "model", "parts": [{"functionCall": {"name": "send", "args": arguments}}]}
    return {"candidates": [{"content": content, "finishReason": "STOP", "index": 0}]}


def _ollama_request(user: str, result: str) -> dict[str, Any]:
    return {
        "model": "m",
        "messages": [
            {"role": "system", "content": "You answer mails."},
            {"role": "user", "content": user},
            {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "look", "arguments": {}}}]},
            {"role": "tool", "tool_name": "look", "content": result},
        ],
    }


def _ollama_answer(arguments: dict[str, Any], *, done: bool = True) -> dict[str, Any]:
    message = {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"function": {"name": "send", "arguments": arguments}}],
    }
    more = {"done_reason": "stop"} if done else {}
    return {"model": "m", "created_at": "2026-01-01T00:00:00Z", "message": message, "done": done, **more}


def _ollama_frames(arguments: dict[str, Any], cuts: Sequence[int]) -> list[bytes]:
    last = {**_ollama_answer({}), "message": {"role": "assistant", "content": ""}}
    return [json.dumps(each).encode() + b"\n" for each in (_ollama_answer(arguments, done=False), last)]


TAINT_SCENES = (
    TaintScene(
        "chat", CHAT, _chat_request, "messages[3].content", _chat_answer, _chat_frames,
        "choices[0].message.tool_calls[0].function.arguments",
    ),
    TaintScene(
        "messages", MESSAGES, _messages_request, "messages[2].content[0].content", _messages_answer, _messages_frames,
        "content[0].input",
    ),
    TaintScene(
        "responses", RESPONSES, _responses_request, "input[2].output", _responses_answer, _responses_frames,
        "output[0].arguments",
    ),
    TaintScene(
        "gemini", GEMINI, _gemini_request, "contents[2].parts[0].functionResponse.response.page", _gemini_answer,
        lambda arguments, cuts: [sse(_gemini_answer(arguments))], "", GEMINI_STREAM,
    ),
    TaintScene("ollama", OLLAMA, _ollama_request, "messages[3].content", _ollama_answer, _ollama_frames, ""),
)  # fmt: skip
"""Every format in which models call tools of the client."""
