"""With a policy that touches nothing, the official Anthropic SDK cannot tell the proxy from the model's API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anthropic
import pytest

from tests.e2e.rig import (
    Failed,
    Proxy,
    Upstream,
    async_outcome,
    async_stream_outcome,
    outcome,
    stream_outcome,
)

Clients = Callable[[str], anthropic.Anthropic]
TOOLS = [
    {
        "name": "send_mail",
        "description": "Sends a mail",
        "input_schema": {"type": "object", "properties": {"to": {"type": "string"}}, "required": ["to"]},
    }
]
HISTORY = [
    {"role": "user", "content": [{"type": "text", "text": "What is the weather?"}]},
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "I should look it up.", "signature": "c2lnbmF0dXJl"},
            {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Oslo"}},
        ],
    },
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "sunny, 21 degrees"}]},
]


def ask(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "scripted", "max_tokens": 1000, "messages": [{"role": "user", "content": text}], **more}


CASES: dict[str, dict[str, Any]] = {
    "text": ask("hello"),
    "system": ask("hello", system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]),
    "history": {"model": "scripted", "max_tokens": 100, "system": "Be brief.", "messages": HISTORY},
    "unicode": ask('echo: Grüße 🙂 "quoted" \\ back\u2028slash\n\ttab \u0007 e\u0301 \U0001f469\u200d\U0001f680'),
    "thinking": ask("think of a number", thinking={"type": "enabled", "budget_tokens": 1024}),
    "refusal": ask("refuse"),
    "tool": ask('call tool: send_mail {"to": "someone", "urgent": true, "n": 1.50}', tools=TOOLS),
    "tools in parallel": ask('call tool: send_mail {"to": "a"}\ncall tool: send_mail {"to": "b"}', tools=TOOLS),
    "cut by the token limit": ask("words: 50", max_tokens=7),
    "broken json": ask("bad json"),
    "long": ask("words: 400"),
    "unknown field": ask("hello", extra_body={"field_of_next_year": {"deep": ["text", 1, None, True]}}),
    "parameters": ask("hello", metadata={"user_id": "u-1"}, stop_sequences=["END"]),
}
ERRORS = {
    400: anthropic.BadRequestError,
    401: anthropic.AuthenticationError,
    403: anthropic.PermissionDeniedError,
    404: anthropic.NotFoundError,
    409: anthropic.ConflictError,
    413: anthropic.APIStatusError,
    422: anthropic.UnprocessableEntityError,
    429: anthropic.RateLimitError,
    500: anthropic.InternalServerError,
    503: anthropic.APIStatusError,
    529: anthropic.APIStatusError,
}


@pytest.mark.parametrize("name", CASES)
def test_plain_answer(name: str, upstream: Upstream, passing: Proxy, anthropic_at: Clients) -> None:
    direct = outcome(lambda: anthropic_at(upstream.url).messages.create(**CASES[name]))
    proxied = outcome(lambda: anthropic_at(passing.url).messages.create(**CASES[name]))
    assert not isinstance(direct, Failed)
    assert proxied == direct


@pytest.mark.parametrize("name", CASES)
def test_plain_body_and_headers_to_the_byte(
    name: str, upstream: Upstream, passing: Proxy, anthropic_at: Clients
) -> None:
    direct, proxied = (
        anthropic_at(url).messages.with_raw_response.create(**CASES[name]).http_response
        for url in (upstream.url, passing.url)
    )
    assert proxied.content == direct.content
    for header in ("content-type", "request-id"):
        assert proxied.headers[header] == direct.headers[header]
    sent_direct, sent_proxied = upstream.journal.all()
    assert sent_proxied.tree == sent_direct.tree
    for header in ("anthropic-version", "anthropic-beta", "x-api-key", "authorization"):
        assert sent_proxied.headers.get(header) == sent_direct.headers.get(header)


@pytest.mark.parametrize("headers", [{}, {"x-chunk": "1"}, {"x-bytes": "5"}], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_stream(name: str, headers: dict[str, str], upstream: Upstream, passing: Proxy, anthropic_at: Clients) -> None:
    direct, proxied = (
        stream_outcome(
            lambda url=url: anthropic_at(url).messages.create(stream=True, extra_headers=headers, **CASES[name])  # type: ignore[misc]
        )
        for url in (upstream.url, passing.url)
    )
    assert isinstance(direct, list)
    assert direct[-1]["type"] == "message_stop"
    assert proxied == direct


@pytest.mark.parametrize("name", ["text", "thinking", "tool", "tools in parallel", "refusal"])
def test_stream_helper(name: str, upstream: Upstream, passing: Proxy, anthropic_at: Clients) -> None:
    def run(url: str) -> tuple[list[Any], Any]:
        with anthropic_at(url).messages.stream(**CASES[name]) as stream:
            events = [event.model_dump(mode="json") for event in stream]
            return events, stream.get_final_message().model_dump(mode="json")

    assert run(passing.url) == run(upstream.url)


BETA: dict[str, dict[str, Any]] = {
    "context management": {
        "betas": ["context-management-2025-06-27"],
        "context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]},
    },
    "a server of tools": {
        "betas": ["mcp-client-2025-04-04"],
        "mcp_servers": [
            {"type": "url", "url": "https://docs.example/mcp", "name": "docs", "authorization_token": "t-1"}
        ],
    },
    "a container": {"betas": ["code-execution-2025-08-25"], "container": "container_01"},
}


@pytest.mark.parametrize("name", BETA)
def test_beta_fields(name: str, upstream: Upstream, passing: Proxy, anthropic_at: Clients) -> None:
    """The fields and headers of betas reach the API, and the answers are the same."""
    got = []
    for url in (upstream.url, passing.url):
        messages = anthropic_at(url).beta.messages
        got.append(
            [
                outcome(lambda messages=messages: messages.create(**ask("hello"), **BETA[name])),  # type: ignore[misc]
                stream_outcome(lambda messages=messages: messages.create(stream=True, **ask("hello"), **BETA[name])),  # type: ignore[misc]
            ]
        )
    assert not isinstance(got[0][0], Failed)
    assert got[1] == got[0]
    direct, _, proxied, _ = upstream.journal.all()
    assert proxied.tree == direct.tree
    assert proxied.headers["anthropic-beta"] == direct.headers["anthropic-beta"]


def test_count_tokens(upstream: Upstream, passing: Proxy, anthropic_at: Clients) -> None:
    messages: Any = [{"role": "user", "content": "one two three"}]
    for url in (upstream.url, passing.url):
        counted = anthropic_at(url).messages.count_tokens(model="scripted", messages=messages)
        assert counted.input_tokens == 3


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("status", ERRORS)
def test_errors_of_the_model(
    status: int, stream: bool, upstream: Upstream, passing: Proxy, anthropic_at: Clients
) -> None:
    def run(url: str) -> Any:
        return outcome(lambda: anthropic_at(url).messages.create(stream=stream, **ask(f"error {status}")))

    direct, proxied = run(upstream.url), run(passing.url)
    assert isinstance(direct, Failed)
    assert proxied == direct
    with pytest.raises(ERRORS[status]) as caught:
        anthropic_at(passing.url).messages.create(stream=stream, **ask(f"error {status}"))
    assert caught.value.status_code == status
    assert caught.value.response.headers["request-id"]
    if status in (429, 503, 529):
        assert caught.value.response.headers["retry-after"] == "1"
    assert len(upstream.journal.all()) == 3, "the proxy must not retry by itself"


@pytest.mark.parametrize("name", ["text", "tool", "thinking", "unicode"])
async def test_asynchronous_client(name: str, upstream: Upstream, passing: Proxy) -> None:
    got = []
    for url in (upstream.url, passing.url):
        async with anthropic.AsyncAnthropic(base_url=url, api_key="test", max_retries=0, timeout=60) as client:
            create = client.messages.create
            got.append(
                (
                    await async_outcome(create(**CASES[name])),
                    await async_stream_outcome(create(stream=True, **CASES[name])),
                )
            )
    assert isinstance(got[0][1], list)
    assert got[1] == got[0]


@pytest.mark.parametrize("name", ["text", "tool", "thinking"])
async def test_asynchronous_stream_helper(name: str, upstream: Upstream, watching: Proxy) -> None:
    got = []
    for url in (upstream.url, watching.url):
        async with (
            anthropic.AsyncAnthropic(base_url=url, api_key="test", max_retries=0, timeout=60) as client,
            client.messages.stream(**CASES[name]) as stream,
        ):
            events = [event.model_dump(mode="json") async for event in stream]
            got.append([events, (await stream.get_final_message()).model_dump(mode="json")])
    assert got[1] == got[0]


def test_models(upstream: Upstream, passing: Proxy, anthropic_at: Clients) -> None:
    direct, proxied = (outcome(lambda url=url: anthropic_at(url).models.list()) for url in (upstream.url, passing.url))  # type: ignore[misc]
    assert not isinstance(direct, Failed)
    assert proxied == direct
