"""A first stage that anyone can follow: its only column is 1.0 for a row with a given token, else 0.0.

The graph is written field by field in protobuf's wire format, because only training needs the package `onnx`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from models.encoder import write_sums

FLOAT, INT64 = 1, 7


def with_first_stage(folder: Path, token: int, clearing: Mapping[str, Mapping[str, Any]]) -> Path:
    """Puts the first stage into a model folder, with `first_stage` in its configuration."""
    (folder / "first_stage.onnx").write_bytes(graph(token))
    config = json.loads((folder / "config.json").read_text("utf-8")) | {"first_stage": clearing}
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    write_sums(folder, ("model.onnx", "tokenizer.json", "config.json", "first_stage.onnx"))
    return folder


def graph(token: int) -> bytes:
    """The network as an ONNX model: `input_ids` (int64, 1 x tokens) to `scores` (float32, 1 x 1)."""
    sought = _fields((2, INT64), (7, _varint(token)), (8, "sought"))
    nodes = (
        _node("Equal", ("input_ids", "sought"), "equal"),
        _node("Cast", ("equal",), "numbers", _fields((1, "to"), (3, FLOAT), (20, 2))),
        _node("ReduceMax", ("numbers",), "scores", _fields((1, "axes"), (8, 1), (20, 7))),
    )
    inside = _fields(
        *((1, node) for node in nodes),
        (2, "first_stage"),
        (5, sought),
        (11, _value("input_ids", INT64, "tokens")),
        (12, _value("scores", FLOAT, 1)),
    )
    return _fields((1, 8), (7, inside), (8, _fields((2, 17))))


def _node(operator: str, inputs: Iterable[str], output: str, attribute: bytes = b"") -> bytes:
    more = ((5, attribute),) if attribute else ()
    return _fields(*((1, name) for name in inputs), (2, output), (4, operator), *more)


def _value(name: str, kind: int, width: int | str, rows: int | str = 1) -> bytes:
    dimensions = (_fields((2, size) if isinstance(size, str) else (1, size)) for size in (rows, width))
    shape = _fields(*((1, dimension) for dimension in dimensions))
    return _fields((1, name), (2, _fields((1, _fields((1, kind), (2, shape))))))


def _fields(*pairs: tuple[int, int | str | bytes]) -> bytes:
    """Encodes the fields of a message: numbers as varints, text and messages with their length."""
    parts = []
    for number, value in pairs:
        if isinstance(value, int):
            parts.append(_varint(number << 3) + _varint(value))
        else:
            content = value.encode() if isinstance(value, str) else value
            parts.append(_varint(number << 3 | 2) + _varint(len(content)) + content)
    return b"".join(parts)


def _varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])
