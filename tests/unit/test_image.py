"""The image and the extras: targets of the Dockerfile, which runtime an installation brings, and which models."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from guardproxy.config import load
from guardproxy.inference.folders.folder import GPU_MODELS, MODELS
from tests.kit.certificates import Authority

ROOT = Path(__file__).parents[2]


def stages() -> dict[str, tuple[str, list[str]]]:
    """Returns the stages of the Dockerfile in order: name -> base, instructions."""
    text = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    found: dict[str, tuple[str, list[str]]] = {"": ("", [])}
    name = ""
    for line in filter(None, (line.strip() for line in text.splitlines() if not line.startswith("#"))):
        if start := re.fullmatch(r"FROM (\S+) AS (\S+)", line):
            name = start[2]
            found[name] = start[1], []
        else:
            found[name][1].append(re.sub(r" +", " ", line))
    return found


def instructions(name: str) -> list[str]:
    """Returns the instructions of a stage and of the stages it is built on."""
    base, own = stages()[name]
    return [*(instructions(base) if base in stages() else []), *own]


def test_every_stage_starts_from_a_known_one_and_takes_files_from_known_ones() -> None:
    known: set[str] = set()
    (base_argument,) = stages()[""][1]
    assert re.fullmatch(r"ARG PYTHON=python:3\.13-slim-\w+(@sha256:[0-9a-f]{64})?", base_argument)
    for name, (base, lines) in list(stages().items())[1:]:
        assert base in known or base == "${PYTHON}"
        assert {found for line in lines for found in re.findall(r"from=([\w-]+)", line)} <= known
        known.add(name)


def test_a_change_of_the_code_downloads_nothing() -> None:
    """What needs the network comes before the code: the layers of the packages are made of the lock file alone."""
    for name in ("dependencies", "dependencies-cuda"):
        copied = " ".join(line for line in instructions(name) if line.startswith("COPY"))
        assert not re.search(r"\b(guardproxy|models|policies)\b", copied)
    steps = (ROOT / "deploy" / "image" / "steps.sh").read_text("utf-8")
    _, package = steps.split("\npackage)")
    assert "--no-build-isolation" in package
    assert "--no-index" in package
    assert package.count("--no-deps") == 2
    last = [line for line in instructions("cpu") if line.startswith("COPY --from")]
    assert [re.search(r"from=(\S+) (\S+)", line)[2] for line in last] == [  # type: ignore[index]
        *("/opt/guardproxy", "/layers/models", "/layers/code")
    ], "what changes more often comes later"


def test_a_build_without_a_target_is_for_the_cpu() -> None:
    assert list(stages())[-1] == "cpu"
    assert "cuda" not in " ".join(instructions("cpu"))


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_an_image_runs_as_a_user_without_rights_and_serves(target: str) -> None:
    lines = instructions(target)
    assert [line for line in lines if line.startswith("USER")] == ["USER 10001"]
    assert lines[-1] == "USER 10001", "nothing is installed as that user"
    assert sum(line.startswith("ENTRYPOINT") for line in lines) == 1
    assert {"EXPOSE 8080 9090", "VOLUME /audit"} <= set(lines)


def test_the_image_for_a_gpu_installs_its_runtime_and_insists_on_it() -> None:
    lines = instructions("cuda")
    assert any(" gpu " in line for line in instructions("dependencies-cuda"))
    (environment,) = [line for line in lines if line.startswith("ENV NVIDIA")]
    given = dict(pair.split("=", 1) for pair in environment.split()[1:])
    assert load({"upstream": ("https://api.example",)}, given).models.device == "cuda"


@pytest.mark.parametrize(
    ("words", "environ", "is_ready"),
    [
        ("--admin-port PORT", {}, True),
        ("--admin-port=PORT --admin-host=127.0.0.1", {}, True),
        ("--admin-port PORT --admin-host 0.0.0.0", {"GUARDPROXY_ADMIN_PORT": "1"}, True),
        ("", {"GUARDPROXY_ADMIN_PORT": "PORT"}, True),
        ("--admin-port PORT", {"GUARDPROXY_ADMIN_PORT": "tcp://10.0.0.1:9090"}, True),
        ("--admin-port PORT --tls-port admin", {}, True),
        ("--admin-port PORT --tls-port=admin=inner --tls", {}, True),
        ("--admin-port PORT --tls", {"GUARDPROXY_TLS_PORT": "adapters,admin"}, True),
        ("--admin-port PORT --tls", {}, True),
        ("--admin-port PORT --tls --fail", {}, False),
        ("--admin-port 1", {}, False),
        ("--admin-port PORT --fail", {}, False),
    ],
)
def test_the_health_check_asks_the_configured_port(
    words: str, environ: dict[str, str], is_ready: bool, tmp_path: Path
) -> None:
    class Ready(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert (self.path, self.headers["Host"]) == ("/readyz", "127.0.0.1")
            self.send_response(503 if "--fail" in words else 200)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Ready) as server:
        if "--tls" in words:
            server.socket = Authority(tmp_path).server("localhost").wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            port = str(server.server_port)
            line = f"python -m guardproxy serve {words.replace('PORT', port)}".split()
            (tmp_path / "cmdline").write_bytes("".join(f"{word}\0" for word in line).encode())
            given = {name: port if value == "PORT" else value for name, value in environ.items()}
            ran = subprocess.run(
                ["bash", str(ROOT / "deploy" / "image" / "health.sh")],
                env={"PATH": os.environ["PATH"], "HEALTH_CMDLINE": str(tmp_path / "cmdline"), **given},
                capture_output=True,
                timeout=30,
                check=False,
            )
        finally:
            server.shutdown()
            thread.join()
    assert (ran.returncode == 0) == is_ready, ran.stderr


def test_the_requirements_of_the_image_are_those_of_the_project() -> None:
    script, project = ROOT / "deploy" / "image" / "requirements.py", ROOT / "pyproject.toml"
    of = {}
    for extras in (("envoy", "jwt"), ("gpu",)):
        words = [sys.executable, str(script), str(project), *extras]
        listed = subprocess.run(words, capture_output=True, check=True, text=True).stdout.splitlines()
        of[extras] = {Requirement(line).name for line in listed}
    assert {"aiohttp", "grpcio", "pyjwt", "onnxruntime"} <= of["envoy", "jwt"]
    assert "onnxruntime-gpu" in of["gpu",]
    assert "onnxruntime" not in of["gpu",], "both install the same files"
    assert not any(name.startswith("guardproxy") for names in of.values() for name in names)


def test_the_context_of_a_build_has_every_file_that_is_copied() -> None:
    listed = (ROOT / ".dockerignore").read_text("utf-8").split()
    assert listed[0] == "*"
    copied = {
        word
        for line in instructions("package")
        if line.startswith("COPY")
        for word in line.split()[1:-1]
        if "=" not in word
    }
    assert {f"!{word}" for word in copied} <= set(listed)


def test_every_target_that_is_written_somewhere_exists() -> None:
    pages = [ROOT / "Dockerfile", ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    targets = {target for page in pages for target in re.findall(r"--target[ =]([\w-]+)", page.read_text("utf-8"))}
    assert targets == {"cuda"}
    assert targets <= set(stages())


def runtimes(*extras: str, platform: str = "linux") -> set[str]:
    """Returns the packages of ONNX Runtime that an installer takes: a line counts if it holds for one of the extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lines = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    found = set()
    for requirement in map(Requirement, lines):
        contexts = [{"extra": extra, "sys_platform": platform} for extra in extras or ("",)]
        holds = not requirement.marker or any(map(requirement.marker.evaluate, contexts))
        if holds and requirement.name.startswith("onnxruntime"):
            found.add(requirement.name)
            assert requirement.extras == ({"cuda", "cudnn"} if requirement.name.endswith("gpu") else set())
    return found


