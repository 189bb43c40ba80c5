"""A check over HTTP, with a proxy around it: what it finds is edited, its failures close, its records replay without it."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest

from guardproxy.library import load
from tests.e2e.rig import Proxy, Upstream
from tests.kit.records import replay
from tests.unit.inference.test_services import Stub

Clients = Callable[[str], openai.OpenAI]
POLICY = """\
policy: dlp
checks:
  dlp: {{use: http, url: "{url}", timeout_s: 30{more}}}
rules:
  - {{id: no-first, on: {on}, when: dlp, action: redact}}
"""


@pytest.fixture(scope="module")
def stub() -> Iterator[Stub]:
    running = Stub()
    yield running
    running.close()


def ask(client: openai.OpenAI, text: str) -> str:
    messages: list[Any] = [{"role": "user", "content": text}]
    chunks = client.chat.completions.create(model="scripted", messages=messages, stream=True)
    return "".join(one.choices[0].delta.content or "" for one in chunks if one.choices)


def test_what_it_finds_is_taken_out_and_the_record_replays_without_it(
    stub: Stub, proxy_with: Callable[..., Proxy], upstream: Upstream, openai_at: Clients
) -> None:
    policy = POLICY.format(url=f"{stub.url}/fine", more="", on="user")
    proxy = proxy_with(policy, "--remote-check-host", stub.url)
    assert ask(openai_at(proxy.url), "hello there") == "You wrote: hello there"
    (seen,) = upstream.journal.wait(lambda entries: entries)
    assert seen.tree["messages"][0]["content"].startswith("[FIRST_")
    (record,) = proxy.records()
    assert record["rules"] == ["no-first"]
    asked = len(stub.asked)
    assert replay(record, load(proxy.audit.parent / "policies")).verdict == "identical"
    assert len(stub.asked) == asked


@pytest.mark.parametrize(("what", "reason"), [("slow", "late"), ("busy", "queue_full")])
def test_a_service_that_gives_no_answer_is_no_verdict(
    what: str, reason: str, stub: Stub, proxy_with: Callable[..., Proxy], openai_at: Clients
) -> None:
    policy = POLICY.format(url=f"{stub.url}/{what}", more=", on_error: flag", on="request")
    if what == "slow":
        policy = policy.replace("timeout_s: 30", "timeout_s: 0.5")
    proxy = proxy_with(policy, "--remote-check-host", stub.url)
    with pytest.raises(openai.InternalServerError) as raised:
        ask(openai_at(proxy.url), "hello there")
    assert raised.value.status_code == 503
    assert raised.value.response.headers["Retry-After"] == "1"
    assert raised.value.code == "no_capacity"
    (record,) = proxy.records()
    assert (record["outcome"], record["no_capacity"]) == ("no_capacity", {"check": "dlp", "reason": reason})
    assert replay(record, load(proxy.audit.parent / "policies")).verdict == "identical"
    metrics = urllib.request.urlopen(f"{proxy.admin_url}/metrics", timeout=60).read().decode()
    assert f'guardproxy_scan_no_capacity_total{{reason="{reason}"}} 1.0' in metrics


@pytest.mark.parametrize("what", ["broken", "huge", "error"])
def test_a_failure_closes(what: str, stub: Stub, proxy_with: Callable[..., Proxy], openai_at: Clients) -> None:
    policy = POLICY.format(url=f"{stub.url}/{what}", more="", on="request")
    proxy = proxy_with(policy, "--remote-check-host", stub.url)
    with pytest.raises(openai.BadRequestError):
        ask(openai_at(proxy.url), "hello there")
    (record,) = proxy.records()
    assert (record["outcome"], record["rules"]) == ("blocked_request", ["on_error"])
    assert '"a remote check failed"' in proxy.log.read_text()


def test_a_failure_that_the_policy_lets_pass(stub: Stub, proxy_with: Callable[..., Proxy], openai_at: Clients) -> None:
    policy = POLICY.format(url=f"{stub.url}/error", more=", on_error: flag", on="response")
    proxy = proxy_with(policy, "--remote-check-host", stub.url)
    assert ask(openai_at(proxy.url), "echo: hello") == "hello"
    (record,) = proxy.records()
    assert (record["outcome"], record["rules"]) == ("answered", ["on_error"])


def test_a_host_that_the_operator_has_not_allowed_stops_the_start(
    stub: Stub, proxy_with: Callable[..., Proxy], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RuntimeError, match="exit code 2"):
        proxy_with(POLICY.format(url=f"{stub.url}/fine", more="", on="request"))
    assert (
        f"policy.yaml:3:20: this host is not allowed; the operator allows it with --remote-check-host {stub.url}"
        in (capsys.readouterr().err)
    )
