"""A model that breaks off, hangs or talks nonsense: always an exception of the SDK, never a short answer."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from time import monotonic
from typing import Any

import anthropic
import openai
import pytest

from tests.e2e.rawhttp import post
from tests.e2e.rig import KEY, PASS, Failed, Proxy, Upstream, outcome, refusing_url, stream_outcome

OpenAIs = Callable[[str], openai.OpenAI]
Anthropics = Callable[[str], anthropic.Anthropic]
BOTH = pytest.mark.parametrize("proxy_name", ["watching", "unread", "guarding"])


def chat(text: str) -> dict[str, Any]:
    return {"model": "scripted", "messages": [{"role": "user", "content": text}]}


def message(text: str) -> dict[str, Any]:
    return {"model": "scripted", "max_tokens": 1000, "messages": [{"role": "user", "content": text}]}


@pytest.fixture
def proxy(proxy_name: str, request: pytest.FixtureRequest) -> Proxy:
    chosen = request.getfixturevalue(proxy_name)
    assert isinstance(chosen, Proxy)
    return chosen


@BOTH
@pytest.mark.parametrize("fault", ["error midstream", "cut stream", "reset stream"])
def test_a_broken_stream_is_an_error(
    fault: str, proxy: Proxy, upstream: Upstream, openai_at: OpenAIs, anthropic_at: Anthropics
) -> None:
    with (
        pytest.raises(openai.APIError),
        openai_at(proxy.url).chat.completions.create(stream=True, **chat(f"words: 40, {fault}")) as stream,
    ):
        for _ in stream:
            pass
    with (
        pytest.raises(anthropic.APIStatusError) as caught,
        anthropic_at(proxy.url).messages.create(stream=True, **message(f"words: 40, {fault}")) as events,
    ):
        for _ in events:
            pass
    assert caught.value.type
    assert len(upstream.journal.all()) == 2


@BOTH
def test_what_came_before_the_cut_is_delivered(proxy: Proxy, upstream: Upstream, openai_at: OpenAIs) -> None:
    client = openai_at(proxy.url)
    got = stream_outcome(lambda: client.chat.completions.create(stream=True, **chat("words: 40, cut stream")))
    assert isinstance(got, Failed)
    text = "".join(chunk["choices"][0]["delta"]["content"] or "" for chunk in got.before)
    assert text.startswith("word1 word2 word3")
    assert "word40" not in text


@BOTH
@pytest.mark.parametrize("fault", ["cut stream", "reset stream", "html"])
def test_a_broken_plain_answer_is_a_server_error(
    fault: str, proxy: Proxy, upstream: Upstream, openai_at: OpenAIs, anthropic_at: Anthropics
) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        openai_at(proxy.url).chat.completions.create(**chat(fault))
    assert caught.value.status_code == 502
    with pytest.raises(anthropic.InternalServerError) as refused:
        anthropic_at(proxy.url).messages.create(**message(fault))
    assert refused.value.status_code == 502


@BOTH
def test_a_page_instead_of_a_stream(proxy: Proxy, upstream: Upstream, openai_at: OpenAIs) -> None:
    with pytest.raises(openai.InternalServerError):
        openai_at(proxy.url).chat.completions.create(stream=True, **chat("html"))


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_json_that_is_no_answer_is_scanned_like_one(
    stream: bool, upstream: Upstream, guarding: Proxy, openai_at: OpenAIs
) -> None:
    """It comes through as it would without a proxy, or is refused; what is in it is checked all the same."""
    create = openai_at(guarding.url).chat.completions.with_raw_response.create
    got = outcome(lambda: create(stream=stream, **chat("wrong shape, leak a key")).http_response)
    if isinstance(got, Failed):
        assert got.status == 502
    else:
        body = got.read().decode()
        assert KEY not in body
        assert "Here is the key" in body


@BOTH
def test_an_answer_of_the_other_kind_is_never_an_empty_success(
    proxy: Proxy, upstream: Upstream, openai_at: OpenAIs
) -> None:
    """A stream where none was asked for, and the other way round: passed on by its real type, or refused."""
    for stream in (False, True):
        create = openai_at(proxy.url).chat.completions.with_raw_response.create
        got = outcome(lambda create=create, stream=stream: create(stream=stream, **chat("wrong type")).http_response)  # type: ignore[misc]
        if isinstance(got, Failed):
            assert got.status == 502
            continue
        body = got.read().decode()
        assert got.headers["content-type"].startswith("application/json" if stream else "text/event-stream")
        assert "wrong" in body


def leave_stream(proxy: Proxy, upstream: Upstream, openai_at: OpenAIs) -> float:
    """A client leaves in the middle of a stream. Returns the seconds until the model's connection was closed."""
    upstream.journal.clear()
    stream = openai_at(proxy.url).chat.completions.create(stream=True, **chat("words: 100, hang"))
    assert next(iter(stream)).choices
    left_s = monotonic()
    stream.close()
    return gone_s(upstream) - left_s


