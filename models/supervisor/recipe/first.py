"""Train the first stage: a linear model over the encoder's tokens and their pairs, which clears the evidently harmless.

In: `train.jsonl`. Out: `first_stage.npz` in the build folder, without thresholds (calibrate.py sets them). What it computes is
in guardproxy/inference/first_stage.py. A text's score is that of its worst span, in training too.
"""

from __future__ import annotations

import argparse
import random
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from models.supervisor.recipe.sources import OUTPUTS
from models.supervisor.recipe.train import SEED, Cropper, loss_of, read

UNIGRAMS = 30_522
BUCKETS = UNIGRAMS + 2**16
SPAN = 48
FACTOR = 1_000_003
"""Pairs of tokens share 65,536 places: (first * FACTOR + second) modulo that."""


def features(ids: list[int]) -> list[int]:
    """Places of the tokens, then of their pairs."""
    pairs = [UNIGRAMS + (a * FACTOR + b) % (BUCKETS - UNIGRAMS) for a, b in pairwise(ids)]
    return ids + pairs


def spans(ids: list[int]) -> list[list[int]]:
    """The ids in overlapping spans, the last one moved back."""
    if len(ids) <= SPAN:
        return [ids]
    starts = [*range(0, len(ids) - SPAN, SPAN // 2), len(ids) - SPAN]
    return [ids[at : at + SPAN] for at in starts]


class FirstStage(nn.Module):
    """Span score = bias + sum of the features' weights / sqrt(tokens); a row's score is its highest span's."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.EmbeddingBag(BUCKETS, len(OUTPUTS), mode="sum", sparse=True)
        nn.init.zeros_(self.weights.weight)
        self.bias = nn.Parameter(torch.full((len(OUTPUTS),), -2.0))

    def forward(self, rows: list[list[int]]) -> torch.Tensor:
        cut = [spans(ids) for ids in rows]
        flat = [span for one in cut for span in one]
        bags = [features(span) for span in flat]
        offsets = torch.tensor(np.cumsum([0, *map(len, bags[:-1])]))
        sums = self.weights(torch.tensor([one for bag in bags for one in bag]), offsets)
        scores = self.bias + sums / torch.tensor([[max(1, len(span)) ** 0.5] for span in flat])
        return torch.stack([part.amax(0) for part in scores.split([len(one) for one in cut])])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("build/supervisor"))
    parser.add_argument("--epochs", type=int, default=4)
    args = parser.parse_args()
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    cropper = Cropper(read(args.data / "train.jsonl"), random.Random(SEED))
    model = FirstStage()
    sparse = torch.optim.SparseAdam(model.weights.parameters(), lr=0.02)
    dense = torch.optim.Adam([model.bias], lr=0.01)
    for epoch in range(args.epochs):
        losses = []
        for group in (*sparse.param_groups, *dense.param_groups):
            group["lr"] *= 0.6 if epoch else 1.0
        for batch in tqdm(cropper.epoch(64), desc=f"epoch {epoch + 1}", unit="batch"):
            loss = loss_of(model([ids[1:-1] or ids[:1] for ids, _ in batch]), torch.tensor([row for _, row in batch]))
            sparse.zero_grad()
            dense.zero_grad()
            loss.backward()
            sparse.step()
            dense.step()
            losses.append(loss.item())
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.4f}")
    np.savez_compressed(
        args.data / "first_stage.npz",
        weights=model.weights.weight.detach().numpy().astype(np.float16),
        unigrams=np.int64(UNIGRAMS),
        bias=model.bias.detach().numpy(),
        span=np.int64(SPAN),
    )


if __name__ == "__main__":
    main()
