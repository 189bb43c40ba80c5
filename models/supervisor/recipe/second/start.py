"""The encoder of the shipped model as a place to start from: its weights, read out of `model.fp16.onnx`.

In: a model folder. Out: a state dict of the encoder. The exporter keeps the names of vectors and loses those of matrices,
which the names of the graph's nodes tell.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from models.supervisor.recipe.third.exit_graph import without_exit

PREFIX = "encoder."
COMPOSED = "network."
"""Before `PREFIX`, where the graph is that of a `ComposedSupervisor`."""


def encoder_weights(folder: Path) -> dict[str, torch.Tensor]:
    """Name in the encoder -> float32 weights. Raises `ValueError` when a matrix cannot be named."""
    graph = without_exit(onnx.load(str(folder / "model.fp16.onnx"))).graph
    arrays = {
        item.name.removeprefix(COMPOSED): numpy_helper.to_array(item).astype(np.float32) for item in graph.initializer
    }
    found = {
        name.removeprefix(PREFIX): torch.from_numpy(array)
        for name, array in arrays.items()
        if name.startswith(PREFIX) and array.ndim
    }
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in arrays:
            module = node.name.removesuffix("/MatMul").strip("/").replace("/", ".").removeprefix(COMPOSED)
            if not module.startswith(PREFIX):
                raise ValueError(f"the matrix of {node.name} has no place in the encoder")
            found[f"{module.removeprefix(PREFIX)}.weight"] = torch.from_numpy(arrays[node.input[1]].T.copy())
    return found
