"""The network that training, export and parity share: the MiniLM encoder and one linear layer over pooled tokens.

In: token ids and attention mask, int64, (rows, tokens). Out: logits, float32, (rows, outputs); one sigmoid per output, so
a text may be several things at once. Mean pooling sees the topic, max pooling one bad sentence in many.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel

from models.encoder import encoder_folder
from models.supervisor.recipe.sources import OUTPUTS


class Supervisor(nn.Module):
    """Encoder, masked mean and max of the last layer, dropout, one linear layer."""

    def __init__(self, outputs: int = len(OUTPUTS)) -> None:
        super().__init__()
        # Dropout inside the encoder costs a third of the speed on a CPU; train.py hides random tokens instead.
        still = {"attention_probs_dropout_prob": 0.0, "hidden_dropout_prob": 0.0}
        self.encoder: Any = AutoModel.from_pretrained(encoder_folder(), attn_implementation="sdpa", **still)
        self.encoder.pooler = None  # its weights are not used
        # Words that training never shows keep their place among those that it does.
        self.encoder.embeddings.word_embeddings.weight.requires_grad = False
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(2 * self.encoder.config.hidden_size, outputs)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(states.dtype)
        mean = (states * mask).sum(1) / mask.sum(1)
        most = (states + (mask - 1.0) * 1e4).amax(1)
        out: Tensor = self.head(self.dropout(torch.cat([mean, most], -1))).float()
        return out
