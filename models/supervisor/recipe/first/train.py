"""Train the first network: from `first.jsonl` to `first_stage.onnx`, in some minutes on one CPU thread.

In: the rows of data.py, and the scores of encoder.py on some of them. Out: `first.pt`, `first_stage.onnx`. The network learns
what the encoder finds, not what is an attack: an attack that the encoder misses is not lost by being cleared. A piece that the
encoder has not read counts as found for an attack, and as not found for a harmless text.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from tqdm import tqdm

from guardproxy.inference.models import read as read_model
from guardproxy.inference.scoring.reader import ModelReader
from models.supervisor.recipe.first.data import is_attack
from models.supervisor.recipe.first.encoder import (
    DIGITS,
    Scores,
    margins,
    query,
    read_scores,
)
from models.supervisor.recipe.first.network import COLUMNS, FirstNetwork, write_graph
from models.supervisor.recipe.rows import read
from models.supervisor.recipe.second.outputs import JAILBREAK, Row
from models.supervisor.recipe.second.start import encoder_weights

SEED = 20_28
Points = Mapping[str, Mapping[str, float]]
LEVEL = 1.5
"""How far below its operating point, as a difference of logits, a score of the encoder is even odds for the network."""
FOUND, CLEAR = -0.4, -7.0
"""The margin that an attack and a harmless text get if the encoder has not read them."""
HARMLESS = 0.5
"""What the encoder's score weighs in the target of a text that is known to be harmless."""
WEIGHT, NEAR = 3.0, -0.5
"""What an attack counts for that the encoder finds or nearly finds."""
HIDDEN_SHARE, MASK = 0.03, 103
"""Share of the tokens that are hidden, and the token that stands for them."""
BLOCK = 4000
"""Pieces that are sorted by length together."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A piece of a text: its row of token numbers, and for each of `COLUMNS` the target (0 to 1) and what it counts."""

    ids: tuple[int, ...]
    targets: tuple[float, ...]
    weights: tuple[float, ...]


def guessed(row: Row) -> tuple[list[float], list[float]]:
    """For each column the margin of a row that the encoder has not read, and what it counts: 0 where nothing is known."""
    told = row["targets"]
    if not is_attack(row):
        known = [told.get(JAILBREAK) == 0 and told.get("order") == 0, told.get("harmful") == 0]
        return [CLEAR] * len(COLUMNS), [float(sure) for sure in known]
    attack = any(told.get(name) == 1 for name in (JAILBREAK, "order", "embedded_instruction"))
    return ([FOUND, CLEAR], [0.5, 0.0]) if attack else ([CLEAR, FOUND], [0.0, 0.5])


def sample(ids: tuple[int, ...], row: Row, scores: Mapping[str, float] | None, points: Points) -> Sample:
    """The sample of a piece. `scores`: of the encoder, if it has read the piece."""
    above, weights = (margins(scores, points), [1.0] * len(COLUMNS)) if scores else guessed(row)
    targets = [1 / (1 + math.exp(-(margin + LEVEL))) for margin in above]
    if not is_attack(row):
        return Sample(ids, tuple(HARMLESS * target for target in targets), tuple(weights))
    counts = [weight * (WEIGHT if margin > NEAR else 1) for weight, margin in zip(weights, above, strict=True)]
    return Sample(ids, tuple(targets), tuple(counts))


def samples(rows: Sequence[Row], scores: Scores, reader: ModelReader, points: Points) -> list[Sample]:
    """The samples of all pieces, cut as the proxy cuts them."""
    found = []
    for at, row in enumerate(tqdm(rows, desc="tokens", unit="text", mininterval=30)):
        asked = query(row)
        pieces = [reader.row(piece.ids, reader.channel(asked)) for piece in reader.pieces(asked.text)]
        read_by_encoder = scores.get(at, [None] * len(pieces))
        found += [sample(ids, row, own, points) for ids, own in zip(pieces, read_by_encoder, strict=True)]
    return found


def batches(given: Sequence[Sample], tokens: int) -> Iterator[list[Sample]]:
    """Batches of at most `tokens` tokens, padding included, of similar length and in random order, without an end."""
    rng = random.Random(SEED)
    while True:
        order = rng.sample(given, len(given))
        for first in range(0, len(order), BLOCK):
            found: list[list[Sample]] = [[]]
            for one in sorted(order[first : first + BLOCK], key=lambda one: len(one.ids)):
                if found[-1] and len(one.ids) * (len(found[-1]) + 1) > tokens:
                    found.append([])
                found[-1].append(one)
            rng.shuffle(found)
            yield from found


def tensors(batch: Sequence[Sample]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Ids and mask (pieces, tokens) int64, targets and weights (pieces, columns) float32."""
    width = max(len(one.ids) for one in batch)
    ids = torch.tensor([[*one.ids, *[0] * (width - len(one.ids))] for one in batch])
    mask = torch.tensor([[1] * len(one.ids) + [0] * (width - len(one.ids)) for one in batch])
    return ids, mask, torch.tensor([one.targets for one in batch]), torch.tensor([one.weights for one in batch])


def loss_of(logits: Tensor, wanted: Tensor, weights: Tensor) -> Tensor:
    """Mean over the pieces, sum over the columns."""
    return (binary_cross_entropy_with_logits(logits, wanted, reduction="none") * weights).mean(0).sum()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("build/supervisor-second"))
    parser.add_argument("--folder", type=Path, default=Path("models/supervisor"), help="the encoder's model folder")
    parser.add_argument("--start", type=Path, help="a checkpoint to go on from")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--tokens", type=int, default=4000, help="most tokens of a batch")
    parser.add_argument("--rate", type=float, default=1e-3)
    args = parser.parse_args()
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    model = read_model(args.folder)
    scores = read_scores(args.data / "encoder-first.jsonl", args.folder)
    given = samples(read(args.data / "first.jsonl"), scores, ModelReader(model, DIGITS), model.points)
    network = FirstNetwork(encoder_weights(args.folder)["embeddings.word_embeddings.weight"]).train()
    if args.start:
        network.load_state_dict(torch.load(args.start, weights_only=True))
    optimizers = [
        torch.optim.AdamW(network.layers.parameters(), lr=args.rate, weight_decay=0.01),
        torch.optim.SparseAdam([network.own.weight], lr=args.rate),
    ]
    losses: list[float] = []
    began = time.monotonic()
    for step, batch in zip(
        tqdm(range(args.steps), desc="train", mininterval=30), batches(given, args.tokens), strict=False
    ):
        ids, mask, wanted, weights = tensors(batch)
        hidden = (torch.rand(ids.shape) < HIDDEN_SHARE) & (ids > max(model.channels.values(), default=0))
        for optimizer in optimizers:
            optimizer.param_groups[0]["lr"] = args.rate * min((step + 1) / 100, 1 - step / args.steps)
            optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = network(ids.masked_fill(hidden, MASK), mask)
        loss = loss_of(logits.float(), wanted, weights)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.layers.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        losses.append(loss.item())
        if step % 250 == 249:
            tqdm.write(f"step {step + 1}: loss {sum(losses[-250:]) / 250:.4f}, {time.monotonic() - began:.0f} s")
            torch.save(network.state_dict(), args.data / "first.pt")
    torch.save(network.state_dict(), args.data / "first.pt")
    write_graph(network.eval(), args.data / "first_stage.onnx")


if __name__ == "__main__":
    main()
