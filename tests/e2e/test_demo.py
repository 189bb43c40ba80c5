"""`guardproxy demo`: what it prints can be pasted, and Ctrl-C leaves nothing behind."""

from __future__ import annotations

import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.rig import KEY, MAIL, wait_demo
from tests.kit import processes


@dataclass(slots=True)
class Demo:
    process: processes.Process
    port: int
    admin_port: int
    output: Path

    @property
    def text(self) -> str:
        return self.output.read_text(encoding="utf-8")


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    output = tmp_path / "output.txt"
    words = ["demo", "--port", "0", "--admin-port", "0", "--audit", str(tmp_path / "audit"), "--no-model"]
    process = processes.start(*words, stdout=output)
    try:
        yield Demo(process, *wait_demo(process, output), output)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def pasted(command: str) -> str:
    return subprocess.run(["sh", "-c", command], capture_output=True, timeout=60, check=True).stdout.decode()


def test_what_it_prints_can_be_pasted_and_control_c_ends_it(demo: Demo) -> None:
    lines = demo.text.splitlines()
    first, attack = (line for line in lines if line.startswith("curl "))
    if shutil.which("curl"):
        answer = pasted(first)
        assert "[DONE]" in answer
        assert "HTTP/1.1 400" in pasted(attack)
        received = [line for line in demo.text.splitlines() if "the model received: " in line]
        assert len(received) == 1
        assert "thank-you note" in received[0]
        assert MAIL not in received[0]
    begin = lines.index("from openai import OpenAI")
    snippet = "\n".join(lines[begin : begin + 4])
    done = subprocess.run([sys.executable, "-c", snippet], capture_output=True, timeout=60, check=True)
    assert b"Here is the key" in done.stdout
    assert KEY.encode() not in done.stdout

    shown = [line for line in lines if line.startswith("guardproxy audit ")]
    assert [line.split()[2] for line in shown] == ["show", "verify"]
    for line in shown:  # the demo's own log
        assert processes.run(*shlex.split(line)[1:]).returncode == 0

    folder = shlex.split(shown[0])[-1]
    second = processes.run("demo", "--no-model", "--port", "0", "--admin-port", "0", "--audit", folder)
    assert (second.returncode, "another folder: --audit" in second.stderr) == (2, True)

    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(timeout=60) == 0
    assert "Traceback" not in demo.text
    for port in (demo.port, demo.admin_port):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            probe.listen()


def test_a_taken_port_is_said_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        words = ["demo", "--no-model", "--audit", str(tmp_path), "--port", str(holder.getsockname()[1])]
        done = processes.run(*words, "--admin-port", "0")
    assert done.returncode == 2
    assert "Traceback" not in done.stdout + done.stderr
    assert "cannot start" in done.stderr
