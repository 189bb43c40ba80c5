"""The image and the extras: targets of the Dockerfile, which runtime an installation brings, and which models."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from guardproxy.config import load
from guardproxy.inference.folders.folder import GPU_MODELS, MODELS

ROOT = Path(__file__).parents[2]


def stages() -> dict[str, tuple[str, list[str]]]:
    """Returns the stages of the Dockerfile in order: name -> base, instructions."""
    text = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    found: dict[str, tuple[str, list[str]]] = {}
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
    for name, (base, lines) in stages().items():
        assert base in known or base == "python:3.13-slim"
        assert {found for line in lines for found in re.findall(r"from=([\w-]+)", line)} <= known
        known.add(name)


def test_a_build_without_a_target_is_for_the_cpu() -> None:
    assert list(stages())[-1] == "cpu"
    assert "guardproxy[gpu" not in " ".join(instructions("cpu"))


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_an_image_runs_as_a_user_without_rights_and_serves(target: str) -> None:
    lines = instructions(target)
    assert [line for line in lines if line.startswith("USER")] == ["USER 10001"]
    assert lines[-1] == "USER 10001", "nothing is installed as that user"
    assert sum(line.startswith("ENTRYPOINT") for line in lines) == 1
    assert {"EXPOSE 8080 9090", "VOLUME /audit"} <= set(lines)


def test_the_image_for_a_gpu_installs_its_runtime_and_insists_on_it() -> None:
    lines = instructions("cuda")
    assert any(line.endswith("'guardproxy[gpu,envoy]'") for line in lines)
    (environment,) = [line for line in lines if line.startswith("ENV ")]
    given = dict(pair.split("=", 1) for pair in environment.split()[1:])
    assert load({"upstream": ("https://api.example",)}, given).models.device == "cuda"


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
