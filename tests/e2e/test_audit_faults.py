"""The whole proxy on a disk that really fails, and killed while exchanges are under way."""

from __future__ import annotations

import json
import resource
import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.e2e.rig import PASS, Proxy, Upstream, serve, wait_ready
from tests.kit import processes

NO_INTENT = PASS + "audit: {intent: off}\n"


def body_of(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=60) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def post(proxy: Proxy, text: str) -> tuple[int, str]:
    body = json.dumps({"model": "scripted", "messages": [{"role": "user", "content": text}]}).encode()
    request = urllib.request.Request(f"{proxy.url}/v1/chat/completions", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def verified(proxy: Proxy) -> str:
    ran = processes.run("audit", "verify", str(proxy.audit))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "no signature" in ran.stderr
    return ran.stdout


def kinds(proxy: Proxy) -> list[str]:
    entries = [json.loads(line) for log in proxy.audit.glob("*.jsonl") for line in log.read_bytes().splitlines()]
    return [entry["kind"] for entry in entries if "kind" in entry]


def follows(proxy: Proxy) -> bool:
    """Whether the log goes on in a second file whose header says why."""
    headers = [json.loads(log.read_bytes().splitlines()[0]) for log in proxy.audit.glob("*.jsonl")]
    return [header["follows"]["why"] for header in headers if "follows" in header] == ["file too large"]


def test_the_disk_is_full_and_has_room_again(upstream: Upstream, tmp_path: Path) -> None:
    """No file may grow: every write of the proxy fails, as on a full disk, until the limit is lifted."""
    proxy = serve(upstream.url, tmp_path, PASS)
    assert post(proxy, "echo: before")[0] == 200
    seen = len(upstream.journal.all())
    limits = resource.prlimit(proxy.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(proxy.process.pid, resource.RLIMIT_FSIZE, (0, limits[1]))
    for _ in range(3):
        status, said = post(proxy, "echo: during")
        assert (status, "audit_unavailable" in said) == (503, True)
    assert len(upstream.journal.all()) == seen  # nothing went upstream
    assert body_of(f"{proxy.admin_url}/readyz") == (503, "the audit log cannot be written: file too large\n")
    status, said = body_of(f"{proxy.admin_url}/livez")
    assert status == 200
    assert said.startswith("ok\nthe audit log cannot be written: file too large (for ")
    assert "guardproxy_audit_writable 0.0" in body_of(f"{proxy.admin_url}/metrics")[1]
    resource.prlimit(proxy.process.pid, resource.RLIMIT_FSIZE, limits)
    wait_ready(proxy.process, f"{proxy.admin_url}/readyz", 30)
    assert post(proxy, "echo: after")[0] == 200
    assert body_of(f"{proxy.admin_url}/livez") == (200, "ok\n")
    assert "guardproxy_audit_recoveries 1.0" in body_of(f"{proxy.admin_url}/metrics")[1]
    assert proxy.stop() == 0
    verified(proxy)
    assert "gap" in kinds(proxy) or follows(proxy)  # a new file where the limit was lifted in the middle of a recovery
    assert [record["outcome"] for record in proxy.records()] == ["answered", "answered"]


def test_a_log_that_is_renamed_while_the_proxy_runs(upstream: Upstream, tmp_path: Path) -> None:
    proxy = serve(upstream.url, tmp_path, PASS)
    assert post(proxy, "echo: before")[0] == 200
    (proxy.audit / "audit-0.jsonl").rename(tmp_path / "taken")
    assert post(proxy, "echo: after")[0] == 200
    status, said = body_of(f"{proxy.admin_url}/readyz")
    assert status == 200
    assert "audit-0.jsonl ended (another program removed, renamed" in said
    assert "continue in audit-0.1.jsonl" in said
    (record,) = proxy.records()
    assert proxy.stop() == 0
    ran = processes.run("audit", "verify", str(proxy.audit))
    assert ran.returncode == 1
    assert "follows audit-0.jsonl" in ran.stdout
    (tmp_path / "taken").rename(proxy.audit / "audit-0.jsonl")
    verified(proxy)
    assert record["outcome"] == "answered"


@pytest.mark.parametrize(("policy", "known"), [(PASS, True), (NO_INTENT, False)])
def test_a_kill_leaves_what_the_upstream_was_sent(
    upstream: Upstream, tmp_path: Path, policy: str, known: bool, openai_at: Callable[[str], openai.OpenAI]
) -> None:
    proxy = serve(upstream.url, tmp_path, policy)
    assert post(proxy, "echo: whole")[0] == 200
    begun = threading.Event()
    failures: list[BaseException] = []

    def stream() -> None:
        try:
            for _ in openai_at(proxy.url).chat.completions.create(
                model="scripted", stream=True, messages=[{"role": "user", "content": "words: 20, hang"}]
            ):
                begun.set()
        except Exception as error:
            failures.append(error)

    client = threading.Thread(target=stream)
    client.start()
    upstream.journal.wait(lambda entries: [entry for entry in entries if "hang" in str(entry.tree)])
    proxy.stop(signal.SIGKILL)
    client.join(60)
    assert failures
    again = serve(upstream.url, tmp_path, policy)
    wanted = "guardproxy_unknown_exchanges_total 1.0" if known else "guardproxy_unknown_exchanges_total 0.0"
    assert wanted in body_of(f"{again.admin_url}/metrics")[1]
    assert again.stop() == 0
    outcomes = [record["outcome"] for record in again.records()]
    assert outcomes == (["answered", "unknown"] if known else ["answered"])
    verified(again)
    ran = processes.run("replay", str(again.audit), "--policies", str(tmp_path / "policies"))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "1 identical, 0 different, " in ran.stdout
    assert f"{int(known)} not replayable" in ran.stdout
    third = serve(upstream.url, tmp_path, policy)
    assert "guardproxy_unknown_exchanges_total 0.0" in body_of(f"{third.admin_url}/metrics")[1]
    assert third.stop() == 0


def test_intents_come_before_the_upstream_and_hold_no_text(upstream: Upstream, tmp_path: Path) -> None:
    proxy = serve(upstream.url, tmp_path, PASS)
    assert post(proxy, "echo: secret words")[0] == 200
    assert body_of(f"{proxy.url}/v1/models")[0] in (200, 404)
    assert body_of(f"{proxy.url}/none")[0] == 404
    assert proxy.stop() == 0
    entries: list[dict[str, Any]] = [
        json.loads(line) for line in (proxy.audit / "audit-0.jsonl").read_bytes().splitlines()[1:]
    ]
    assert [(entry.get("kind"), entry.get("outcome")) for entry in entries] == [
        *(
            ("intent", None),
            ("exchange", "answered"),
            ("intent", None),
            ("exchange", "passed"),
            ("exchange", "refused"),
        ),
    ]
    intent, record = entries[:2]
    assert set(intent) == {
        *("kind", "v", "id", "at", "engine", "tenant", "route", "policies", "seals", "seq", "prev", "hash")
    }
    assert (intent["id"], intent["seals"]["request"]) == (record["id"], record["seals"]["request"])
