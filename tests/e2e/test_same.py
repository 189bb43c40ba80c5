"""With a policy that touches nothing, the official SDKs cannot tell the proxy from the model's API.

`APIS` lists three APIs of two SDKs, each with its cases; every test runs all of them. The other formats have tests of their
own: their SDKs have no helpers for streams.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import anthropic
import openai
import pytest
from pydantic import BaseModel

from tests.e2e.rig import Failed, Proxy, Upstream, async_outcome, async_stream_outcome, outcome, stream_outcome

Case = dict[str, Any]
ObjectSchema = dict[str, Any]
SENT = ("authorization", "x-api-key", "anthropic-version", "anthropic-beta")
MAIL_SCHEMA: ObjectSchema = {"type": "object", "properties": {"to": {"type": "string"}}, "required": ["to"]}
PERSON: ObjectSchema = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


class Person(BaseModel):
    name: str
    age: int


def common(ask: Callable[..., Case], tool: dict[str, Any], limit: str) -> dict[str, Case]:
    """The cases of every API. `tool`: one in its form; `limit`: its field for the number of tokens."""
    return {
        "text": ask("hello"),
        "unicode": ask('echo: Grüße 🙂 "quoted" \\ back\u2028slash\n\ttab \u0007 e\u0301 \U0001f469\u200d\U0001f680'),
        "refusal": ask("refuse"),
        "tool": ask('call tool: send_mail {"to": "someone", "urgent": true, "n": 1.50}', tools=[tool]),
        "tools in parallel": ask('call tool: send_mail {"to": "a"}\ncall tool: send_mail {"to": "b"}', tools=[tool]),
        "cut by the token limit": ask("words: 50", **{limit: 7}),
        "broken json": ask("bad json"),
        "long": ask("words: 400"),
        "unknown field": ask("hello", extra_body={"field_of_next_year": {"deep": ["text", 1, None, True]}}),
    }


def common_openai(ask: Callable[..., Case], tool: dict[str, Any], limit: str) -> dict[str, Case]:
    """The cases of both APIs of OpenAI."""
    return {
        **common(ask, tool, limit),
        "reasoning": ask("think of a number"),
        "broken tool arguments": ask('call tool: send_mail {"to": "a', tools=[tool]),
        "empty answer": ask("echo: "),
    }


@dataclass(frozen=True, slots=True)
class Api:
    """An API of an SDK, as its users call it."""

    ask: Callable[..., Case]
    """The arguments of a call, from the words of the user."""
    cases: Mapping[str, Case]
    errors: Mapping[int, type[Exception]]
    """What the SDK raises, by status."""
    resource: Callable[[Any], Any]
    """What of a client has `create` and `stream`."""
    client: Callable[[str], Any]
    """An asynchronous client for a base URL."""
    final: str
    """The method of the stream helper that gives the whole answer."""
    request_id: str
    is_whole: Callable[[list[Any]], bool]
    """Whether a stream came to its end."""
    helped: tuple[str, ...]
    """The cases for the stream helper; those for asynchronous clients."""
    in_turn: tuple[str, ...]
    stream_options: Mapping[str, Any]
    """Options of streams that are cut by the upstream."""


def chat(words: str, **more: Any) -> Case:
    return {"model": "scripted", "messages": [{"role": "user", "content": words}], **more}


def message(words: str, **more: Any) -> Case:
    return {"model": "scripted", "max_tokens": 1000, "messages": [{"role": "user", "content": words}], **more}


def response(words: str, /, **more: Any) -> Case:
    return {"model": "scripted", "input": words, **more}


def openai_client(url: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="test", max_retries=0, timeout=60)


def anthropic_client(url: str) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=url, api_key="test", max_retries=0, timeout=60)


MAIL_FUNCTION = {"name": "send_mail", "description": "Sends a mail", "parameters": MAIL_SCHEMA}
HISTORY = {
    "chat": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "What is the weather?"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny, 21 degrees"},
    ],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "What is the weather?"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "I should look it up.", "signature": "c2lnbmF0dXJl"},
                {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Oslo"}},
            ],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "sunny, 21 degrees"}],
        },
    ],
    "responses": [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "input_text", "text": "What is the weather?"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "I should look it up."}]},
        {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "sunny, 21 degrees"},
    ],
}
OPENAI_ERRORS: dict[int, type[Exception]] = {
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
APIS = {
    "chat": Api(
        chat,
        {
            **common_openai(chat, {"type": "function", "function": MAIL_FUNCTION}, "max_completion_tokens"),
            "history": {"model": "scripted", "messages": HISTORY["chat"]},
            "three choices": chat("hello", n=3),
            "logprobs": chat("hello", logprobs=True),
            "structured": chat(
                "a person", response_format={"type": "json_schema", "json_schema": {"name": "p", "schema": PERSON}}
            ),
            "parameters": chat(
                "hello", temperature=0.1, top_p=0.5, seed=7, user="u-1", stop=["END"], metadata={"team": "a"}
            ),
            "big numbers": chat("hello", seed=2**53 + 1),
        },
        OPENAI_ERRORS,
        lambda client: client.chat.completions,
        openai_client,
        final="get_final_completion",
        request_id="x-request-id",
        is_whole=lambda items: len(items) > 1,
        helped=("text", "tool", "tools in parallel", "refusal", "structured", "three choices"),
        in_turn=("text", "tool", "reasoning", "three choices", "unicode"),
        stream_options={"stream_options": {"include_usage": True}},
    ),
    "messages": Api(
        message,
        {
            **common(
                message,
                {"name": "send_mail", "description": "Sends a mail", "input_schema": MAIL_SCHEMA},
                "max_tokens",
            ),
            "system": message(
                "hello", system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
            ),
            "history": {
                "model": "scripted",
                "max_tokens": 100,
                "system": "Be brief.",
                "messages": HISTORY["messages"],
            },
            "thinking": message("think of a number", thinking={"type": "enabled", "budget_tokens": 1024}),
            "parameters": message("hello", metadata={"user_id": "u-1"}, stop_sequences=["END"]),
        },
        {
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
        },
        lambda client: client.messages,
        anthropic_client,
        final="get_final_message",
        request_id="request-id",
        is_whole=lambda items: items[-1]["type"] == "message_stop",
        helped=("text", "thinking", "tool", "tools in parallel", "refusal"),
        in_turn=("text", "tool", "thinking", "unicode"),
        stream_options={},
    ),
    "responses": Api(
        response,
        {
            **common_openai(response, {"type": "function", **MAIL_FUNCTION, "strict": False}, "max_output_tokens"),
            "history": {"model": "scripted", "instructions": "Be kind.", "input": HISTORY["responses"]},
            "logprobs": response("hello", include=["message.output_text.logprobs"]),
            "structured": response("a person", text={"format": {"type": "json_schema", "name": "p", "schema": PERSON}}),
            "parameters": response(
                "hello", temperature=0.1, top_p=0.5, user="u-1", metadata={"team": "a"}, store=False
            ),
            "earlier answer": response("hello", previous_response_id="resp_1", truncation="auto"),
        },
        {status: OPENAI_ERRORS[status] for status in (400, 401, 404, 429, 500, 503)},
        lambda client: client.responses,
        openai_client,
        final="get_final_response",
        request_id="x-request-id",
        is_whole=lambda items: items[-1]["type"] in ("response.completed", "response.incomplete"),
        helped=("text", "tool", "tools in parallel", "refusal", "structured", "reasoning"),
        in_turn=("text", "tool", "reasoning", "unicode"),
        stream_options={"stream_options": {"include_obfuscation": True}},
    ),
}


def each(names: Callable[[Api], Any]) -> pytest.MarkDecorator:
    """Runs a test for each API and each of its names."""
    found = [pytest.param(key, name, id=f"{key}-{name}") for key, api in APIS.items() for name in names(api)]
    return pytest.mark.parametrize(("key", "name"), found)


each_case = each(lambda api: api.cases)
Resources = Callable[[str, str], Any]


@pytest.fixture
def resource_at(
    openai_at: Callable[[str], openai.OpenAI], anthropic_at: Callable[[str], anthropic.Anthropic]
) -> Resources:
    """What of a client has `create` and `stream`, by the API and the base URL."""
    return lambda key, url: APIS[key].resource(anthropic_at(url) if key == "messages" else openai_at(url))


@each_case
def test_plain_answer(key: str, name: str, upstream: Upstream, passing: Proxy, resource_at: Resources) -> None:
    direct, proxied = (
        outcome(lambda url=url: resource_at(key, url).create(**APIS[key].cases[name]))  # type: ignore[misc]
        for url in (upstream.url, passing.url)
    )
    assert not isinstance(direct, Failed)
    assert proxied == direct


@each_case
def test_plain_body_and_headers_to_the_byte(
    key: str, name: str, upstream: Upstream, passing: Proxy, resource_at: Resources
) -> None:
    direct, proxied = (
        resource_at(key, url).with_raw_response.create(**APIS[key].cases[name]).http_response
        for url in (upstream.url, passing.url)
    )
    assert proxied.content == direct.content
    for header in ("content-type", APIS[key].request_id):
        assert proxied.headers[header] == direct.headers[header]
    sent_direct, sent_proxied = upstream.journal.all()
    assert sent_proxied.tree == sent_direct.tree
    assert [sent_proxied.headers.get(header) for header in SENT] == [sent_direct.headers.get(header) for header in SENT]


@pytest.mark.parametrize("headers", [{}, {"x-chunk": "1"}, {"x-bytes": "5"}], ids=str)
@each_case
def test_stream(
    key: str, name: str, headers: dict[str, str], upstream: Upstream, passing: Proxy, resource_at: Resources
) -> None:
    asked = {**APIS[key].cases[name], **(APIS[key].stream_options if headers else {})}
    direct, proxied = (
        stream_outcome(lambda url=url: resource_at(key, url).create(stream=True, extra_headers=headers, **asked))  # type: ignore[misc]
        for url in (upstream.url, passing.url)
    )
    assert isinstance(direct, list)
    assert APIS[key].is_whole(direct)
    assert proxied == direct


def shown(value: Any) -> Any:
    """An object of an SDK as plain data. OpenAI's SDK warns of its own generic types."""
    return value.model_dump(mode="json", warnings=False)


