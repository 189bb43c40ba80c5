"""What a process does that Envoy alone asks: keys, limits, the cache, checks beside the upstream, its end, and its refusals."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.e2e.rig import GUARD, PASS, Proxy, Upstream, wait_logged
from tests.e2e.test_envoy import CHAT, answer, chat
from tests.e2e.test_parallel import Waiting
from tests.kit import envoy, processes

UPSTREAM_KEY = "sk-of-the-upstream-0123456789"
POLICY = """\
policy: duties
checks:
  pii: {{use: pii, entities: [EMAIL_ADDRESS]}}
  slow: {{use: http, url: "{url}/check", timeout_s: 60, sensitive: false}}
  word: {{use: pattern, words: [umbrella-corp]}}
rules:
  - {{id: no-identifiers-out, on: request, when: pii, action: redact, restore: true}}
  - {{id: no-attacks, on: user, when: slow, action: block, parallel: true}}
  - {{id: no-such-words, on: response, when: word, action: block}}
cache: {{mode: exact, ttl_s: 600}}
"""


class Alone(NamedTuple):
    """A proxy without a port for clients, behind an Envoy. `key`: of a client; `few`: of one that may send one request."""

    proxy: Proxy
    check: Waiting
    client: httpx.Client
    key: str
    few: str


def key(folder: Path, name: str, *words: str) -> str:
    ran = processes.run("keys", "create", str(folder), name, *words)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def begin(folder: Path, policy: str, *options: str) -> Proxy:
    """Starts a proxy that only Envoy asks."""
    (folder / "policies").mkdir(parents=True)
    (folder / "policies" / "policy.yaml").write_text(policy)
    log = folder / "output.txt"
    words = ["serve", "--policies", str(folder / "policies"), "--audit", str(folder / "audit"), "--admin-port", "0"]
    process = processes.start(*words, *options, stdout=log)
    said = wait_logged(process, log, "listening", 1)[0]
    return Proxy(process, said["port"], said["admin_port"], folder / "audit", log)


@pytest.fixture(scope="module")
def alone(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alone]:
    folder = tmp_path_factory.mktemp("alone")
    check = Waiting()
    check.allow()
    own, few = key(folder / "keys", "ann"), key(folder / "keys", "few", "--tenant", "few")
    limits = folder / "limits.toml"
    few_requests = 'name = "few"\nunit = "requests"\nrate = "1/1h"\nburst = 1\nper = ["tenant"]\n'
    limits.write_text(f"[[limit]]\n{few_requests}when = \"tenant.name == 'few'\"\n")
    path = folder / "ext_proc.sock"
    proxy = begin(
        folder,
        POLICY.format(url=check.url),
        *("--ext-proc", f"unix:{path}", "--client-keys", str(folder / "keys"), "--limits", str(limits)),
        *("--upstream-key", f"default={UPSTREAM_KEY}", "--remote-check-host", check.url),
        *("--feedback", "on"),
    )
    try:
        with (
            envoy.running(folder / "envoy", shared_upstream.url, path) as running,
            httpx.Client(base_url=running.url, timeout=60) as client,
        ):
            yield Alone(proxy, check, client, own, few)
    finally:
        proxy.stop()
        check.close()


def ask(alone: Alone, text: str, **more: Any) -> tuple[int, dict[str, str], bytes]:
    return answer(alone.client, CHAT, chat(text, **more), authorization=f"Bearer {alone.key}")


def test_only_envoy_is_listened_to(alone: Alone) -> None:
    assert alone.proxy.port == 0
    assert "url" not in alone.proxy.events("listening")[0]


def test_clients_have_keys(alone: Alone, upstream: Upstream) -> None:
    assert ask(alone, "hello")[0] == 200
    (entry,) = upstream.journal.all()
    headers = {name.lower(): value for name, value in entry.headers.items()}
    assert headers["authorization"] == f"Bearer {UPSTREAM_KEY}"
    for wrong in ("Bearer gpx_wrong", "Bearer test"):
        status, _, body = answer(alone.client, CHAT, chat("hello"), authorization=wrong)
        assert status == 401
        assert json.loads(body)["error"]["code"] == "unknown_credential"
    assert len(upstream.journal.all()) == 1


def test_limits_hold(alone: Alone, upstream: Upstream) -> None:
    seen = [answer(alone.client, CHAT, chat("hello"), authorization=f"Bearer {alone.few}") for _ in range(2)]
    assert [status for status, *_ in seen] == [200, 429]
    assert int(seen[1][1]["retry-after"]) > 0
    assert len(upstream.journal.all()) == 1


@pytest.mark.parametrize("streamed", [False, True])
def test_an_answer_of_the_cache_is_sent_at_once(streamed: bool, alone: Alone, upstream: Upstream) -> None:
    text = f"echo: the same {streamed} from mara@example.com"
    first, second = (ask(alone, text, stream=streamed) for _ in range(2))
    assert (first[1]["x-guardproxy-cache"], second[1]["x-guardproxy-cache"]) == ("miss", "hit")
    assert first[0] == second[0] == 200
    assert b"mara@example.com" in second[2]
    assert len(upstream.journal.all()) == 1


@pytest.mark.parametrize("streamed", [False, True])
def test_a_check_beside_the_upstream_blocks(streamed: bool, alone: Alone, upstream: Upstream) -> None:
    status, _, body = ask(alone, "an attack", stream=streamed)
    assert status == 400
    assert json.loads(body)["error"]["code"] == "content_filter"


def test_an_attack_is_blocked_while_the_upstream_hangs(alone: Alone, upstream: Upstream) -> None:
    """The request is on its way, and Envoy waits for its answer."""
    status, _, body = ask(alone, "hang early, an attack")
    assert status == 400
    assert json.loads(body)["error"]["code"] == "content_filter"


def test_a_large_request_is_given_up_while_the_upstream_hangs(alone: Alone, upstream: Upstream) -> None:
    """Its body is on its way in pieces when the check has its verdict."""
    status, _, body = ask(alone, "hang early, an attack " + "word " * 260_000)
    assert status == 400
    assert json.loads(body)["error"]["code"] == "content_filter"


def test_feedback_is_answered_by_the_proxy(alone: Alone, upstream: Upstream) -> None:
    got = alone.client.post(CHAT, json=chat("hello again"), headers={"authorization": f"Bearer {alone.key}"})
    upstream.journal.clear()
    about = {"id": got.headers["x-guardproxy-id"], "thumbs": "up"}
    status, _, _ = answer(alone.client, "/guard/feedback", about, authorization=f"Bearer {alone.key}")
    assert status == 200
    assert upstream.journal.all() == []


def test_an_open_stream_gets_a_typed_error_at_the_end(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUARDPROXY_DRAIN_S", "0.2")
    proxy = begin(tmp_path, PASS, "--ext-proc", f"unix:{tmp_path / 's'}")
    with (
        envoy.running(tmp_path / "envoy", upstream.url, tmp_path / "s") as running,
        httpx.Client(base_url=running.url, timeout=60) as client,
        client.stream("POST", CHAT, json=chat("words: 20, hang", stream=True)) as got,
    ):
        lines = got.iter_lines()
        next(lines)
        proxy.process.send_signal(signal.SIGTERM)
        rest = "\n".join(lines)
        assert proxy.stop() == 0
        assert "shutting_down" in rest
        # Nobody is there to ask, and no request passes unseen.
        assert client.post(CHAT, json=chat("hello")).status_code in (500, 503, 504)
    assert proxy.records()[-1]["outcome"] == "shutting_down"
    assert len(upstream.journal.all()) == 1


RETRY = """\
policy: again
checks: {word: {use: pattern, words: [umbrella]}}
rules:
  - {id: again, on: response, when: word, action: retry, attempts: 1, then: block}
