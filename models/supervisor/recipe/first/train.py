"""Train the first network: from `train.jsonl` to `first_stage.onnx`, in some minutes on one CPU thread.

In: the folder that second/data.py wrote, and the scores of encoder.py on some of its rows. Out: `first.pt`, `first_stage.onnx`.
The targets are what is known of a row; where nothing is known, or the encoder has read the row, its score counts as well. So
the network also learns in which texts the encoder finds what nobody has labelled.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from tqdm import tqdm

from guardproxy.inference.models import read as read_model
from models.supervisor.recipe.first.encoder import highest, read_scores
from models.supervisor.recipe.first.network import FirstNetwork, write_graph
from models.supervisor.recipe.second.outputs import JAILBREAK, KINDS, Row
from models.supervisor.recipe.second.start import encoder_weights
from models.supervisor.recipe.second.train import UNKNOWN, Sampler, tensors
from models.supervisor.recipe.train import read

SEED = 20_28
TAUGHT = 0.5
"""What the encoder's score weighs in the target of a row whose label is known."""


class FirstSampler(Sampler):
    """Samples with the targets of `COLUMNS`. `margins`: place of a row -> how far the encoder's scores lie above the points."""

    def __init__(self, rows: list[Row], margins: Mapping[int, Sequence[float]]) -> None:
        super().__init__(rows)
        self.known = [_targets(row, margins.get(at)) for at, row in enumerate(rows)]


def _targets(row: Row, margins: Sequence[float] | None) -> list[float]:
    told = row["targets"]
    content = [told[name] for name in ("harmful", *KINDS) if name in told]
    # A row of which only some kinds of harm are known to be absent may hold another.
    absent = told.get("harmful") == 0 or len(content) > len(KINDS) - 1
    labels = [
        float(told.get(JAILBREAK, UNKNOWN)),
        float(told.get("order", UNKNOWN)),
        1.0 if any(content) else 0.0 if absent else UNKNOWN,
    ]
    if margins is None:
        return labels
    return [
        score if label == UNKNOWN else TAUGHT * score + (1 - TAUGHT) * label
        for label, score in zip(labels, (1 / (1 + math.exp(-margin)) for margin in margins), strict=True)
    ]


def loss_of(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean over what is known of each column."""
    known = (targets != UNKNOWN).float()
    losses = binary_cross_entropy_with_logits(logits, targets.clamp(min=0), reduction="none") * known
    return (losses.sum(0) / known.sum(0).clamp(min=len(known) / 8)).sum()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("build/supervisor-second"))
    parser.add_argument("--folder", type=Path, default=Path("models/supervisor"), help="the encoder's model folder")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=2e-3)
    args = parser.parse_args()
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    rows = read(args.data / "train.jsonl")
    points = read_model(args.folder).points
    scores = read_scores(args.data / "encoder-train.jsonl", args.folder)
    sampler = FirstSampler(rows, {at: highest(pieces, points) for at, pieces in scores.items()})
    network = FirstNetwork(encoder_weights(args.folder)["embeddings.word_embeddings.weight"]).train()
    dense = [weights for name, weights in network.named_parameters() if name != "own.weight"]
    optimizers = [
        torch.optim.AdamW(dense, lr=args.rate, weight_decay=0.01),
        torch.optim.SparseAdam([network.own.weight], lr=args.rate),
    ]
    losses = []
    began = time.monotonic()
    batches: list[list[int]] = []
    turn = -1
    for step in tqdm(range(args.steps), desc="train", unit="step", mininterval=30):
        if not batches:
            turn += 1
            batches = sampler.batches(args.batch, turn)
        ids, mask, targets = tensors([sampler.draw(at, turn) for at in batches.pop()])
        for optimizer in optimizers:
            optimizer.param_groups[0]["lr"] = args.rate * min((step + 1) / 100, 1 - step / args.steps)
            optimizer.zero_grad()
        loss = loss_of(network(ids, mask), targets)
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        losses.append(loss.item())
        if step % 250 == 249:
            tqdm.write(f"step {step + 1}: loss {sum(losses[-250:]) / 250:.4f}, {time.monotonic() - began:.0f} s")
    torch.save(network.state_dict(), args.data / "first.pt")
    write_graph(network.eval(), args.data / "first_stage.onnx")


if __name__ == "__main__":
    main()
