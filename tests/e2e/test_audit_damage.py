"""A proxy that signs and seals, on a small disk of its own that fills up, and whose files are taken away while it runs: it
refuses traffic with the true reason where a record could not be kept, goes on by itself, and the log verifies."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from guardproxy.audit.storage.disk import folder_lock
from tests.e2e.rig import NO_BREAKER, PASS, Proxy, Upstream, serve, wait_ready
from tests.kit import processes
from tests.kit.proof import KEY

SEALED = PASS + "audit: {keep: sealed, subject: user}\n"


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def post(proxy: Proxy, user: str) -> tuple[int, str]:
    body = {"model": "scripted", "user": user, "messages": [{"role": "user", "content": "echo: a text to seal"}]}
    request = urllib.request.Request(
        f"{proxy.url}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 2 MiB, where the system lets the test make one."""
    folder = tmp_path / "proxy" / "audit"
    folder.mkdir(parents=True)
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True, check=False)
    if made.returncode:
        # Only root may mount, and a container only with the right to: there no test can fill a disk without filling that of
        # the machine. It runs where `.ci/run` runs as root.
        pytest.skip("no disk can be made here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def options(tmp_path: Path) -> tuple[str, ...]:
    (tmp_path / "log.key").write_text(KEY.text)
    assert processes.run("audit", "seal-key", str(tmp_path / "seal.key")).returncode == 0
    keys = ("--audit-key", str(tmp_path / "log.key"), "--seal-key", f"file:{tmp_path / 'seal.key'}")
    return *keys, "--audit-checkpoint-s", "0.1", *NO_BREAKER


def fill(path: Path) -> None:
    """Writes until the disk is full."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    for size_bytes in (1 << 16, 1 << 10, 1):
        with suppress(OSError):
            while True:
                os.write(file, bytes(size_bytes))
    os.close(file)


def stopped_and_intact(proxy: Proxy, tmp_path: Path, *answered: str) -> None:
    """Stops the proxy. The log verifies, and every answered exchange can be opened."""
    assert proxy.stop() == 0
    verified = processes.run("audit", "verify", str(proxy.audit), "--key", str(KEY.public))
    assert verified.returncode == 0, verified.stdout
    records = [record for record in proxy.records() if record["outcome"] == "answered"]
    assert len(records) >= len(answered)
    for record in records:
        words = ("audit", "unseal", str(proxy.audit), record["id"], "--key", f"file:{tmp_path / 'seal.key'}")
        opened = processes.run(*words, "--reason", "test")
        assert (opened.returncode, "a text to seal" in opened.stdout) == (0, True), opened.stderr


def test_a_full_disk_stops_traffic_until_it_has_room(
    upstream: Upstream, tmp_path: Path, disk: Path, options: tuple[str, ...]
) -> None:
    proxy = serve(upstream.url, tmp_path / "proxy", SEALED, *options)
    assert proxy.audit == disk
    assert post(proxy, "ann")[0] == 200
    fill(disk / "filler")
    for _ in range(30):  # an intent may still fit into the last page of the file, and a record not
        status, said = post(proxy, "ann")
        assert (status, "audit_unavailable" in said) == (503, True)
        status, said = get(f"{proxy.admin_url}/readyz")
        if status == 503:
            break
    assert (status, "no space left on device" in said) == (503, True), said
    (disk / "filler").unlink()
    wait_ready(proxy.process, f"{proxy.admin_url}/readyz", 30)
    assert post(proxy, "bob")[0] == 200
    stopped_and_intact(proxy, tmp_path, "ann", "bob")


def test_a_key_store_that_is_taken_away_stops_traffic_until_it_is_back(
    upstream: Upstream, tmp_path: Path, options: tuple[str, ...]
) -> None:
    proxy = serve(upstream.url, tmp_path / "proxy", SEALED, *options)
    assert post(proxy, "ann")[0] == 200
    store = sorted(proxy.audit.glob("seal.keys*"))
    taken = tmp_path / "taken"
    for damage, reason in (
        (os.unlink, "no key store here"),
        (lambda path: path.write_bytes(b"junk" * 999), "not a database"),
    ):
        taken.mkdir(exist_ok=True)
        for path in store:
            if path.exists():
                path.rename(taken / path.name)
        if damage is not os.unlink:
            damage(proxy.audit / "seal.keys")
        status, said = post(proxy, "bob")
        assert (status, "audit_unavailable" in said) == (503, True)
        status, said = get(f"{proxy.admin_url}/readyz")
        assert (status, reason in said) == (503, True), said
        for path in proxy.audit.glob("seal.keys*"):
            path.unlink()
        for path in taken.iterdir():
            path.rename(proxy.audit / path.name)
        wait_ready(proxy.process, f"{proxy.admin_url}/readyz", 30)
        assert post(proxy, "bob")[0] == 200
    stopped_and_intact(proxy, tmp_path, "ann", "bob", "bob")


def test_a_list_of_checkpoints_that_is_cut_stops_no_traffic_and_is_named(
    upstream: Upstream, tmp_path: Path, options: tuple[str, ...]
) -> None:
    proxy = serve(upstream.url, tmp_path / "proxy", SEALED, *options)
    assert post(proxy, "ann")[0] == 200
    listed = proxy.audit / "checkpoints.list"
    for cut in (1, 0):  # a byte, the last line
        with folder_lock(proxy.audit):  # between two checkpoints
            whole = listed.read_bytes()
            listed.write_bytes(whole[:-1] if cut else b"".join(whole.splitlines(keepends=True)[:-1]))
        for _ in range(600):
            if "it is not the list that the newest checkpoint signs" in (said := get(f"{proxy.admin_url}/readyz"))[1]:
                break
        assert said[0] == 200
        assert "not the list" in said[1]
        assert post(proxy, "ann")[0] == 200
        assert processes.run("audit", "verify", str(proxy.audit), "--key", str(KEY.public)).returncode == 1
        listed.write_bytes(whole)
        for _ in range(600):
            if "not the list" not in get(f"{proxy.admin_url}/readyz")[1]:
                break
    stopped_and_intact(proxy, tmp_path, "ann", "ann", "ann")
