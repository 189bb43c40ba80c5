"""The releases of Python that guardproxy runs on: one range in the package, the Makefile and the pages."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
MINORS = [int(text.rpartition(".")[2]) for text in PROJECT["classifiers"] if "Python :: 3." in text]


def test_the_range_is_the_same_everywhere() -> None:
    assert list(range(MINORS[0], MINORS[-1] + 1)) == MINORS
    assert PROJECT["requires-python"] == f">=3.{MINORS[0]},<3.{MINORS[-1] + 1}"
    for name in ("README.md", "CONTRIBUTING.md", "docs/quickstart.md", "Makefile"):
        said = re.findall(r"Python (3\.\d+) to (3\.\d+)", (ROOT / name).read_text("utf-8"))
        assert said == [(f"3.{MINORS[0]}", f"3.{MINORS[-1]}")], name


@pytest.mark.parametrize("goal", ["run", "test"])
@pytest.mark.parametrize(
    "version", [(2, 7), (3, MINORS[0] - 1), *((3, minor) for minor in MINORS), (3, MINORS[-1] + 1)]
)
def test_make_says_which_python_to_name(tmp_path: Path, version: tuple[int, int], goal: str) -> None:
    """The interpreter says that it is another one, and makes no environment, so that every goal ends at once."""
    fake = tmp_path / "python3"
    program = f"import sys; sys.version_info = {version}; exec(sys.argv[1])"
    fake.write_text(f'#!/bin/sh\n[ "$1" = -c ] && exec {sys.executable} -c "{program}" "$2"\nexit 0\n')
    fake.chmod(0o755)
    words = ["make", goal, f"PYTHON={fake}", f"VENV={tmp_path / 'venv'}", "INSTALLER=pip"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    advice = f"guardproxy needs Python 3.{MINORS[0]} to 3.{MINORS[-1]}, and {fake} is {version[0]}.{version[1]}. "
    advice += f"Name another one: make {goal} PYTHON=python3.12"
    assert (advice in done.stderr) == (version not in [(3, minor) for minor in MINORS])
    assert done.returncode != 0
