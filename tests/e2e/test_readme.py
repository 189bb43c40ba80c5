"""Every command and every block of the README runs, in the order in which a reader meets them, and prints what it shows.

`...` in shown output stands for anything, and a placeholder for any placeholder of its label.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.rig import ROOT, wait_demo, wait_logged

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
README = (ROOT / "README.md").read_text("utf-8")


def blocks(kind: str) -> list[str]:
    return [text for name, text in BLOCK.findall(README) if name == kind]


def console() -> list[tuple[str, str]]:
    """Every command of a console block with the output that is shown for it."""
    found = []
    for block in blocks("console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            found.append((command, shown.strip()))
    return found


def matches(shown: str, printed: str) -> bool:
    pattern = re.escape(shown).replace(r"\.\.\.", ".*")
    pattern = re.sub(r"(\\\[[A-Z_]+_)[a-z]{12}(\\\])", r"\1[a-z]{12}\2", pattern)
    return re.search(pattern, printed, re.DOTALL) is not None


def saved() -> dict[str, str]:
    """The policies that the README has its reader save: their first line is a comment with their path."""
    named = (re.match(r"# (\S+\.yaml)\n", text) for text in blocks("yaml"))
    return {match[1]: match.string for match in named if match}


@dataclass
class Desk:
    """A folder as a reader has it: the policies beside them, a running demo, its audit log."""

    folder: Path
    port: int
    env: dict[str, str]

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        command = command.replace("127.0.0.1:8080", f"127.0.0.1:{self.port}")
        return subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("desk")
    (folder / "policies").symlink_to(ROOT / "policies")
    for path, text in saved().items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text)
    (folder / "bin").mkdir()
    shim = folder / "bin" / "guardproxy"
    shim.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m guardproxy "$@"\n')
    shim.chmod(0o755)
    python_path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    env = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": python_path}
    command = ["guardproxy", "demo", "--no-model", "--port", "0", "--admin-port", "0"]
    with (folder / "demo.txt").open("wb") as output:
        demo = subprocess.Popen([*command, "--audit", "audit"], cwd=folder, env=env, stdout=output, stderr=output)
        try:
            yield Desk(folder, wait_demo(demo, folder / "demo.txt")[0], env)
        finally:
            demo.send_signal(signal.SIGINT)
            assert demo.wait(30) == 0


@pytest.mark.parametrize(("command", "shown"), console(), ids=[command[:60] for command, _ in console()])
def test_a_command_prints_what_is_shown(desk: Desk, command: str, shown: str) -> None:
    ran = desk.run(command)
    found = any(word in command for word in (" scan ", " explain ", " diff "))  # all of them find something
    assert ran.returncode == (1 if found else 0), ran.stderr
    for line in shown.splitlines():
        assert matches(line, ran.stdout), f"{line!r} is not in {ran.stdout!r}"


def test_what_the_model_received_is_what_is_shown(desk: Desk) -> None:
    (shown,) = [block.strip() for block in blocks("text") if "the model received" in block]
    assert matches(shown, (desk.folder / "demo.txt").read_text())


def test_the_python_block_prints_what_the_text_says(desk: Desk) -> None:
    (code,) = blocks("python")
    said = re.search(r"prints `(Here is .*?)`", README)
    assert said
    ran = desk.run(f"{shlex.quote(sys.executable)} -c {shlex.quote(code)}")
    assert matches(said[1], ran.stdout), ran.stderr


@pytest.mark.parametrize("text", blocks("yaml"), ids=lambda text: text.partition("\n")[0])
def test_a_policy_loads_and_passes_its_own_tests(tmp_path: Path, desk: Desk, text: str) -> None:
    folder = tmp_path
    for path, other in saved().items():  # a policy may extend one that stands beside it
        if text in saved().values() and Path(path).parent == Path(text.split()[1]).parent:
            (folder / Path(path).name).write_text(other)
    if text not in saved().values():
        (folder / "policy.yaml").write_text(text)
    said = desk.run(
        f"guardproxy policy lint {tmp_path}"
    ).stdout  # what a retry costs, and what is not scanned, are notes
    assert re.search(r"^(1 policy|\d policies), no errors(, .*)?$", said, re.MULTILINE), said
    ran = desk.run(f"guardproxy policy test {tmp_path}")
    assert ran.returncode == 0, ran.stdout
    assert re.search(r"^[1-9]\d* passed, 0 failed$", ran.stdout, re.MULTILINE)


def test_a_mistake_is_answered_as_is_said(desk: Desk) -> None:
    (desk.folder / "wrong").mkdir(exist_ok=True)
    (desk.folder / "wrong" / "support.yaml").write_text(
        blocks("yaml")[0].replace("action: redact, restore", "action: redcat, restore")
    )
    assert re.match(r"wrong/support\.yaml:\d+:\d+: .*redact", desk.run("guardproxy policy lint wrong").stdout)


def shell_lines() -> list[str]:
    return [line for block in blocks("sh") for line in block.strip().splitlines()]


@pytest.mark.parametrize("line", [line for line in shell_lines() if line.startswith("make ")])
def test_a_make_target_exists(line: str) -> None:
    ran = subprocess.run(["make", "-n", *shlex.split(line)[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("line", [line for line in shell_lines() if line.startswith("guardproxy serve")])
def test_a_served_command_starts(desk: Desk, line: str) -> None:
    words = shlex.split(line.replace("--audit audit", "--audit served"))
    command = [*words, "--port", "0", "--admin-port", "0"]
    with (desk.folder / "served.txt").open("wb") as output:
        server = subprocess.Popen(command, cwd=desk.folder, env=desk.env, stdout=output, stderr=output)
        try:
            wait_logged(server, desk.folder / "served.txt", "listening")
        finally:
            server.terminate()
        assert server.wait(30) == 0


def test_no_block_is_left_out() -> None:
    """A new kind of block, or a new shell command, must be given a test."""
    assert {kind for kind, _ in BLOCK.findall(README)} == {"sh", "console", "python", "yaml", "text"}
    assert all(line.startswith(("make ", "guardproxy serve")) for line in shell_lines())
