"""A proxy that ships its log: lines arrive while it runs, after the shipping process was killed, and when the proxy ends; the
shipping process does not outlive the proxy."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.rig import PASS, Proxy, Upstream, serve

# It runs wherever CI runs, which is Linux. No other system shows the children of a process without a package of its own.
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads the children of a process from /proc")


def post(proxy: Proxy) -> str:
    body = json.dumps({"model": "scripted", "messages": [{"role": "user", "content": "echo: hello"}]}).encode()
    request = urllib.request.Request(f"{proxy.url}/v1/chat/completions", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        answer.read()
        return str(answer.headers["x-guardproxy-id"])


def shipped(folder: Path) -> dict[int, bytes]:
    """The lines that arrived, by `seq`; that of the header is -1."""
    lines = [line for path in folder.rglob("*.jsonl") for line in path.read_bytes().splitlines(keepends=True)]
    return dict(sorted((json.loads(line).get("seq", -1), line) for line in lines))


def child_of(proxy: Proxy) -> int:
    """The process that ships, or 0."""
    tasks = Path(f"/proc/{proxy.process.pid}/task")
    pids = [int(pid) for task in tasks.iterdir() for pid in (task / "children").read_text().split()]
    return next((pid for pid in pids if b"ship" in Path(f"/proc/{pid}/cmdline").read_bytes()), 0)


def wait(proxy: Proxy, folder: Path, exchange: str) -> None:
    for _ in range(1200):
        if any(exchange.encode() in line and b'"outcome"' in line for line in shipped(folder).values()):
            return
        with suppress(subprocess.TimeoutExpired):
            proxy.process.wait(0.05)
    raise TimeoutError(proxy.log.read_text())


def is_alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_every_line_arrives(upstream: Upstream, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    proxy = serve(upstream.url, tmp_path / "proxy", PASS, "--audit-ship", store.as_uri())
    wait(proxy, store, post(proxy))
    first = child_of(proxy)
    os.kill(first, signal.SIGKILL)
    wait(proxy, store, post(proxy))
    assert child_of(proxy) not in (0, first)
    assert "ended with exit code -9: it starts again in 0.5 s" in proxy.log.read_text()
    post(proxy)
    assert proxy.stop() == 0
    (log,) = proxy.audit.glob("*.jsonl")
    assert b"".join(shipped(store).values()) == log.read_bytes()
    again = serve(upstream.url, tmp_path / "proxy", PASS, "--audit-ship", store.as_uri())
    wait(again, store, post(again))
    last = child_of(again)
    again.stop(signal.SIGKILL)
    with suppress(ProcessLookupError):  # the system says when a process has ended
        end = select.poll()
        end.register(os.pidfd_open(last), select.POLLIN)
        assert end.poll(60_000)
    assert not is_alive(last)
