"""The folder of the model of difficulty: what is refused, and that the shipped one tells plain cases apart."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from guardproxy.conditions import FEATURES, UNIT
from guardproxy.errors import ConfigError
from guardproxy.inference import Models
from guardproxy.inference.folders.request_features import FILES, read_features
from models.encoder import write_sums

WEIGHTS = [0.5, *[1.0] * FEATURES]


def folder_with(folder: Path, table: Any, weights: Any, kind: str = "difficulty") -> Path:
    (folder / "words.json").write_text(json.dumps(table), "utf-8")
    (folder / "config.json").write_text(json.dumps({"kind": kind, "format": 1, "weights": weights}), "utf-8")
    write_sums(folder, FILES)
    return folder


def table(words: str, rows: int) -> dict[str, str]:
    return {"words": words, "rows": base64.b85encode(bytes(rows * FEATURES)).decode()}


def test_a_folder_is_read(tmp_path: Path) -> None:
    model = read_features(folder_with(tmp_path, table("one two", 2), WEIGHTS))
    assert model.weights == tuple(WEIGHTS)
    assert model.of("one") == (0,) * FEATURES


@pytest.mark.parametrize(
    ("rows", "weights", "kind", "message"),
    [
        (table("one", 2), WEIGHTS, "difficulty", "do not fit each other"),
        (table("one", 1), WEIGHTS[1:], "difficulty", "do not fit each other"),
        (table("one", 1), ["a", *WEIGHTS[1:]], "difficulty", "do not fit each other"),
        (table("one", 1), None, "difficulty", "do not fit each other"),
        ({"words": "one"}, WEIGHTS, "difficulty", "is not a table of words"),
        ({"words": "one", "rows": " "}, WEIGHTS, "difficulty", "is not a table of words"),
        ([], WEIGHTS, "difficulty", "is not a table of words"),
        (table("one", 1), WEIGHTS, "scores", "holds a model that gives `scores`"),
    ],
)
def test_another_form_is_refused(tmp_path: Path, rows: Any, weights: Any, kind: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_features(folder_with(tmp_path, rows, weights, kind))


@pytest.mark.parametrize(
    ("text", "is_hard"),
    [
        ("hello, how are you?", False),
        ("What is the capital of Peru?", False),
        ("Summarise this text.\n\n" + "The meeting began at nine and went on for a while. " * 60, False),
        ("Prove that there are infinitely many primes.", True),
        ("Design a distributed scheduler and analyse how it fails.", True),
        (
            "The meeting began at nine and went on. " * 60
            + "\n\nFind the flaw in the argument above, and derive a proof.",
            True,
        ),
    ],
)
def test_the_shipped_model_tells_plain_cases_apart(text: str, is_hard: bool) -> None:
    model = Models().difficulty()
    assert (model.score(model.of(text)) > UNIT / 2) is is_hard
