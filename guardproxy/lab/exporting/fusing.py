"""Replaces the written-out attention of a graph by one node for each layer, which a CPU runs faster.

In: a graph in fp32 whose attention is softmax(q k + mask) v, as in BERT. Out: the same graph with the operator
`MultiHeadAttention` of ONNX Runtime. The new nodes read no mask, so each row must run alone and without padding, as
guardproxy runs rows on a CPU. onnx and onnxruntime are imported when they are used.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from guardproxy.errors import ConfigError

MOST = 1e-3
"""The largest difference that the new nodes may make to a logit."""
LENGTHS = (2, 9, 40)
"""Tokens of the rows by which the two graphs are compared."""
_SHAPING = ("Reshape", "Transpose")
_SCALING = ("Mul", "Div")
_ABOUT_NAN = ("IsNaN", "Where")
_DOMAIN = "com.microsoft"


def fuse_attention(source: Path, target: Path, heads: int) -> int:
    """Writes the graph with its attention fused, and returns the number of layers. `heads`: of each layer.

    Raises `ConfigError` if the graph has no such attention, or if its logits would change.
    """
    import onnx  # noqa: PLC0415

    model = onnx.load(str(source))
    layers = _Layers(model.graph.node)
    softmaxes = [node for node in model.graph.node if node.op_type == "Softmax"]
    for number, softmax in enumerate(softmaxes):
        inputs, last = layers.around(softmax)
        name, last.output[0] = last.output[0], f"{last.output[0]}_unused"
        model.graph.node.append(
            onnx.helper.make_node(
                "MultiHeadAttention", inputs, [name], f"attention_{number}", domain=_DOMAIN, num_heads=heads
            )
        )
    nodes = _used(model.graph)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    if all(own.domain != _DOMAIN for own in model.opset_import):
        model.opset_import.append(onnx.helper.make_opsetid(_DOMAIN, 1))
    onnx.save(model, str(target))
    if not softmaxes or (most := _difference(source, target)) > MOST:
        found = f"a logit changes by {most:.3g}" if softmaxes else "there is none"
        raise ConfigError(f"the attention of this graph cannot be fused: {found}")
    return len(softmaxes)


class _Layers:
    """The nodes of a graph, by what they give and by what they take."""

    def __init__(self, nodes: Iterable[Any]) -> None:
        self._givers: dict[str, Any] = {}
        self._takers: defaultdict[str, list[Any]] = defaultdict(list)
        for node in nodes:
            self._givers.update(dict.fromkeys(node.output, node))
            for name in node.input:
                self._takers[name].append(node)

    def around(self, softmax: Any) -> tuple[list[str], Any]:
        """Returns the names of query, key and value of a layer, and the node that gives the layer's result."""
        scores = self._before(softmax.input[0], ("Add", *_SCALING))
        weighted = self._after(softmax, _ABOUT_NAN)
        if scores.op_type != "MatMul" or weighted.op_type != "MatMul":
            raise ConfigError("the attention of this graph cannot be fused: its form is unknown")
        sides = [*scores.input, weighted.input[1]]
        projected = [self._before(name, (*_SHAPING, *_SCALING)).output[0] for name in sides]
        last = weighted
        while following := [node for node in self._takers[last.output[0]] if node.op_type in _SHAPING]:
            last = following[0]
        return projected, last

    def _before(self, name: str, passed: tuple[str, ...]) -> Any:
        """Returns the nearest node of another kind than `passed` that gives `name`, by first inputs."""
        node = self._givers[name]
        while node.op_type in passed:
            node = self._givers[node.input[0]]
        return node

    def _after(self, node: Any, passed: tuple[str, ...]) -> Any:
        """Returns the nearest node of another kind than `passed` that takes the result of `node`."""
        while node.op_type in (*passed, "Softmax"):
            node = self._takers[node.output[0]][-1]
        return node


def _used(graph: Any) -> list[Any]:
    """Returns the nodes that the outputs of a graph need, each after the nodes that it needs."""
    givers = {name: node for node in graph.node for name in node.output}
    ordered: dict[int, Any] = {}
    waiting = [(givers[output.name], False) for output in graph.output]
    while waiting:
        node, ready = waiting.pop()
        if ready:
            ordered.setdefault(id(node), node)
        elif id(node) not in ordered:
            waiting.append((node, True))
            waiting += [(givers[name], False) for name in node.input if name in givers]
    return list(ordered.values())


def _difference(one: Path, other: Path) -> float:
    """Returns the largest difference between the logits of two graphs, for rows of a few lengths."""
    import onnxruntime  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    sessions = [
        onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]) for path in (one, other)
    ]
    names = [given.name for given in sessions[0].get_inputs()]
    most = 0.0
    for length in LENGTHS:
        rows = (np.arange(5, 5 + length, dtype=np.int64)[None], np.ones((1, length), np.int64))
        first, second = (session.run(["logits"], dict(zip(names, rows, strict=True)))[0] for session in sessions)
        most = max(most, float(np.abs(first - second).max()))
    return most
