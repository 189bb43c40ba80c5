"""The console beside a real proxy: one process for each server, started again when it dies, gone when the proxy is."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from guardproxy.console import Login, LoginFile, new_token, write_logins
from tests.e2e.rig import PASS, Proxy, Upstream, serve, wait_logged
from tests.kit import processes
from tests.kit.browsing import Browser

TOKEN = new_token()


@contextmanager
def proxied(folder: Path, upstream: Upstream, *words: str) -> Iterator[Proxy]:
    logins = folder / "logins.json"
    logins.touch(0o600)
    logins.write_bytes(write_logins(LoginFile().having(Login("ann", "auditor"), TOKEN, "")))
    proxy = serve(upstream.url, folder, PASS, "--console", "read", "--console-logins", str(logins), *words)
    try:
        yield proxy
    finally:
        if proxy.process.poll() is None:
            proxy.process.kill()
        proxy.process.wait(60)


def opened(proxy: Proxy, count: int) -> int:
    """Waits until the console was opened so often. Returns the number of its process."""
    return int(wait_logged(proxy.process, proxy.log, "the console is open", count)[-1]["pid"])


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_gone(process: int) -> None:
    while is_running(process):
        threading.Event().wait(0.02)


def socket_of(process: int) -> Path:
    """The socket that the console listens on, as its start says."""
    inodes = {
        os.readlink(entry) for entry in Path(f"/proc/{process}/fd").iterdir() if entry.exists() or entry.is_symlink()
    }
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        parts = line.split()
        if f"socket:[{parts[6]}]" in inodes and len(parts) == 8 and parts[7].endswith("/console"):
            return Path(parts[7])
    raise LookupError


def signed_in(proxy: Proxy) -> Browser:
    browser = Browser(proxy.admin_port)
    status, path, _ = browser.when_up("/console/exchanges")
    assert (status, path) == (200, "/console/login?next=/console/exchanges")
    status, path, text = browser.open("/console/login", {"name": "ann", "token": TOKEN, "next": "/console/exchanges"})
    assert (status, path) == (200, "/console/exchanges")
    assert "ann" in text
    return browser


def test_the_console_is_one_process_that_is_started_again_and_ends_with_the_proxy(
    tmp_path: Path, upstream: Upstream
) -> None:
    with proxied(tmp_path, upstream) as proxy:
        first = opened(proxy, 1)
        socket = socket_of(first)
        assert socket.stat().st_mode & 0o777 == 0o600
        assert socket.parent.stat().st_mode & 0o777 == 0o700
        environment = Path(f"/proc/{first}/environ").read_bytes()
        assert b"GUARDPROXY_" not in environment
        signed_in(proxy)
        os.kill(first, signal.SIGKILL)
        second = opened(proxy, 2)
        assert second != first
        browser = signed_in(proxy)  # sessions are in memory
        page = browser.open("/console/exchanges")[2]
        nonces = re.findall(r'<script nonce="([^"]+)"', page)
        assert len(set(nonces)) == 1
        proxy.process.send_signal(signal.SIGTERM)
        assert proxy.process.wait(60) == 0
        wait_gone(second)
        assert not socket.parent.exists()


def test_it_does_not_outlive_a_proxy_that_is_killed(tmp_path: Path, upstream: Upstream) -> None:
    with proxied(tmp_path, upstream) as proxy:
        process = opened(proxy, 1)
        socket = socket_of(process)
        proxy.process.kill()
        proxy.process.wait(60)
        wait_gone(process)
        assert not socket.parent.exists()


def test_several_workers_have_one_and_each_admin_port_leads_to_it(tmp_path: Path, upstream: Upstream) -> None:
    with proxied(tmp_path, upstream, "--workers", "2") as proxy:
        first = opened(proxy, 1)
        pages = [Browser(port).when_up("/console/login") for port in proxy.admin_ports]
        assert [page[0] for page in pages] == [200, 200]
        workers = json.loads(Browser(proxy.admin_port).open("/all/version")[2])
        assert set(workers) >= {"worker 0", "worker 1"}
        os.kill(parent_of(first), signal.SIGKILL)  # the worker that started it
        wait_gone(first)
        opened(proxy, 2)
        for port in proxy.admin_ports[1:]:
            assert Browser(port).when_up("/console/login")[0] == 200


def parent_of(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.parametrize(
    ("logins", "said"),
    [
        ("", "also on this machine"),
        ("absent.json", "guardproxy console login add"),
        ("open.json", "chmod 600"),
        ("wrong.json", "not a file of logins"),
        ("empty.json", "nobody could come in"),
    ],
)
def test_a_start_without_logins_is_refused(tmp_path: Path, logins: str, said: str) -> None:
    for name, text in (("open.json", "{}"), ("wrong.json", "{}"), ("empty.json", '{"logins": []}')):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o644 if name == "open.json" else 0o600)
    words = ["--console-logins", str(tmp_path / logins)] if logins else []
    done = processes.run(
        "serve", "--upstream", "http://127.0.0.1:9", "--console", "read", "--audit", str(tmp_path / "a"), *words
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
