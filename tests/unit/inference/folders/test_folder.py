"""Where models are found, what vouches for their files, and what an error tells to do."""

from __future__ import annotations

import hashlib
import re
from importlib import metadata
from pathlib import Path

import pytest

from guardproxy.errors import ConfigError
from guardproxy.inference.folders import folder as folders
from guardproxy.inference.folders.folder import GPU_FILE, verify
from guardproxy.inference.models import find

NEEDED = ("model.onnx", "config.json")
INSTALL = "pip install 'guardproxy[models]' (in a checkout: pip install ./models)"


def made(folder: Path, *names: str) -> Path:
    """A folder with these files, which SHA256SUMS lists."""
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_text(name)
    lines = [f"{hashlib.sha256(name.encode()).hexdigest()}  {name}\n" for name in names]
    (folder / "SHA256SUMS").write_text("".join(lines))
    return folder


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where packages are installed; the code that looks for models lies in no checkout."""
    monkeypatch.setattr(
        folders, "__file__", str(tmp_path / "site" / "guardproxy" / "inference" / "folders" / "folder.py")
    )
    monkeypatch.syspath_prepend(tmp_path / "site")
    return tmp_path / "site"


def test_the_shipped_model_is_found() -> None:
    assert (find() / "model.onnx").is_file()


def test_a_folder_of_ones_own_comes_first(tmp_path: Path) -> None:
    (tmp_path / "supervisor").mkdir()
    (tmp_path / "supervisor" / "config.json").write_text("{}")
    assert find("supervisor", (tmp_path,)) == tmp_path / "supervisor"


@pytest.mark.parametrize("name", ["", "..", "a/b", "/etc"])
def test_a_name_that_is_a_path_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="plain name"):
        find(name)


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no model `other` is installed"):
        find("other")


def test_models_of_a_package_are_found_wherever_it_is_installed(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(site / "guardproxy_models" / "supervisor", *NEEDED)
    monkeypatch.syspath_prepend(tmp_path / "user")
    made(tmp_path / "user" / "guardproxy_models" / "theirs", *NEEDED)
    assert find() == site / "guardproxy_models" / "supervisor"
    assert find("theirs") == tmp_path / "user" / "guardproxy_models" / "theirs"
    with pytest.raises(ConfigError, match=r"no model `other` is installed\Z"):
        find("other")


def test_a_checkout_reads_its_own_models(site: Path) -> None:
    made(site / "guardproxy_models" / "supervisor", *NEEDED)
    made(site / "models" / "supervisor", *NEEDED)
    assert find() == site / "models" / "supervisor"


def test_without_models_the_command_that_installs_them_is_named(site: Path) -> None:
    with pytest.raises(ConfigError, match=f"no model `supervisor` is installed; .*run: {re.escape(INSTALL)}"):
        find()
    (site / "guardproxy_models" / "supervisor").mkdir(parents=True)
    (site / "guardproxy_models" / "supervisor" / GPU_FILE).write_text("a network for a GPU alone")
    with pytest.raises(ConfigError, match=re.escape(INSTALL)):
        find()


def test_the_digest_is_the_same_without_the_network_for_a_gpu(tmp_path: Path) -> None:
    folder = made(tmp_path / "mine", *NEEDED, GPU_FILE)
    digest, files = verify(folder, NEEDED, (GPU_FILE,))
    assert files == {GPU_FILE}
    (folder / GPU_FILE).write_text("changed")
    assert verify(folder, NEEDED, (GPU_FILE,)) == (digest, files), "nothing reads it here"
    with pytest.raises(ConfigError, match=f"{GPU_FILE} does not match SHA256SUMS"):
        verify(folder, (GPU_FILE,))
    (folder / GPU_FILE).unlink()
    assert verify(folder, NEEDED, (GPU_FILE,)) == (digest, frozenset())
    assert verify(made(tmp_path / "plain", *NEEDED), NEEDED, (GPU_FILE,))[0] != digest


@pytest.mark.parametrize(
    ("name", "version", "packages"),
    [
        ("model.onnx", "1.2", "guardproxy-models==1.2"),
        (GPU_FILE, "1.2", "guardproxy-models==1.2 guardproxy-models-gpu==1.2"),
        ("config.json", "", "guardproxy-models"),
    ],
)
def test_a_changed_file_of_a_package_names_the_command_that_installs_it_again(
    site: Path, monkeypatch: pytest.MonkeyPatch, name: str, version: str, packages: str
) -> None:
    def installed(distribution: str) -> str:
        if not version:
            raise metadata.PackageNotFoundError(distribution)
        return version

    monkeypatch.setattr(metadata, "version", installed)
    folder = made(site / "guardproxy_models" / "supervisor", *NEEDED, GPU_FILE)
    command = f"run: pip install --force-reinstall --no-deps {packages}"
    (folder / name).write_text("changed")
    with pytest.raises(ConfigError, match=rf"{name} does not match SHA256SUMS.*; {command}\Z"):
        verify(folder, (*NEEDED, GPU_FILE))
    (folder / name).unlink()
    with pytest.raises(ConfigError, match=rf"{name} cannot be read.*; {command}\Z"):
        verify(folder, (*NEEDED, GPU_FILE))
