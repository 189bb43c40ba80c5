"""Policies that change under traffic: no request fails, every record names the set it ran under, and replays under it."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import openai
import pytest

from guardproxy.audit.record.chain import verify
from guardproxy.library import load
from tests.e2e.rig import Proxy, Upstream, serve
from tests.kit.records import replay

MAIL = "mara.lindqvist" + "@" + "example.com"  # made up
POLICY = """\
policy: mails
checks:
  mail: {{use: pii, entities: [EMAIL_ADDRESS]}}
  word: {{use: pattern, words: [{word}]}}
rules:
  - {{id: no-mails, on: request, when: mail, action: redact}}
  - {{id: no-word, on: request, when: word, action: block}}
"""
Clients = Callable[[str], openai.OpenAI]


def put(folder: Path, text: str) -> None:
    (folder / "new").write_text(text)
    (folder / "new").replace(folder / "policy.yaml")


def order(proxy: Proxy, **headers: str) -> tuple[int, dict[str, Any]]:
    """`POST /reload`: the status and the answer."""
    request = urllib.request.Request(f"{proxy.admin_url}/reload", b"", headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def get(proxy: Proxy, path: str) -> tuple[int, str]:
    with urllib.request.urlopen(f"{proxy.admin_url}{path}", timeout=60) as answer:
        return answer.status, answer.read().decode()


def until(proxy: Proxy, holds: Callable[[], bool]) -> None:
    """Looks again and again, for as long as the process lives."""
    for _ in range(300):
        if holds():
            return
        with suppress(subprocess.TimeoutExpired):
            proxy.process.wait(0.1)
    raise TimeoutError


def policies_of(proxy: Proxy) -> Path:
    return proxy.audit.parent / "policies"


def test_policies_change_under_traffic(upstream: Upstream, tmp_path: Path, openai_at: Clients) -> None:
    words = ["one", "two"]
    digests = {}
    for word in words:
        (tmp_path / word).mkdir()
        (tmp_path / word / "policy.yaml").write_text(POLICY.format(word=word))
        digests[load(tmp_path / word).digest] = tmp_path / word
    proxy = serve(upstream.url, tmp_path / "proxy", POLICY.format(word="one"), "--reload-s", "0")
    folder, stop, more = policies_of(proxy), threading.Event(), threading.Condition()
    faults: list[Exception] = []
    answered: list[str] = []

    def ask(streamed: bool) -> None:
        messages: list[Any] = [{"role": "user", "content": f"echo: write to {MAIL} today"}]
        create = openai_at(proxy.url).chat.completions.create
        while not stop.is_set():
            try:
                if streamed:
                    chunks = create(model="scripted", messages=messages, stream=True)
                    text = "".join(one.choices[0].delta.content or "" for one in chunks if one.choices)
                else:
                    text = create(model="scripted", messages=messages).choices[0].message.content or ""
            except Exception as error:
                faults.append(error)
                text = ""
            with more:
                answered.append(text)
                more.notify()

    askers = [threading.Thread(target=ask, args=(streamed,)) for streamed in (True, False)]
    for asker in askers:
        asker.start()
    try:
        for number in range(1, 13):
            put(folder, POLICY.format(word=words[number % 2]))
            done = len(answered)
            assert order(proxy)[0] == 200
            with more:
                assert more.wait_for(partial(lambda done: len(answered) > done + 2, done), timeout=60)
    finally:
        stop.set()
        for asker in askers:
            asker.join(60)
    assert proxy.stop() == 0
    assert not faults
    assert all(MAIL in text for text in answered)
    records = proxy.records()
    assert len(records) == len(answered)
    assert {one["policies"] for one in records} == set(digests)
    assert all(one["rules"] == ["no-mails"] for one in records)
    with (proxy.audit / "audit-0.jsonl").open("rb") as lines:
        assert not verify(lines).problems
    sets = {digest: load(path) for digest, path in digests.items()}
    assert {replay(one, sets[one["policies"]]).verdict for one in records[::5]} == {"identical"}


def test_an_exchange_keeps_the_policies_that_it_began_with(
    upstream: Upstream, proxy_with: Callable[..., Proxy], openai_at: Clients
) -> None:
    policy = POLICY.format(word="one").replace("on: request, when: word", "on: response, when: word")
    proxy = proxy_with(policy, "--reload-s", "0")
    messages: list[Any] = [{"role": "user", "content": "words: 400"}]
    with openai_at(proxy.url).chat.completions.create(model="scripted", messages=messages, stream=True) as stream:
        chunks = iter(stream)
        next(chunks)
        put(policies_of(proxy), policy.replace("words: [one]", 'patterns: ["word[0-9]+"]'))
        status, said = order(proxy)
        assert (status, said["ok"]) == (200, True)
        text = "".join(one.choices[0].delta.content or "" for one in chunks if one.choices)
    assert text.endswith("word400"), "the new rule would have stopped it"
    with pytest.raises(openai.BadRequestError):
        openai_at(proxy.url).chat.completions.create(model="scripted", messages=messages)
    before, after = proxy.records()
    assert before["policies"] != after["policies"] == said["policies"]


def test_a_bad_file_shows_everywhere_and_stops_nothing(proxy_with: Callable[..., Proxy], openai_at: Clients) -> None:
    proxy = proxy_with(POLICY.format(word="one"), "--reload-s", "0")
    put(policies_of(proxy), POLICY.format(word="two").replace("action: block", "action: blokc"))
    status, said = order(proxy)
    assert status == 422
    (error,) = said["errors"]
    assert (error["line"], error["file"]) == (7, str(policies_of(proxy) / "policy.yaml"))
    assert "did you mean `block`?" in error["message"]
    ready, body = get(proxy, "/readyz")
    assert ready == 200
    assert body.splitlines()[0] == "ready"
    assert said["policies"] in body
    assert f"policy.yaml:7:{error['column']}: " in body
    metrics = get(proxy, "/metrics")[1]
    assert "guardproxy_policy_reload_failures_total 1.0" in metrics
    assert "guardproxy_policy_last_reload_successful 0.0" in metrics
    assert f'guardproxy_policy_info{{digest="{said["policies"]}"}} 1.0' in metrics
    with pytest.raises(openai.BadRequestError):
        openai_at(proxy.url).chat.completions.create(model="scripted", messages=[{"role": "user", "content": "one"}])
    logged = [json.loads(line) for line in proxy.log.read_text().splitlines()]
    assert [one["line"] for one in logged if one["event"] == "policies not reloaded"] == [7]
    put(policies_of(proxy), POLICY.format(word="two"))
    assert order(proxy)[0] == 200
    assert get(proxy, "/readyz")[1] == "ready\n"


def test_a_fallback_without_an_address_is_refused_at_a_reload_too(proxy_with: Callable[..., Proxy]) -> None:
    proxy = proxy_with(POLICY.format(word="one"), "--reload-s", "0")
    rule = "{id: again, on: response, when: word, action: retry, then: fallback, fallback: {upstream: backup}}"
    put(policies_of(proxy), POLICY.format(word="one") + f"  - {rule}\n")
    status, said = order(proxy)
    assert status == 422
    assert "give --upstream backup=URL" in said["errors"][0]["message"]
    assert said["errors"][0]["line"] == 8


def test_a_web_page_cannot_order_it(proxy_with: Callable[..., Proxy]) -> None:
    proxy = proxy_with(POLICY.format(word="one"), "--reload-s", "0")
    assert order(proxy, Origin="https://example.com")[0] == 403
    assert order(proxy)[0] == 200


@pytest.mark.parametrize("how", ["looks", "signal"])
def test_every_worker_reloads(how: str, proxy_with: Callable[..., Proxy]) -> None:
    proxy = proxy_with(POLICY.format(word="one"), "--workers", "2", "--reload-s", "0.1" if how == "looks" else "0")
    workers = [replace(proxy, admin_port=port) for port in proxy.admin_ports]
    put(policies_of(proxy), POLICY.format(word="two"))
    digest = load(policies_of(proxy)).digest
    if how == "signal":
        proxy.process.send_signal(signal.SIGHUP)
    until(proxy, lambda: {json.loads(get(one, "/version")[1])["policies"] for one in workers} == {digest})
