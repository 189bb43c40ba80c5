"""The table while it is trained: a row for each token, of which a text's vector is the sum.

A row is a linear map of what the encoder makes of the token alone, times a weight, plus a part of the token's own. The map and
the weights by frequency are learned from all tokens, so a token that the texts hardly have gets a row that fits the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

SMOOTH = 1e-3
"""In the first weight of a token, SMOOTH / (SMOOTH + its share of all tokens): the rarer, the more it says."""


class Table(nn.Module):
    """`tokens`: a row for each token, by the encoder. `counts`: of each token in the texts. `directions`: 384 x width."""

    def __init__(self, tokens: Any, counts: Any, directions: Any) -> None:
        super().__init__()
        self.register_buffer("tokens", torch.tensor(tokens))
        share = torch.tensor(counts / counts.sum())
        self.map = nn.Parameter(torch.tensor(directions))
        self.weight = nn.Parameter(torch.log(SMOOTH / (SMOOTH + share)).float())
        self.own = nn.Parameter(torch.zeros(len(tokens), directions.shape[1]))

    def rows(self, ids: Tensor) -> Tensor:
        """The rows of tokens."""
        common = self.tokens[ids] @ self.map
        return (common + self.own[ids]) * self.weight[ids, None].exp()

    def forward(self, texts: Sequence[Any]) -> Tensor:
        """A vector of unit length for each text, given as token numbers; none may be empty."""
        joined = np.concatenate(texts)
        ids, places = np.unique(joined, return_inverse=True)
        owners = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
        rows = self.rows(torch.from_numpy(ids))
        indices = torch.from_numpy(np.stack([owners, places]))
        ones = torch.sparse_coo_tensor(indices, torch.ones(len(joined)), (len(texts), len(ids)), check_invariants=False)
        return nn.functional.normalize(torch.sparse.mm(ones, rows))