def test_the_lock_file_is_made_of_every_extra_but_the_models_and_that_for_a_gpu() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    makefile = (ROOT / "Makefile").read_text("utf-8")
    (line,) = re.findall(r"^EXTRAS = \$\(foreach extra,([\w ]+),", makefile, re.MULTILINE)
    assert line.split() == sorted(extras.keys() - {"gpu", "models"})


def test_the_extras_take_the_models_of_this_checkout_which_have_one_version() -> None:
    code, models, gpu = (
        tomllib.loads((ROOT / folder / "pyproject.toml").read_text("utf-8"))["project"]
        for folder in (".", "models", "models/gpu")
    )
    assert gpu["dependencies"] == [f"{models['name']}=={models['version']}"]
    assert gpu["version"] == models["version"]
    assert (models["name"], gpu["name"]) == (MODELS, GPU_MODELS)
    for extra, project in (("models", models), ("gpu", gpu)):
        wanted = [Requirement(line) for line in code["optional-dependencies"][extra]]
        (requirement,) = [line for line in wanted if line.name == project["name"]]
        assert requirement.specifier.contains(project["version"])


def test_the_extra_for_a_gpu_takes_the_place_of_the_runtime_for_the_cpu() -> None:
    assert runtimes() == {"onnxruntime"}
    assert runtimes("plots") == {"onnxruntime"}
    assert runtimes("gpu") == {"onnxruntime-gpu"}
    assert runtimes("gpu", platform="darwin") == {"onnxruntime"}, "there is no CUDA"
