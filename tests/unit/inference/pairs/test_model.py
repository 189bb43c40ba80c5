"""The folder of a model that judges pairs: what it must say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from guardproxy.errors import ConfigError
from guardproxy.inference.models import read_pairs
from tests.kit.pair_models import CONFIG, pair_folder


def test_what_a_folder_says(tmp_path: Path) -> None:
    config = {**CONFIG, "special": {"first": "[PAD]", "last": "[UNK]"}}
    model = read_pairs(pair_folder(tmp_path, config))
    assert (model.folder, model.version, model.max_tokens, model.temperature) == (tmp_path, "3", 32, 2.0)
    assert (model.special, model.points) == (("[PAD]", "[UNK]"), CONFIG["operating_points"])
    assert model.has_matches
    plain = read_pairs(pair_folder(tmp_path, {"format": 1, "kind": "pairs", "max_tokens": 16, "operating_points": {}}))
    assert (plain.version, plain.temperature, plain.special, plain.points) == ("", 1.0, ("[CLS]", "[SEP]"), {})
    assert not plain.has_matches
    assert plain.digest != model.digest


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kind": "scores"}, "gives `scores`, but a model that gives `pairs`"),
        ({"format": 2}, "`format` must be 1"),
        ({"max_tokens": 15}, "`max_tokens`"),
        ({"temperature": 0}, "`temperature`"),
        ({"temperature": True}, "`temperature`"),
        ({"special": {"first": "[CLS]"}}, "`special`"),
        ({"special": "[CLS]"}, "`special`"),
        ({"matches": 1}, "`matches`"),
        ({"operating_points": {"same": 2}}, "`operating_points`"),
        ({"operating_points": [0.5]}, "`operating_points`"),
        ({"operating_points": None}, "`operating_points`"),
    ],
)
def test_what_a_folder_may_not_say(tmp_path: Path, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_pairs(pair_folder(tmp_path, {**CONFIG, **wrong}))


def test_a_changed_folder_is_refused(tmp_path: Path) -> None:
    (pair_folder(tmp_path) / "model.onnx").write_bytes(b"else")
    with pytest.raises(ConfigError, match="does not match SHA256SUMS"):
        read_pairs(tmp_path)