def seen(key: str, event: Any) -> Any:
    """What a test compares of an event of a stream helper: those of Chat Completions have a copy of all before."""
    return event.type if key == "chat" else shown(event)


@each(lambda api: api.helped)
def test_stream_helper(key: str, name: str, upstream: Upstream, passing: Proxy, resource_at: Resources) -> None:
    def run(url: str) -> tuple[list[Any], Any]:
        with resource_at(key, url).stream(**APIS[key].cases[name]) as stream:
            return [seen(key, event) for event in stream], shown(getattr(stream, APIS[key].final)())

    assert run(passing.url) == run(upstream.url)


@each(lambda api: api.helped)
async def test_asynchronous_stream_helper(key: str, name: str, upstream: Upstream, watching: Proxy) -> None:
    got = []
    for url in (upstream.url, watching.url):
        async with (
            APIS[key].client(url) as client,
            APIS[key].resource(client).stream(**APIS[key].cases[name]) as stream,
        ):
            events = [seen(key, event) async for event in stream]
            got.append([events, shown(await getattr(stream, APIS[key].final)())])
    assert got[1] == got[0]


@each(lambda api: api.in_turn)
async def test_asynchronous_client(key: str, name: str, upstream: Upstream, passing: Proxy) -> None:
    got = []
    for url in (upstream.url, passing.url):
        async with APIS[key].client(url) as client:
            create, asked = APIS[key].resource(client).create, APIS[key].cases[name]
            got.append((await async_outcome(create(**asked)), await async_stream_outcome(create(stream=True, **asked))))
    assert isinstance(got[0][1], list)
    assert got[1] == got[0]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@each(lambda api: api.errors)
