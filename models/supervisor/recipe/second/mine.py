"""Choose the rows of the second pass: `second.jsonl`, hard examples among rows that the first pass never saw, and its own rows.

In: a checkpoint of train.py, `train.jsonl`, the data folder. Out: the rows of `train.jsonl` and, of the rows that its caps left
out, those that the network judges worst, harmful and harmless in equal numbers. Sets whose labels readers dispute are not
mined: their worst rows are mistakes of the labels. Held-out sources are not looked at.
"""

from __future__ import annotations

import argparse
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import binary_cross_entropy_with_logits
from tqdm import tqdm

from models.supervisor.recipe import data as first
from models.supervisor.recipe.rows import read
from models.supervisor.recipe.second.balance import describe, is_harmful, rebalance, unbalanced_features
from models.supervisor.recipe.second.data import SEED, public_rows
from models.supervisor.recipe.second.network import Supervisor, jailbreak
from models.supervisor.recipe.second.outputs import Row, make_row
from models.supervisor.recipe.second.sources import PLAIN, TRAINING
from models.supervisor.recipe.second.train import UNKNOWN, Sampler, tensors

DISPUTED = ("davidson", "edos", "gab_hate", "toxic_spans", "stormfront", "hatemoji", "sbic", "wikipedia_talk", "madlibs",
            "gptfuzz", "verazuo", "multijail")  # fmt: skip
"""`multijail`: nearly all harmful texts in its languages would be harmful, and the language would decide."""
NO_ATTACK = ("pii/btc_train_dev", "pii/crossner", "pii/wnut17_train_dev", "pii/wikiann_de_fr_nl_silver")
"""Files of which no row is an attack; nothing else is said of their texts."""
OF_FILE = 1000
"""Most rows of one file and one label that are looked at."""
HARD = 2000
"""Rows of each label that are chosen."""
Array = NDArray[np.float32]


def pool(folder: Path, train: list[Row], held: list[Row]) -> list[Row]:
    """Rows that `train` does not hold, of the sets whose labels are clear."""
    rng = random.Random(SEED)
    sources = [replace(source, harmful=OF_FILE, harmless=OF_FILE, repeats=1) for source in TRAINING
               if not any(name in source.name for name in DISPUTED)]  # fmt: skip
    rows = public_rows(folder, rng, sources)
    rows += [
        make_row(given["text"], PLAIN, name)
        for name in NO_ATTACK
        for given in first.take(first.read(folder, name), OF_FILE, rng)
    ]
    known = {row["text"] for row in train}
    overlaps = first.overlap_filter(held)
    fresh = {row["text"]: row for row in rows if row["text"] not in known}
    return [row for row in tqdm(fresh.values(), desc="overlap", unit="row") if not overlaps(row["text"])]


@torch.no_grad()
def losses(network: Supervisor, rows: list[Row]) -> Array:
    """The worst loss over the columns of which something is known, of one crop of each row, (rows,)."""
    network.eval()
    sampler = Sampler(rows)
    found = np.zeros(len(rows), np.float32)
    for places in tqdm(sampler.batches(64, 0), desc="losses", unit="batch"):
        ids, mask, targets = tensors([sampler.draw(at, 0) for at in places])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            parts = network(ids, mask)
        logits = torch.cat([parts, jailbreak(parts).unsqueeze(1)], 1)
        each = binary_cross_entropy_with_logits(logits, targets.clamp(min=0), reduction="none")
        found[places] = (each * (targets != UNKNOWN)).amax(1).numpy()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("build/supervisor-second"))
    parser.add_argument("--checkpoint", type=Path, default=Path("build/supervisor-second/pass1.pt"))
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    folder, rng = first.data_folder(), random.Random(SEED)
    train = read(args.data / "train.jsonl")
    rows = pool(folder, train, read(args.data / "validation.jsonl") + read(args.data / "report.jsonl"))
    network = Supervisor()
    network.load_state_dict(torch.load(args.checkpoint, weights_only=True)["weights"])
    worst = losses(network, rows)
    chosen: list[Row] = []
    for label in (True, False):
        places = [at for at, row in enumerate(rows) if is_harmful(row) == label]
        places.sort(key=lambda at: -worst[at])
        chosen += [rows[at] for at in places[:HARD]]
        kept = places[min(HARD, len(places)) - 1]
        print(
            f"{'harmful' if label else 'harmless'}: {len(places)} rows, worst {worst[places[0]]:.2f}, last {worst[kept]:.2f}"
        )
    mixed = rebalance(train + chosen, rng)
    rng.shuffle(mixed)
    print(f"{len(mixed)} rows, {len(chosen)} mined; out of balance: {unbalanced_features(describe(mixed))}")
    first.write(args.data / "second.jsonl", mixed)


if __name__ == "__main__":
    main()
