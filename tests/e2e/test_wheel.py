"""The wheels of the code, the models and their networks for a GPU: built, installed into empty environments, and used there."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import sysconfig
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import pytest

from guardproxy.inference.folders.folder import GPU_FILE
from tests.e2e.rig import ROOT, Upstream, wait_logged
from tests.kit.plain_texts import OVERRIDE

PROJECTS = {"guardproxy": ".", "guardproxy_models": "models", "guardproxy_models_gpu": "models/gpu"}
CODE_BYTES = 4_000_000
"""Above that, something is in the wheel of the code that is no code."""
ATTACKS = """\
policy: attacks
checks:
  attack: {use: supervisor, label: injection, threshold: 1%}
  names: {use: pii, entities: [PERSON]}
rules:
  - {id: no-attacks, on: user, when: attack, action: block}
  - {id: no-names, on: user, when: names, action: redact}
"""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("wheels")
    for project in PROJECTS.values():
        command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
        subprocess.run([*command, str(ROOT / project)], check=True, capture_output=True, timeout=300)
    return {wheel.name.partition("-")[0]: wheel for wheel in folder.glob("*.whl")}


class Environment:
    """A virtual environment with wheels of this project, and with the packages that they need from that of the tests."""

    def __init__(self, folder: Path, *wheels: Path) -> None:
        self.folder = folder
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=300)
        (site,) = folder.glob("lib/python*/site-packages")
        self.site = site
        # Files `.pth` of a folder that is added so are not read: an editable installation is not seen.
        (site / "needed.pth").write_text(sysconfig.get_path("purelib") + "\n")
        pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--no-index"]
        install = [*pip, "--no-deps", "--disable-pip-version-check", *map(str, wheels)]
        subprocess.run(install, check=True, capture_output=True, timeout=300)

    @property
    def program(self) -> str:
        return str(self.folder / "bin" / "guardproxy")

    @property
    def variables(self) -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(self, *words: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """The program of the wheel, not that of the checkout."""
        return subprocess.run(
            [self.program, *words],
            cwd=self.folder,
            env=self.variables,
            input=text,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@pytest.fixture(scope="module")
def whole(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The code and the models."""
    return Environment(tmp_path_factory.mktemp("whole"), wheels["guardproxy"], wheels["guardproxy_models"])


@pytest.fixture(scope="module")
def code(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The code alone."""
    return Environment(tmp_path_factory.mktemp("code"), wheels["guardproxy"])


def names(wheel: Path) -> set[str]:
    """The files of a wheel, without what describes it."""
    with zipfile.ZipFile(wheel) as file:
        return {name for name in file.namelist() if ".dist-info/" not in name}


def test_the_package_of_the_wheel_is_tested(code: Environment) -> None:
    where = [str(code.folder / "bin" / "python"), "-P", "-c", "import guardproxy; print(guardproxy.__file__)"]
    ran = subprocess.run(where, cwd=code.folder, env=code.variables, capture_output=True, text=True, check=True)
    assert ran.stdout.startswith(str(code.site))
    shipped = code.site / "guardproxy" / "_data" / "policies"
    kept = {path.relative_to(ROOT / "policies"): path.read_bytes() for path in (ROOT / "policies").rglob("*.yaml")}
    assert kept == {path.relative_to(shipped): path.read_bytes() for path in shipped.rglob("*.yaml")}
    assert (code.site / "guardproxy" / "py.typed").is_file()


def test_a_release_of_the_code_is_small_and_holds_nothing_else(wheels: dict[str, Path]) -> None:
    assert wheels["guardproxy"].stat().st_size < CODE_BYTES
    assert {name.partition("/")[0] for name in names(wheels["guardproxy"])} == {"guardproxy"}


def test_the_models_ship_with_every_file_that_is_listed_and_with_their_cards(wheels: dict[str, Path]) -> None:
    listed = {
        f"guardproxy_models/{sums.parent.name}/{name}"
        for sums in (ROOT / "models").glob("*/SHA256SUMS")
        for name in ("SHA256SUMS", "card.md", *(line.split()[1] for line in sums.read_text().splitlines()))
    }
    for_a_gpu = {name for name in listed if name.endswith(f"/{GPU_FILE}")}
    assert names(wheels["guardproxy_models"]) == listed - for_a_gpu
    assert names(wheels["guardproxy_models_gpu"]) == for_a_gpu


def test_the_networks_for_a_gpu_fit_the_models(wheels: dict[str, Path]) -> None:
    with (
        zipfile.ZipFile(wheels["guardproxy_models"]) as models,
        zipfile.ZipFile(wheels["guardproxy_models_gpu"]) as gpu,
    ):
        for name in names(wheels["guardproxy_models_gpu"]):
            sums = models.read(name.replace(GPU_FILE, "SHA256SUMS")).decode()
            assert f"{hashlib.sha256(gpu.read(name)).hexdigest()}  {GPU_FILE}" in sums.splitlines()


def test_every_wheel_holds_the_licence(wheels: dict[str, Path]) -> None:
    for wheel in wheels.values():
        with zipfile.ZipFile(wheel) as file:
            (licence,) = [name for name in file.namelist() if name.endswith("/licenses/LICENSE")]
            assert file.read(licence) == (ROOT / "LICENSE").read_bytes()


def test_the_shipped_policies_go_by_their_names(code: Environment) -> None:
    ran = code.run("policy", "test", "payments", "structured-output")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.rstrip().endswith("0 failed")
    ran = code.run("policy", "init", "payments", str(code.folder / "mine"))
    assert ran.returncode == 0, ran.stderr
    assert (code.folder / "mine" / "payments.yaml").is_file()


def test_without_the_models_a_policy_that_needs_one_says_what_to_install(code: Environment) -> None:
    ran = code.run("scan", text=json.dumps({"id": 1, "text": OVERRIDE}) + "\n")
    assert ran.returncode == 2
    assert "no model `supervisor` is installed; the models that ship are a package, run: pip install " in ran.stderr


def test_scan_uses_the_shipped_policy_and_model(whole: Environment) -> None:
    ran = whole.run("scan", text=json.dumps({"id": 1, "text": OVERRIDE}) + "\n")
    assert ran.returncode == 1, ran.stderr
    assert '"decision": "block"' in ran.stdout


def asked(url: str, text: str) -> tuple[int, Any]:
    """The status and the body of a proxy's answer to a text."""
    body = json.dumps({"model": "scripted", "messages": [{"role": "user", "content": text}]}).encode()
    request = urllib.request.Request(f"{url}/v1/chat/completions", body, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_the_wheels_serve_a_policy_with_models(whole: Environment, upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(ATTACKS)
    words = ["serve", "--upstream", upstream.url, "--policies", str(tmp_path), "--port", "0", "--admin-port", "0"]
    log = tmp_path / "output.txt"
    with log.open("wb") as output:
        command = [whole.program, *words, "--audit", str(tmp_path / "audit")]
        process = subprocess.Popen(command, cwd=tmp_path, env=whole.variables, stdout=output, stderr=subprocess.STDOUT)
    try:
        (said,) = wait_logged(process, log, "listening")
        url = f"http://127.0.0.1:{said['port']}"
        status, body = asked(url, OVERRIDE)
        assert (status, body["error"]["code"]) == (400, "content_filter"), body
        status, body = asked(url, "echo: Please write to Ingrid Lindqvist about the garden.")
        assert status == 200, body
        (seen,) = upstream.journal.wait(lambda entries: entries)
        assert "about the garden" in str(seen.tree)
        assert "Lindqvist" not in str(seen.tree)
    finally:
        process.terminate()
        assert process.wait(60) == 0
