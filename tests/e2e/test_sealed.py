"""The whole proxy with sealed texts: nothing that it writes shows them, and the operator's commands work on its log."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.rig import KEY, MAIL, NO_BREAKER, Proxy, Upstream, serve
from tests.kit import processes

POLICY = """\
policy: sealed
match: {}
checks:
  pii: {use: pii, entities: [EMAIL_ADDRESS]}
  secrets: {use: secrets}
  word: {use: pattern, words: [umbrella-corp]}
rules:
  - {id: no-identifiers-out, on: request, when: pii, action: redact, restore: true}
  - {id: no-secrets-back, on: response, when: secrets, action: redact}
  - {id: no-such-words, on: request, when: word, action: block}
audit: {keep: sealed}
"""
PLAIN = "quokka marmalade"  # nothing finds it, so only sealing hides it
SECRETS = (MAIL, KEY, PLAIN, "ann-of-accounts", "zanzibar")


def send(proxy: Proxy, path: str, body: Any, **headers: str) -> tuple[int, str]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}", **headers}
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{proxy.url}{path}", data, named), timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def bodies() -> Iterator[tuple[str, Any]]:
    """Requests that hold the secrets in their fields: whole, streamed, blocked, refused, in several formats."""
    content = f"echo: {PLAIN} {MAIL} {KEY}"
    told = {
        "model": "scripted",
        "user": "ann-of-accounts",
        "messages": [
            {"role": "system", "content": f"{PLAIN} {KEY}"},
            {"role": "assistant", "content": PLAIN, "name": "zanzibar"},
            {"role": "user", "content": content},
        ],
        "metadata": {f"zanzibar {PLAIN}": f"{PLAIN} {MAIL}"},
        "unknown": {"zanzibar": [PLAIN, {MAIL: KEY}]},
        "tools": [{"type": "function", "function": {"name": "f", "description": f"{PLAIN} {MAIL}"}}],
    }
    yield "/v1/chat/completions", told
    yield "/v1/chat/completions", {**told, "stream": True}
    yield "/v1/chat/completions", {**told, "messages": [{"role": "user", "content": f"umbrella-corp {content}"}]}
    yield "/v1/chat/completions", {**told, "chat_template": PLAIN}
    yield "/v1/chat/completions", json.dumps(told).encode()[:-9]
    yield "/v1/chat/completions", {**told, "response_format": {"type": "json_schema", "json_schema": {"zanzibar": 1}}}
    messages = {
        "model": "scripted",
        "max_tokens": 99,
        "metadata": {"user_id": "ann-of-accounts"},
        "system": f"{PLAIN} {MAIL}",
        "messages": [{"role": "user", "content": content}],
    }
    yield "/v1/messages", messages
    yield "/v1/messages", {**messages, "stream": True}
    yield "/v1/responses", {"model": "scripted", "input": content, "safety_identifier": "ann-of-accounts"}
    yield "/v1/nowhere", told


def get(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        return error.read().decode()


def command(*words: str, code: int = 0) -> str:
    ran = processes.run(*words)
    assert ran.returncode == code, ran.stdout + ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sealed")


@pytest.fixture(scope="module")
def proxy(shared_upstream: Upstream, folder: Path) -> Iterator[Proxy]:
    (folder / "keys").mkdir()
    command("audit", "seal-key", str(folder / "keys" / "key"))
    options = ("--seal-key", f"file:{folder / 'keys' / 'key'}", "--log-level", "debug")
    running = serve(shared_upstream.url, folder / "proxy", POLICY, *options, *NO_BREAKER)
    yield running
    running.stop()


def test_nothing_that_the_proxy_writes_shows_a_text(proxy: Proxy, folder: Path) -> None:
    """Secrets are sent in every field; then everything that the proxy wrote or shows is searched."""
    sent = list(bodies())
    statuses = [send(proxy, path, body)[0] for path, body in sent]
    assert statuses.count(200) >= 5, statuses
    proxy.wait_records(lambda records: len(records) >= len(sent))
    shown = {name: get(f"{proxy.admin_url}/{name}") for name in ("metrics", "livez", "readyz", "status", "version")}
    assert "guardproxy_exchanges_total" in shown["metrics"]
    files = [path for path in (folder / "proxy").rglob("*") if path.is_file() and path.name != "policy.yaml"]
    assert {"audit-0.jsonl", "seal.keys", "output.txt"} <= {path.name for path in files}
    for name, data in [*shown.items(), *((str(path), path.read_bytes().decode("latin-1")) for path in files)]:
        for secret in SECRETS:
            assert secret not in data, (name, secret)
    sealed = [record for record in proxy.records() if "sealed" in record]
    assert len(sealed) >= 6
    assert len({record["sealed"]["key"] for record in sealed}) == 1, "all are texts of one subject"


def test_the_operator_opens_replays_and_erases(proxy: Proxy, folder: Path) -> None:
    send(proxy, "/v1/chat/completions", next(bodies())[1])
    record = next(record for record in proxy.records() if "sealed" in record and record["outcome"] == "answered")
    audit, key = str(proxy.audit), ("--key", f"file:{folder / 'keys' / 'key'}")
    opened = json.loads(command("audit", "unseal", audit, record["id"], *key, "--reason", "incident 3", "--json"))
    assert MAIL in opened["values"].values()
    assert PLAIN in json.dumps(opened["record"]["request"]["body"])
    assert "0 different" in command("replay", audit, "--policies", str(folder / "proxy" / "policies"), *key)
    assert "data keys destroyed" in command("audit", "erase", audit, "--subject", "ann-of-accounts", "--reason", "t 4")
    command("audit", "unseal", audit, record["id"], *key, "--reason", "incident 3", code=2)
    command("audit", "verify", audit)
    before = {found["sealed"]["key"] for found in proxy.records() if "sealed" in found}
    assert send(proxy, "/v1/chat/completions", next(bodies())[1])[0] == 200
    after = {found["sealed"]["key"] for found in proxy.records() if "sealed" in found}
    assert len(after - before) == 1, "the running proxy no longer seals with the erased key"


def test_a_policy_that_seals_needs_a_key(shared_upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(POLICY)
    words = (
        "serve",
        "--upstream",
        shared_upstream.url,
        "--policies",
        str(tmp_path),
        "--audit",
        str(tmp_path / "audit"),
    )
    ran = processes.run(*words, "--port", "0", "--admin-port", "0")
    assert ran.returncode == 2
    assert "policy.yaml:11:1: `keep: sealed` needs the operator's key: give --seal-key" in ran.stderr
