"""TenantNames by name: one policy file says the same in its tests and in the proxy, whatever header a credential comes in."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from guardproxy.gateway.clients.credentials import digest
from guardproxy.library import load
from tests.e2e import rawhttp
from tests.e2e.rig import PASS, ROOT, Proxy, Upstream, serve
from tests.kit import processes
from tests.kit.records import replay
from tools.pages.blocks import blocks

KEYS = {"acme": "sk-acme-1", "support": "sk-support-1", "": "sk-nobody"}
POLICY = """\
policy: company
checks:
  word: {use: pattern, words: [falcon]}
  other: {use: pattern, words: [umbrella]}
rules:
  - {id: no-falcon, on: request, when: word, action: block, mode: shadow}
  - {id: no-umbrella, on: request, when: other, action: block, mode: shadow}
tenants:
  acme: {rules: [{id: no-falcon, mode: enforce}]}
"""
SUPPORT = """\
policy: support
match: {when: 'tenant.name == "support"'}
checks: {word: {use: pattern, words: [falcon, umbrella]}}
rules: [{id: none-of-them, on: request, when: word, action: block}]
"""
ACME = """\
policy: acme
match: {tenants: ["ac*"]}
checks: {word: {use: pattern, words: [lagoon]}}
rules: [{id: no-lagoon, on: request, when: word, action: block}]
"""
FILES = {"policy": POLICY, "support": SUPPORT, "acme": ACME}
WORDS = ("falcon", "umbrella", "lagoon", "nothing")
HEADERS = (("authorization", "Bearer {}"), ("x-api-key", "{}"), ("api-key", "{}"), ("x-goog-api-key", "{}"))


def folder_of(folder: Path) -> Path:
    (folder / "policies").mkdir(exist_ok=True)
    for name, text in FILES.items():
        (folder / "policies" / f"{name}.yaml").write_text(text)
    return folder


@pytest.fixture(scope="module")
def proxy(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = folder_of(tmp_path_factory.mktemp("tenants"))
    named = [f"--tenant={name}={digest(key)}" for name, key in KEYS.items() if name]
    running = serve(shared_upstream.url, folder, POLICY, *named)
    yield running
    running.stop()


def ask(proxy: Proxy, text: str, *headers: tuple[str, str]) -> int:
    body = {"model": "scripted", "messages": [{"role": "user", "content": f"echo: {text}"}]}
    return httpx.post(f"{proxy.url}/v1/chat/completions", json=body, headers=list(headers), timeout=60).status_code


@pytest.mark.parametrize("tenant", KEYS)
def test_a_policy_says_the_same_in_the_proxy_however_the_credential_is_sent(proxy: Proxy, tenant: str) -> None:
    expected = {
        "acme": {"falcon": 400, "lagoon": 400},
        "support": {"falcon": 400, "umbrella": 400},
        "": {},
    }[tenant]
    for name, form in HEADERS:
        for word in WORDS:
            assert ask(proxy, word, (name, form.format(KEYS[tenant]))) == expected.get(word, 200), (name, word)
    assert proxy.records()[-1]["tenant_name"] == tenant


@pytest.mark.parametrize(("tenant", "blocked"), [("acme", True), ("support", False), ("", False)])
def test_a_test_of_the_file_agrees(proxy: Proxy, tmp_path: Path, tenant: str, blocked: bool) -> None:
    status = ask(proxy, "falcon", ("x-api-key", KEYS[tenant]))
    if tenant != "support":  # there another file blocks, and a test is of its own file alone
        assert status == (400 if blocked else 200)
    expect: dict[str, Any] = {"rule": "no-falcon", "decision": "block"} if blocked else {"shadow": ["no-falcon"]}
    test = {"name": "t", "request": "echo: falcon", "expect": expect, **({"tenant": tenant} if tenant else {})}
    (tmp_path / "policy.yaml").write_text(f"{POLICY}tests: [{json.dumps(test)}]\n")
    ran = processes.run("policy", "test", str(tmp_path))
    assert ran.returncode == 0, ran.stdout


def test_records_replay_as_they_were(proxy: Proxy, tmp_path: Path) -> None:
    for tenant, key in KEYS.items():
        ask(proxy, "falcon", ("x-api-key", key))
        record = proxy.records()[-1]
        assert record["tenant_name"] == tenant
        assert key not in json.dumps(record)
        policies = load(folder_of(tmp_path) / "policies")
        assert replay(record, policies).verdict == "identical"
        old = {name: value for name, value in record.items() if name != "tenant_name"}
        assert replay(old, policies).verdict == "identical"


@pytest.mark.parametrize(
    "headers",
    [
        "authorization: Bearer sk-acme-1\r\nauthorization: Bearer other\r\n",
        "authorization: Bearer other\r\nAuthorization: Bearer sk-acme-1\r\n",
        "authorization:\r\nauthorization: Bearer sk-acme-1\r\n",
        "x-api-key: sk-acme-1\r\nX-Api-Key: sk-acme-1\r\n",
        "authorization: Bearer\tsk-acme-1\r\n",
        "authorization: Bearer sk-acme-1\r\nx-goog-api-key: other\r\n",
        "authorization: Bearer a, Bearer b\r\n",
        "connection: authorization\r\nauthorization: Bearer sk-acme-1\r\n",
    ],
)
def test_two_credentials_are_refused(proxy: Proxy, shared_upstream: Upstream, headers: str) -> None:
    body = json.dumps({"model": "scripted", "messages": [{"role": "user", "content": "echo: hi"}]}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\nconnection: close\r\n{headers}"
    raw = f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
    before = len(shared_upstream.journal.all())
    answer = rawhttp.exchange(proxy.port, raw)
    assert answer.status == 400
    assert "sk-acme" not in answer.body.decode()
    assert len(shared_upstream.journal.all()) == before


@pytest.mark.parametrize(
    "host",
    ["", "a:0", "a:99999", "a:1:2", "a/b", "user@a", "a b", "a,b", "[::1", "[zz::1]", ":80", "a:", "a:8x", "a\r\nhost: a",
     "a\r\nHost: b", "-a", "a..b"],
)  # fmt: skip
def test_a_host_that_is_none_is_refused(proxy: Proxy, host: str) -> None:
    raw = f"GET /v1/models HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode()
    assert rawhttp.exchange(proxy.port, raw).status == 400


@pytest.mark.parametrize(
    "host", ["a", "a.example:443", "127.0.0.1:8080", "[::1]:80", "[2001:db8::1]", "my_host", "a.b."]
)
def test_a_host_that_is_one_is_taken(proxy: Proxy, host: str) -> None:
    raw = f"GET /v1/models HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode()
    assert rawhttp.exchange(proxy.port, raw).status != 400


@pytest.mark.parametrize("version", ["2.0", "3.0", "0.9", "1.2"])
def test_an_answer_speaks_a_version_that_exists(proxy: Proxy, version: str) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=60) as client:
        client.sendall(f"GET /v1/models HTTP/{version}\r\nhost: a\r\nconnection: close\r\n\r\n".encode())
        line = client.makefile("rb").readline()
    assert line.split()[0] in (b"HTTP/1.1", b"HTTP/1.0")
    assert line.split()[1] in (b"505", b"400")


def served(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """A proxy that ends because it refuses to start."""
    words = ["serve", "--upstream", "http://127.0.0.1:9", "--policies", str(folder), "--port", "0", "--admin-port", "0"]
    return processes.run(*words, "--audit", str(folder.parent / "audit"), *options)


def test_a_tenant_that_nobody_is_stops_the_start(tmp_path: Path) -> None:
    folder = folder_of(tmp_path) / "policies"
    ran = served(folder, f"--tenant=acme={digest('a')}", f"--tenant=suport={digest('b')}")
    assert ran.returncode == 2
    assert "support.yaml:2:" in ran.stderr
    assert "did you mean `suport`" in ran.stderr
    lint = ["policy", "lint", str(folder)]
    ran = processes.run(*lint, "--tenant", "acme")
    assert ran.returncode == 1
    assert "no credential belongs to the tenant `support`" in ran.stdout
    settings = tmp_path / "guardproxy.toml"
    settings.write_text(f'[tenants]\nacme = "{digest("a")}"\nsupport = ["{digest("b")}", "{digest("c")}"]\n')
    ran = processes.run(*lint, "--config", str(settings))
    assert ran.returncode == 0, ran.stdout


def test_a_policy_that_names_code_stops_the_start_and_every_command(tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    folder.mkdir()
    mark = tmp_path / "ran"
    (tmp_path / "evil.py").write_text(f"import pathlib\npathlib.Path({str(mark)!r}).write_text('x')\n")
    (folder / "p.yaml").write_text(
        "policy: p\nchecks: {c: {use: pii, recognizers: ['evil:Thing']}}\nrules: [{id: r, when: c, action: flag}]\n"
        "tests: [{name: t, request: a, expect: {decision: pass}}]\n"
    )
    ran = served(folder)
    assert ran.returncode == 2
    assert "--allow-code" in ran.stderr
    (tmp_path / "log.jsonl").write_text("")
    environment = {"PYTHONPATH": f"{ROOT}:{tmp_path}", "PATH": ""}
    for command in (
        ["policy", "lint", str(folder)],
        ["policy", "test", str(folder)],
        ["policy", "explain", "a", "--policies", str(folder)],
        ["policy", "diff", str(folder), str(folder), "--log", str(tmp_path / "log.jsonl")],
        ["scan", "--policies", str(folder)],
        ["replay", str(tmp_path / "log.jsonl"), "--policies", str(folder)],
    ):
        ran = processes.run(*command, cwd=tmp_path, env=environment)
        assert ran.returncode in (1, 2), command
        assert "--allow-code" in ran.stdout + ran.stderr, command
        assert not mark.exists(), command
    ran = processes.run("policy", "lint", "--allow-code", str(folder), cwd=tmp_path, env=environment)
    assert mark.exists()
    assert "cannot import `evil:Thing`" in ran.stdout


def test_the_example_of_the_documentation_is_for_the_tenant_that_it_names(
    shared_upstream: Upstream, tmp_path: Path
) -> None:
    (tmp_path / "policies").mkdir()
    company = [block for block in blocks("yaml") if block.file.startswith("company/")]
    assert company
    for block in company:
        (tmp_path / "policies" / Path(block.file).name).write_text(block.text)
    keys = ("support", "acme")
    running = serve(shared_upstream.url, tmp_path, PASS, *(f"--tenant={key}={digest(f'sk-{key}')}" for key in keys))
    try:
        for key, hidden in (("support", True), ("acme", False)):
            asked = [{"role": "user", "content": "echo: It is called Falcon."}]
            body = {"model": "scripted", "models": ["openai/GPT-5"], "messages": asked}
            sent = {"authorization": f"Bearer sk-{key}"}
            answer = httpx.post(f"{running.url}/v1/chat/completions", json=body, headers=sent, timeout=60)
            assert answer.status_code == 200
            assert ("Falcon" not in answer.json()["choices"][0]["message"]["content"]) is hidden, key
    finally:
        running.stop()
    ran = processes.run("policy", "test", "--no-model", str(tmp_path / "policies"))
    assert ran.returncode == 0, ran.stdout + ran.stderr