"""


def test_a_policy_that_needs_a_second_request_is_refused(
    tmp_path: Path, upstream: Upstream, proxy_with: Callable[..., Proxy]
) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "policy.yaml").write_text(RETRY)
    words = ["serve", "--policies", str(tmp_path / "policies"), "--ext-proc", f"unix:{tmp_path / 's'}"]
    ran = processes.run(*words, "--audit", str(tmp_path / "audit"), "--admin-port", "0")
    assert ran.returncode == 2
    assert "policy.yaml:4:5: the rule `again` asks for a second answer" in ran.stderr
    proxy = proxy_with(GUARD, "--ext-proc", f"unix:{tmp_path / 's'}", "--reload-s", "0")
    (proxy.audit.parent / "policies" / "policy.yaml").write_text(RETRY)
    reloaded = httpx.post(f"{proxy.admin_url}/reload").json()
    assert reloaded["ok"] is False
    assert "asks for a second answer" in reloaded["errors"][0]["message"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--ext-proc", "unix:/none/there/s"], "--ext-proc"),
        (["--ext-proc", "unix:/tmp/s", "--workers", "2"], "several workers cannot share a unix socket"),
        (["--ext-proc", "here"], "`ext_proc` must be like unix:/run/guardproxy.sock or 127.0.0.1:9002"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(options: list[str], said: str, tmp_path: Path) -> None:
    ran = processes.run("serve", "--audit", str(tmp_path / "audit"), "--admin-port", "0", *options)
    assert ran.returncode == 2
    assert said in ran.stderr


def test_another_mode_is_refused(upstream: Upstream, tmp_path: Path) -> None:
    """Envoy then answers with an error, and the proxy's own log says what is wrong."""
    proxy = begin(tmp_path, PASS, "--ext-proc", f"unix:{tmp_path / 's'}")
    mode = {"request_header_mode": "SEND", "request_body_mode": "BUFFERED", "response_header_mode": "SEND"}
    try:
        with (
            envoy.running(tmp_path / "envoy", upstream.url, tmp_path / "s", processing_mode=mode) as running,
            httpx.Client(base_url=running.url, timeout=60) as client,
        ):
            assert client.post(CHAT, json=chat("hello")).status_code == 500
        assert "FULL_DUPLEX_STREAMED" in proxy.wait_for("ext_proc call failed")["error"]
    finally:
        proxy.stop()
    assert upstream.journal.all() == []
