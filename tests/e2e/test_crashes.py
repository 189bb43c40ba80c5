"""Every stage of a proxy that seals its log crashes, with a text of an exchange as the message of the error: no place shows
the text. The places: answers to clients, the log at its lowest level, the admin port, all files that the proxy writes, the
commands that read the log without a key, their pages, and what a fatal signal leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPException
from itertools import count
from pathlib import Path

import pytest

from tests.e2e.rig import KEY, MAIL, NO_BREAKER, Proxy, Upstream, serve
from tests.kit import crashing, processes

POLICY = """\
policy: sealed
match: {}
checks:
  crash: {use: crash}
  pii: {use: pii, entities: [EMAIL_ADDRESS]}
  secrets: {use: secrets}
rules:
  - {id: no-identifiers-out, on: request, when: pii or secrets, action: redact}
  - {id: crashed, when: crash, action: block}
audit: {keep: sealed}
"""
PLAIN = "quokka marmalade"  # no check finds it, so only sealing hides it
NUMBERS = count()
MARKERS = (MAIL, KEY, PLAIN, "ann-of-accounts", "zanzibar")


def ask(proxy: Proxy, stage: str, user: str = "words: 3", *, stream: bool = False) -> tuple[int, str]:
    """The status of an exchange that lets a stage crash (0: the connection was closed), and all that the client gets."""
    body = {
        "model": "scripted",
        "user": "ann-of-accounts",
        "stream": stream,
        "messages": [
            # No text comes twice: a text that is known is not scanned, and lets no stage crash.
            {"role": "system", "content": f"crash-{stage} {next(NUMBERS)} {PLAIN} {MAIL} {KEY}"},
            {"role": "user", "content": user},
        ],
        "metadata": {f"zanzibar {PLAIN}": f"{PLAIN} {MAIL}"},
    }
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
    request = urllib.request.Request(f"{proxy.url}/v1/chat/completions", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, f"{answer.headers}{answer.read().decode()}"
    except urllib.error.HTTPError as error:
        return error.code, f"{error.headers}{error.read().decode()}"
    except (OSError, HTTPException) as error:
        return 0, str(error)


def shown(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        return error.read().decode()


def assert_clean(place: str, text: str) -> None:
    for marker in MARKERS:
        assert marker not in text, (place, marker)


def assert_files_clean(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            assert_clean(str(path), path.read_bytes().decode("latin-1"))


def check_commands(proxy: Proxy, folder: Path) -> None:
    """Runs every command that reads the log, without a key."""
    record = next(record["id"] for record in proxy.records() if "sealed" in record)
    audit, out = str(proxy.audit), folder / "out"
    out.mkdir()
    policies = str(folder / "proxy" / "policies")
    for words in (
        ("audit", "verify", audit, "--json"),
        ("audit", "show", audit),
        ("audit", "show", audit, "--json"),
        ("audit", "show", audit, "--id", record),
        ("audit", "query", audit, "SELECT * FROM exchanges", "--json"),
        ("audit", "query", audit, "SELECT * FROM texts"),
        *(
            ("audit", "export", audit, "--format", form, "--out", str(out / form))
            for form in ("jsonl", "ocsf", "otel", "parquet")
        ),
        ("audit", "report", audit, "--out", str(out / "report.html")),
        ("audit", "ship", audit, "--to", "-", "--once"),
        ("replay", audit, "--policies", policies, "--report", str(out / "replay.html")),
        ("audit", "unseal", audit, record, "--key", f"file:{folder / 'no'}", "--reason", "t"),
    ):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(processes.ROOT), str(folder / "site")))}
        ran = processes.run(*words, env=environment)
        assert_clean(" ".join(words), ran.stdout + ran.stderr)
        assert "Traceback" not in ran.stderr, words
        assert ran.returncode == (2 if "unseal" in words else ran.returncode & 1), (words, ran.stderr)
    tail = processes.start("audit", "tail", audit, "--json", stdout=out / "tail")
    for _ in range(1200):
        if '"sealed":' in (out / "tail").read_text():
            break
        with suppress(subprocess.TimeoutExpired):
            tail.wait(0.05)
    assert '"sealed":' in (out / "tail").read_text()
    tail.kill()
    tail.wait(60)
    assert {path.name for path in out.iterdir()} >= {"jsonl", "ocsf", "otel", "parquet", "report.html"}
    assert_files_clean(out)


@pytest.fixture
def proxy(upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    monkeypatch.setattr("tests.e2e.rig.PLUGINS", str(crashing.install(tmp_path / "site")))
    monkeypatch.setenv("PYTHONFAULTHANDLER", "1")
    (tmp_path / "keys").mkdir()
    assert processes.run("audit", "seal-key", str(tmp_path / "keys" / "key")).returncode == 0
    options = ("--seal-key", f"file:{tmp_path / 'keys' / 'key'}", "--log-level", "debug", "--duty", "crash")
    running = serve(upstream.url, tmp_path / "proxy", POLICY, *options, "--audit-sink", "crash", *NO_BREAKER)
    yield running
    running.stop(signal.SIGKILL)


def test_no_stage_that_crashes_shows_a_text(proxy: Proxy, tmp_path: Path) -> None:
    refusing = ("codec", "scanner", "admit", "check", "writer")
    for stage in crashing.STAGES:
        for stream in (False, True):
            status, said = ask(proxy, stage, stream=stream)
            assert_clean(f"answer after {stage}", said)
            # A request arms the stages before its scan for the next one, so the second of each stage is looked at. It is a
            # stream: one whose first event carries no text may begin before the stage crashes, but must not end well.
            if stage in refusing and stream:
                assert status != 200 or "[DONE]" not in said, (stage, status, said)
        for _ in range(100):
            if ask(proxy, "none")[0] == 200:
                break
    for name in ("metrics", "livez", "readyz", "status", "version"):
        assert_clean(name, shown(f"{proxy.admin_url}/{name}"))
    assert proxy.stop() == 1  # the end crashes, too
    output = proxy.log.read_text()
    assert output.count("CrashError") >= len(crashing.STAGES) - 2, output
    assert "unexpected error in a thread: CrashError (at " in output
    assert "unexpected error that was ignored: CrashError (at " in output
    assert "unexpected error in the event loop" in output
    assert "guardproxy: unexpected error: CrashError (at " in output
    assert '"sealed":{' in (proxy.audit / "audit-0.jsonl").read_text()
    assert_files_clean(tmp_path / "proxy")
    check_commands(proxy, tmp_path)


def test_a_fatal_signal_leaves_no_text(proxy: Proxy, tmp_path: Path) -> None:
    assert ask(proxy, "none")[0] == 200
    limits = Path(f"/proc/{proxy.process.pid}/limits")
    if limits.exists():
        (line,) = [line for line in limits.read_text().splitlines() if line.startswith("Max core file size")]
        assert line.split()[4] == "0"
    # While the interpreter prints the frames of threads that go on running it may fault itself, and ends by that signal.
    assert proxy.stop(signal.SIGABRT) in (-signal.SIGABRT, -signal.SIGSEGV)
    assert "Fatal Python error: Aborted" in proxy.log.read_text()
    assert_files_clean(tmp_path / "proxy")
