"""Reads and checks the folder of a model that judges pairs of texts.

In: a folder with `model.onnx`, `tokenizer.json`, `config.json` (format 1) and `SHA256SUMS`. Out: a `PairModel`. An incomplete
folder or an unknown value raises `ConfigError`. The network takes `input_ids` and `token_type_ids` (int64, rows x tokens; see
`kinds` in reader.py) and gives `logits` (float32, rows x 3) in the order of `PairScores`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guardproxy.errors import ConfigError
from guardproxy.inference.folders import folder as folders
from guardproxy.inference.folders.folder import is_number

FORMAT = 1
"""The version of `config.json` that this code reads."""
KIND = "pairs"
FILES = ("model.onnx", "tokenizer.json", "config.json")


@dataclass(frozen=True, slots=True)
class PairModel:
    """A checked model folder.

    `digest`: of all its files. `max_tokens`: the most tokens of one row, with the three special tokens. `special`: the token
    that begins a row, and the one after each text. `has_matches`: whether the kinds of tokens say what both texts share.
    `temperature`: logits are divided by it. `points`: the lowest probability at each operating point.
    """

    folder: Path
    digest: str
    version: str
    max_tokens: int
    special: tuple[str, str]
    has_matches: bool
    temperature: float
    points: Mapping[str, float]


def read(folder: Path) -> PairModel:
    """Checks and reads the folder of a model that judges pairs. Raises `ConfigError`."""
    digest, _ = folders.verify(folder, FILES)
    config = folders.configuration(folder, KIND, FORMAT)
    path = folder / "config.json"
    temperature = config.get("temperature", 1.0)
    if not is_number(temperature, 0.01, 100.0):
        raise ConfigError(f"{path}: `temperature` must be a number from 0.01 to 100")
    has_matches = config.get("matches", False)
    if not isinstance(has_matches, bool):
        raise ConfigError(f"{path}: `matches` must be true or false")
    return PairModel(
        folder=folder,
        digest=digest,
        version=str(config.get("version", "")),
        max_tokens=folders.tokens_at_most(path, config),
        special=_special(path, config),
        has_matches=has_matches,
        temperature=float(temperature),
        points=_points(path, config),
    )


def _special(path: Path, config: Mapping[str, Any]) -> tuple[str, str]:
    match config.get("special", {"first": "[CLS]", "last": "[SEP]"}):
        case {"first": str(first), "last": str(last)}:
            return first, last
    raise ConfigError(f"{path}: `special` must name the tokens `first` and `last`")


def _points(path: Path, config: Mapping[str, Any]) -> dict[str, float]:
    points = config.get("operating_points")
    if not isinstance(points, dict) or not all(is_number(point, 0.0, 1.0) for point in points.values()):
        raise ConfigError(f"{path}: `operating_points` must map names to probabilities from 0 to 1")
    return {str(name): float(point) for name, point in points.items()}
