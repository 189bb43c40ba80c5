"""Train the table: the vector of a text agrees with what the encoder makes of the text.

In: what `teacher.py` wrote. Out: `table.npy`, a row for each token. Two things are asked of a batch: a vector points where the
encoder's does, along its main directions, and any two vectors have the cosine that the encoder's have.

    python -m models.embedding.recipe.train --data build/embedding --width 256
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn

from models.embedding.recipe.network import Table

HELD_OUT = 4000
BATCH = 512
SEED = 20_26


def directions(rows: Any, width: int) -> Any:
    """The directions in which rows differ most, the sign of each chosen by its largest number."""
    sample = rows.astype(np.float64)
    _, found = np.linalg.eigh(sample.T @ sample)
    chosen = found[:, ::-1][:, :width]
    return (chosen * np.sign(chosen[np.abs(chosen).argmax(0), np.arange(width)])).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("build/embedding"))
    parser.add_argument("--out", type=Path, default=Path("build/embedding/table.npy"))
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--pairs", type=float, default=1.0, help="the weight of the cosines of pairs")
    parser.add_argument("--decay", type=float, default=1e-4, help="pulls a token's own part towards nothing")
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.manual_seed(SEED)
    torch.set_num_threads(asked.threads)
    tokenizer: Any = Tokenizer.from_file(str(asked.data / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    texts = json.loads((asked.data / "texts.json").read_text("utf-8"))
    target = np.load(asked.data / "texts.npy").astype(np.float32)
    read = [np.array(each.ids) for each in tokenizer.encode_batch(texts, add_special_tokens=False)]
    kept = [at for at, ids in enumerate(read) if len(ids)]
    read, target = [read[at] for at in kept], target[kept]
    counts = np.bincount(np.concatenate(read), minlength=tokenizer.get_vocab_size()).astype(np.float64)
    mapped = directions(target[HELD_OUT:], asked.width)
    table = Table(np.load(asked.data / "tokens.npy"), counts, mapped)
    wanted = nn.functional.normalize(torch.from_numpy(target @ mapped))
    teacher = torch.from_numpy(target)
    optimizer = torch.optim.Adam(
        [{"params": [table.map], "lr": asked.rate / 4}, {"params": [table.weight, table.own], "lr": asked.rate}]
    )
    chooser = np.random.default_rng(SEED)
    steps = asked.epochs * ((len(read) - HELD_OUT) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, [asked.rate / 4, asked.rate], total_steps=steps, pct_start=0.1
    )
    print(f"{len(read)} texts, {steps} steps, first {_report(table, read, wanted, teacher)}", flush=True)
    for epoch in range(asked.epochs):
        order = HELD_OUT + chooser.permutation(len(read) - HELD_OUT)
        for first in range(0, len(order) - BATCH + 1, BATCH):
            batch = order[first : first + BATCH]
            found = table([read[at] for at in batch])
            away = 1 - (found * wanted[batch]).sum(1).mean()
            apart = (found @ found.T - teacher[batch] @ teacher[batch].T).square().mean()
            ids = torch.from_numpy(np.unique(np.concatenate([read[at] for at in batch])))
            loss = away + 20 * asked.pairs * apart + asked.decay * table.own[ids].square().sum(1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"{epoch + 1}: {_report(table, read, wanted, teacher)}", flush=True)
    with torch.no_grad():
        np.save(asked.out, table.rows(torch.arange(len(counts))).numpy())


def _report(table: Table, read: Any, wanted: Any, teacher: Any) -> str:
    with torch.no_grad():
        found = table(read[:HELD_OUT])
        angle = (found * wanted[:HELD_OUT]).sum(1).mean()
        mine, own = (rows[:2000] @ rows[2000:HELD_OUT].T for rows in (found, teacher))
        agreement = np.corrcoef(mine.numpy().ravel(), own.numpy().ravel())[0, 1]
    return f"held out: cosine {angle:.4f}, correlation of pairs {agreement:.4f}"


if __name__ == "__main__":
    main()
