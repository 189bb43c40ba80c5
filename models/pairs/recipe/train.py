"""Train the network for pairs: from the data sets to `checkpoint.pt`, on two cores in under two hours.

In: the folder of the data sets (`GUARDPROXY_DATA`). Out: `checkpoint.pt` (weights, step), written as training goes; `--start`
goes on from one. Own pairs are made anew in each epoch. `NOT_ENTAILED` counts as the sum of the two other answers.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from tokenizers import Tokenizer
from tqdm import tqdm

from guardproxy.inference.pairs.reader import kinds
from models.encoder import encoder_folder
from models.pairs.recipe.compose import compose, med
from models.pairs.recipe.network import Pairs
from models.pairs.recipe.phrases import Passages
from models.pairs.recipe.points import MAX_TOKENS
from models.pairs.recipe.real import Texts
from models.pairs.recipe.relations import NOT_ENTAILED, Pair

SEED = 20_26
Sample = tuple[list[int], list[int], int]  # ids, kind of each token, label


class Encoder:
    """Pairs as token ids: `[CLS] a [SEP] b [SEP]`; `a` is cut if both are too long."""

    def __init__(self, tokenizer: Tokenizer | None = None) -> None:
        self.tokenizer: Any = tokenizer or Tokenizer.from_file(str(encoder_folder() / "tokenizer.json"))
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.first, self.last = (cast(int, self.tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]"))

    def samples(self, pairs: list[Pair], most: int = MAX_TOKENS, *, uncut: bool = False) -> list[Sample]:
        """Returns the pairs as rows. `uncut`: without those that do not fit, whose answer may stand in what is cut off."""
        texts = [text for pair in pairs for text in (pair.a, pair.b)]
        ids = [one.ids for one in self.tokenizer.encode_batch(texts, add_special_tokens=False)]
        found = []
        for pair, all_a, all_b in zip(pairs, ids[::2], ids[1::2], strict=True):
            b = all_b[: most // 2]
            a = all_a[: most - 3 - len(b)]
            if uncut and len(a) + len(b) < len(all_a) + len(all_b):
                continue
            row = [self.first, *a, self.last, *b, self.last]
            found.append((row, kinds(row, self.last, True), pair.label))
        return found


def batches(samples: list[Sample], batch_tokens: int, rng: random.Random) -> list[list[Sample]]:
    rng.shuffle(samples)
    found: list[list[Sample]] = []
    for at in range(0, len(samples), 4000):
        group: list[Sample] = []
        for sample in sorted(samples[at : at + 4000], key=lambda one: len(one[0])):
            if group and len(sample[0]) * (len(group) + 1) > batch_tokens:
                found.append(group)
                group = []
            group.append(sample)
        found.append(group)
    rng.shuffle(found)
    return found


def tensors(batch: list[Sample]) -> tuple[torch.Tensor, ...]:
    """Ids, mask and kind of each token (rows, tokens) int64, labels (rows) int64; padded to the longest row."""
    width = max(len(sample[0]) for sample in batch)
    ids = torch.zeros(len(batch), width, dtype=torch.long)
    mask, parts = torch.zeros_like(ids), torch.zeros_like(ids)
    for at, (row, own, _) in enumerate(batch):
        ids[at, : len(row)] = torch.tensor(row)
        mask[at, : len(row)] = 1
        parts[at, : len(row)] = torch.tensor(own)
    return ids, mask, parts, torch.tensor([sample[2] for sample in batch])


def loss_of(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross entropy; for `NOT_ENTAILED`, of the sum of the answers beside `entails`."""
    logs = torch.log_softmax(logits, -1)
    other = torch.logsumexp(logs[:, 1:], -1)
    gold = logs.gather(-1, labels.clamp(max=2).unsqueeze(-1)).squeeze(-1)
    return -torch.where(labels == NOT_ENTAILED, other, gold).mean()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("GUARDPROXY_DATA"), help="folder of the data sets")
    parser.add_argument("--out", type=Path, default=Path("build/pairs/checkpoint.pt"))
    parser.add_argument("--exits", type=int, nargs="+", default=[3], help="layers after which the answer is read off")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rows", type=int, default=60_000, help="own pairs in each epoch")
    parser.add_argument("--batch-tokens", type=int, default=2560)
    parser.add_argument("--rate", type=float, default=2e-4, help="highest learning rate")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--minutes", type=float, help="the training ends after so many, with the rate of its end")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--start", type=Path, help="a checkpoint to go on from")
    args = parser.parse_args()
    if args.data is None:
        raise SystemExit("name the folder of the data sets with --data or GUARDPROXY_DATA")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    random.seed(args.seed)
    np.random.seed(args.seed)
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    rng = random.Random(args.seed)
    texts, others, encoder = Texts(Path(args.data)), med(Path(args.data)), Encoder()

    passages = Passages(Path(args.data), texts)

    network = Pairs(args.exits)
    if args.start:
        network.take(torch.load(args.start, weights_only=True)["weights"])
    network.train()
    plain = [p for name, p in network.named_parameters() if name.endswith("bias") or "LayerNorm" in name]
    free = {id(p) for p in plain}
    decayed = [p for p in network.parameters() if id(p) not in free]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}], lr=args.rate
    )
    queue = batches(
        encoder.samples(compose(texts, passages, others, rng, args.rows), uncut=True), args.batch_tokens, rng
    )
    total = args.epochs * len(queue)
    warm_up = max(1, min(100, total // 20))
    began = time.monotonic()

    def left(at: int) -> float:
        """Returns which share of the training is left."""
        by_time: float = (time.monotonic() - began) / (60 * args.minutes) if args.minutes else 0.0
        by_steps: float = at / total
        return max(0.0, 1 - max(by_steps, by_time))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda at: min((at + 1) / warm_up, max(0.02, left(at))))
    losses: list[float] = []
    bar = tqdm(total=total, desc="train", unit="step", mininterval=10)
    for step in range(1, total + 1):
        if not queue:
            queue = batches(
                encoder.samples(compose(texts, passages, others, rng, args.rows), uncut=True), args.batch_tokens, rng
            )
        ids, mask, parts, labels = tensors(queue.pop())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            outs = network(ids, mask, parts)
        loss = torch.stack([loss_of(logits.float(), labels) for logits in outs]).sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item() / len(outs))
        bar.update()
        is_last = step == total or not left(step)
        if step % 250 == 0 or is_last:
            bar.write(f"step {step} of {total}: loss {np.mean(losses[-250:]):.4f}")
            part = args.out.with_suffix(".part")
            saved = {"weights": network.state_dict(), "step": step, "total": total, "exits": list(args.exits)}
            torch.save(saved, part)
            part.replace(args.out)
        if is_last:
            break
    bar.close()


if __name__ == "__main__":
    main()
