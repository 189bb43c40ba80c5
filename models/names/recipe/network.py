"""The network that training and export share: the first layers of the MiniLM encoder, and a tag for each token.

In: token ids, attention mask and the case of each token's word (`CASES`), int64, (rows, tokens). Out: logits, float32,
(rows, tokens, tags). The encoder's vocabulary has no capitals; it learnt with a second input, the sentence a token is
in, of which one value was ever used for single sentences. That input now says how the word was written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel

from models.encoder import encoder_folder

LABELS = ("PERSON", "LOCATION", "ORGANIZATION", "DATE_TIME", "NRP")
TAGS = ("O", *(f"{place}-{label}" for label in LABELS for place in "BI"))
CASES = 7  # see guardproxy/inference/names/tagger.py, `case_of`


class Names(nn.Module):
    """The encoder's first layers, each of `exits` with a head of its own, so that one training gives several depths."""

    def __init__(self, exits: Sequence[int] = (3,)) -> None:
        super().__init__()
        still = {"attention_probs_dropout_prob": 0.0, "hidden_dropout_prob": 0.0}  # see train.py: tokens are hidden
        self.encoder: Any = AutoModel.from_pretrained(encoder_folder(), attn_implementation="sdpa", **still)
        self.encoder.pooler = None
        self.encoder.encoder.layer = self.encoder.encoder.layer[: max(exits)]
        self.exits = tuple(exits)
        old = self.encoder.embeddings.token_type_embeddings.weight.data
        cases = nn.Embedding(CASES, old.shape[1])
        cases.weight.data = old[:1].repeat(CASES, 1) + 0.02 * torch.randn(CASES, old.shape[1])
        self.encoder.embeddings.token_type_embeddings = cases
        self.dropout = nn.Dropout(0.1)
        self.heads = nn.ModuleList(nn.Linear(old.shape[1], len(TAGS)) for _ in self.exits)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, case_ids: Tensor) -> list[Tensor]:
        """Logits of every exit, the shallowest first."""
        states = self.encoder(
            input_ids=input_ids,
            attention_mask=attention_mask,
            token_type_ids=case_ids,
            output_hidden_states=True,
        ).hidden_states
        return [head(self.dropout(states[exit])).float() for exit, head in zip(self.exits, self.heads, strict=True)]
