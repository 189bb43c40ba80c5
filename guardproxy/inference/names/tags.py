"""Reads and checks the folder of a model that tags words.

In: a folder with `model.onnx`, `tokenizer.json`, `words.json`, `config.json` (format 1) and `SHA256SUMS`. Out: a `TagModel`. An
incomplete folder or an unknown value raises `ConfigError`.
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
INPUTS = ("input_ids", "attention_mask", "case_ids")
"""For each token of a row: its number, the attention mask (1), and the case of its word."""
FILES = ("model.onnx", "tokenizer.json", "config.json", "words.json")


@dataclass(frozen=True, slots=True)
class TagModel:
    """A checked model folder.

    `digest`: of all its files. `labels`: in the order of the network's outputs. `thresholds`: the lowest score at
    which a label is reported. `max_tokens`: the most tokens of one forward pass, with the two special tokens.
    `special`: the first and last token of a row. `inputs`: the network's inputs, a part of `INPUTS`.
    """

    folder: Path
    digest: str
    version: str
    labels: tuple[str, ...]
    thresholds: Mapping[str, float]
    biases: Mapping[str, float]
    temperatures: Mapping[str, float]
    max_tokens: int
    special: tuple[str, str]
    inputs: tuple[str, ...]


def read(folder: Path) -> TagModel:
    """Checks and reads the folder of a model that tags. Raises `ConfigError`."""
    digest, _ = folders.verify(folder, FILES)
    config = folders.configuration(folder, "tags", FORMAT)
    path = folder / "config.json"
    labels = config.get("labels")
    if not isinstance(labels, list) or not labels or not all(isinstance(label, str) for label in labels):
        raise ConfigError(f"{path}: `labels` must be a list of at least one label")
    return TagModel(
        folder=folder,
        digest=digest,
        version=str(config.get("version", "")),
        labels=tuple(labels),
        thresholds=_numbers(path, config, "thresholds", 0.0, 1.0),
        biases=_numbers(path, config, "biases", -100.0, 100.0),
        temperatures=_numbers(path, config, "temperatures", 0.01, 100.0),
        max_tokens=folders.tokens_at_most(path, config),
        special=_special(path, config),
        inputs=_inputs(path, config),
    )


def _special(path: Path, config: Mapping[str, Any]) -> tuple[str, str]:
    special = config.get("special", {"first": "[CLS]", "last": "[SEP]"})
    match special:
        case {"first": str(first), "last": str(last)}:
            return first, last
    raise ConfigError(f"{path}: `special` must name the tokens `first` and `last`")


def _inputs(path: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the inputs of the network; by default those of the shipped model."""
    inputs = config.get("inputs", ["input_ids", "case_ids"])
    if not isinstance(inputs, list) or "input_ids" not in inputs or not all(name in INPUTS for name in inputs):
        raise ConfigError(f"{path}: `inputs` must list those of the network: {', '.join(INPUTS)}")
    return tuple(inputs)


def _numbers(path: Path, config: Mapping[str, Any], key: str, low: float, high: float) -> dict[str, float]:
    labels = config["labels"]
    numbers = config.get(key)
    if not isinstance(numbers, dict) or set(numbers) != set(labels):
        raise ConfigError(f"{path}: `{key}` must have one number for each label")
    if not all(is_number(value, low, high) for value in numbers.values()):
        raise ConfigError(f"{path}: each of `{key}` must be a number from {low} to {high}")
    return {label: float(numbers[label]) for label in labels}
