"""Limits, as clients meet them: official SDKs wait as the proxy tells them, and every answer tells what is left."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest
import redis
from google import genai
from google.genai import errors as genai_errors
from google.genai import types as genai_types

from guardproxy.errors import DownstreamError
from guardproxy.gateway import Head, StoreAnswered, UsageLimits, read_limits, rerun
from tests.e2e.rig import PASS, Proxy, Upstream, wait_logged
from tests.kit import processes
from tests.kit.valkey import relayed, valkey

MESSAGES: Any = [{"role": "user", "content": "echo: hello"}]
RATE = '[[limit]]\nname = "{name}"\nunit = "requests"\nrate = "{rate}"\nper = ["client"]\n'
Serve = Callable[..., Proxy]


@pytest.fixture
def limited(proxy_with: Serve, tmp_path: Path) -> Callable[[str], Proxy]:
    """Starts a proxy with a file of limits, which stands in the folder of the test."""

    def begin(text: str) -> Proxy:
        file = tmp_path / "limits.toml"
        file.write_text(text)
        assert processes.run("limits", "lint", str(file)).returncode == 0
        return proxy_with(PASS, "--limits", str(file), "--pass-through", "GET /v1/models")

    return begin


def ask(proxy: Proxy, key: str = "k", **body: Any) -> httpx.Response:
    sent = {"model": "scripted", "messages": MESSAGES, **body}
    headers = {"authorization": f"Bearer {key}"}
    return httpx.post(f"{proxy.url}/v1/chat/completions", json=sent, headers=headers, timeout=60)


def test_official_clients_wait_and_get_their_answer(
    limited: Callable[[str], Proxy], upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = limited(RATE.format(name="few", rate="1/2s"))
    waited: list[float] = []
    real = time.sleep

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        real(seconds)

    monkeypatch.setattr(time, "sleep", sleep)
    with openai.OpenAI(base_url=f"{proxy.url}/v1", api_key="k1", max_retries=3, timeout=60) as chat:
        for _ in range(2):
            chat.chat.completions.create(model="scripted", messages=MESSAGES)
    with anthropic.Anthropic(base_url=proxy.url, api_key="k2", max_retries=3, timeout=60) as messages:
        for _ in range(2):
            messages.messages.create(model="scripted", max_tokens=9, messages=MESSAGES)
    assert len(upstream.journal.all()) == 4
    assert len(waited) >= 2
    assert all(1 <= seconds <= 2 for seconds in waited), "they wait as long as `Retry-After` says"


def test_a_refusal_has_the_form_of_the_clients_api(limited: Callable[[str], Proxy], upstream: Upstream) -> None:
    proxy = limited(RATE.format(name="none", rate="0/1m"))
    with openai.OpenAI(base_url=f"{proxy.url}/v1", api_key="k", max_retries=0, timeout=60) as chat:
        with pytest.raises(openai.RateLimitError) as refused:
            chat.chat.completions.create(model="scripted", messages=MESSAGES)
        assert refused.value.code == "rate_limit_exceeded"
        assert refused.value.response.headers["x-ratelimit-remaining-requests"] == "0"
        with pytest.raises(openai.RateLimitError):
            chat.models.list()
    with anthropic.Anthropic(base_url=proxy.url, api_key="k", max_retries=0, timeout=60) as messages:
        message = messages.messages.create
        with pytest.raises(anthropic.RateLimitError) as limited_there:
            message(model="scripted", max_tokens=9, messages=MESSAGES)
    assert limited_there.value.response.headers["anthropic-ratelimit-requests-limit"] == "0"
    options = genai_types.HttpOptions(base_url=proxy.url, retry_options=genai_types.HttpRetryOptions(attempts=1))
    google = genai.Client(api_key="k", http_options=options)
    with pytest.raises(genai_errors.ClientError) as there:
        google.models.generate_content(model="scripted", contents="hi")
    assert (there.value.code, there.value.status) == (429, "RESOURCE_EXHAUSTED")
    waits = [detail["retryDelay"] for detail in there.value.details["error"]["details"] if "retryDelay" in detail]
    assert waits == ["1s"]
    assert upstream.journal.all() == []


def test_every_answer_tells_what_is_left_and_usage_is_settled(limited: Callable[[str], Proxy]) -> None:
    tokens = '[[limit]]\nname = "tokens"\nunit = "tokens"\nbudget = "100000/day"\nper = ["client"]\n'
    proxy = limited(RATE.format(name="requests", rate="100/1h") + tokens)
    first = ask(proxy, max_tokens=5000)
    assert first.status_code == 200
    used = first.json()["usage"]["total_tokens"]
    reserved = 100_000 - int(first.headers["x-ratelimit-remaining-tokens"])
    assert reserved > 5000 > used
    assert (first.headers["x-ratelimit-limit-requests"], first.headers["x-ratelimit-remaining-requests"]) == (
        "100",
        "99",
    )
    for stream in (False, True):
        proxy.wait_records(lambda records: records)
        headers = ask(proxy, max_tokens=5000, stream=stream).headers
        assert 100_000 - int(headers["x-ratelimit-remaining-tokens"]) < 2 * reserved, "what was not used is given back"
    assert ask(proxy, key="other").headers["x-ratelimit-remaining-requests"] == "99"
    refused = ask(proxy, messages=7)
    assert refused.status_code == 400
    assert int(refused.headers["x-ratelimit-remaining-requests"]) < 99


@pytest.mark.parametrize("body", [b"", b'{"model": "scripted", "messages": ['])
def test_clients_that_leave_before_they_sent_their_request_take_nothing_from_others(
    limited: Callable[[str], Proxy], upstream: Upstream, body: bytes
) -> None:
    proxy = limited('[[limit]]\nname = "all"\nunit = "parallel"\nmost = 1\n')

    def until(status: int) -> None:
        for _ in range(600):
            if ask(proxy).status_code == status:
                return
            with suppress(subprocess.TimeoutExpired):
                proxy.process.wait(0.05)
        raise TimeoutError(f"no answer with {status}")

    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", proxy.port)) as leaving:
        leaving.sendall(head + body)
        until(429)
    until(200)


def test_the_records_decide_the_same_again(limited: Callable[[str], Proxy], tmp_path: Path) -> None:
    proxy = limited(RATE.format(name="two", rate="2/1h"))
    assert [ask(proxy).status_code for _ in range(4)] == [200, 200, 429, 429]
    limits = read_limits((tmp_path / "limits.toml").read_bytes(), "l")
    duty = UsageLimits(lambda: limits, 1, lambda name, mode: None)
    for record in proxy.records():
        answered = [StoreAnswered(told["duty"], tuple(told["answers"])) for told in record["duties"]]
        members = {name: record[name] for name in ("id", "route", "tenant", "tenant_name")}
        head = Head(**members, unix_s=record["at"])
        if record["outcome"] == "refused":
            with pytest.raises(DownstreamError, match="the limit `two` of requests"):
                rerun([duty], head, answered)
        else:
            assert rerun([duty], head, answered) == head


def test_limits_change_while_the_proxy_runs_and_shadow_mode_refuses_nothing(
    limited: Callable[[str], Proxy], tmp_path: Path
) -> None:
    shadow = RATE.format(name="none", rate="0/1m") + 'mode = "shadow"\n'
    proxy = limited(shadow)
    assert ask(proxy).status_code == 200
    metrics = httpx.get(f"{proxy.admin_url}/metrics", timeout=60).text
    assert 'guardproxy_limit_refusals_total{limit="none",mode="shadow"} 1.0' in metrics
    (tmp_path / "limits.toml").write_text(shadow.replace("shadow", "enforce"))
    wait_logged(proxy.process, proxy.log, "clients reloaded")
    assert ask(proxy).status_code == 429


def test_workers_share_their_counts_in_a_server_and_need_it(proxy_with: Serve, tmp_path: Path) -> None:
    file = tmp_path / "limits.toml"
    file.write_text(RATE.format(name="few", rate="3/1h"))
    (tmp_path / "valkey").mkdir()
    with valkey(tmp_path / "valkey") as url:
        proxy = proxy_with(PASS, "--workers", "2", "--limits", str(file), "--state", url)
        # Each request is a connection of its own, so both workers get some.
        assert sorted(ask(proxy).status_code for _ in range(12)) == [200] * 3 + [429] * 9
    refused = ask(proxy, key="another")
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "store_unavailable")
    assert "retry-after" in refused.headers


def test_exchanges_that_end_while_the_server_is_cut_off_leave_nothing_reserved(
    proxy_with: Serve, tmp_path: Path
) -> None:
    file = tmp_path / "limits.toml"
    file.write_text(
        '[[limit]]\nname = "two"\nunit = "parallel"\nmost = 2\n'
        '[[limit]]\nname = "tokens"\nunit = "tokens"\nbudget = "9000/day"\n'
    )
    (tmp_path / "valkey").mkdir()
    with valkey(tmp_path / "valkey") as server, relayed(tmp_path / "relay.sock", server) as relay:
        proxy = proxy_with(PASS, "--limits", str(file), "--state", f"unix://{tmp_path}/relay.sock")
        body = {"model": "scripted", "messages": [{"role": "user", "content": "words: 9 hang"}], "stream": True}
        with httpx.Client(timeout=60) as client, ExitStack() as streams:
            for _ in range(2):
                asked = client.stream("POST", f"{proxy.url}/v1/chat/completions", json={**body, "max_tokens": 4000})
                assert streams.enter_context(asked).status_code == 200
            assert ask(proxy).status_code == 429
            relay("cut")
        proxy.wait_records(lambda records: len(records) == 3)
        wait_logged(proxy.process, proxy.log, "state not reached")
        relay("none")
        for _ in range(600):
            answer = ask(proxy)
            if answer.status_code == 200:
                break
            assert answer.status_code == 503, "what was reserved is given back before the first request"
            with suppress(subprocess.TimeoutExpired):
                proxy.process.wait(0.05)
        assert int(answer.headers["x-ratelimit-remaining-tokens"]) > 7000
        wait_logged(proxy.process, proxy.log, "state reached again")


def test_what_a_killed_process_held_is_given_back_when_its_lease_ends(proxy_with: Serve, tmp_path: Path) -> None:
    """Two proxies count in one server. One is killed in the middle of a stream."""
    file = tmp_path / "limits.toml"
    file.write_text(
        '[[limit]]\nname = "one"\nunit = "parallel"\nmost = 1\n'
        '[[limit]]\nname = "tokens"\nunit = "tokens"\nbudget = "6000/day"\n'
    )
    (tmp_path / "valkey").mkdir()
    with valkey(tmp_path / "valkey") as url, redis.Redis.from_url(url) as server:
        dying, living = (proxy_with(PASS, "--limits", str(file), "--state", url) for _ in range(2))
        body = {"model": "scripted", "messages": [{"role": "user", "content": "words: 9 hang"}], "stream": True}
        with (
            httpx.Client(timeout=60) as client,
            client.stream("POST", f"{dying.url}/v1/chat/completions", json={**body, "max_tokens": 5000}) as answer,
        ):
            assert answer.status_code == 200
            assert ask(living).status_code == 429
            dying.process.kill()
            dying.process.wait()
        assert ask(living).status_code == 429, "its lease has not ended yet"
        leases = list(server.scan_iter("guardproxy:lease:*"))
        assert len(leases) == 2
        assert all(0 < server.pttl(lease) <= 30_000 for lease in leases)
        server.delete(*leases)  # the clock goes past their ends; the process that lives begins its own anew
        answer = ask(living, max_tokens=5000)
        assert answer.status_code == 200
        assert int(answer.headers["x-ratelimit-remaining-tokens"]) < 1000
