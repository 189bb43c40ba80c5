"""A proxy that signs its log: an auditor verifies it, a client checks its receipt, a killed process gives no false alarm."""

from __future__ import annotations

import json
import signal
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from tests.e2e.rig import PASS, Proxy, Upstream, serve
from tests.kit import processes
from tests.kit.buckets import objects_in, s3_bucket
from tests.kit.proof import KEY

PUBLIC = str(KEY.public)
TOKEN = "Bearer made-up-for-copies"


def post(proxy: Proxy, text: str) -> tuple[str, str]:
    """The id and the receipt of an exchange."""
    body = json.dumps({"model": "scripted", "messages": [{"role": "user", "content": text}]}).encode()
    request = urllib.request.Request(f"{proxy.url}/v1/chat/completions", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        response.read()
        return response.headers["x-guardproxy-id"], response.headers["guardproxy-receipt"]


@pytest.fixture
def key(tmp_path: Path) -> str:
    path = tmp_path / "log.key"
    path.write_text(KEY.text)
    return str(path)


def test_a_receipt_is_checked_offline_against_a_checkpoint(upstream: Upstream, tmp_path: Path, key: str) -> None:
    copies = tmp_path / "copies"
    proxy = serve(upstream.url, tmp_path / "proxy", PASS, "--audit-key", key, "--audit-copy", str(copies))
    exchange, receipt = post(proxy, "echo: hello")
    assert proxy.stop() == 0
    verified = processes.run("audit", "verify", str(proxy.audit), "--key", PUBLIC, "--copy", str(copies), "--json")
    shown = json.loads(verified.stdout)
    assert (verified.returncode, shown["ok"], shown["signed"], shown["checkpoints"]["copies"]) == (0, True, True, 2)
    assert [log["notes"] for log in shown["logs"]] == [[]]
    proof = tmp_path / "proof.json"
    proof.write_text(processes.run("audit", "prove", str(proxy.audit), exchange).stdout)
    checked = processes.run("audit", "check-proof", str(proof), "--key", PUBLIC, "--receipt", receipt)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "outcome   answered" in checked.stdout
    assert checked.stdout.endswith("the receipt fits the record\n")


def test_a_killed_proxy_gives_no_false_alarm_and_goes_on(upstream: Upstream, tmp_path: Path, key: str) -> None:
    options = ("--audit-key", key, "--audit-checkpoint-s", "1000", "--audit-rotate-bytes", "1000")
    proxy = serve(upstream.url, tmp_path / "proxy", PASS, *options)
    for number in range(3):
        post(proxy, f"echo: {number}")
    with urllib.request.urlopen(f"{proxy.admin_url}/metrics", timeout=60) as metrics:
        assert "guardproxy_audit_checkpoint_time 1." in metrics.read().decode()
    proxy.process.send_signal(signal.SIGKILL)
    proxy.process.wait()
    assert len(list(proxy.audit.glob("*.jsonl"))) >= 3
    assert processes.run("audit", "verify", str(proxy.audit), "--key", PUBLIC).returncode == 0
    again = serve(upstream.url, tmp_path / "proxy", PASS, *options)
    post(again, "echo: again")
    assert again.stop() == 0
    verified = processes.run("audit", "verify", str(proxy.audit), "--key", PUBLIC)
    assert verified.returncode == 0, verified.stdout
    assert "were found at a start of the proxy" in verified.stdout


class Collector(BaseHTTPRequestHandler):
    """Keeps copies of checkpoints from those who know the token."""

    notes: ClassVar[list[bytes]] = []

    def do_POST(self) -> None:
        note = self.rfile.read(int(self.headers["Content-Length"]))
        is_known = self.headers["Authorization"] == TOKEN
        if is_known:
            self.notes.append(note)
        self.send_response(204 if is_known else 401)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


def test_copies_go_to_a_collector_with_a_token_and_to_a_bucket(
    upstream: Upstream, tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COPY_TOKEN", TOKEN)
    with s3_bucket(monkeypatch), HTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        host = f"127.0.0.1:{server.server_port}"
        options: tuple[str, ...] = ("--audit-copy", f"http://{host}/kept", "--audit-copy", "s3://kept/guard")
        options += ("--audit-copy-header", f"{host}=Authorization=env:COPY_TOKEN", "--log-level", "debug")
        proxy = serve(upstream.url, tmp_path / "proxy", PASS, "--audit-key", key, *options)
        post(proxy, "echo: hello")
        with urllib.request.urlopen(f"{proxy.admin_url}/readyz", timeout=60) as ready:
            assert ready.read().decode() == "ready\n"
        arguments = Path(f"/proc/{proxy.process.pid}/cmdline")
        assert not arguments.exists() or TOKEN.encode() not in arguments.read_bytes()
        assert proxy.stop() == 0
        server.shutdown()
        thread.join()
        objects = objects_in("s3://kept/guard")
    assert TOKEN not in proxy.log.read_text()
    assert list(objects.values()) == Collector.notes
    assert len(Collector.notes) == 2
    (tmp_path / "copies").mkdir()
    for number, note in enumerate(objects.values()):
        (tmp_path / "copies" / f"{number}.checkpoint").write_bytes(note)
    words = ("audit", "verify", str(proxy.audit), "--key", PUBLIC, "--copy", str(tmp_path / "copies"))
    verified = processes.run(*words)
    assert (verified.returncode, "intact, 2 copies" in verified.stdout) == (0, True), verified.stdout


def test_a_key_in_the_audit_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "key").write_text(KEY.text)
    arguments = ("--audit", str(tmp_path / "audit"), "--audit-key", str(tmp_path / "audit" / "key"))
    ran = processes.run("serve", "--upstream", "http://127.0.0.1:1", "--port", "0", "--admin-port", "0", *arguments)
    assert (ran.returncode, "lies in the folder of the log" in ran.stderr) == (2, True)