def test_errors_of_the_model(
    key: str, name: int, stream: bool, upstream: Upstream, passing: Proxy, resource_at: Resources
) -> None:
    def run(url: str) -> Any:
        return resource_at(key, url).create(stream=stream, **APIS[key].ask(f"error {name}"))

    direct, proxied = outcome(lambda: run(upstream.url)), outcome(lambda: run(passing.url))
    assert isinstance(direct, Failed)
    assert proxied == direct
    with pytest.raises(APIS[key].errors[name]) as caught:
        run(passing.url)
    error: Any = caught.value
    assert error.status_code == name
    assert error.response.headers[APIS[key].request_id]
    if name in (429, 503, 529):
        assert error.response.headers["retry-after"] == "1"
    assert len(upstream.journal.all()) == 3, "the proxy must not retry by itself"


# What one SDK alone has.


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_parse_helper(api: str, upstream: Upstream, passing: Proxy, openai_at: Callable[[str], openai.OpenAI]) -> None:
    def run(url: str) -> Any:
        client = openai_at(url)
        if api == "responses":
            return client.responses.parse(**response("a person"), text_format=Person).output_parsed
        return client.chat.completions.parse(**chat("a person"), response_format=Person).choices[0].message.parsed

    assert isinstance(run(upstream.url), Person)
    assert run(passing.url) == run(upstream.url)


