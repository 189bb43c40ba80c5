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

from guardproxy.demo import mcp_agent
from tests.e2e.rig import KEY, MAIL, wait_demo, wait_printed
from tests.kit import processes
from tests.kit.browsing import Browser


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

    place = next(line.split()[1] for line in lines if line.startswith("  console "))
    address, _, login = place.partition("#")
    name, _, token = login.partition(":")
    browser = Browser(demo.admin_port)
    assert browser.when_up(address.removeprefix(browser.url))[0] == 200
    assert browser.open("/console/login", {"name": name, "token": token})[:2] == (200, "/console/now")

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


def test_an_agent_obeys_a_page_and_its_call_is_stopped(tmp_path: Path) -> None:
    output, audit = tmp_path / "output.txt", tmp_path / "audit"
    words = ["demo", "--agents", "--port", "0", "--admin-port", "0", "--audit", str(audit)]
    process = processes.start(*words, stdout=output)
    try:
        unguarded, guarded = wait_printed(process, output).split("2. Through guardproxy")
        assert unguarded.count("a stranger got: ") == len(mcp_agent.PAGES)
        assert "refused:" not in unguarded
        assert "a stranger got nothing" in guarded
        assert guarded.count("refused:") == 2, "the plain order is not read, and the other call is stopped"
        why, commands = guarded.split("The whole record:")
        assert "rules: ask-about-steered-calls" in why
        assert "arguments.to came from result.content[0].text of an earlier exchange" in why
        show, replay = (line for line in commands.splitlines() if line.startswith("guardproxy "))
        assert "ask-about-steered-calls" in processes.run(*shlex.split(show)[1:]).stdout
        replayed = processes.run(*shlex.split(replay)[1:])
        assert (replayed.returncode, " 0 different" in replayed.stdout) == (0, True)
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(timeout=60)
    assert code == 0
    assert "Traceback" not in output.read_text("utf-8")


def test_an_agent_needs_free_ports_too(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        words = ["demo", "--agents", "--audit", str(tmp_path), "--port", str(holder.getsockname()[1])]
        done = processes.run(*words, "--admin-port", "0")
    assert (done.returncode, "cannot start" in done.stderr) == (2, True)
