"""Every code block of the README and of `docs/` runs, in the order in which a reader meets them, and prints what it shows.

`...` in shown output stands for any text, and a placeholder for any placeholder of its label. A block that cannot run in a test
begins with `# not run in tests: REASON`; `NOT_RUN` lists all of them. One demo serves all pages.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anthropic
import httpx
import openai
import pytest
import typer
from typer.testing import CliRunner

from guardproxy import config
from guardproxy.cli import app
from guardproxy.gateway import read_limits
from tests.e2e.rig import ROOT, wait_demo, wait_logged
from tests.kit import processes
from tools.pages.blocks import Block, blocks

# The pages that have blocks which cannot run in a test, and how many.
NOT_RUN = {
    "docs/apps/llamaindex.md": 1,  # LlamaIndex needs an older release of OpenAI's package than the other clients
    "docs/agents/confirm.md": 1,  # a call that waits; `test_confirm.py` approves one
    "docs/operations/adapters.md": 5,  # other gateways (`test_gateways.py`), pip, and the SDK (`test_adapter_port.py`)
    "docs/console/models.md": 1,  # labelled texts of a reader
    "docs/console/review.md": 1,  # a hundred verdicts; `console/pages/review` tests run the commands on some
    "docs/operations/image.md": 3,  # Docker; `deploy/image/try.sh` runs the steps of the image without it
    "docs/operations/index.md": 2,  # a GPU twice
    "docs/operations/kubernetes.md": 5,  # a cluster
    "docs/operations/tls.md": 1,  # a part of the configuration of Prometheus
    "docs/operations/systemd.md": 2,  # systemd, as root
    "docs/audit/verify.md": 1,  # a second machine
    "docs/audit/reading.md": 1,  # a browser; `test_report_print.py` prints where there is one
    "docs/audit/proof.md": 1,  # a collector and a bucket; `test_audit_signed.py` copies to both
    "docs/audit/replay.md": 2,  # a cluster, and its machines
    "docs/models/distil.md": 1,  # a log with hundreds of verdicts; `cli/model/test_distil.py` writes one
    "docs/policies/judge.md": 1,  # a judge; `cli/test_judging.py` asks a scripted one
    "docs/plugins/index.md": 1,  # pip; `test_plugin.py` installs the check
    "docs/plugins/sink.md": 1,  # an installed package; `test_plugin.py` opens the sink
    "docs/plugins/duty.md": 1,  # the same; `test_plugin_duty.py` runs the duty
    "docs/plugins/format.md": 1,  # a part of a file
}
# Commands that end with exit code 1, because they find something.
OF_THE_SHELL = "$`*?~&;<>|(){}\n\\"  # signs that give a command another meaning than that of its words
FINDING = (" scan", " import litellm ", "policy explain ", " diff ", "policy lint wrong")
SEALED = "private"  # the folder of the page about sealed texts


def of(kind: str) -> list[Block]:
    """The blocks of a language that a test can run. A block that shows a file of the repository is compared with the file."""
    return [block for block in blocks(kind) if block.is_run and not block.is_shown_file]


@dataclass(frozen=True, slots=True)
class Command:
    """A command of a console block and the output that is shown for it."""

    block: Block
    text: str
    shown: str

    def __str__(self) -> str:
        return f"{self.block.page}: {self.text[:60]}"


def commands() -> Iterator[Command]:
    for block in of("console"):
        for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
            text, _, shown = part.partition("\n")
            yield Command(block, text, shown.strip())


def shell_lines() -> Iterator[tuple[Block, str]]:
    for block in of("sh"):
        for line in block.text.replace("\\\n", " ").strip().splitlines():
            yield block, line


SERVED = [line for _, line in shell_lines() if line.startswith("guardproxy serve")]


def matches(shown: str, printed: str) -> bool:
    """Whether the shown line is in the printed text."""
    pattern = re.escape(shown).replace(r"\.\.\.", ".*")
    pattern = re.sub(r"(\\\[[A-Z_]+_)[a-z]{12}(\\\])", r"\1[a-z]{12}\2", pattern)
    return re.search(pattern, printed, re.DOTALL) is not None


def is_policy(block: Block) -> bool:
    return re.search(r"^policy:", block.text, re.MULTILINE) is not None


def saved() -> dict[str, str]:
    """The files that pages have their reader save, by path: a block whose first line is a comment with a path."""
    return {block.file: block.text for block in blocks() if block.file and not block.is_shown_file}


def write(folder: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, "utf-8")


@dataclass
class Desk:
    """A folder as a reader has it: the policies, the saved files, a running demo and its audit log."""

    folder: Path
    port: int
    admin_port: int
    env: dict[str, str]

    def serve_sealed(self) -> None:
        """Runs the serve command of the page about sealed texts, once, and sends it the exchange that the page tells of."""
        if (self.folder / SEALED).exists():
            return
        (line,) = (line for line in SERVED if f"--audit {SEALED}" in line)
        words = shlex.split(line.replace("https://api.openai.com", f"http://127.0.0.1:{self.port}"))
        output = self.folder / "sealed.txt"
        server = processes.start(
            *words[1:], "--port", "0", "--admin-port", "0", stdout=output, cwd=self.folder, env=self.env
        )
        try:
            (said,) = wait_logged(server, output, "listening")
            body = {
                "model": "scripted",
                "user": "ann",
                "messages": [{"role": "user", "content": "My card is 4111111111111111."}],
            }
            url = f"http://127.0.0.1:{said['port']}/v1/chat/completions"
            httpx.post(url, json=body, timeout=60).raise_for_status()
        finally:
            server.send_signal(signal.SIGINT)
            assert server.wait(60) == 0

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        command = command.replace("127.0.0.1:8080", f"127.0.0.1:{self.port}")
        command = command.replace("127.0.0.1:9090", f"127.0.0.1:{self.admin_port}")
        before, _, last = command.rpartition(" | ")
        if last.startswith("guardproxy ") and not set(last) & set(OF_THE_SHELL):
            stdin = self.bash(before).stdout if before else ""
            return processes.run(*shlex.split(last)[1:], cwd=self.folder, env=self.env, stdin=stdin)
        return self.bash(command)

    def bash(self, command: str) -> subprocess.CompletedProcess[str]:
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
    for name in ("policies", "examples"):
        (folder / name).symlink_to(ROOT / name)
    write(folder, saved())
    (folder / "bin").mkdir()
    shim = folder / "bin" / "guardproxy"
    shim.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m guardproxy "$@"\n')
    shim.chmod(0o755)
    python_path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    env = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": python_path}
    words = ["demo", "--no-model", "--port", "0", "--admin-port", "0", "--audit", "audit"]
    demo = processes.start(*words, stdout=folder / "demo.txt", cwd=folder, env=env)
    try:
        port, admin_port = wait_demo(demo, folder / "demo.txt")
        body = {
            "model": "scripted",
            "messages": [{"role": "user", "content": "echo: hello"}],
        }  # the log's first line
        httpx.post(f"http://127.0.0.1:{port}/v1/chat/completions", json=body, timeout=60).raise_for_status()
        yield Desk(folder, port, admin_port, env)
    finally:
        demo.send_signal(signal.SIGINT)
        assert demo.wait(60) == 0


@pytest.mark.parametrize("command", list(commands()), ids=str)
def test_a_command_prints_what_is_shown(desk: Desk, command: Command) -> None:
    if f" {SEALED} " in f"{command.text} ":
        desk.serve_sealed()
    ran = desk.run(command.text)
    assert ran.returncode == any(word in command.text for word in FINDING), ran.stderr
    for line in command.shown.splitlines():
        assert matches(line, ran.stdout), f"{line!r} is not in {ran.stdout!r}"


def test_what_the_model_received_is_what_is_shown(desk: Desk) -> None:
    shown = {block.text.strip() for block in blocks("text") if "the model received" in block.text}
    assert shown
    assert all(matches(text, (desk.folder / "demo.txt").read_text()) for text in shown)


@pytest.mark.parametrize("block", [block for block in of("python") if not block.needs], ids=str)
def test_a_program_prints_what_the_page_says(desk: Desk, block: Block) -> None:
    ran = desk.run(f"{shlex.quote(sys.executable)} -W error -c {shlex.quote(block.text)}")
    assert ran.returncode == 0, ran.stderr
    assert block.prints, "the sentence after the block says what it prints"
    assert matches(block.prints, ran.stdout)


def policy_folders() -> dict[str, dict[str, str]]:
    """The files of each folder of policies, by the page or the path of the folder. A policy may extend its neighbour."""
    folders: dict[str, dict[str, str]] = {}
    for block in of("yaml"):
        if not is_policy(block):
            continue
        if block.file:
            top = block.file.split("/", maxsplit=1)[0]
            folders[f"{top}/"] = {path: text for path, text in saved().items() if path.startswith(f"{top}/")}
        else:
            folders[str(block)] = {"policies/policy.yaml": block.text}
    return folders


def cli(*arguments: str) -> Any:
    """The command line, in this process: the models are imported once."""
    return CliRunner().invoke(app, list(arguments))


@pytest.mark.parametrize("name", list(policy_folders()))
def test_a_policy_loads_and_passes_its_own_tests(tmp_path: Path, name: str) -> None:
    files = policy_folders()[name]
    write(tmp_path, files)
    folder = str(tmp_path / next(iter(files)).split("/", maxsplit=1)[0])
    linted = cli("policy", "lint", folder)  # notes on costs and on texts that are not scanned are fine
    assert re.search(r"^(1 policy|\d policies), no errors(, .*)?$", linted.stdout, re.MULTILINE), linted.stdout
    tested = cli("policy", "test", folder)
    assert tested.exit_code == 0, tested.stdout
    assert re.search(r"^[1-9]\d* passed, 0 failed$", tested.stdout, re.MULTILINE), tested.stdout


@pytest.mark.parametrize("block", of("toml"), ids=str)
def test_settings_can_be_used(tmp_path: Path, block: Block) -> None:
    assert tomllib.loads(block.text)
    if "[[limit]]" in block.text:
        read_limits(block.text.encode(), str(block))
        return
    write(tmp_path, {"guardproxy.toml": block.text})
    config.load({}, {}, tmp_path / "guardproxy.toml")


def test_the_shown_record_has_the_keys_of_a_real_record(desk: Desk) -> None:
    (block,) = (block for block in of("json") if block.page == "docs/audit/index.md")
    lines = [json.loads(line) for line in (desk.folder / "audit" / "audit-0.jsonl").read_text("utf-8").splitlines()]
    real = next(line for line in lines if line.get("outcome") == "answered")
    assert_keys(json.loads(block.text), real)
    listed = re.findall(
        r"`([\w]+)`", "".join(re.findall(r"^\| `.*? \|", (ROOT / block.page).read_text("utf-8"), re.MULTILINE))
    )
    assert real.keys() <= set(listed)


def assert_keys(shown: Any, real: Any) -> None:
    """Fails unless each key that is shown is a key of the real record, at the same place."""
    if isinstance(shown, dict):
        assert isinstance(real, dict)
        assert shown.keys() <= real.keys() or not real
        for key, value in shown.items():
            if key in real:
                assert_keys(value, real[key])
    elif isinstance(shown, list) and shown and real:
        assert isinstance(real, list)
        assert_keys(shown[0], real[0])


def test_a_mistake_is_reported_as_is_said(desk: Desk) -> None:
    text = next(block.text for block in of("yaml") if block.page == "README.md")
    write(desk.folder, {"wrong/support.yaml": text.replace("action: redact, restore", "action: redcat, restore")})
    assert re.match(r"wrong/support\.yaml:\d+:\d+: .*redact", desk.run("guardproxy policy lint wrong").stdout)


@pytest.mark.parametrize("line", sorted({line for _, line in shell_lines() if line.startswith("make ")}))
def test_a_make_target_exists(line: str) -> None:
    ran = subprocess.run(["make", "-n", *shlex.split(line)[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("line", SERVED)
def test_a_serve_command_has_settings_that_can_be_used(desk: Desk, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    """The command ends where its settings are read: only two commands really start."""
    monkeypatch.chdir(desk.folder)
    read = config.load
    found: list[config.Config] = []

    def load_and_end(*arguments: Any, **options: Any) -> config.Config:
        found.append(read(*arguments, **options))
        raise typer.Exit

    monkeypatch.setattr("guardproxy.cli.serve.load", load_and_end)
    ran = cli(*shlex.split(line)[1:])
    assert ran.exit_code == 0, ran.output
    (settings,) = found
    folder = settings.policies.folder
    assert folder is None or folder.name in POLICIES or folder.is_dir()


POLICIES = [path.name for path in (ROOT / "policies").iterdir() if path.is_dir()]


def test_the_first_serve_command_starts(desk: Desk) -> None:
    words = shlex.split(SERVED[0].replace("--audit audit", "--audit served"))
    command = [*words, "--port", "0", "--admin-port", "0"]
    with (desk.folder / "served.txt").open("wb") as output:
        server = subprocess.Popen(command, cwd=desk.folder, env=desk.env, stdout=output, stderr=output)
        try:
            wait_logged(server, desk.folder / "served.txt", "listening")
        finally:
            server.terminate()
        assert server.wait(60) == 0


def test_the_errors_of_sdks_are_those_of_the_page() -> None:
    rows = re.findall(
        r"^\| (\d{3}) \| `(\w+)` \| `(\w+)` \|", (ROOT / "docs/apps/index.md").read_text("utf-8"), re.MULTILINE
    )
    sdks: tuple[Any, Any] = openai.OpenAI(api_key="any"), anthropic.Anthropic(api_key="any")
    assert len(rows) == 7
    for status, *names in rows:
        answer = SimpleNamespace(status_code=int(status), headers={}, request=None)
        raised = [type(sdk._make_status_error("m", body={}, response=answer)).__name__ for sdk in sdks]
        assert raised == names, status


def test_no_block_is_left_out() -> None:
    """A new kind of block, or a new shell command, must be given a test."""
    kinds = {
        "sh",
        "console",
        "python",
        "js",
        "ini",
        "yaml",
        "toml",
        "json",
        "text",
        "sql",
    }  # tests/unit/reading/test_sql.py runs `sql`, test_docs_clients.py `js`
    assert {block.kind for block in blocks()} <= kinds
    assert [line for _, line in shell_lines() if not line.startswith(("make ", "guardproxy serve"))] == []
    assert [str(block) for block in of("yaml") if not is_policy(block)] == []
    assert [str(block) for block in of("python") if block.file] == [], "a program that a page has its reader save"


def test_the_blocks_that_do_not_run_are_these() -> None:
    skipped = [block.page for block in blocks() if not block.is_run]
    assert {page: skipped.count(page) for page in skipped} == NOT_RUN
