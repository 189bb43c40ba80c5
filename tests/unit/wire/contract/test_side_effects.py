"""What makes a provider act for a request, in each format that has tools."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.wire import installed
from guardproxy.wire.contract.side_effects import acts_beyond, never_acts

CHAT, RESPONSES, MESSAGES = "POST /v1/chat/completions", "POST /v1/responses", "POST /v1/messages"
GEMINI = "POST /{version}/models/{model}:generateContent"
FUNCTION = {"type": "function", "name": "f", "parameters": {}}


@pytest.mark.parametrize(
    ("route", "more"),
    [
        *((route, {}) for route in (CHAT, RESPONSES, MESSAGES, GEMINI)),
        (GEMINI, {"tools": [{"functionDeclarations": [{"name": "f"}]}, {"function_declarations": []}]}),
        (CHAT, {"tools": [{"type": "function", "function": {"name": "f"}}], "functions": [{"name": "f"}]}),
        (CHAT, {"tools": [], "web_search_options": None}),
        (RESPONSES, {"tools": [FUNCTION, {"type": "custom", "name": "c"}], "background": False, "conversation": None}),
        (MESSAGES, {"tools": [{"name": "f", "input_schema": {}}, {"type": "bash_20250124", "name": "bash"}]}),
    ],
)
def test_an_answer_alone_is_no_act(route: str, more: dict[str, Any]) -> None:
    codec = installed().codec_for(route)
    assert codec is not None
    assert not codec.contract.acts({"model": "m", "messages": [{"role": "user", "content": "hello"}], **more})


@pytest.mark.parametrize(
    ("route", "more"),
    [
        (CHAT, {"web_search_options": {"search_context_size": "low"}}),
        (CHAT, {"web_search_options": {}}),
        (CHAT, {"tools": [{"type": "function"}, {"type": "browser"}]}),
        (CHAT, {"tools": {"type": "function"}}),
        (CHAT, {"tools": ["search"]}),
        (CHAT, {"tools": [{"type": ["function"]}]}),
        (CHAT, {"tools": [{"name": "has no type"}]}),
        (CHAT, {"mcp_servers": [{"url": "https://mcp.example"}]}),
        (CHAT, {"messages": [{"role": "user", "content": "hi", "tools": [FUNCTION]}]}),
        (RESPONSES, {"tools": [FUNCTION, {"type": "web_search"}]}),
        (RESPONSES, {"conversation": "conv_1"}),
        (RESPONSES, {"background": True}),
        (MESSAGES, {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
        (GEMINI, {"tools": [{"functionDeclarations": [{"name": "f"}], "googleSearch": {}}]}),
        (GEMINI, {"tools": {"googleSearch": {}}}),
        (GEMINI, {"tools": ["googleSearch"]}),
        (MESSAGES, {"container": {"skills": []}}),
    ],
)
def test_what_the_provider_runs_or_keeps_is_an_act(route: str, more: dict[str, Any]) -> None:
    codec = installed().codec_for(route)
    assert codec is not None
    assert codec.contract.acts({"model": "m", **more})


def test_a_format_without_tools_never_acts() -> None:
    assert not never_acts({"tools": [{"type": "web_search"}]})
    assert not acts_beyond("", ())({})
