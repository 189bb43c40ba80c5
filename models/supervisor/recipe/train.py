"""Train the supervisor: from `train.jsonl` to `checkpoint.pt`, on two CPU threads in about an hour; on a GPU if there is one.

In: the folder that data.py wrote. Out: `checkpoint.pt` (weights, step, losses), written as training goes, so that an
interrupted run can still be exported. Long texts are cropped to a random part that holds the attack; short ones are
sometimes set beside an unrelated harmless text, which is where attacks stand in practice. Seeds are fixed.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch.nn.functional import binary_cross_entropy_with_logits
from tqdm import tqdm

from models.encoder import encoder_folder
from models.supervisor.recipe.network import Supervisor
from models.supervisor.recipe.sources import OUTPUTS

SEED = 20_26
MAX_TOKENS = 256
HIDDEN_SHARE = 0.03  # tokens replaced by [MASK], so that no single word decides
SHORT, LONG = (
    (48, 128),
    (128, MAX_TOKENS - 2),
)  # tokens that a long text is cropped to, two thirds of the time to the first
UNKNOWN = -1.0  # the target of an output of which a row says nothing
Row = dict[str, Any]
Sample = tuple[list[int], list[float]]


class Cropper:
    """Turns a row into token ids of at most `MAX_TOKENS`, differently at each call; `random` decides how."""

    def __init__(self, rows: list[Row], rng: random.Random) -> None:
        self.tokenizer: Any = Tokenizer.from_file(str(encoder_folder() / "tokenizer.json"))
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        ids = self.tokenizer.get_vocab()
        self.start, self.end, self.hidden = ids["[CLS]"], ids["[SEP]"], ids["[MASK]"]
        self.rng = rng
        self.rows = rows
        texts = [row["text"] for row in rows]
        encoded = [
            part
            for at in tqdm(range(0, len(texts), 512), desc="tokens", unit="batch")
            for part in self.tokenizer.encode_batch(texts[at : at + 512], add_special_tokens=False)
        ]
        self.ids = [part.ids for part in encoded]
        self.spans = [self.token_span(row, part.offsets) for row, part in zip(rows, encoded, strict=True)]
        self.targets = [[float(row["targets"].get(name, UNKNOWN)) for name in OUTPUTS] for row in rows]
        self.fine = [at for at, row in enumerate(self.targets) if not any(row) and len(self.ids[at]) >= 8]

    @staticmethod
    def token_span(row: Row, offsets: list[tuple[int, int]]) -> tuple[int, int] | None:
        if not row["span"]:
            return None
        inside = [at for at, (start, end) in enumerate(offsets) if start < row["span"][1] and end > row["span"][0]]
        return (inside[0], inside[-1] + 1) if inside else None

    def crop(self, at: int) -> list[int]:
        ids, span = self.ids[at], self.spans[at]
        most = self.rng.randint(*(SHORT if self.rng.random() < 0.67 else LONG))
        harmless = 1.0 not in self.targets[at]
        if harmless and self.rng.random() < 0.2:  # fragments: the short end of a long answer
            most = self.rng.randint(4, 60)
        if len(ids) <= most:
            return ids
        if span is None:  # mostly the beginning: attacks say there what they are, and what follows may be harmless
            first = 0 if self.rng.random() < (0.5 if harmless else 0.8) else self.rng.randint(0, len(ids) - most)
        else:
            low = max(0, min(span[1], len(ids)) - most)
            first = self.rng.randint(min(low, span[0]), max(low, min(span[0], len(ids) - most)))
        return ids[first : first + most]

    def sample(self, at: int) -> Sample:
        ids = self.crop(at)
        if len(ids) < 64 and self.rng.random() < 0.35:
            other = self.crop(self.rng.choice(self.fine))[: self.rng.randint(10, 110)]
            ids = ids + other if self.rng.random() < 0.3 else other + ids
        ids = [self.hidden if self.rng.random() < HIDDEN_SHARE else one for one in ids]
        return [self.start, *ids[: MAX_TOKENS - 2], self.end], self.targets[at]

    def epoch(self, batch_size: int) -> list[list[Sample]]:
        """All rows once, in batches of similar length, the batches in random order."""
        samples = [self.sample(at) for at in range(len(self.rows))]
        self.rng.shuffle(samples)
        block = batch_size * 50
        ordered = [
            sample
            for at in range(0, len(samples), block)
            for sample in sorted(samples[at : at + block], key=lambda one: len(one[0]))
        ]
        batches = [ordered[at : at + batch_size] for at in range(0, len(ordered), batch_size)]
        self.rng.shuffle(batches)
        return batches


def tensors(batch: list[Sample]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids and mask (rows, tokens) int64, targets (rows, labels) float32; padded to the longest row."""
    width = max(len(ids) for ids, _ in batch)
    ids = torch.zeros(len(batch), width, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for at, (row, _) in enumerate(batch):
        ids[at, : len(row)] = torch.tensor(row)
        mask[at, : len(row)] = 1
    return ids, mask, torch.tensor([targets for _, targets in batch])


def loss_of(logits: torch.Tensor, targets: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
    """Mean over what is known of each output, summed over the outputs that some row of the batch speaks of."""
    known = (targets != UNKNOWN).float()
    wanted = targets.clamp(min=0) * (1 - 2 * smoothing) + smoothing
    losses = binary_cross_entropy_with_logits(logits, wanted, reduction="none") * known
    return (losses.sum(0) / known.sum(0).clamp(min=1)).sum()


@torch.no_grad()
def recalls(network: Supervisor, batches: list[list[Sample]], device: str) -> dict[str, float]:
    """Output -> share of its validation attacks above 99 % of the harmless; progress figures only."""
    network.eval()
    scores, wanted = [], []
    for batch in batches:
        ids, mask, targets = tensors(batch)
        with torch.autocast(device, dtype=torch.bfloat16):
            scores.append(network(ids.to(device), mask.to(device)).cpu())
        wanted.append(targets)
    network.train()
    values, labels = torch.cat(scores).numpy(), torch.cat(wanted).numpy()
    found = {}
    for at, name in enumerate(OUTPUTS):
        bad, fine = values[labels[:, at] == 1, at], values[labels[:, at] == 0, at]
        if len(bad) and len(fine):
            found[name] = float((bad > np.quantile(fine, 0.99)).mean())
    return found


def read(path: Path) -> list[Row]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("build/supervisor"), help="folder that data.py wrote")
    parser.add_argument("--out", type=Path, default=Path("build/supervisor/checkpoint.pt"))
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=1e-4, help="highest learning rate")
    parser.add_argument(
        "--smoothing", type=float, default=0.02, help="how unsure every label is; 0 orders the surest texts"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rows", default="train", help="which file of the data folder, without .jsonl")
    parser.add_argument("--start", type=Path, help="a checkpoint to go on from, instead of the plain encoder")
    parser.add_argument("--stop", type=int, default=0, help="steps after which to stop early, 0 for none")
    parser.add_argument("--limit", type=int, default=0, help="rows to train on, 0 for all; for a quick try")
    args = parser.parse_args()
    random.seed(SEED)
    np.random.seed(SEED)
    torch.manual_seed(SEED)
    torch.set_num_threads(args.threads)

    rows = read(args.data / f"{args.rows}.jsonl")[: args.limit or None]
    cropper = Cropper(rows, random.Random(SEED))
    short = [row for row in read(args.data / "validation.jsonl") if len(row["text"]) < 900]
    checks = Cropper(short, random.Random(SEED)).epoch(args.batch)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = Supervisor().to(device)
    if args.start:
        network.load_state_dict(torch.load(args.start, map_location=device, weights_only=True)["weights"])
    network.train()
    learned = {name: weights for name, weights in network.named_parameters() if weights.requires_grad}
    plain = [weights for name, weights in learned.items() if name.endswith("bias") or "LayerNorm" in name]
    kept = {id(weights) for weights in plain}
    decayed = [weights for weights in learned.values() if id(weights) not in kept]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=args.rate)
    total = args.epochs * -(-len(rows) // args.batch)
    warm_up = max(1, total // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda at: min((at + 1) / warm_up, max(0.0, (total - at) / (total - warm_up)))
    )

    step, losses = 0, []
    bar = tqdm(total=total, desc="train", unit="step")
    for _ in range(args.epochs):
        for batch in cropper.epoch(args.batch):
            ids, mask, targets = tensors(batch)
            with torch.autocast(device, dtype=torch.bfloat16):
                logits = network(ids.to(device), mask.to(device))
            loss = loss_of(logits, targets.to(device), args.smoothing)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(learned.values(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            step += 1
            losses.append(loss.item())
            bar.update()
            bar.set_postfix(loss=f"{np.mean(losses[-50:]):.3f}")
            if step % 500 == 0 or step in (total, args.stop):
                found = ", ".join(f"{name} {share:.2f}" for name, share in recalls(network, checks, device).items())
                tqdm.write(f"step {step}: loss {np.mean(losses[-500:]):.4f}; found at 1 %: {found}")
                part = args.out.with_suffix(".part")
                torch.save({"weights": network.state_dict(), "step": step, "total": total, "losses": losses}, part)
                part.replace(args.out)
            if step == args.stop:
                return
    bar.close()


if __name__ == "__main__":
    main()
