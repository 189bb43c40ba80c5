"""With a policy that touches nothing, the official OpenAI SDK cannot tell the proxy from the model's API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai
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

Clients = Callable[[str], openai.OpenAI]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "send_mail",
            "description": "Sends a mail",
            "parameters": {"type": "object", "properties": {"to": {"type": "string"}}, "required": ["to"]},
        },
    }
]
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
HISTORY = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "What is the weather?"}]},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": "sunny, 21 degrees"},
]


def ask(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "scripted", "messages": [{"role": "user", "content": text}], **more}


CASES: dict[str, dict[str, Any]] = {
    "text": ask("hello"),
    "history": {"model": "scripted", "messages": HISTORY},
    "unicode": ask('echo: Grüße 🙂 "quoted" \\ back\u2028slash\n\ttab \u0007 e\u0301 \U0001f469\u200d\U0001f680'),
    "reasoning": ask("think of a number"),
    "refusal": ask("refuse"),
    "tool": ask('call tool: send_mail {"to": "someone", "urgent": true, "n": 1.50}', tools=TOOLS),
    "tools in parallel": ask('call tool: send_mail {"to": "a"}\ncall tool: send_mail {"to": "b"}', tools=TOOLS),
    "broken tool arguments": ask('call tool: send_mail {"to": "a', tools=TOOLS),
    "three choices": ask("hello", n=3),
    "logprobs": ask("hello", logprobs=True),
    "cut by the token limit": ask("words: 50", max_completion_tokens=7),
    "structured": ask(
        "a person", response_format={"type": "json_schema", "json_schema": {"name": "p", "schema": SCHEMA}}
    ),
    "broken json": ask("bad json"),
    "empty answer": ask("echo: "),
    "long": ask("words: 400"),
    "unknown field": ask("hello", extra_body={"field_of_next_year": {"deep": ["text", 1, None, True]}}),
    "parameters": ask("hello", temperature=0.1, top_p=0.5, seed=7, user="u-1", stop=["END"], metadata={"team": "a"}),
    "big numbers": ask("hello", seed=2**53 + 1),
}
ERRORS = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    409: openai.ConflictError,
    413: openai.APIStatusError,
    422: openai.UnprocessableEntityError,
    429: openai.RateLimitError,
    451: openai.APIStatusError,
    500: openai.InternalServerError,
    503: openai.InternalServerError,
    529: openai.InternalServerError,
}


@pytest.mark.parametrize("name", CASES)
def test_plain_answer(name: str, upstream: Upstream, passing: Proxy, openai_at: Clients) -> None:
    direct = outcome(lambda: openai_at(upstream.url).chat.completions.create(**CASES[name]))
    proxied = outcome(lambda: openai_at(passing.url).chat.completions.create(**CASES[name]))
    assert not isinstance(direct, Failed)
    assert proxied == direct


@pytest.mark.parametrize("name", CASES)
def test_plain_body_and_headers_to_the_byte(name: str, upstream: Upstream, passing: Proxy, openai_at: Clients) -> None:
    direct, proxied = (
        openai_at(url).chat.completions.with_raw_response.create(**CASES[name]).http_response
        for url in (upstream.url, passing.url)
    )
    assert proxied.content == direct.content
    for header in ("content-type", "x-request-id"):
        assert proxied.headers[header] == direct.headers[header]
    sent_direct, sent_proxied = upstream.journal.all()
    assert sent_proxied.tree == sent_direct.tree
    assert sent_proxied.headers["authorization"] == sent_direct.headers["authorization"]


@pytest.mark.parametrize("headers", [{}, {"x-chunk": "1"}, {"x-bytes": "5"}], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_stream(name: str, headers: dict[str, str], upstream: Upstream, passing: Proxy, openai_at: Clients) -> None:
    options: dict[str, Any] = {"stream_options": {"include_usage": True}} if headers else {}
    direct, proxied = (
        stream_outcome(
            lambda url=url: openai_at(url).chat.completions.create(  # type: ignore[misc]
                stream=True, extra_headers=headers, **options, **CASES[name]
            )
        )
        for url in (upstream.url, passing.url)
    )
    assert isinstance(direct, list)
    assert len(direct) > 1
    assert proxied == direct


@pytest.mark.parametrize("name", ["text", "tool", "tools in parallel", "refusal", "structured", "three choices"])
def test_stream_helper(name: str, upstream: Upstream, passing: Proxy, openai_at: Clients) -> None:
    def run(url: str) -> tuple[Any, Any]:
        with openai_at(url).chat.completions.stream(**CASES[name]) as stream:
            kinds = [event.type for event in stream]
            return kinds, stream.get_final_completion().model_dump(mode="json")

    assert run(passing.url) == run(upstream.url)


def test_parse_helper(upstream: Upstream, passing: Proxy, openai_at: Clients) -> None:
    from pydantic import BaseModel

    class Person(BaseModel):
        name: str
        age: int

    def run(url: str) -> Any:
        messages: Any = [{"role": "user", "content": "a person"}]
        made = openai_at(url).chat.completions.parse(model="scripted", messages=messages, response_format=Person)
        return made.choices[0].message.parsed

    assert isinstance(run(upstream.url), Person)
    assert run(passing.url) == run(upstream.url)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("status", ERRORS)
def test_errors_of_the_model(status: int, stream: bool, upstream: Upstream, passing: Proxy, openai_at: Clients) -> None:
    def run(url: str) -> Any:
        return outcome(lambda: openai_at(url).chat.completions.create(stream=stream, **ask(f"error {status}")))

    direct, proxied = run(upstream.url), run(passing.url)
    assert isinstance(direct, Failed)
    assert proxied == direct
    with pytest.raises(ERRORS[status]) as caught:
        openai_at(passing.url).chat.completions.create(stream=stream, **ask(f"error {status}"))
    assert caught.value.status_code == status
    if status in (429, 503, 529):
        assert caught.value.response.headers["retry-after"] == "1"
    assert len(upstream.journal.all()) == 3, "the proxy must not retry by itself"


@pytest.mark.parametrize("name", ["text", "tool", "reasoning", "three choices", "unicode"])
async def test_asynchronous_client(name: str, upstream: Upstream, passing: Proxy) -> None:
    got = []
    for url in (upstream.url, passing.url):
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="test", max_retries=0, timeout=60) as client:
            create = client.chat.completions.create
            got.append(
                (
                    await async_outcome(create(**CASES[name])),
                    await async_stream_outcome(create(stream=True, **CASES[name])),
                )
            )
    assert isinstance(got[0][1], list)
    assert got[1] == got[0]


@pytest.mark.parametrize("name", ["text", "tool", "refusal", "structured"])
async def test_asynchronous_stream_helper(name: str, upstream: Upstream, watching: Proxy) -> None:
    got = []
    for url in (upstream.url, watching.url):
        async with (
            openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="test", max_retries=0, timeout=60) as client,
            client.chat.completions.stream(**CASES[name]) as stream,
        ):
            kinds = [event.type async for event in stream]
            got.append([kinds, (await stream.get_final_completion()).model_dump(mode="json")])
    assert got[1] == got[0]


def test_models(upstream: Upstream, passing: Proxy, openai_at: Clients) -> None:
    direct, proxied = (outcome(lambda url=url: openai_at(url).models.list()) for url in (upstream.url, passing.url))  # type: ignore[misc]
    assert not isinstance(direct, Failed)
    assert proxied == direct
