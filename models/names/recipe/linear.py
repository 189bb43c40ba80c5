"""A linear chain over hashed words: what the tagger `fast` was measured against."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from guardproxy.inference import forms
from models.names.recipe.fast import TAGS, UNMARKED, Batch

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
        self.moves = nn.Parameter(torch.zeros(self.tags, self.tags))
        self.begin = nn.Parameter(torch.zeros(self.tags))
        for part in (self.own, self.table, self.pairs, self.gap):
            nn.init.zeros_(part.weight)

    def scores(self, b: Batch) -> Tensor:
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

    def forward(self, b: Batch) -> Tensor:
        return self.scores(b)

    def chain_loss(self, b: Batch) -> Tensor:
        scores = self.scores(b)
        lengths = torch.bincount(b.piece, minlength=b.pieces)
        longest = int(lengths.max())
        starts = torch.cumsum(lengths, 0) - lengths
        at = starts.unsqueeze(1) + torch.arange(longest)
        mask = torch.arange(longest) < lengths.unsqueeze(1)
        at = at.clamp(max=len(scores) - 1)
        e = scores[at]
        allowed = torch.zeros(len(scores), self.tags, dtype=torch.bool)
        allowed.scatter_(1, b.tags.clamp(min=0).unsqueeze(1), True)
        allowed[b.tags < 0] = True
        for kind, tags_of in UNMARKED.items():
            rows = (b.tags == 0) & (b.open == kind)
            allowed[rows.unsqueeze(1) & torch.isin(torch.arange(self.tags), torch.tensor(tags_of))] = True
        gold = e.masked_fill(~allowed[at], -1e4)
        total = self.forward_sum(e, mask) - self.forward_sum(gold, mask)
        return total.sum() / len(scores) + 1e-6 * sum((p.weight**2).sum() for p in (self.own, self.table, self.pairs))

    def forward_sum(self, e: Tensor, mask: Tensor) -> Tensor:
        alpha = self.begin + e[:, 0]
        for step in range(1, e.shape[1]):
            new = torch.logsumexp(alpha.unsqueeze(2) + self.moves, 1) + e[:, step]
            alpha = torch.where(mask[:, step].unsqueeze(1), new, alpha)
        return torch.logsumexp(alpha, 1)

    def decode(self, b: Batch, bias: float) -> list[list[int]]:
        with torch.no_grad():
            scores = self.scores(b)
        scores[:, 0] -= bias
        out = []
        for piece in range(b.pieces):
            e = scores[b.piece == piece]
            alpha, back = self.begin + e[0], []
            for row in e[1:]:
                best, arg = (alpha.unsqueeze(1) + self.moves).max(0)
                alpha = best + row
                back.append(arg)
            tags = [int(alpha.argmax())]
            for arg in reversed(back):
                tags.append(int(arg[tags[-1]]))
            out.append(tags[::-1])
        return out
