"""Writes a head as an ONNX network that the check `supervisor` runs: `(input_ids, attention_mask) -> logits`.

In: a head and the table of vectors. Out: the bytes of a file. The few messages of the format that are needed are encoded
here, since the package `onnx` is large and nothing else needs it at run time. Field numbers are those of `onnx.proto`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from guardproxy.lab.learning.head import PLAIN, VectorHead, VectorSpace

IR_VERSION, OPSET = 8, 17
FLOAT, INT8, INT64 = 1, 3, 7
_TYPES = {np.dtype(np.float32): FLOAT, np.dtype(np.int8): INT8, np.dtype(np.int64): INT64}
_INTEGER = 2
"""The type of an attribute that is a whole number."""


def network(head: VectorHead, space: VectorSpace, silent: Iterable[int]) -> bytes:
    """Returns the file. `silent`: the tokens that begin, end and pad a row, which say nothing."""
    weights, tokens = space.weights.copy(), head.tokens.astype(np.float32)
    for token in silent:
        weights[token] = tokens[token] = 0
    graph = _Graph()
    mask = graph.node("Cast", "attention_mask", to=FLOAT)
    rows = graph.node("Cast", graph.node("Gather", graph.array("table", space.rows), "input_ids"), to=FLOAT)
    own = graph.node("Mul", graph.node("Gather", graph.array("weights", weights), "input_ids"), mask)
    middle, last = (graph.array(f"axis{axis}", np.array([axis], np.int64)) for axis in (1, -1))
    total = graph.node("Squeeze", graph.node("MatMul", graph.node("Unsqueeze", own, middle), rows), middle)
    length = graph.node("Sqrt", graph.node("ReduceSum", graph.node("Mul", total, total), last))
    unit = graph.node("Div", total, graph.node("Max", length, graph.number("least", PLAIN)))
    about = graph.node("MatMul", unit, graph.array("vector", head.vector.astype(np.float32)[:, None]))
    said = graph.node("Mul", graph.node("Gather", graph.array("tokens", tokens), "input_ids"), mask)
    count = graph.node("Sub", graph.node("ReduceSum", mask, last), graph.number("ends", 2))
    root = graph.node("Sqrt", graph.node("Max", count, graph.number("one", 1)))
    bag = graph.node("Div", graph.node("ReduceSum", said, last), root)
    graph.node("Add", graph.node("Add", about, bag), graph.number("bias", head.bias), output="logits")
    return graph.model({"input_ids": INT64, "attention_mask": INT64}, {"logits": FLOAT})


@dataclass(slots=True)
class _Graph:
    """A graph that grows by nodes. Each method returns the name of a value."""

    nodes: list[bytes] = field(default_factory=list)
    arrays: list[bytes] = field(default_factory=list)

    def node(self, kind: str, *inputs: str, output: str = "", **attributes: int) -> str:
        name = output or f"value{len(self.nodes)}"
        parts = [_text(1, value) for value in inputs] + [_text(2, name), _text(4, kind)]
        parts += [
            _bytes(5, _text(1, key) + _number(3, value) + _number(20, _INTEGER)) for key, value in attributes.items()
        ]
        self.nodes.append(b"".join(parts))
        return name

    def array(self, name: str, content: NDArray[Any]) -> str:
        dims = b"".join(_number(1, size) for size in content.shape)
        raw = np.ascontiguousarray(content).tobytes()
        self.arrays.append(dims + _number(2, _TYPES[content.dtype]) + _text(8, name) + _bytes(9, raw))
        return name

    def number(self, name: str, value: float) -> str:
        return self.array(name, np.array([value], np.float32))

    def model(self, inputs: dict[str, int], outputs: dict[str, int]) -> bytes:
        """Returns the file. Inputs and outputs are named, with their types; the sizes of their two axes are free."""
        graph = b"".join(_bytes(1, node) for node in self.nodes) + _text(2, "head")
        graph += b"".join(_bytes(5, array) for array in self.arrays)
        graph += b"".join(_bytes(11, _value(name, kind, ("rows", "tokens"))) for name, kind in inputs.items())
        graph += b"".join(_bytes(12, _value(name, kind, ("rows", "outputs"))) for name, kind in outputs.items())
        opset = _bytes(8, _text(1, "") + _number(2, OPSET))
        return _number(1, IR_VERSION) + _text(2, "guardproxy") + opset + _bytes(7, graph)


def _value(name: str, kind: int, axes: Sequence[str]) -> bytes:
    shape = b"".join(_bytes(1, _text(2, axis)) for axis in axes)
    return _text(1, name) + _bytes(2, _bytes(1, _number(1, kind) + _bytes(2, shape)))


def _varint(value: int) -> bytes:
    """Returns a whole number as Protocol Buffers write it; a negative one as 64 bits."""
    left = value & (1 << 64) - 1
    found = bytearray()
    while left > 0x7F:
        found.append(left & 0x7F | 0x80)
        left >>= 7
    found.append(left)
    return bytes(found)


def _number(key: int, value: int) -> bytes:
    return _varint(key << 3) + _varint(value)


def _bytes(key: int, content: bytes) -> bytes:
    return _varint(key << 3 | 2) + _varint(len(content)) + content


def _text(key: int, content: str) -> bytes:
    return _bytes(key, content.encode())
