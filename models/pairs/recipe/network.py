"""The network: the first layers of MiniLM over both texts in one input, and three outputs (follows, contradicts, open)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel

from guardproxy.inference.pairs.reader import MATCHES
from models.encoder import encoder_folder


class Pairs(nn.Module):
    """The encoder's first layers, each of `exits` with a head of its own: one training gives several depths.

    A token's kind says its text and whether the other text has it, alone or beside the same words: three layers are too few
    to find that out. The encoder was trained on single sentences, so all kinds begin as copies of its only one, those of the
    second text with a little noise. The head reads the first token and the mean of the tokens of each text.
    """

    def __init__(self, exits: Sequence[int] = (3,)) -> None:
        super().__init__()
        self.encoder: Any = AutoModel.from_pretrained(encoder_folder(), attn_implementation="sdpa")
        self.encoder.pooler = None
        self.encoder.encoder.layer = self.encoder.encoder.layer[: max(exits)]
        self.exits = tuple(exits)
        kind = self.encoder.embeddings.token_type_embeddings.weight.data[0]
        width = len(kind)
        self.encoder.embeddings.token_type_embeddings = nn.Embedding(2 * MATCHES, width)
        both = torch.stack([kind, kind + 0.05 * torch.randn_like(kind)])
        self.encoder.embeddings.token_type_embeddings.weight.data = both.repeat_interleave(MATCHES, 0)
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Dropout(0.1), nn.Linear(3 * width, width), nn.GELU(), nn.Linear(width, 3))
            for _ in self.exits
        )

    def take(self, weights: dict[str, Tensor]) -> None:
        """Takes the weights of a checkpoint. One that knows only two kinds of tokens gives each of them to four."""
        name = "encoder.embeddings.token_type_embeddings.weight"
        if len(weights[name]) == 2:
            weights = {**weights, name: weights[name].repeat_interleave(MATCHES, 0)}
        self.load_state_dict(weights)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> list[Tensor]:
        """Logits, float32, (rows, 3), of every exit, the shallowest first."""
        states = self.encoder(
            input_ids=input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            output_hidden_states=True,
        ).hidden_states
        is_second = (token_type_ids >= MATCHES).long()
        first = (attention_mask * (1 - is_second)).unsqueeze(-1)
        second = (attention_mask * is_second).unsqueeze(-1)
        out = []
        for exit_, head in zip(self.exits, self.heads, strict=True):
            state = states[exit_].float()
            means = [(state * part).sum(1) / part.sum(1).clamp(min=1) for part in (first, second)]
            out.append(head(torch.cat([state[:, 0], *means], -1)))
        return out