@pytest.mark.parametrize("sdk", ["openai_at", "anthropic_at"])
def test_models(sdk: str, request: pytest.FixtureRequest, upstream: Upstream, passing: Proxy) -> None:
    at = request.getfixturevalue(sdk)
    direct, proxied = (outcome(lambda url=url: at(url).models.list()) for url in (upstream.url, passing.url))  # type: ignore[misc]
    assert not isinstance(direct, Failed)
    assert proxied == direct


@pytest.mark.parametrize("key", ["messages", "responses"])
def test_counts_of_tokens(key: str, upstream: Upstream, passing: Proxy, resource_at: Resources) -> None:
    words = "one two three"
    for url in (upstream.url, passing.url):
        resource = resource_at(key, url)
        if key == "responses":
            counted = resource.input_tokens.count(model="scripted", input=words)
        else:
            counted = resource.count_tokens(model="scripted", messages=[{"role": "user", "content": words}])
        assert counted.input_tokens == 3


def test_compact(upstream: Upstream, passing: Proxy, resource_at: Resources) -> None:
    direct, proxied = (
        outcome(lambda url=url: resource_at("responses", url).compact(model="scripted", input="one two three"))  # type: ignore[misc]
        for url in (upstream.url, passing.url)
    )
    assert direct["object"] == "response.compaction"
    assert proxied == direct


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
def test_beta_fields(
    name: str, upstream: Upstream, passing: Proxy, anthropic_at: Callable[[str], anthropic.Anthropic]
) -> None:
    """The fields and headers of betas reach the API, and the answers are the same."""
    got = []
    asked = {**message("hello"), **BETA[name]}
    for url in (upstream.url, passing.url):
        create = anthropic_at(url).beta.messages.create
        got.append(
            [
                outcome(lambda create=create: create(**asked)),  # type: ignore[misc]
                stream_outcome(lambda create=create: create(stream=True, **asked)),  # type: ignore[misc]
            ]
        )
    assert not isinstance(got[0][0], Failed)
    assert got[1] == got[0]
    direct, _, proxied, _ = upstream.journal.all()
    assert proxied.tree == direct.tree
    assert proxied.headers["anthropic-beta"] == direct.headers["anthropic-beta"]
