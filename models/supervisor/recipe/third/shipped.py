"""The weights of a model folder of the third generation as a place to go on from: read out of `model.fp16.onnx`.

In: a model folder. Out: a state dict of `ThirdSupervisor`, float32, whose numbers have the precision of 16 bits.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from models.supervisor.recipe.second.start import COMPOSED, PREFIX, encoder_weights

HEAD = f"{COMPOSED}head."


def shipped_weights(folder: Path) -> dict[str, torch.Tensor]:
    """Name in the network -> weights. The exporter keeps the names of the head, whose matrices stand as in torch."""
    encoder = {f"{PREFIX}{name}": tensor for name, tensor in encoder_weights(folder).items()}
    tensors = onnx.load(str(folder / "model.fp16.onnx")).graph.initializer
    head = {
        item.name.removeprefix(COMPOSED): torch.from_numpy(numpy_helper.to_array(item).astype(np.float32))
        for item in tensors
        if item.name.startswith(HEAD)
    }
    return encoder | head
