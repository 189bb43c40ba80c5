"""The programs of `docs/apps/` that need client libraries of their own: each runs against a demo and prints what the page says.

Such a block begins with a comment that installs the library.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.rig import ROOT, wait_demo
from tests.e2e.test_clients import NODE, PYTHON
from tests.kit import processes
from tools.pages.blocks import Block, blocks

pytestmark = pytest.mark.clients
PROGRAMS = [block for kind in ("python", "js") for block in blocks(kind) if block.is_run and block.needs]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a demo."""
    folder = tmp_path_factory.mktemp("demo")
    words = ["demo", "--no-model", "--port", "0", "--admin-port", "0", "--audit", str(folder / "audit")]
    demo = processes.start(*words, stdout=folder / "demo.txt")
    try:
        yield wait_demo(demo, folder / "demo.txt")[0]
    finally:
        demo.send_signal(signal.SIGINT)
        assert demo.wait(60) == 0


@pytest.mark.parametrize("block", PROGRAMS, ids=str)
def test_a_program_prints_what_the_page_says(port: int, tmp_path: Path, block: Block) -> None:
    text = block.text.replace("127.0.0.1:8080", f"127.0.0.1:{port}")
    if block.kind == "python":
        command, folder = [str(PYTHON), "-W", "ignore", "-c", text], tmp_path
    else:  # imports are looked for from the folder in which node runs
        command, folder = ["node", "--input-type=module", "--eval", text], NODE
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=240, check=False)
    assert ran.returncode == 0, ran.stderr
    assert block.prints
    assert block.prints in ran.stdout
