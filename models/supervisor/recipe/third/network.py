"""The network of the third generation: that of the second, and an output `injection` of its own.

In: token ids and attention mask, int64, (rows, tokens); the second token names the channel. Out: in training the logits of
`PARTS` and of `injection`; in the exported graph the logits of `OUTPUTS`, float32. The outputs composed of parts stay for
policies that name them. `injection` is learned directly, since a false alarm of `harmful` inside the product becomes one of
`jailbreak`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.supervisor.recipe.second.network import Head, Supervisor, jailbreak
from models.supervisor.recipe.second.outputs import JAILBREAK, KINDS, PARTS

INJECTION = "injection"
OUTPUTS = (INJECTION, JAILBREAK, "embedded_instruction", *KINDS, "harmful")
"""The columns of the exported graph. The first three say that a text is an attack, of any kind or of one."""
SPAN = 48
"""Tokens that are judged together: span k is the tokens 48 k to 48 k + 47 of a text."""
ROOM = 128
"""Tokens of a row, three of which are special. A row ends with a span, and nothing stands behind it."""


class ThirdSupervisor(Supervisor):
    """The network of the second generation with one column more. `frozen`: lowest layers that stay as they are."""

    def __init__(self, frozen: int = 0) -> None:
        super().__init__(frozen)
        self.head = Head(2 * self.encoder.config.hidden_size, more=1)


class ComposedThird(nn.Module):
    """The network with the outputs that policies know."""

    def __init__(self, network: ThirdSupervisor) -> None:
        super().__init__()
        self.network = network

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits of `OUTPUTS`."""
        found = self.network(input_ids, attention_mask)
        parts, injection = found[:, : len(PARTS)], found[:, len(PARTS) :]
        order = [PARTS.index(name) for name in ("order", *KINDS, "harmful")]
        return torch.cat([injection, jailbreak(parts).unsqueeze(1), parts[:, order]], 1)
