"""The wheel holds everything that a server needs: it is built, unpacked into an empty folder, and used from there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.e2e.rig import ROOT
from tests.kit.plain_texts import OVERRIDE


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(folder / "site")
    return folder / "site"


def run(site: Path, *words: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """The package of the wheel, not the one of the checkout."""
    env = {**os.environ, "PYTHONPATH": str(site)}
    return subprocess.run(
        [sys.executable, "-P", "-m", "guardproxy", *words],
        cwd=site.parent,
        env=env,
        input=text,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_package_of_the_wheel_is_tested(unpacked: Path) -> None:
    where = subprocess.run(
        [sys.executable, "-P", "-c", "import guardproxy; print(guardproxy.__file__)"],
        env={**os.environ, "PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.startswith(str(unpacked))
    shipped = unpacked / "guardproxy" / "_data" / "policies"
    kept = {path.relative_to(ROOT / "policies"): path.read_bytes() for path in (ROOT / "policies").rglob("*.yaml")}
    assert kept == {path.relative_to(shipped): path.read_bytes() for path in shipped.rglob("*.yaml")}


def test_the_shipped_policies_go_by_their_names(unpacked: Path) -> None:
    ran = run(unpacked, "policy", "test", "payments", "structured-output")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.rstrip().endswith("0 failed")
    ran = run(unpacked, "policy", "init", "strict", str(unpacked.parent / "mine"))
    assert ran.returncode == 0, ran.stderr
    assert (unpacked.parent / "mine" / "strict.yaml").is_file()


def test_scan_uses_the_shipped_policy_and_model(unpacked: Path) -> None:
    ran = run(unpacked, "scan", text=json.dumps({"id": 1, "text": OVERRIDE}) + "\n")
    assert ran.returncode == 1
    assert '"decision": "block"' in ran.stdout


def test_types_are_shipped(unpacked: Path) -> None:
    assert (unpacked / "guardproxy" / "py.typed").is_file()


def test_no_test_no_picture_and_no_data_to_train_on_is_shipped(unpacked: Path) -> None:
    assert not [*unpacked.rglob("*.png")]
    models = unpacked / "guardproxy" / "_data" / "models"
    assert not [path for path in models.rglob("*") if path.suffix in (".py", ".jsonl", ".txt") or path.name == "own"]
    names = {path.name for path in unpacked.iterdir()}
    assert names <= {"guardproxy"} | {name for name in names if name.endswith(".dist-info")}
