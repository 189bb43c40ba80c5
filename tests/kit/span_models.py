"""A model that reads in spans, made up: random n-grams, a network that anyone can follow, an encoder that hashes rows."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from prometheus_client import CollectorRegistry

from guardproxy.inference.folders.model import FIRST_STAGE, NGRAMS, Model
from guardproxy.inference.models import find, read
from guardproxy.inference.running.batching import Row, StoppableRow
from guardproxy.inference.running.meters import Registry
from guardproxy.inference.scoring.ngrams import BUCKETS
from guardproxy.inference.scoring.scorer import ModelScorer
from models.encoder import write_sums
from tests.kit.first_stages import FLOAT, INT64, _fields, _node, _value, _varint

TOKEN = 2886
"""The token by which the network of depth 0 knows a window."""
OUTPUTS = ("attack", "harm", "other")
ROW_TOKENS = 64
COLUMNS: list[dict[str, Any]] = [
    {"scale": 0.02, "network": 3.0, "bias": {"any": 0.0, "tool_result": 0.5}},
    {"scale": 0.02, "network": 0.0, "bias": {"any": -0.25}},
]
PARTS = {
    "attack": {"column": 0, "weight": 0.5, "slope": 1.0, "alone": -1.0},
    "harm": {"column": 1, "weight": 0.0, "slope": 2.0, "alone": -0.5},
}
EXIT = {
    "columns": [{"any": 0.25, "tool_result": -0.5}, {"any": 0.0}],
    "outputs": {
        "attack": {"column": 1, "slope": 0.5, "alone": -1.0},
        "harm": {"column": 0, "slope": 1.0, "alone": -0.5},
    },
}
CONFIG: dict[str, Any] = {
    "format": 2,
    "kind": "scores",
    "outputs": list(OUTPUTS),
    "labels": {},
    "max_tokens": ROW_TOKENS,
    "overlap_tokens": 0,
    "channels": {"user": 1, "tool_result": 2},
    "calibration": {"attack": {"bias": 0.5, "temperature": 2.0}},
    "first_stage": {
        "attack": {"column": 0, "below": 0.3, "least": 0.6},
        "harm": {"column": 1, "below": 0.35, "least": 0.6},
    },
    "spans": {"tokens": 48, "columns": COLUMNS, "outputs": PARTS},
}


def windows_graph(token: int) -> bytes:
    """A network of depth 0 as an ONNX model: `input_ids` (int64, 1 x tokens) to `logits` (float32, 1 x windows x 1), 1.0 for a
    window of 48 tokens with this token, else 0.0. Windows begin every 24 tokens."""
    numbers = [(1, "kernel_shape", [48]), (1, "strides", [24]), (1, "pads", [0, 47])]
    pool = [_fields((1, name), *((8, number) for number in values), (20, 7)) for _, name, values in numbers]
    turn = _fields((1, "perm"), *((8, number) for number in (0, 2, 1)), (20, 7))
    nodes = (
        _node("Equal", ("input_ids", "sought"), "equal"),
        _node("Cast", ("equal",), "flat", _fields((1, "to"), (3, FLOAT), (20, 2))),
        _node("Unsqueeze", ("flat", "axis"), "numbers"),
        _fields((1, "numbers"), (2, "pooled"), (4, "MaxPool"), *((5, attribute) for attribute in pool)),
        _node("Transpose", ("pooled",), "logits", turn),
    )
    inside = _fields(
        *((1, node) for node in nodes),
        (2, "depth"),
        (5, _fields((2, INT64), (7, _varint(token)), (8, "sought"))),
        (5, _fields((1, 1), (2, INT64), (7, _varint(1)), (8, "axis"))),
        (11, _value("input_ids", INT64, "tokens")),
        (12, _logits()),
    )
    return _fields((1, 8), (7, inside), (8, _fields((2, 17))))


def _logits() -> bytes:
    sizes: tuple[bytes, ...] = (_fields((1, 1)), _fields((2, "windows")), _fields((1, 1)))
    shape = _fields(*((1, size) for size in sizes))
    return _fields((1, "logits"), (2, _fields((1, _fields((1, FLOAT), (2, shape))))))


def table(seed: int = 7) -> np.ndarray[Any, np.dtype[np.int8]]:
    """Random weights, (BUCKETS, columns)."""
    return np.random.default_rng(seed).integers(-127, 128, (BUCKETS, len(COLUMNS)), dtype=np.int8)


def span_folder(folder: Path, config: Mapping[str, Any] = CONFIG, token: int = TOKEN) -> Path:
    """Writes a model folder without its encoder. The network has one column, so the second column must not need it."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(find() / "tokenizer.json", folder / "tokenizer.json")
    table().tofile(folder / NGRAMS)
    (folder / FIRST_STAGE).write_bytes(windows_graph(token))
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    write_sums(folder, ("tokenizer.json", "config.json", NGRAMS, FIRST_STAGE))
    return folder


def span_model(folder: Path, config: Mapping[str, Any] = CONFIG) -> Model:
    return read(span_folder(folder, config), remote=True)


class HashingEncoder:
    """An encoder whose logits, from -4 to 4, depend on every token of a row. Keeps the rows that ran, and those of them that
    stopped. `exits`: columns of its exit. `can_stop`: false for one that always runs to its end, as on a GPU."""

    provider = "test"
    budget = 1
    workers = 2

    def __init__(self, exits: int = 0, can_stop: bool = True) -> None:
        self.ran: list[Row] = []
        self.stopped: list[Row] = []
        self._exits = exits
        self._can_stop = can_stop

    def logits(self, row: Row) -> list[float]:
        digest = hashlib.sha256(repr(tuple(row)).encode()).digest()
        return [digest[at] / 32 - 4 for at in range(len(OUTPUTS))]

    def exit_logits(self, row: Row) -> list[float]:
        digest = hashlib.sha256(repr(tuple(row)).encode()).digest()
        return [digest[-1 - at] / 32 - 4 for at in range(self._exits)]

    def run(self, rows: Sequence[Row]) -> list[list[float]]:
        self.ran += rows
        return [self._run(row) for row in rows]

    def _run(self, row: Row) -> list[float]:
        found = self.exit_logits(row)
        below = row.below if self._can_stop and isinstance(row, StoppableRow) else ()
        if below and all(logit < limit for logit, limit in zip(found, below, strict=True)):
            self.stopped.append(row)
            return [math.nan] * len(OUTPUTS) + found
        return self.logits(row) + found

    def close(self) -> None:
        pass


def span_scorer(model: Model, remembered: int = 0, can_stop: bool = True) -> tuple[ModelScorer, HashingEncoder]:
    """The scorer of a model with a hashing encoder, which has run nothing."""
    encoder = HashingEncoder(model.width - len(model.outputs), can_stop)
    meters = Registry(CollectorRegistry()).meters("spans")
    scorer = ModelScorer(model, lambda pad, rows: encoder, meters, queue=1000, remembered=remembered, wait_s=1000.0)
    encoder.ran.clear()
    return scorer, encoder
