"""The encoder that the package jailguard would download, from the weights that the models here start from.

Run by a Python that has the extra `train`: `python -m benchmarks.peers.jailguard_encoder DIR` writes all-MiniLM-L6-v2.onnx
there. Name DIR in JAILGUARD_MODEL_DIR.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel

from models.encoder import encoder_folder


class Encoder(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder: Any = AutoModel.from_pretrained(encoder_folder(), attn_implementation="eager")

    def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
        return self.encoder(**inputs).last_hidden_state


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    ids = torch.full((2, 12), 2000)
    mask = torch.ones_like(ids)
    mask[1, 8:] = 0
    names = ["input_ids", "attention_mask", "token_type_ids"]
    free = {0: "rows", 1: "tokens"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Encoder().eval(),
            (ids, mask, torch.zeros_like(ids)),
            str(folder / "all-MiniLM-L6-v2.onnx"),
            input_names=names,
            output_names=["last_hidden_state"],
            dynamic_axes=dict.fromkeys([*names, "last_hidden_state"], free),
            opset_version=17,
            dynamo=False,
        )


if __name__ == "__main__":
    main()
