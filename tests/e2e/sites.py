"""Example packages: built as wheels and installed into folders of their own, without a network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.e2e.rig import ROOT


def wheel_site(example: Path, folder: Path) -> Path:
    """A folder with the package installed, as `pip install` does it. `folder`: an empty one to work in."""
    source = folder / "source"
    shutil.copytree(example, source, ignore=shutil.ignore_patterns("__pycache__"))
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(source)]
    subprocess.run(build, check=True, capture_output=True, timeout=300)
    (wheel,) = folder.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps"]
    pip += ["--target", str(folder / "site"), str(wheel)]
    subprocess.run(pip, check=True, capture_output=True, timeout=300)
    return folder / "site"


def run(site: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs Python with the packages of a site."""
    env = {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{ROOT}"}
    return subprocess.run(
        [sys.executable, *words], cwd=site, env=env, capture_output=True, text=True, timeout=120, check=False
    )
