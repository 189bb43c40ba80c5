"""Reads and checks the folder of the model `fast`.

In: a folder with `weights.npz`, `words.json`, `config.json` (format 1, kind `forms`) and `SHA256SUMS`. Out: a `FastModel`. An
incomplete folder or an unknown value raises `ConfigError`.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from guardproxy.errors import ConfigError
from guardproxy.inference.folders import folder as folders
from guardproxy.inference.folders.folder import is_number
from guardproxy.inference.names import forms

FORMAT = 1
UNIT = 64
"""Steps of a number between two layers."""
SHIFT = 256
"""Steps of a weight."""
BOUND = 511
"""The largest number between two layers, in steps."""
TABLE_UNIT = 64
"""Steps of a number in the table."""
BLOCK = 8
"""Rows that are multiplied at once: so few that the library for products starts no threads. They would wait for each other
longer than they work when all cores are busy."""
EXACT = 1 << 24
"""Whole numbers below this one are exact in 32-bit floating point."""

Numbers = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class FastModel:
    """A checked model folder: what it says of itself, and its weights.

    `digest`: of all its files. `labels`: in the order of the tags. `thresholds`: the lowest score at which a label is reported.
    `bias`: by how much the tag for no name is lowered; `program_bias`: the same in text of programs. `temperature`: divides the
    numbers of the tags before they become probabilities. `layers`: how far to both sides a layer sees, its weights and what is
    added to its sums.
    """

    digest: str
    labels: tuple[str, ...]
    tags: tuple[str, ...]
    thresholds: Mapping[str, float]
    bias: float
    program_bias: float
    temperature: float
    plain: frozenset[str]
    timeless: frozenset[str]
    known: NDArray[np.uint32]
    listed: NDArray[np.uint32]
    lists: NDArray[np.uint8]
    table: NDArray[np.int8]
    first: tuple[NDArray[np.float64], NDArray[np.float64]]
    second: tuple[NDArray[np.float64], NDArray[np.float64]]
    gap: Numbers
    layers: tuple[tuple[int, Numbers, Numbers], ...]
    pooled: Numbers
    out: Numbers
    out_bias: Numbers

    @property
    def width(self) -> int:
        return len(self.gap[0])

    def alone(self, words: Sequence[str]) -> Numbers:
        """Returns what the two layers that see one word alone make of each word. All sums are exact."""
        clean = list(map(forms.folded, words))
        numbers = np.array([forms.number(forms.lowered(word)) for word in clean], np.uint32)
        own, is_known = _places(self.known, numbers)
        at, is_listed = _places(self.listed, numbers)
        lists = np.where(is_listed, self.lists[at], 0).tolist()
        rows: list[int] = []
        starts = []
        for word, bits, row, known in zip(clean, lists, own.tolist(), is_known.tolist(), strict=True):
            starts.append(len(rows))
            rows += forms.parts(word, bits, known)
            if known:
                rows.append(forms.FIXED + forms.HASHED + row)
        sums = np.add.reduceat(self.table.take(rows, 0), starts, 0, dtype=np.int64)
        one = rows_for(len(words), sums.shape[1], np.float64)
        one[: len(words)] = sums * (UNIT // TABLE_UNIT)
        for weights, bias in (self.first, self.second):
            one = np.clip(np.rint((times(one, weights) + bias) / SHIFT), 0, BOUND)
        return one[: len(words)].astype(np.float32)


def rows_for(count: int, width: int, kind: Any = np.float32) -> NDArray[Any]:
    """Returns zeros for `count` rows, in whole blocks."""
    return np.zeros((-(-count // BLOCK) * BLOCK, width), kind)


def times(rows: NDArray[Any], weights: NDArray[Any]) -> NDArray[Any]:
    """Returns the product of rows in whole blocks and weights, block by block."""
    blocks = rows.reshape(-1, BLOCK, rows.shape[1])
    found: NDArray[Any] = np.matmul(blocks, weights).reshape(len(rows), -1)
    return found


def _places(known: NDArray[np.uint32], numbers: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Returns the place of each number in a sorted array, and whether it is there."""
    places = np.minimum(np.searchsorted(known, numbers), len(known) - 1)
    return places, known[places] == numbers


