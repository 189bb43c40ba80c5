"""Which kinds of texts each format can carry: exactly those that its codec gives for a request and an answer that hold all."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardproxy.events import Text
from guardproxy.findings import KINDS
from guardproxy.wire.carries import carried
from guardproxy.wire.codec import Codec, codec_for, codecs

CALL = {"id": "c", "type": "function", "function": {"name": "t", "arguments": '{"a": "x y"}'}}
TOOL = {"type": "function", "function": {"name": "t", "description": "what it does"}}
CHAT: dict[str, Any] = {
    "model": "m",
    "user": "a user",
    "new_field": "some words",
    "tools": [TOOL],
    "messages": [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "hello you"},
        {
            "role": "assistant",
            "content": "an answer",
            "refusal": "i will not",
            "reasoning_content": "let me see",
            "tool_calls": [CALL],
        },
        {"role": "tool", "tool_call_id": "c", "content": "a result"},
    ],
}
CHAT_ANSWER = {
    "choices": [{"index": 0, "finish_reason": "stop", "message": {**CHAT["messages"][2], "new_field": "some words"}}],
}
USE = {"type": "tool_use", "id": "u", "name": "t", "input": {"a": "x y"}}
BLOCKS: list[Any] = [
    {"type": "text", "text": "an answer"},
    {"type": "thinking", "thinking": "let me see", "signature": ""},
    USE,
]
MESSAGES = {
    "model": "m",
    "max_tokens": 5,
    "system": "be kind",
    "metadata": {"user_id": "a user"},
    "new_field": "some words",
    "tools": [{"name": "t", "description": "what it does", "input_schema": {}}],
    "messages": [
        {"role": "user", "content": "hello you"},
        {"role": "assistant", "content": BLOCKS},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "u", "content": "a result"}]},
    ],
}
RESULT = {
    "type": "web_search_tool_result",
    "tool_use_id": "u",
    "content": [{"type": "web_search_result", "title": "a title"}],
}
MESSAGES_ANSWER = {
    "type": "message",
    "role": "assistant",
    "content": [*BLOCKS, RESULT],
    "stop_reason": "refusal",
    "stop_details": {"type": "refusal", "explanation": "i will not"},
    "new_field": "some words",
}
SAMPLES = {
    "POST /v1/chat/completions": (CHAT, CHAT_ANSWER, {"error": {"message": "a fault"}}),
    "POST /v1/messages": (MESSAGES, MESSAGES_ANSWER, {"type": "error", "error": {"type": "x", "message": "a fault"}}),
}


def answered(codec: Codec, tree: Any, failed: bool) -> set[str]:
    decoder = codec.decoder(streamed=False, failed=failed, limit_bytes=1 << 20)
    events = [*decoder.feed(json.dumps(tree).encode()), *decoder.end()]
    return {event.channel.kind for event in events if isinstance(event, Text)}


@pytest.mark.parametrize("route", SAMPLES)
def test_a_format_carries_what_its_codec_gives(route: str) -> None:
    codec = codec_for(route)
    assert codec
    request, answer, fault = SAMPLES[route]
    asked = codec.read_request(json.dumps(request).encode()).events()
    kinds = carried(codec)
    assert {event.channel.kind for event in asked if isinstance(event, Text)} == set(kinds["request"])
    said = answered(codec, answer, False) | answered(codec, fault, True)
    # a container's name comes in the middle of a stream only
    assert said | {"metadata"} == set(kinds["response"]) | {"metadata"}


def test_an_unknown_format_carries_everything() -> None:
    class Other:
        name = "other"

    kinds = carried(Other())  # type: ignore[arg-type]
    assert kinds["response"] == KINDS
    assert set(KINDS) - set(kinds["request"]) == {"error"}
    assert {codec.name for codec in codecs()} >= {"openai_chat", "anthropic_messages"}
