"""A model folder: found, checked against its SHA256SUMS, its `config.json` read.

In: a folder with `model.onnx`, `tokenizer.json`, `config.json` and `SHA256SUMS`, and `words.json` where the model tags.
Out: a `Model`. Kept: nothing. A folder that was changed, is incomplete or asks for something unknown is refused with
`ConfigError`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from guardproxy.errors import ConfigError

Kind = Literal["scores", "tags"]
FILES: Mapping[Kind, tuple[str, ...]] = {
    "scores": ("model.onnx", "tokenizer.json", "config.json"),
    "tags": ("model.onnx", "tokenizer.json", "config.json", "words.json"),
}
"""What a model that scores texts, and one that tags words, is made of."""
FORMAT = 1
"""The version of `config.json` that this code reads."""


@dataclass(frozen=True, slots=True)
class Model:
    """A checked model folder.

    `digest`: of all its files. `labels`: in the order of the network's outputs. `thresholds`: the score from which a
    label counts, unless a policy says otherwise. A score is the sigmoid of (logit - bias) / temperature.
    `max_tokens`: the most tokens of one forward pass, the two special ones included.
    """

    folder: Path
    digest: str
    version: str
    labels: tuple[str, ...]
    thresholds: Mapping[str, float]
    biases: Mapping[str, float]
    temperatures: Mapping[str, float]
    max_tokens: int


def find(name: str = "supervisor", folders: tuple[Path, ...] = ()) -> Path:
    """The folder of the model `name`: in `folders`, in the installed package, or in the source tree, in this order.

    Raises `ConfigError` when there is none, or when `name` is not a plain name.
    """
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise ConfigError("the name of a model must be the plain name of a folder")
    package = Path(__file__).parents[1]
    for folder in (*folders, package / "_data" / "models", package.parent / "models"):
        if (folder / name / "config.json").is_file():
            return folder / name
    raise ConfigError(f"no model `{name}` is installed")


def read(folder: Path, kind: Kind = "scores") -> Model:
    """Checks and reads the folder of a model of the kind. Raises `ConfigError`."""
    digest = _verified(folder, FILES[kind])
    config = _config(folder / "config.json")
    if (own := config.get("kind", "scores")) != kind:
        raise ConfigError(f"{folder} holds a model that gives `{own}`; one that gives `{kind}` is needed here")
    labels = config.get("labels")
    if not isinstance(labels, list) or not labels or not all(isinstance(label, str) for label in labels):
        raise ConfigError(f"{folder / 'config.json'}: `labels` must be a list of at least one label")
    max_tokens = config.get("max_tokens")
    if not isinstance(max_tokens, int) or not 16 <= max_tokens <= 512:
        raise ConfigError(f"{folder / 'config.json'}: `max_tokens` must be a whole number from 16 to 512")
    return Model(
        folder=folder,
        digest=digest,
        version=str(config.get("version", "")),
        labels=tuple(labels),
        thresholds=_numbers(folder, config, "thresholds", 0.0, 1.0),
        biases=_numbers(folder, config, "biases", -100.0, 100.0),
        temperatures=_numbers(folder, config, "temperatures", 0.01, 100.0),
        max_tokens=max_tokens,
    )


def _verified(folder: Path, files: tuple[str, ...]) -> str:
    """The digest of the folder: that of the sorted hashes of its files, each checked against SHA256SUMS."""
    sums = folder / "SHA256SUMS"
    try:
        lines = sums.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{sums} cannot be read") from error
    wanted = {name.strip().lstrip("*"): digest for digest, _, name in (line.partition(" ") for line in lines)}
    found = []
    for name in files:
        if name not in wanted:
            raise ConfigError(f"{sums} does not name `{name}`")
        try:
            with (folder / name).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise ConfigError(f"{folder / name} cannot be read") from error
        if digest != wanted[name]:
            raise ConfigError(f"{folder / name} does not match SHA256SUMS")
        found.append(f"{name} {digest}")
    return "sha256:" + hashlib.sha256("\n".join(found).encode()).hexdigest()


def _config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} is not valid JSON") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise ConfigError(f"{path}: `format` must be {FORMAT}")
    return config


def _numbers(folder: Path, config: dict[str, Any], key: str, low: float, high: float) -> dict[str, float]:
    labels = config["labels"]
    given = config.get(key)
    if not isinstance(given, dict) or set(given) != set(labels):
        raise ConfigError(f"{folder / 'config.json'}: `{key}` must have one number for each label")
    for value in given.values():
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise ConfigError(f"{folder / 'config.json'}: each of `{key}` must be a number from {low} to {high}")
    return {label: float(given[label]) for label in labels}
