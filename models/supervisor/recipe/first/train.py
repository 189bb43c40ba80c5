"""Train the first network: from `train.jsonl` to `first_stage.onnx`, in some minutes on one CPU thread.

In: the folder that second/data.py wrote, and the scores of encoder.py on some of its rows. Out: `first.pt`, `first_stage.onnx`.
The targets are what is known of a row; where nothing is known, or the encoder has read the row, its score counts as well. So
the network also learns in which texts the encoder finds what nobody has labelled.
"""

from __future__ import annotations

import argparse
import math
import random
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
from models.supervisor.recipe.rows import read
from models.supervisor.recipe.second.outputs import JAILBREAK, KINDS, Row
from models.supervisor.recipe.second.start import encoder_weights
from models.supervisor.recipe.second.train import MAX_TOKENS, UNKNOWN, Sampler, tensors

SEED = 20_28
TAUGHT = 0.5
"""What the encoder's score weighs in the target of a row whose label is known."""
REPEATED_CHARS, REPEATS = 500, 4
"""A harmless text is drawn once for so many characters, at most so often, each time another part."""


class FirstSampler(Sampler):
    """Samples with the targets of `COLUMNS`. `margins`: place of a row -> how far the encoder's scores lie above the points."""

    def __init__(self, rows: list[Row], margins: Mapping[int, Sequence[float]]) -> None:
        known = [targets(row, margins.get(at)) for at, row in enumerate(rows)]
        counts = [
            1 if any(value > 0 for value in own) else max(1, min(REPEATS, len(row["text"]) // REPEATED_CHARS))
            for row, own in zip(rows, known, strict=True)
        ]
        super().__init__([row for row, count in zip(rows, counts, strict=True) for _ in range(count)])
        self.known = [own for own, count in zip(known, counts, strict=True) for _ in range(count)]

    def crop_row(self, at: int, rng: random.Random) -> list[int]:
        """Any part of a harmless text is harmless, so its parts are drawn alike."""
        ids = self.ids[at]
        if any(value > 0 for value in self.known[at]) or len(ids) <= MAX_TOKENS:
            return super().crop_row(at, rng)
        first = rng.randint(0, len(ids) - MAX_TOKENS)
        return ids[first : first + MAX_TOKENS]


def targets(row: Row, margins: Sequence[float] | None) -> list[float]:
    """The targets of `COLUMNS`: 0 to 1, or `UNKNOWN`."""
    told = row["targets"]
    injection = [told[name] for name in (JAILBREAK, "order") if name in told]
    content = [told[name] for name in ("harmful", *KINDS) if name in told]
    labels = [
        1.0 if any(injection) else 0.0 if len(injection) == 2 else UNKNOWN,
        # A row of which only some kinds of harm are known to be absent may hold another.
        1.0 if any(content) else 0.0 if told.get("harmful") == 0 else UNKNOWN,
    ]
    if margins is None:
        return labels
    return [
        score if label == UNKNOWN else TAUGHT * score + (1 - TAUGHT) * label
        for label, score in zip(labels, (1 / (1 + math.exp(-margin)) for margin in margins), strict=True)
    ]


def loss_of(logits: Tensor, wanted: Tensor) -> Tensor:
    """Mean over what is known of each column."""
    known = (wanted != UNKNOWN).float()
    losses = binary_cross_entropy_with_logits(logits, wanted.clamp(min=0), reduction="none") * known
    return (losses.sum(0) / known.sum(0).clamp(min=len(known) / 8)).sum()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("build/supervisor-second"))
    parser.add_argument("--folder", type=Path, default=Path("models/supervisor"), help="the encoder's model folder")
    parser.add_argument("--start", type=Path, help="a checkpoint to go on from")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=2e-3)
    args = parser.parse_args()
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    points = read_model(args.folder).points
    scores = read_scores(args.data / "encoder-train.jsonl", args.folder)
    sampler = FirstSampler(
        read(args.data / "train.jsonl"), {at: highest(pieces, points) for at, pieces in scores.items()}
    )
    network = FirstNetwork(encoder_weights(args.folder)["embeddings.word_embeddings.weight"]).train()
    if args.start:
        network.load_state_dict(torch.load(args.start, weights_only=True))
    optimizers = [
        torch.optim.AdamW(network.layers.parameters(), lr=args.rate, weight_decay=0.01),
        torch.optim.SparseAdam([network.own.weight], lr=args.rate),
    ]
    losses: list[float] = []
    batches: list[list[int]] = []
    turn = -1
    began = time.monotonic()
    for step in tqdm(range(args.steps), desc="train", unit="step", mininterval=30):
        if not batches:
            turn += 1
            batches = sampler.batches(args.batch, turn)
        ids, mask, wanted = tensors([sampler.draw(at, turn) for at in batches.pop()])
        for optimizer in optimizers:
            optimizer.param_groups[0]["lr"] = args.rate * min((step + 1) / 100, 1 - step / args.steps)
            optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = network(ids, mask)
        loss = loss_of(logits.float(), wanted)
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
