"""Where models are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from guardproxy.errors import ConfigError
from guardproxy.inference.models import find


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
    with pytest.raises(ConfigError, match="no model `other` is installed"):
        find("other")
