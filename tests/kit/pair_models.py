"""A model that judges pairs, made up: a folder whose network anyone can follow, and a judge of given pairs.

The network's tokenizer is the shipped one. The logits are 8 sin(c t): t is the sum of a row's tokens, in which each counts
by its kind, and c a number of the output. So the order of the two texts matters, and no other row does.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np

from guardproxy.checks import PairScores, TextPair
from guardproxy.inference.models import find, read_pairs
from guardproxy.inference.pairs.model import FILES, PairModel
from models.encoder import write_sums
from tests.kit.first_stages import FLOAT, INT64, _fields, _node, _value
from tests.kit.piece_models import _tensor

CONFIG: dict[str, Any] = {
    "format": 1,
    "kind": "pairs",
    "version": "3",
    "max_tokens": 32,
    "matches": True,
    "temperature": 2.0,
    "operating_points": {"same": 0.9, "supported": 0.5, "contradicted": 0.75},
}
OPEN = PairScores(0.0, 0.0, 1.0)


class KnownPairs:
    """Implements `guardproxy.checks.PairJudge` by a table; other pairs are neutral. `asked`: every pair that it was asked."""

    digest = "sha256:known"

    def __init__(self, known: Mapping[tuple[str, str], PairScores], points: Mapping[str, float] | None = None) -> None:
        self._known = known
        self.points = points or CONFIG["operating_points"]
        self.asked: list[TextPair] = []

    def judge(self, pairs: Sequence[TextPair]) -> list[PairScores]:
        self.asked += pairs
        return [self._known.get(pair, OPEN) for pair in pairs]


def pair_graph(outputs: int = 3) -> bytes:
    """The network as an ONNX model: `input_ids` and `token_type_ids` (int64, rows x tokens) to `logits` (float32, rows x
    outputs)."""
    nodes = (
        _node("Mul", ("token_type_ids", "three"), "more"),
        _node("Add", ("more", "one"), "weights"),
        _node("Mul", ("input_ids", "weights"), "seen"),
        _node("Cast", ("seen",), "numbers", _fields((1, "to"), (3, FLOAT), (20, 2))),
        _node("ReduceSum", ("numbers", "axis"), "total"),
        _node("MatMul", ("total", "steps"), "turned"),
        _node("Sin", ("turned",), "sines"),
        _node("Mul", ("sines", "eight"), "logits"),
    )
    numbers = {"axis": 1, "one": 1, "three": 3}
    steps = np.linspace(0.3, 1.1, outputs, dtype=np.float32)
    inside = _fields(
        *((1, node) for node in nodes),
        (2, "pairs"),
        *((5, _tensor(name, INT64, [1], np.array([number], np.int64))) for name, number in numbers.items()),
        (5, _tensor("steps", FLOAT, [1, outputs], steps)),
        (5, _tensor("eight", FLOAT, [1], np.array([8], np.float32))),
        (11, _value("input_ids", INT64, "tokens", "rows")),
        (11, _value("token_type_ids", INT64, "tokens", "rows")),
        (12, _value("logits", FLOAT, outputs, "rows")),
    )
    return _fields((1, 8), (7, inside), (8, _fields((2, 17))))


def pair_folder(folder: Path, config: Mapping[str, Any] = CONFIG, outputs: int = 3) -> Path:
    """Writes a model folder."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(find() / "tokenizer.json", folder / "tokenizer.json")
    (folder / "model.onnx").write_bytes(pair_graph(outputs))
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    write_sums(folder, FILES)
    return folder


@cache
def pair_model() -> PairModel:
    """The model, whose folder nobody changes."""
    return read_pairs(pair_folder(Path(mkdtemp()) / "pairs"))
