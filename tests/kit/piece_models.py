"""A model that reads pieces, made up: the format of users' folders and of earlier releases, whatever ships now.

Its tokenizer is the shipped one. Its network is one that anyone can follow: the logit of an output is 8 sin(c t), where t is
the sum of a row's tokens and c a number of the output. It looks at each token of a row and at no other row.
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
from tokenizers import Tokenizer

from guardproxy.findings import Kind
from guardproxy.inference.folders.model import FILES, Model
from guardproxy.inference.models import find, read
from models.encoder import write_sums
from tests.kit import first_stages
from tests.kit.first_stages import FLOAT, INT64, _fields, _node, _value

OUTPUTS = ("jailbreak", "embedded_instruction", "harmful")
MAX_TOKENS, OVERLAP_TOKENS = 256, 64
CHANNELS: dict[Kind, int] = {"user": 1, "tool_result": 2, "system": 3, "assistant": 4}
POINTS = {output: {"5%": 0.6, "1%": 0.9, "0.1%": 0.99} for output in OUTPUTS}
CONFIG: dict[str, Any] = {
    "format": 2,
    "kind": "scores",
    "version": "3",
    "outputs": list(OUTPUTS),
    "activation": "sigmoid",
    "labels": {"injection": {"any": ["jailbreak", "embedded_instruction"]}, "content": {"any": ["harmful"]}},
    "max_tokens": MAX_TOKENS,
    "overlap_tokens": OVERLAP_TOKENS,
    "length_correction": 0.5,
    "channels": CHANNELS,
    "calibration": {"jailbreak": {"bias": -1.9, "temperature": 0.8}, "harmful": {"bias": 0.5, "temperature": 1.1}},
    "operating_points": POINTS,
    "channel_points": {"user": {"jailbreak": {"1%": 0.85}}, "tool_result": {"embedded_instruction": {"1%": 0.95}}},
    "default_point": "1%",
}


def encoder_graph(outputs: int) -> bytes:
    """The network as an ONNX model: `input_ids` and `attention_mask` (int64, rows x tokens) to `logits` (float32, rows x
    outputs)."""
    nodes = (
        _node("Mul", ("input_ids", "attention_mask"), "seen"),
        _node("Cast", ("seen",), "numbers", _fields((1, "to"), (3, FLOAT), (20, 2))),
        _node("ReduceSum", ("numbers", "axis"), "total"),
        _node("MatMul", ("total", "steps"), "turned"),
        _node("Sin", ("turned",), "sines"),
        _node("Mul", ("sines", "eight"), "logits"),
    )
    steps = np.linspace(0.3, 1.1, outputs, dtype=np.float32)
    inside = _fields(
        *((1, node) for node in nodes),
        (2, "encoder"),
        (5, _tensor("axis", INT64, [1], np.array([1], np.int64))),
        (5, _tensor("steps", FLOAT, [1, outputs], steps)),
        (5, _tensor("eight", FLOAT, [1], np.array([8], np.float32))),
        (11, _value("input_ids", INT64, "tokens", "rows")),
        (11, _value("attention_mask", INT64, "tokens", "rows")),
        (12, _value("logits", FLOAT, outputs, "rows")),
    )
    return _fields((1, 8), (7, inside), (8, _fields((2, 17))))


def _tensor(name: str, kind: int, sizes: Sequence[int], values: np.ndarray[Any, Any]) -> bytes:
    return _fields(*((1, size) for size in sizes), (2, kind), (8, name), (9, values.tobytes()))


def piece_folder(folder: Path, config: Mapping[str, Any] = CONFIG, **contents: bytes) -> Path:
    """Writes a model folder without a first stage. `contents`: what stands in a file instead; its
    name has `_` for the dot."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(find() / "tokenizer.json", folder / "tokenizer.json")
    (folder / "model.onnx").write_bytes(encoder_graph(len(OUTPUTS)))
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    for name, content in contents.items():
        (folder / name.replace("_", ".")).write_bytes(content)
    write_sums(folder, FILES)
    return folder


def with_first_stage(folder: Path) -> Path:
    """Writes the folder with a first stage that clears a piece without the word `attack`, for `jailbreak` alone."""
    piece_folder(folder)
    token = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab()["attack"]
    return first_stages.with_first_stage(folder, token, {"jailbreak": {"column": 0, "below": 0.5, "least": 0.9}})


@cache
def piece_model(first_stage: bool = False) -> Model:
    """The model, whose folder nobody changes."""
    folder = Path(mkdtemp()) / "supervisor"
    return read(with_first_stage(folder) if first_stage else piece_folder(folder))
