"""A proxy that signs its log: an auditor verifies it, a client checks its receipt, a killed process gives no false alarm."""

from __future__ import annotations

import json
import signal
import urllib.request
from pathlib import Path

import pytest

from tests.e2e.rig import PASS, Proxy, Upstream, serve
from tests.kit import processes
from tests.kit.proof import KEY

PUBLIC = str(KEY.public)


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


def test_a_key_in_the_audit_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "key").write_text(KEY.text)
    arguments = ("--audit", str(tmp_path / "audit"), "--audit-key", str(tmp_path / "audit" / "key"))
    ran = processes.run("serve", "--upstream", "http://127.0.0.1:1", "--port", "0", "--admin-port", "0", *arguments)
    assert (ran.returncode, "lies in the folder of the log" in ran.stderr) == (2, True)
