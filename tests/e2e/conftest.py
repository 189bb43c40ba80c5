"""Fixtures: one scripted upstream and two proxies (one that touches nothing, one that guards) for the whole run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import anthropic
import openai
import pytest

from guardproxy.demo import llama
from tests.e2e.rig import GUARD, NO_BREAKER, PASS, UNREAD, Proxy, Upstream, serve


@pytest.fixture(scope="session")
def shared_upstream() -> Iterator[Upstream]:
    running = Upstream()
    yield running
    running.close()


@pytest.fixture
def upstream(shared_upstream: Upstream) -> Upstream:
    """The scripted upstream, with an empty journal."""
    shared_upstream.journal.clear()
    return shared_upstream


@pytest.fixture(params=["watching", "unread"])
def passing(request: pytest.FixtureRequest) -> Proxy:
    """A proxy whose policy touches nothing: because nothing is found, and because nothing is looked for."""
    chosen = request.getfixturevalue(request.param)
    assert isinstance(chosen, Proxy)
    return chosen


@pytest.fixture(scope="session")
def tiny() -> Iterator[Upstream]:
    """The tiny model, behind the scripted upstream as in the demo, so that a journal shows what reached it."""
    assert (reason := llama.available()) is None, f"{reason}; `make test` installs what is missing"
    server = llama.start(threads=1)
    front = Upstream(tiny_url=server.url)
    yield front
    front.close()
    server.close()


@pytest.fixture(scope="session")
def unread(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy whose policy looks at nothing."""
    proxy = serve(shared_upstream.url, tmp_path_factory.mktemp("unread"), UNREAD, *NO_BREAKER)
    yield proxy
    proxy.stop()


@pytest.fixture(scope="session")
def watching(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy whose policy reads everything and finds nothing."""
    proxy = serve(shared_upstream.url, tmp_path_factory.mktemp("watching"), PASS, *NO_BREAKER)
    yield proxy
    proxy.stop()


@pytest.fixture(scope="session")
def guarding(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy that redacts e-mail addresses and secrets and blocks an attack."""
    proxy = serve(shared_upstream.url, tmp_path_factory.mktemp("guarding"), GUARD, *NO_BREAKER)
    yield proxy
    proxy.stop()


@pytest.fixture(scope="session")
def openai_at() -> Iterator[Callable[[str], openai.OpenAI]]:
    """A client for a base URL, without retries; made once a URL."""
    made: dict[str, openai.OpenAI] = {}

    def at(url: str) -> openai.OpenAI:
        if url not in made:
            made[url] = openai.OpenAI(base_url=f"{url}/v1", api_key="test", max_retries=0, timeout=60)
        return made[url]

    yield at
    for client in made.values():
        client.close()


@pytest.fixture(scope="session")
def anthropic_at() -> Iterator[Callable[[str], anthropic.Anthropic]]:
    """A client for a base URL, without retries; made once a URL."""
    made: dict[str, anthropic.Anthropic] = {}

    def at(url: str) -> anthropic.Anthropic:
        if url not in made:
            made[url] = anthropic.Anthropic(base_url=url, api_key="test", max_retries=0, timeout=60)
        return made[url]

    yield at
    for client in made.values():
        client.close()


@pytest.fixture
def proxy_with(upstream: Upstream, tmp_path: Path) -> Iterator[Callable[..., Proxy]]:
    """Starts a proxy of the test's own: `proxy_with(policy, *options)`."""
    with ExitStack() as stack:
        started: list[Proxy] = []

        def begin(policy: str, *options: str, upstream_url: str = "") -> Proxy:
            proxy = serve(upstream_url or upstream.url, tmp_path / f"proxy{len(started)}", policy, *options)
            started.append(proxy)
            stack.callback(proxy.stop)
            return proxy

        yield begin
