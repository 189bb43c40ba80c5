"""A linear layer over the rows of five neighbouring words and over pairs of words: what the tagger `fast` is measured against.

In: a batch of `fast.py`. Out: for each word a number for each tag, from the same words, parts and lists.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from guardproxy.inference import forms
from models.names.recipe.fast import TAGS, Batch

PLACES = (-2, -1, 0, 1, 2)
PAIRS = 1 << 17


class Linear(nn.Module):
    def __init__(self, known: int) -> None:
        super().__init__()
        self.tags = len(TAGS)
        self.own = nn.Embedding(1 + known, len(PLACES) * self.tags, padding_idx=0)
        self.table = nn.EmbeddingBag(forms.FIXED + forms.HASHED, len(PLACES) * self.tags, mode="sum")
        self.pairs = nn.Embedding(PAIRS, self.tags)
        self.gap = nn.Embedding(3, self.tags)
        for part in (self.own, self.table, self.pairs, self.gap):
            nn.init.zeros_(part.weight)

    def forward(self, b: Batch) -> Tensor:
        own = self.own(b.own) + self.table(b.bags, b.starts, per_sample_weights=b.weights)
        by = own.view(-1, len(PLACES), self.tags)
        total = len(b.words)
        words = torch.cat([b.words, b.words.new_zeros(1)])
        out = by[b.words, 2] + self.gap(b.gaps)
        first = b.own * 97 + b.bags[b.starts]
        ids = torch.cat([first[b.words], first.new_full((1,), 7)])
        for reach, (left, right) in zip((1, 2), b.sides, strict=True):
            out = out + torch.where((left < total).unsqueeze(1), by[words[left], 2 - reach], out.new_zeros(()))
            out = out + torch.where((right < total).unsqueeze(1), by[words[right], 2 + reach], out.new_zeros(()))
            if reach == 1:
                out = out + self.pairs((ids[left] * 31337 + ids[:-1] * 7919) % PAIRS)
                out = out + self.pairs((ids[:-1] * 31337 + ids[right] * 7919 + 13) % PAIRS)
        return out
