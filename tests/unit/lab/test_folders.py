"""A model folder is written whole or not at all, and its sums match."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from guardproxy.errors import ConfigError
from guardproxy.inference.folders.folder import GPU_FILE
from guardproxy.inference.models import find, read
from guardproxy.lab.folders import configure, copy, listed_files, new


def test_a_copy_with_another_configuration_is_a_model(tmp_path: Path) -> None:
    source = find("supervisor")
    config = json.loads((source / "config.json").read_text()) | {"version": "mine"}
    copy(source, tmp_path / "deep" / "mine", config)
    model = read(tmp_path / "deep" / "mine")
    assert model.version == "mine"
    assert model.digest != read(source).digest
    assert sorted(listed_files(tmp_path / "deep" / "mine")) == sorted(listed_files(source))
    assert (tmp_path / "deep" / "mine" / "card.md").exists()
    assert not list((tmp_path / "deep" / "mine").glob("*.py"))
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["mine"]


def test_a_network_for_a_gpu_that_is_not_installed_is_left_out_of_a_copy(tmp_path: Path) -> None:
    source = tmp_path / "shipped"
    source.mkdir()
    for name in ("model.onnx", "config.json"):
        (source / name).write_text(name)
    (source / "SHA256SUMS").write_text("".join(f"0  {name}\n" for name in ("config.json", GPU_FILE, "model.onnx")))
    copy(source, tmp_path / "mine", {"version": "mine"})
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["SHA256SUMS", "config.json", "model.onnx"]
    assert listed_files(tmp_path / "mine") == ["config.json", "model.onnx"]


def test_a_folder_is_configured_in_place(tmp_path: Path) -> None:
    shutil.copytree(find("supervisor"), tmp_path / "mine")
    folder = tmp_path / "mine"
    configure(folder, json.loads((folder / "config.json").read_text()) | {"version": "2"}, listed_files(folder))
    assert read(folder).version == "2"
    assert not list(folder.glob(".*.new"))


def test_nothing_is_left_after_an_error(tmp_path: Path) -> None:
    def fill() -> None:
        with new(tmp_path / "mine") as folder:
            (folder / "half").write_text("x")
            raise ValueError("half done")

    with pytest.raises(ValueError, match="half done"):
        fill()
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="exists already; choose another folder"), new(tmp_path):
        pass
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="cannot be written"), new(tmp_path / "file" / "mine"):
        pass
