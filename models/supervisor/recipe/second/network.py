"""The network of the second generation: the encoder, a hidden layer, one column a part, and outputs composed of the parts.

In: token ids and attention mask, int64, (rows, tokens); the second token may name the channel. Out: logits of `PARTS` in
training, logits of `OUTPUTS` in the exported graph, float32. `jailbreak` = override or extraction or (harm and a wrapper or a
disguise): a wrapper around a harmless request is none.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from transformers import AutoModel

from models.encoder import encoder_folder
from models.supervisor.recipe.second.outputs import CHANNELS, KINDS, PARTS

HIDDEN = 192
CHANNEL_TOKENS = {channel: 1 + at for at, channel in enumerate(CHANNELS)}
"""The vocabulary's unused tokens: no text can hold them."""
SMALLEST = 1e-6


def pool(states: Tensor, attention_mask: Tensor) -> Tensor:
    """Mean and maximum over the tokens that are there, (rows, 2 x hidden)."""
    mask = attention_mask.unsqueeze(-1).to(states.dtype)
    mean = (states * mask).sum(1) / mask.sum(1)
    return torch.cat([mean, (states + (mask - 1.0) * 1e4).amax(1)], -1)


def jailbreak(parts: Tensor) -> Tensor:
    """The logit of `jailbreak` from the logits of the parts, (rows,): that of a noisy or of its four ways."""
    of = {name: parts[:, at] for at, name in enumerate(PARTS)}
    chance = {name: torch.sigmoid(of[name]) for name in ("wrapper", "obfuscation", "harmful")}
    miss = -softplus(of["override"]) - softplus(of["extraction"])
    for name in ("wrapper", "obfuscation"):
        miss = miss + torch.log1p(-(chance[name] * chance["harmful"]).clamp(max=1 - SMALLEST))
    # The logit of 1 - exp(miss); `miss` is below 0, and at 0 there is no chance at all.
    found = (-miss).clamp(min=SMALLEST)
    return found + torch.log((1 - torch.exp(-found)).clamp(min=SMALLEST))


class Head(nn.Module):
    """Dropout, a hidden layer, one column a part and `more` beside them."""

    def __init__(self, width: int, more: int = 0) -> None:
        super().__init__()
        columns = len(PARTS) + more
        self.layers = nn.Sequential(
            nn.Dropout(0.1), nn.Linear(width, HIDDEN), nn.GELU(), nn.Dropout(0.1), nn.Linear(HIDDEN, columns)
        )

    def forward(self, features: Tensor) -> Tensor:
        found: Tensor = self.layers(features)
        return found


class Supervisor(nn.Module):
    """Encoder, mean and maximum of its last layer, head. `frozen`: how many of the lowest layers stay as they are."""

    def __init__(self, frozen: int = 0) -> None:
        super().__init__()
        still = {"attention_probs_dropout_prob": 0.0, "hidden_dropout_prob": 0.0}
        self.encoder: Any = AutoModel.from_pretrained(encoder_folder(), attn_implementation="sdpa", **still)
        self.encoder.pooler = None  # its weights are not used
        # Words that training never shows keep their place among those that it does.
        for module in (self.encoder.embeddings, *self.encoder.encoder.layer[:frozen]):
            module.requires_grad_(False)
        self.head = Head(2 * self.encoder.config.hidden_size)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits of the parts."""
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        found: Tensor = self.head(pool(states, attention_mask)).float()
        return found


class ComposedSupervisor(nn.Module):
    """The network with the outputs that policies know."""

    def __init__(self, network: Supervisor) -> None:
        super().__init__()
        self.network = network

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits of `OUTPUTS`."""
        parts = self.network(input_ids, attention_mask)
        order = [PARTS.index(name) for name in ("order", *KINDS, "harmful")]
        return torch.cat([jailbreak(parts).unsqueeze(1), parts[:, order]], 1)
