"""The network: the first layers of MiniLM over both texts in one input, and three outputs (follows, contradicts, open)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel

from models.encoder import encoder_folder


class Pairs(nn.Module):
    """The encoder's first layers, each of `exits` with a head of its own: one training gives several depths.

    The encoder was trained on single sentences, so the embedding of the second text begins as a copy of the first's with
    a little noise. The head reads the first token and the mean of the second text's tokens.
    """

    def __init__(self, exits: Sequence[int] = (3,)) -> None:
        super().__init__()
        self.encoder: Any = AutoModel.from_pretrained(encoder_folder(), attn_implementation="sdpa")
        self.encoder.pooler = None
        self.encoder.encoder.layer = self.encoder.encoder.layer[: max(exits)]
        self.exits = tuple(exits)
        kinds = self.encoder.embeddings.token_type_embeddings.weight.data
        kinds[1] = kinds[0] + 0.05 * torch.randn_like(kinds[0])
        width = kinds.shape[1]
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Dropout(0.1), nn.Linear(3 * width, width), nn.GELU(), nn.Linear(width, 3))
            for _ in self.exits
        )

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> list[Tensor]:
        """Logits, float32, (rows, 3), of every exit, the shallowest first."""
        states = self.encoder(
            input_ids=input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            output_hidden_states=True,
        ).hidden_states
        first = (attention_mask * (1 - token_type_ids)).unsqueeze(-1)
        second = (attention_mask * token_type_ids).unsqueeze(-1)
        out = []
        for exit_, head in zip(self.exits, self.heads, strict=True):
            state = states[exit_].float()
            means = [(state * part).sum(1) / part.sum(1).clamp(min=1) for part in (first, second)]
            out.append(head(torch.cat([state[:, 0], *means], -1)))
        return out
