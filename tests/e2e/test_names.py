"""Names on their way to the model and back, found by the shipped tagger: official SDKs, both formats, at every cutting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anthropic
import openai
import pytest

from guardproxy.library import load
from tests.e2e.rig import CUTS, Proxy, Upstream
from tests.e2e.test_guarded import anthropic_stream, chat, message, openai_stream, seen_by_model
from tests.kit.records import replay

POLICY = """\
policy: names
checks: {people: {use: pii, entities: [PERSON, LOCATION, PHONE_NUMBER]}}
rules:
  - {id: nobody-out, on: request, when: people, action: redact}
  - {id: nobody-back, on: response, when: people, action: redact}
"""
TOLD = "Dear Kwame Mensah, the parcel for Gothenburg is here. Call 212-555-0142, or ask Mara Lindqvist at the desk."
NAMES = ("Kwame", "Mensah", "Gothenburg", "212-555", "Mara", "Lindqvist")


@pytest.fixture
def proxy(proxy_with: Callable[..., Proxy]) -> Proxy:
    return proxy_with(POLICY)


def test_a_name_is_a_placeholder_to_the_model_and_itself_to_the_client(
    upstream: Upstream,
    proxy: Proxy,
    openai_at: Callable[[str], openai.OpenAI],
    anthropic_at: Callable[[str], anthropic.Anthropic],
) -> None:
    said = openai_at(proxy.url).chat.completions.create(**chat(f"echo: {TOLD}")).choices[0].message.content
    block: Any = anthropic_at(proxy.url).messages.create(**message(f"echo: {TOLD}")).content[0]
    assert said == block.text == TOLD
    seen = seen_by_model(upstream)
    assert "[PERSON_" in seen
    assert "[LOCATION_" in seen
    assert not [name for name in NAMES if name in seen]
    text = "".join(log.read_text() for log in proxy.audit.glob("*.jsonl"))
    assert not [name for name in NAMES if name in text]


@pytest.mark.parametrize("headers", CUTS, ids=str)
def test_a_name_comes_back_in_a_stream_whatever_its_cuts(
    proxy: Proxy,
    openai_at: Callable[[str], openai.OpenAI],
    anthropic_at: Callable[[str], anthropic.Anthropic],
    headers: dict[str, str],
) -> None:
    asked = f"echo: {TOLD}"
    assert openai_stream(openai_at(proxy.url), headers, **chat(asked))["content"] == TOLD
    assert anthropic_stream(anthropic_at(proxy.url), headers, **message(asked))["text"] == TOLD


def test_what_was_recorded_replays_alike(proxy: Proxy, openai_at: Callable[[str], openai.OpenAI]) -> None:
    client = openai_at(proxy.url)
    client.chat.completions.create(**chat(f"echo: {TOLD}"))
    openai_stream(client, {"x-chunk": "3"}, **chat(f"echo: {TOLD}"))
    records = proxy.records()
    assert len(records) == 2
    policies = load(proxy.audit.parent / "policies")
    for record in records:
        again = replay(record, policies)
        assert (again.verdict, again.differences, again.rescanned) == ("identical", (), ())


def test_a_header_names_the_language(upstream: Upstream, proxy_with: Callable[..., Proxy]) -> None:
    policy = POLICY.replace("entities: [PERSON, LOCATION, PHONE_NUMBER]", "language: header")
    proxy = proxy_with(policy, "--trusted-hop", "127.0.0.1")
    client = openai.OpenAI(base_url=f"{proxy.url}/v1", api_key="test", max_retries=0)
    asked = chat("echo: el NIF es 12345678Z, y nada más que se pueda decir de esta persona")
    for code, hidden in (("es", True), ("en", False), ("es", True)):  # the third is in the cache of verdicts
        upstream.journal.clear()
        client.chat.completions.create(extra_headers={"Content-Language": code}, **asked)
        assert ("12345678Z" not in seen_by_model(upstream)) == hidden
    client.close()
