"""A request that is judged while the upstream works. A check over HTTP waits until the upstream has the request, so a proxy
that judges first never answers: no clock is needed to see the order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from aiohttp import web

from guardproxy.library import load
from tests.e2e.rig import Proxy, Upstream
from tests.kit.records import replay
from tests.unit.inference.test_services import Stub

Clients = Callable[[str], openai.OpenAI]
POLICY = """\
policy: beside
checks:
  slow: {{use: http, url: "{url}/check", timeout_s: 60, sensitive: false}}
  word: {{use: pattern, words: [umbrella]}}
rules:
  - {{id: no-words-out, on: request, when: word, action: redact}}
  - {{id: no-attacks, on: user, when: slow, action: block, parallel: true}}
"""


class Waiting(Stub):
    """A check that answers once it is allowed to, and finds something in texts with the word "attack"."""

    def __init__(self) -> None:
        self.allowed = asyncio.Event()
        super().__init__()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        texts = (await request.json())["texts"]
        await self.allowed.wait()
        found = [{"start": 0, "end": 1, "label": "ATTACK"}]
        return web.json_response({"results": [{"findings": found if "attack" in one["text"] else []} for one in texts]})

    def allow(self) -> None:
        self.loop.call_soon_threadsafe(self.allowed.set)


@pytest.fixture
def check() -> Iterator[Waiting]:
    waiting = Waiting()
    yield waiting
    waiting.allow()
    waiting.close()


def ask(client: openai.OpenAI, text: str) -> str:
    messages: list[Any] = [{"role": "user", "content": text}]
    chunks = client.chat.completions.create(model="scripted", messages=messages, stream=True)
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def test_the_upstream_has_the_redacted_request_before_the_verdict(
    check: Waiting, proxy_with: Callable[..., Proxy], upstream: Upstream, openai_at: Clients
) -> None:
    proxy = proxy_with(POLICY.format(url=check.url), "--remote-check-host", check.url)
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(ask, openai_at(proxy.url), "hello umbrella")
        (seen,) = upstream.journal.wait(lambda entries: entries)
        assert "umbrella" not in str(seen.tree)
        assert not answer.done(), "nothing of the answer leaves before the verdict"
        check.allow()
        assert answer.result(60) == "You wrote: hello umbrella"
    (record,) = proxy.records()
    assert record["timings"]["request_judged"] >= record["timings"]["request_scanned"]
    assert replay(record, load(proxy.audit.parent / "policies")).verdict == "identical"


@pytest.mark.parametrize("text", ["an attack", "[hang early] an attack", "[hang] an attack"])
def test_a_block_cancels_the_upstream(
    text: str, check: Waiting, proxy_with: Callable[..., Proxy], upstream: Upstream, openai_at: Clients
) -> None:
    proxy = proxy_with(POLICY.format(url=check.url), "--remote-check-host", check.url)
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(ask, openai_at(proxy.url), text)
        upstream.journal.wait(lambda entries: entries)
        check.allow()
        with pytest.raises(openai.BadRequestError) as raised:
            answer.result(60)
    assert raised.value.code == "content_filter"
    (record,) = proxy.records()
    assert (record["outcome"], record["rules"]) == ("blocked_request", ["no-attacks"])
    assert record["seals"]["upstream"]
    assert replay(record, load(proxy.audit.parent / "policies")).verdict == "identical"


def test_a_request_that_lets_the_provider_act_waits(
    check: Waiting, proxy_with: Callable[..., Proxy], upstream: Upstream, openai_at: Clients
) -> None:
    proxy = proxy_with(POLICY.format(url=check.url), "--remote-check-host", check.url)
    check.allow()
    with pytest.raises(openai.BadRequestError):
        openai_at(proxy.url).responses.create(model="m", input="an attack", tools=[{"type": "web_search"}])
    assert not upstream.journal.all()
