"""Texts of the playground leave no trace: in no file, no log, no metric and on no connection."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.console import FakeProxy, console_site

MARK = "zq7-unmistakable-zq7"
POLICY = """
policy: far
checks:
  word: {use: pattern, label: WORD, words: [MARK]}
  service: {use: http, url: "http://127.0.0.1:PORT/"}
  judge: {use: llm, upstream: other, model: m, question: "Is it fine?"}
rules:
  - {id: word, on: request, when: word, action: redact, alert: {webhook: "http://127.0.0.1:PORT/alert"}}
  - {id: service, on: request, when: service, action: block}
  - {id: judge, on: response, when: judge, action: block}
"""
GUARDED = """
import os, socket, subprocess, sys, tempfile
from guardproxy.console.pages.policies.workbench import guard, limit
path = sys.argv[1]
limit()
kept = os.open(path + "/kept", os.O_CREAT | os.O_WRONLY)
try:
    os.write(kept, b"x")
except OSError as error:
    print("write:", type(error).__name__)
guard()
def refused(work):
    try:
        work()
    except PermissionError:
        return "refused"
    return "done"
print(refused(lambda: socket.create_connection(("127.0.0.1", int(sys.argv[2])))))
print(refused(lambda: socket.getaddrinfo("localhost", 1)))
print(refused(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9))))
print(refused(lambda: socket.socket(socket.AF_UNIX).connect(path + "/socket")))
print(refused(lambda: subprocess.run(["true"])))
print(refused(lambda: os.system("true")))
print(refused(lambda: open(path + "/a", "w")))
print(refused(lambda: open(path + "/kept", "rb+")))
print(refused(lambda: os.open(path + "/b", os.O_CREAT | os.O_WRONLY)))
print(refused(lambda: os.rename(path + "/kept", path + "/c")))
print(refused(lambda: os.mkdir(path + "/d")))
print(refused(lambda: open(path + "/kept").read()))
print(refused(lambda: open(os.devnull, "w").close()))
"""


def about(process: int) -> bytes:
    """Returns what others can see of a process."""
    return b"".join(Path(f"/proc/{process}/{name}").read_bytes() for name in ("cmdline", "environ"))


def marked_files(folder: Path) -> list[Path]:
    """Returns the files that hold the text."""
    return [path for path in folder.rglob("*") if path.is_file() and MARK.encode() in path.read_bytes()]


async def test_texts_leave_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("home", "tmp", "audit", "policies"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    caplog.set_level(logging.DEBUG)
    connections: list[str] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append("connected")
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    text = POLICY.replace("PORT", str(port)).replace("[MARK]", f"[{MARK[:3]}]")
    (tmp_path / "policies" / "far.yaml").write_text(text)
    proxy = FakeProxy(answers={"/all/version": "{}"})
    async with server, console_site(audit=tmp_path / "audit", policies=tmp_path / "policies", proxy=proxy) as site:
        fields = {"request": f"hear {MARK} \ud800", "answer": f"say {MARK}", "size": "3"}
        for more in (
            {},
            {"with_models": "yes"},
            {"kind": MARK},
            {"route": MARK},
            {"id": MARK},
            {"tenant": MARK, "model": MARK},
        ):
            sent = {name: value.encode("utf-8", "replace").decode() for name, value in {**fields, **more}.items()}
            answer = await site.post("reviewer", "/console/policies/play", sent)
            assert answer.status == 200
        assert "Not run here, since they ask services or models elsewhere: judge, service." in answer.text
        assert MARK in answer.text
        await site.post("reviewer", "/console/policies/playground", fields | {"request": MARK})
        bench = site.console.shared["policies"].workshop.bench
        assert MARK.encode() not in about(bench.process.pid)
        metrics = [record.getMessage() + str(record.__dict__) for record in caplog.records]
    assert connections == []
    assert not any(MARK in text for text in metrics)
    assert marked_files(tmp_path) == []
    assert proxy.posted == []


def test_the_workbench_connects_to_nothing_starts_nothing_and_writes_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", GUARDED, str(tmp_path), "9"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ran.stdout.split("\n") == ["write: OSError", *["refused"] * 11, "done", "done", ""], ran.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept"]
    assert (tmp_path / "kept").read_bytes() == b""
