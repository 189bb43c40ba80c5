"""A real language model behind the proxy: the same answers as without it. Needs the optional packages of the demo."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from guardproxy.demo import llama
from tests.e2e.rig import GUARD, MAIL, PASS, Failed, Proxy, Upstream, outcome, serve, stream_outcome

pytestmark = pytest.mark.model
CHAT: dict[str, Any] = {
    "model": llama.MODEL,
    "messages": [{"role": "user", "content": "What is the capital of France? Answer in one sentence."}],
    "temperature": 0,
    "seed": 7,
}
MESSAGE: dict[str, Any] = {
    "model": llama.MODEL,
    "messages": CHAT["messages"],
    "max_tokens": 24,
    "extra_body": {"temperature": 0},  # no longer a parameter of the SDK, still one of the server
}
# What a server makes up anew for each answer.
VARYING = frozenset({"id", "created", "timings", "cached_tokens", "cache_read_input_tokens", "input_tokens"})


@pytest.fixture(scope="module")
def proxy(tiny: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    proxy = serve(tiny.url, tmp_path_factory.mktemp("tiny"), PASS)
    yield proxy
    proxy.stop()


def steady(value: Any) -> Any:
    """A copy without what varies from answer to answer."""
    if isinstance(value, dict):
        return {key: steady(inner) for key, inner in value.items() if key not in VARYING}
    return [steady(inner) for inner in value] if isinstance(value, list) else value


@pytest.fixture
def openai_pair(
    tiny: Upstream, proxy: Proxy, openai_at: Callable[[str], openai.OpenAI]
) -> tuple[openai.OpenAI, openai.OpenAI]:
    return openai_at(tiny.url), openai_at(proxy.url)


@pytest.fixture
def anthropic_pair(
    tiny: Upstream, proxy: Proxy, anthropic_at: Callable[[str], anthropic.Anthropic]
) -> tuple[anthropic.Anthropic, anthropic.Anthropic]:
    return anthropic_at(tiny.url), anthropic_at(proxy.url)


def test_chat(openai_pair: tuple[openai.OpenAI, openai.OpenAI]) -> None:
    direct, proxied = (
        outcome(lambda client=client: client.chat.completions.create(max_tokens=24, **CHAT))  # type: ignore[misc]
        for client in openai_pair
    )
    assert "Paris" in direct["choices"][0]["message"]["content"]
    assert steady(proxied) == steady(direct)


def test_chat_stream(openai_pair: tuple[openai.OpenAI, openai.OpenAI]) -> None:
    options = {"stream_options": {"include_usage": True}, "max_tokens": 24}
    direct, proxied = (
        stream_outcome(lambda client=client: client.chat.completions.create(stream=True, **options, **CHAT))  # type: ignore[misc]
        for client in openai_pair
    )
    assert isinstance(direct, list)
    assert len(direct) > 5
    assert steady(proxied) == steady(direct)


def test_messages(anthropic_pair: tuple[anthropic.Anthropic, anthropic.Anthropic]) -> None:
    direct, proxied = (
        outcome(lambda client=client: client.messages.create(**MESSAGE))  # type: ignore[misc]
        for client in anthropic_pair
    )
    assert not isinstance(direct, Failed)
    assert "Paris" in direct["content"][0]["text"]
    assert steady(proxied) == steady(direct)


def test_messages_stream(anthropic_pair: tuple[anthropic.Anthropic, anthropic.Anthropic]) -> None:
    direct, proxied = (
        stream_outcome(lambda client=client: client.messages.create(stream=True, **MESSAGE))  # type: ignore[misc]
        for client in anthropic_pair
    )
    assert isinstance(direct, list)
    assert len(direct) > 5
    assert steady(proxied) == steady(direct)


def test_models(openai_pair: tuple[openai.OpenAI, openai.OpenAI]) -> None:
    for client in openai_pair:
        assert llama.MODEL in [listed.id for listed in client.models.list()]


def test_a_real_model_never_sees_the_address(
    tiny: Upstream, tmp_path: Path, openai_at: Callable[[str], openai.OpenAI]
) -> None:
    proxy = serve(tiny.url, tmp_path, GUARD)
    try:
        tiny.journal.clear()
        client = openai_at(proxy.url)
        messages: Any = [{"role": "user", "content": f"Say hello to {MAIL}."}]
        said = client.chat.completions.create(model=llama.MODEL, messages=messages, max_tokens=16, temperature=0)
        assert said.choices[0].message.content
        assert [entry for entry in tiny.journal.all() if MAIL.encode() in entry.body] == []
        assert len(tiny.journal.all()) == 1
    finally:
        proxy.stop()