def leave_early(proxy: Proxy, upstream: Upstream) -> float:
    """A client leaves before its answer begins. Returns the seconds until the model's connection was closed."""
    body = b'{"model":"scripted","messages":[{"role":"user","content":"hang early"}]}'
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(body)}\r\n\r\n"
    upstream.journal.clear()
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=60) as client:
        client.sendall(head.encode() + body)
        upstream.journal.wait(lambda entries: entries)
        left_s = monotonic()
    return gone_s(upstream) - left_s


def gone_s(upstream: Upstream) -> float:
    """The time at which the model's connection was closed. Waits for it, and raises if that takes too long."""
    return upstream.journal.wait(lambda entries: [entry for entry in entries if entry.ended == "gone"])[0].ended_s


@BOTH
def test_a_client_that_leaves_a_stream_ends_the_call_to_the_model(
    proxy: Proxy, upstream: Upstream, openai_at: OpenAIs
) -> None:
    leave_stream(proxy, upstream, openai_at)
    assert [entry.ended for entry in upstream.journal.all()] == ["gone"]


@BOTH
def test_a_client_that_leaves_before_the_answer_ends_the_call_to_the_model(proxy: Proxy, upstream: Upstream) -> None:
    leave_early(proxy, upstream)
    assert [entry.ended for entry in upstream.journal.all()] == ["gone"]


@pytest.mark.timing
@BOTH
def test_a_call_to_the_model_ends_within_100_ms_of_its_client(
    proxy: Proxy, upstream: Upstream, openai_at: OpenAIs
) -> None:
    assert min(leave_stream(proxy, upstream, openai_at) for _ in range(3)) < 0.1
    assert min(leave_early(proxy, upstream) for _ in range(3)) < 0.1


def test_no_model_at_all(proxy_with: Callable[..., Proxy], openai_at: OpenAIs, anthropic_at: Anthropics) -> None:
    held, url = refusing_url()
    proxy = proxy_with(PASS, upstream_url=url)
    with pytest.raises(openai.InternalServerError) as caught:
        openai_at(proxy.url).chat.completions.create(**chat("hello"))
    assert caught.value.status_code == 502
    assert caught.value.body
    with pytest.raises(anthropic.InternalServerError) as refused:
        anthropic_at(proxy.url).messages.create(**message("hello"))
    assert refused.value.status_code == 502
    assert refused.value.type
    held.close()


def test_an_upstream_that_is_dead_is_not_asked_for_a_while(
    proxy_with: Callable[..., Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 at once, in the dialect of each route, with a time to come back; metrics and the probes say so."""
    monkeypatch.setenv("GUARDPROXY_BREAKER_FAILURES", "2")
    monkeypatch.setenv("GUARDPROXY_BREAKER_OPEN_S", "60")
    held, url = refusing_url()
    proxy = proxy_with(PASS, "--readyz-upstreams", upstream_url=url)
    body = json.dumps(message("hello")).encode()
    assert [post(proxy.port, "/v1/messages", body).status for _ in range(2)] == [502, 502]
    for path in ("/v1/chat/completions", "/v1/messages"):
        answer = post(proxy.port, path, body)
        assert answer.status == 503
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert "x-should-retry" not in answer.headers
        assert "upstream_unavailable" in answer.body.decode()
        assert (answer.tree.get("type") == "error") == (path == "/v1/messages")
    assert [record["outcome"] for record in proxy.records()][-1] == "upstream_unavailable"
    with urllib.request.urlopen(f"{proxy.admin_url}/metrics", timeout=60) as metrics:
        assert b'guardproxy_upstream_breaker{state="open",upstream="default"} 1.0' in metrics.read()
    with pytest.raises(urllib.error.HTTPError, match="503") as caught:
        urllib.request.urlopen(f"{proxy.admin_url}/readyz", timeout=60)
    with caught.value as refused:
        assert b"no upstream answers" in refused.read()
    held.close()