def read(folder: Path) -> FastModel:
    """Checks and reads the folder of a model `fast`. Raises `ConfigError`."""
    digest, _ = folders.verify(folder, folders.FAST_FILES)
    path = folder / "config.json"
    config = folders.configuration(folder, "forms", FORMAT)
    labels = config.get("labels")
    if not isinstance(labels, list) or not labels or not all(isinstance(label, str) for label in labels):
        raise ConfigError(f"{path}: `labels` must be a list of at least one label")
    plain, timeless = folders.word_lists(folder)
    try:
        with np.load(folder / "weights.npz", allow_pickle=False) as arrays:
            model = _model(digest, config, path, tuple(labels), arrays, plain, timeless)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ConfigError(
            f"{folder / 'weights.npz'} does not hold the weights of a model `fast`; {folders.again(folder)}"
        ) from error
    _check(folder, model)
    return model


def _model(
    digest: str,
    config: Mapping[str, Any],
    path: Path,
    labels: tuple[str, ...],
    arrays: Any,
    plain: frozenset[str],
    timeless: frozenset[str],
) -> FastModel:
    def whole(name: str) -> NDArray[np.float64]:
        found: NDArray[np.float64] = arrays[name].astype(np.float64)
        return found

    def small(name: str) -> Numbers:
        found: Numbers = arrays[name].astype(np.float32)
        return found

    reach = config.get("reach")
    if not isinstance(reach, list) or not all(isinstance(far, int) and 1 <= far <= 8 for far in reach):
        raise ConfigError(f"{path}: `reach` must list for each layer how far it sees, from 1 to 8 words")
    numbers = config.get("thresholds")
    if (
        not isinstance(numbers, dict)
        or set(numbers) != set(labels)
        or not all(is_number(number, 0, 1) for number in numbers.values())
    ):
        raise ConfigError(f"{path}: `thresholds` must have a number from 0 to 1 for each label")
    config = {"program_bias": config.get("bias"), **config}
    for key, low, high in (("bias", -20.0, 20.0), ("program_bias", -20.0, 20.0), ("temperature", 0.05, 20.0)):
        if not is_number(config.get(key), low, high):
            raise ConfigError(f"{path}: `{key}` must be a number from {low:g} to {high:g}")
    return FastModel(
        digest=digest,
        labels=labels,
        tags=("O", *(f"{place}-{label}" for label in labels for place in "BI")),
        thresholds={label: float(numbers[label]) for label in labels},
        bias=float(config["bias"]),
        program_bias=float(config["program_bias"]),
        temperature=float(config["temperature"]),
        plain=plain,
        timeless=timeless,
        known=arrays["known"],
        listed=arrays["listed"],
        lists=arrays["lists"],
        table=arrays["table"],
        first=(whole("first"), whole("first_bias")),
        second=(whole("second"), whole("second_bias")),
        gap=small("gap"),
        layers=tuple((far, small(f"layer{at}"), small(f"layer{at}_bias")) for at, far in enumerate(reach)),
        pooled=small("pooled"),
        out=small("out"),
        out_bias=small("out_bias"),
    )


def _check(folder: Path, model: FastModel) -> None:
    """Raises `ConfigError` when arrays do not fit together, or when a sum could be too large to be exact."""
    width, inner = model.width, len(model.first[1])
    shapes: dict[str, tuple[NDArray[Any], tuple[int, ...]]] = {
        "table": (model.table, (forms.FIXED + forms.HASHED + len(model.known), len(model.first[0]))),
        "first": (model.first[0], (model.table.shape[-1], inner)),
        "second": (model.second[0], (inner, width)),
        "gap": (model.gap, (3, width)),
        "pooled": (model.pooled, (width, width)),
        "out": (model.out, ((1 + len(model.layers)) * width, len(model.tags))),
        "lists": (model.lists, model.listed.shape),
    }
    shapes |= {f"layer{at}": (weights, (3 * width, width)) for at, (_, weights, _) in enumerate(model.layers)}
    for name, (array, shape) in shapes.items():
        if array.shape != shape:
            raise ConfigError(f"{folder / 'weights.npz'}: `{name}` has the shape {array.shape}, but needs {shape}")
    added = [np.abs(model.gap).max(0), BOUND * np.abs(model.pooled).sum(0)]
    # The worst case: every number before a layer is at its bound.
    largest = [
        BOUND * np.abs(weights).sum(0) + np.abs(bias) + (added[at] if at < len(added) else 0.0)
        for at, (_, weights, bias) in enumerate([*model.layers, (0, model.out, model.out_bias)])
    ]
    if max(float(sums.max()) for sums in largest) >= EXACT:
        raise ConfigError(f"{folder / 'weights.npz'}: a sum of products can exceed {EXACT:,}, so it would not be exact")
