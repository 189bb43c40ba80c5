"""The end of a process has a limit: a thread that never returns does not keep it alive, in one process or in a worker."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.rig import PASS, Proxy, Upstream, serve

POLICY = """\
policy: stuck
checks: {never: {use: never}}
rules: [{id: r, on: request, when: never, action: block}]
"""
CHECK = """\
import threading
from guardproxy.findings import Traits

class Never:
    name = "never"
    digest = "sha256:never"
    traits = Traits()

    def scan(self, windows):
        print('{"event": "begun"}', flush=True)
        threading.Event().wait()

def build(name, options, resources):
    return Never()

OPTIONS = {}
"""
BODY = b'{"model": "m", "messages": [{"role": "user", "content": "hello"}]}'
REQUEST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a check that never returns, as an installation leaves it."""
    about = tmp_path / "site" / "acme_never-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-never\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[guardproxy.checks]\nnever = acme_never:build\n")
    (tmp_path / "site" / "acme_never.py").write_text(CHECK)
    monkeypatch.setattr("tests.e2e.rig.PLUGINS", str(tmp_path / "site"))
    return tmp_path


@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=["alone", "workers"])
def test_a_scan_that_never_returns_does_not_keep_the_process_alive(
    options: tuple[str, ...], site: Path, upstream: Upstream
) -> None:
    proxy = serve(upstream.url, site / "proxy", POLICY, "--drain-s", "0", *options)
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=60) as client:
        client.sendall(REQUEST % len(BODY) + BODY)
        proxy.wait_for("begun")
        assert proxy.stop() == (0 if options else 1), "a worker needs no force, as it does not wait for its threads"
        assert b"shutting_down" in client.recv(65536)
    assert bool(options) != bool(proxy.events("ended by force"))
    (record,) = proxy.records()
    assert record["outcome"] == "shutting_down"


def test_a_frozen_worker_does_not_keep_its_parent_alive(proxy_with: Callable[..., Proxy]) -> None:
    proxy = proxy_with(PASS, "--drain-s", "0", "--workers", "2")
    frozen = proxy.wait_for("started", child="worker 1")["pid"]
    os.kill(frozen, signal.SIGSTOP)
    assert proxy.stop() != 0
    assert [event["child"] for event in proxy.events("ended by force")] == ["worker 1"]
