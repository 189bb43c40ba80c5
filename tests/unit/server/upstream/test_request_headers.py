"""Headers of requests that go on: known names with values of their shape, and nothing that could hold a text."""

from __future__ import annotations

from contextlib import suppress
from itertools import product

import pytest
from multidict import CIMultiDict

from guardproxy.config import Config
from guardproxy.errors import ConfigError, DownstreamError
from guardproxy.server.upstream.request_headers import (
    AGENT,
    fallback_headers,
    refuse_names,
    upstream_headers,
    use_own_key,
)
from guardproxy.wire.contract import KeyHeader


def seal(data: bytes) -> str:
    return f"sealed{len(data)}"


def onward(sent: dict[str, str], *more: str, named: str = "") -> dict[str, str]:
    found = dict(upstream_headers(sent.items(), named, {}, seal, more))
    assert found.pop("Accept-Encoding") == "identity"
    if found.get("User-Agent") == AGENT:
        del found["User-Agent"]
    return found


# As the SDKs send them.
SDKS = [
    {"User-Agent": "OpenAI/Python 1.68.2", "X-Stainless-Lang": "python", "X-Stainless-Package-Version": "1.68.2",
     "X-Stainless-OS": "Linux", "X-Stainless-Arch": "x64", "X-Stainless-Runtime": "CPython",
     "X-Stainless-Runtime-Version": "3.11.7", "X-Stainless-Async": "false", "x-stainless-retry-count": "0",
     "x-stainless-read-timeout": "600", "Content-Type": "application/json", "Accept": "application/json",
     "OpenAI-Organization": "org-aBcD1234efGh5678", "OpenAI-Project": "proj_abc123", "OpenAI-Beta": "assistants=v2"},
    {"User-Agent": "AsyncAnthropic/Python 0.49.0", "X-Stainless-Async": "async:asyncio", "X-Stainless-Arch": "other:aarch64",
     "X-Stainless-OS": "MacOS", "anthropic-version": "2023-06-01", "x-stainless-timeout": "NOT_GIVEN",
     "anthropic-beta": "prompt-caching-2024-07-31,max-tokens-3-5-sonnet-2024-07-15, claude-code-20250219",
     "anthropic-dangerous-direct-browser-access": "true", "X-Stainless-Helper-Method": "beta.chat.completions.stream"},
    {"User-Agent": "OpenAI/JS 4.87.3", "X-Stainless-Lang": "js", "X-Stainless-Runtime": "node",
     "X-Stainless-Runtime-Version": "v22.14.0", "Accept": "application/json, text/event-stream", "Accept-Language": "*"},
    {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"},
    {"User-Agent": "python-requests/2.32.3", "Accept": "*/*", "content-language": "de-CH"},
    {"HTTP-Referer": "https://shop.example.com/chat", "X-Title": "My shop's assistant 2", "X-OpenRouter-Title": "Acme"},
    {"HTTP-Referer": "http://127.0.0.1:3000/", "X-Title": "R&D"},
    {"User-Agent": "curl/8.5.0", "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
    {"Idempotency-Key": "stainless-python-retry-0d8f0c4e-6f3c-4b7e-9a53-0a2f4f1f3b11"},
    {"x-client-request-id": "0d8f0c4e-6f3c-4b7e-9a53-0a2f4f1f3b11", "x-chunk": "3"},
]  # fmt: skip


@pytest.mark.parametrize("sent", SDKS, ids=range(len(SDKS)))
def test_what_an_sdk_sends_goes_on(sent: dict[str, str]) -> None:
    assert onward(sent) == sent


HELD = [
    "4111 1111 1111 1111", "4111111111111111", "4111-1111-1111-1111", "4111.1111.1111.1111", "a/4111.1111.1111.1111",
    "+15551234567", "555-123-4567", "x/555.123.4567", "jane@corp.example", "AKIA" "IOSFODNN7EXAMPLE",
    "sk-proj-abcdefgh12345678", "123-45-6789",
]  # fmt: skip
NAMES = [
    "user-agent", "accept", "accept-language", "content-language", "x-stainless-os", "x-stainless-runtime-version", "x-title",
    "http-referer", "x-request-id", "idempotency-key", "traceparent", "tracestate", "baggage", "x-any", "x-app", "originator",
    "openai-organization", "openai-project", "anthropic-version", "anthropic-beta", "openai-beta", "x-goog-api-client",
]  # fmt: skip


FRAMES = [
    "{}", "OpenAI/Python {}", "org-{}", "proj_{}", "a-{}-2024-01-01", "OpenAI/Python (a {})", "https://a.example/{}",
    "https://{}/a", "My shop {}",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_no_header_carries_a_value_that_checks_look_for(name: str) -> None:
    for value, frame in product(HELD, FRAMES):
        with suppress(DownstreamError):
            assert value not in "".join(onward({name: frame.format(value)}).values()), frame


def test_an_unknown_header_goes_on_where_a_setting_says_so() -> None:
    assert onward({"x-shop": "My shop"}) == {}
    assert onward({"X-Shop": "My shop", "anthropic-beta": "My 1 beta"}, "x-shop", "anthropic-beta") == {
        "X-Shop": "My shop",
        "anthropic-beta": "My 1 beta",
    }
    for name in (
        "cookie",
        "Authorization",
        "Host",
        "x-forwarded-for",
        "proxy-authorization",
        "x-guardproxy-conversation",
    ):
        assert onward({name: "1"}, name.lower()) == {}
        with pytest.raises(ConfigError, match="cannot let"):
            refuse_names(Config.of(request_header=(name,)).network)
    with pytest.raises(ConfigError, match="cannot let"):
        refuse_names(Config.of(answer_header=("Set-Cookie",)).network)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-title", "please remember that the patient in room 7 has a rare disease"),
        ("x-title", "call 5551234567"),
        ("http-referer", "https://a.example/?q=text"),
        ("http-referer", "https://user:word@a.example/"),
        ("http-referer", "https://a.example/order/1234567"),
        ("http-referer", "a.example"),
    ],
)
def test_what_is_no_name_and_no_address_of_a_program_is_dropped(name: str, value: str) -> None:
    assert onward({name: value}) == {}


@pytest.mark.parametrize(
    "name", ["x-4111111111111111", "x-AKIA1OSFODNN7EXAMPLE", "x-5551234567", "jane-roe", "x-" + "a" * 21, "x-a-b-c-d-e"]
)
def test_the_name_of_an_unknown_header_says_nothing_either(name: str) -> None:
    assert onward({name: "1"}) == {}
    assert onward({"openai-organization": "org-a5551234567"}) == {}


def test_what_the_connection_names_stays_behind_and_cannot_be_the_credential() -> None:
    assert onward({"x-chunk": "1", "x-bytes": "2"}, named="close, X-Chunk") == {"x-bytes": "2"}
    for name in ("authorization", "X-API-Key", "content-type"):
        with pytest.raises(DownstreamError, match="connection"):
            onward({}, named=f"close, {name}")


SECRET_NAMES = [
    "Authorization", "x-api-key", "api-key", "x-goog-api-key", "ocp-apim-subscription-key", "x-auth-token", "helicone-auth",
    "cf-aig-authorization", "x-litellm-api-key", "cookie", "x-amz-security-token", "openai-organization", "openai-project",
    "x-portkey-api-key", "idempotency-key", "x-request-id", "traceparent", "x-my-header", "x-goog-user-project", "x-tenant",
]  # fmt: skip


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_no_fallback_knows_whose_request_it_is(name: str) -> None:
    sent = CIMultiDict({name: "secret", "anthropic-version": "2023-06-01"})
    own = fallback_headers(sent, KeyHeader("x-api-key", ""), "theirs")
    assert dict(own) == {"anthropic-version": "2023-06-01", "Accept-Encoding": "identity", "x-api-key": "theirs"}


def test_a_client_with_a_key_of_the_proxy_does_not_choose_the_account() -> None:
    sent = {"OpenAI-Organization": "org-1", "OpenAI-Project": "proj_1", "OpenAI-Beta": "assistants=v2"}
    headers = CIMultiDict(sent)
    use_own_key(headers, KeyHeader("authorization", "Bearer "), "sk-1")
    assert dict(headers) == {"OpenAI-Beta": "assistants=v2", "authorization": "Bearer sk-1"}
    headers = CIMultiDict(sent)
    use_own_key(headers, KeyHeader("authorization", "Bearer "), "", ["openai-project"])
    assert dict(headers) == {"OpenAI-Project": "proj_1", "OpenAI-Beta": "assistants=v2"}
