"""Model folders: what is accepted, what is refused and why."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from guardproxy.errors import ConfigError
from guardproxy.supervisor import find, load, read

GOOD: dict[str, Any] = {
    "format": 1,
    "version": "7",
    "labels": ["injection", "harm"],
    "thresholds": {"injection": 0.8, "harm": 1},
    "biases": {"injection": 2, "harm": -1.0},
    "temperatures": {"injection": 1.5, "harm": 1.0},
    "max_tokens": 128,
}


def write(folder: Path, config: Any) -> Path:
    """A folder with matching sums; network and tokenizer are not real."""
    text = config if isinstance(config, str) else json.dumps(config)
    files = {"model.onnx": b"network", "tokenizer.json": b"{}", "config.json": text.encode()}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    sums = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items()]
    (folder / "SHA256SUMS").write_text("".join(sums))
    return folder


def test_a_good_folder_is_read(tmp_path: Path) -> None:
    model = read(write(tmp_path, GOOD))
    assert model.labels == ("injection", "harm")
    assert model.thresholds == {"injection": 0.8, "harm": 1.0}
    assert model.biases == {"injection": 2.0, "harm": -1.0}
    assert (model.version, model.max_tokens) == ("7", 128)


def test_the_digest_is_that_of_the_content(tmp_path: Path) -> None:
    first = read(write(tmp_path, GOOD)).digest
    assert first.startswith("sha256:")
    assert read(write(tmp_path, GOOD)).digest == first
    assert read(write(tmp_path, GOOD | {"version": "8"})).digest != first


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "config.json"])
def test_a_changed_file_is_refused(tmp_path: Path, name: str) -> None:
    write(tmp_path, GOOD)
    with (tmp_path / name).open("ab") as file:
        file.write(b" ")
    with pytest.raises(ConfigError, match=f"{name} does not match SHA256SUMS"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "config.json", "SHA256SUMS"])
def test_a_missing_file_is_refused(tmp_path: Path, name: str) -> None:
    write(tmp_path, GOOD)
    (tmp_path / name).unlink()
    with pytest.raises(ConfigError, match=f"{name} cannot be read"):
        read(tmp_path)


def test_sums_that_leave_a_file_out_are_refused(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    lines = (tmp_path / "SHA256SUMS").read_text().splitlines(keepends=True)
    (tmp_path / "SHA256SUMS").write_text("".join(lines[1:]))
    with pytest.raises(ConfigError, match=r"does not name `model\.onnx`"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "`format` must be 1"),
        ({"labels": []}, "`labels` must be a list"),
        ({"labels": "injection"}, "`labels` must be a list"),
        ({"labels": [1]}, "`labels` must be a list"),
        ({"max_tokens": 1000}, "`max_tokens` must be"),
        ({"max_tokens": "256"}, "`max_tokens` must be"),
        ({"thresholds": {"injection": 0.5}}, "`thresholds` must have one number for each label"),
        ({"thresholds": 0.5}, "`thresholds` must have one number for each label"),
        ({"thresholds": {"injection": 0.5, "harm": 2}}, "each of `thresholds` must be a number from 0.0 to 1.0"),
        ({"thresholds": {"injection": 0.5, "harm": True}}, "each of `thresholds` must be"),
        ({"biases": {"injection": 0}}, "`biases` must have one number for each label"),
        ({"temperatures": {"injection": 0, "harm": 1}}, "each of `temperatures` must be"),
    ],
)
def test_a_wrong_config_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(write(tmp_path, GOOD | change))


@pytest.mark.parametrize("text", ["{", "[]", '"text"'])
def test_a_config_that_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError):
        read(write(tmp_path, text))


def test_a_broken_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no tokenizer"):
        load(write(tmp_path, GOOD))


def test_the_shipped_model_is_found() -> None:
    assert (find() / "model.onnx").is_file()


def test_a_folder_of_ones_own_comes_first(tmp_path: Path) -> None:
    (tmp_path / "supervisor").mkdir()
    write(tmp_path / "supervisor", GOOD)
    assert find("supervisor", (tmp_path,)) == tmp_path / "supervisor"


@pytest.mark.parametrize("name", ["", "..", "a/b", "/etc"])
def test_a_name_that_is_a_path_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="plain name"):
        find(name)


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(ConfigError, match="no model `other` is installed"):
        find("other")
