"""Train the second generation: from `train.jsonl` to `checkpoint.pt`, on one CPU thread, to be interrupted and gone on with.

In: the folder that data.py wrote; the encoder of the shipped model to start from. Out: `checkpoint.pt` (weights, optimizer,
step, losses), written every `--every` steps; a run with the same options goes on from it and takes the same rows. Long texts
are cropped to a part that holds the attack; half of the rows name their channel.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch.nn.functional import binary_cross_entropy_with_logits
from tqdm import tqdm

from models.encoder import encoder_folder
from models.supervisor.recipe.rows import read
from models.supervisor.recipe.second.balance import PLENTY, group
from models.supervisor.recipe.second.network import CHANNEL_TOKENS, Supervisor, jailbreak
from models.supervisor.recipe.second.outputs import JAILBREAK, PARTS, Row
from models.supervisor.recipe.second.start import encoder_weights

SEED = 20_27
MAX_TOKENS = 128
SHORT, LONG, SHORT_SHARE = (28, 60), (60, MAX_TOKENS - 4), 0.6
"""Tokens that a long text is cropped to."""
CHANNEL_SHARE = 0.5
"""Share of the rows that name their channel: the network must do without, too."""
HIDDEN_SHARE = 0.03
JOINED_SHARE = 0.12
"""Share of short messages that an unrelated harmless text is put beside."""
BLOCK = 40
"""Batches that are sorted by length together."""
COLUMNS = (*PARTS, JAILBREAK)
WEIGHTS = {JAILBREAK: 2.0, "order": 1.5, "harmful": 1.5, "wrapper": 0.5, "obfuscation": 0.5}
"""What the loss of a column counts, if not 1."""
UNKNOWN = -1.0
Sample = tuple[list[int], list[float]]


class Sampler:
    """Turns rows into samples; what it draws for a row depends on the seed, the pass and the row's place alone.

    `plenty`: rows of a label and source that a pass takes; the next pass takes the next ones.
    """

    plenty = PLENTY
    seed = SEED

    def __init__(self, rows: list[Row]) -> None:
        self.tokenizer: Any = Tokenizer.from_file(str(encoder_folder() / "tokenizer.json"))
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        ids = self.tokenizer.get_vocab()
        self.start, self.end, self.hidden = ids["[CLS]"], ids["[SEP]"], ids["[MASK]"]
        self.rows = rows
        texts = [row["text"] for row in rows]
        encoded = [
            part
            for at in tqdm(range(0, len(texts), 512), desc="tokens", unit="batch")
            for part in self.tokenizer.encode_batch(texts[at : at + 512], add_special_tokens=False)
        ]
        self.ids = [part.ids for part in encoded]
        self.spans = [self.token_span(row, part.offsets) for row, part in zip(rows, encoded, strict=True)]
        self.known = [self.columns(row) for row in rows]
        self.groups = defaultdict(list)
        for at, row in enumerate(rows):
            self.groups[group(row)].append(at)
        self.fine = [at for at, known in enumerate(self.known) if not any(known[:-1]) and len(self.ids[at]) >= 8]

    def columns(self, row: Row) -> list[float]:
        """What is known of each column."""
        return [float(row["targets"].get(name, UNKNOWN)) for name in COLUMNS]

    @staticmethod
    def token_span(row: Row, offsets: list[tuple[int, int]]) -> tuple[int, int] | None:
        if not row["span"]:
            return None
        inside = [at for at, (start, end) in enumerate(offsets) if start < row["span"][1] and end > row["span"][0]]
        return (inside[0], inside[-1] + 1) if inside else None

    def crop_row(self, at: int, rng: random.Random) -> list[int]:
        ids, span = self.ids[at], self.spans[at]
        most = rng.randint(*(SHORT if rng.random() < SHORT_SHARE else LONG))
        if len(ids) <= most:
            return ids
        if span is None:
            first = 0 if rng.random() < 0.75 else rng.randint(0, len(ids) - most)
        else:
            low = max(0, min(span[1], len(ids)) - most)
            first = rng.randint(min(low, span[0]), max(low, min(span[0], len(ids) - most)))
        return ids[first : first + most]

    def draw(self, at: int, turn: int) -> Sample:
        rng = random.Random(f"{self.seed} {turn} {at}")
        ids, channel = self.crop_row(at, rng), self.rows[at]["channel"]
        if channel == "user" and len(ids) < 40 and rng.random() < JOINED_SHARE:
            other = self.crop_row(rng.choice(self.fine), rng)[: rng.randint(8, 60)]
            ids = ids + other if rng.random() < 0.3 else other + ids
        ids = [self.hidden if rng.random() < HIDDEN_SHARE else token for token in ids]
        named = [CHANNEL_TOKENS[channel]] if rng.random() < CHANNEL_SHARE else []
        return [self.start, *named, *ids[: MAX_TOKENS - 2 - len(named)], self.end], self.known[at]

    def places(self, turn: int) -> list[int]:
        """Places of the rows of a pass, which takes the next `plenty` rows of each label of a large source."""
        found = []
        for places in self.groups.values():
            first = turn * self.plenty % len(places)
            found += (places[first:] + places[:first])[: self.plenty]
        return found

    def length(self, at: int, turn: int) -> int:
        """About how many tokens a row will have, by which batches are sorted."""
        del turn
        return min(len(self.ids[at]), LONG[1])

    def batches(self, size: int, turn: int) -> list[list[int]]:
        """Places of the rows of a pass once, in batches of similar length, in random order."""
        rng = random.Random(f"{self.seed} {turn}")
        places = self.places(turn)
        rng.shuffle(places)
        block = size * BLOCK
        blocks = [places[at : at + block] for at in range(0, len(places), block)]
        found = []
        for part in blocks:
            part.sort(key=lambda at: self.length(at, turn))
            inside = [part[at : at + size] for at in range(0, len(part), size)]
            rng.shuffle(inside)
            found += inside
        return found


def tensors(batch: list[Sample]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids and mask (rows, tokens) int64, targets (rows, columns) float32."""
    width = max(len(ids) for ids, _ in batch)
    ids = torch.tensor([[*row, *[0] * (width - len(row))] for row, _ in batch])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row, _ in batch])
    return ids, mask, torch.tensor([known for _, known in batch])


def loss_of(parts: torch.Tensor, targets: torch.Tensor, smoothing: float = 0.01) -> torch.Tensor:
    """Weighted mean over what is known of each part and of the composed `jailbreak`."""
    logits = torch.cat([parts, jailbreak(parts).unsqueeze(1)], 1)
    return mean_loss(logits, targets, [WEIGHTS.get(name, 1.0) for name in COLUMNS], smoothing)


def mean_loss(logits: torch.Tensor, targets: torch.Tensor, weights: list[float], smoothing: float) -> torch.Tensor:
    """Weighted mean over what is known of each column. `logits`, `targets`: (rows, columns)."""
    known = (targets != UNKNOWN).float()
    wanted = targets.clamp(min=0) * (1 - 2 * smoothing) + smoothing
    losses = binary_cross_entropy_with_logits(logits, wanted, reduction="none") * known
    return ((losses * torch.tensor(weights)).sum(0) / known.sum(0).clamp(min=len(known) / 8)).sum()


def save(path: Path, found: dict[str, Any]) -> None:
    part = path.with_suffix(".part")
    torch.save(found, part)
    part.replace(path)


Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def options(description: str | None, folder: str) -> argparse.ArgumentParser:
    """The options of a training; `folder`: where the rows are."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(folder))
    parser.add_argument("--out", type=Path, default=Path(folder) / "checkpoint.pt")
    parser.add_argument("--rows", default="train")
    parser.add_argument("--limit", type=int, default=0, help="rows to train on, of a file in random order; 0 for all")
    parser.add_argument("--start", type=Path, help="a checkpoint (third generation: or a model folder) to start from")
    parser.add_argument("--steps", type=int, default=2400)
    parser.add_argument("--stop", type=int, default=0, help="end here, before the rate has fallen; 0 for all steps")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=6e-5, help="highest learning rate of the encoder")
    parser.add_argument("--head-rate", type=float, default=1e-3)
    parser.add_argument("--frozen", type=int, default=2, help="lowest layers that stay as they are")
    parser.add_argument("--every", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    return parser


def fit(network: Supervisor, sampler: Sampler, loss_of: Loss, args: argparse.Namespace) -> None:
    """Trains the network for `args.steps` steps, or goes on where `args.out` was left."""
    network.train()
    learned = [weights for weights in network.encoder.parameters() if weights.requires_grad]
    optimizer = torch.optim.AdamW(
        [{"params": learned, "lr": args.rate}, {"params": network.head.parameters(), "lr": args.head_rate}],
        weight_decay=0.01,
    )
    warm_up = max(1, args.steps // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda at: min((at + 1) / warm_up, max(0.0, (args.steps - at) / (args.steps - warm_up)))
    )
    step, losses = 0, []
    if args.out.exists():
        saved = torch.load(args.out, weights_only=True)
        network.load_state_dict(saved["weights"])
        optimizer.load_state_dict(saved["optimizer"])
        schedule.load_state_dict(saved["schedule"])
        step, losses = saved["step"], saved["losses"]
    last = args.stop or args.steps
    bar = tqdm(total=last, initial=step, desc="train", unit="step", mininterval=30)
    began = time.monotonic()
    batches: list[list[int]] = []
    turn, per_turn = -1, -(-len(sampler.places(0)) // args.batch)
    while step < last:
        if step // per_turn != turn:
            turn = step // per_turn
            batches = sampler.batches(args.batch, turn)
        ids, mask, targets = tensors([sampler.draw(at, turn) for at in batches[step % per_turn]])
        torch.manual_seed(sampler.seed + step)  # dropout, the same after an interruption
        with torch.autocast("cpu", dtype=torch.bfloat16):
            parts = network(ids, mask)
        loss = loss_of(parts, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        step += 1
        losses.append(loss.item())
        bar.update()
        if step % args.every == 0 or step == last:
            mean = sum(losses[-args.every :]) / min(len(losses), args.every)
            tqdm.write(f"step {step} of {args.steps}: loss {mean:.4f}, {time.monotonic() - began:.0f} s")
            save(args.out, {"weights": network.state_dict(), "optimizer": optimizer.state_dict(), "losses": losses,
                            "schedule": schedule.state_dict(), "step": step, "total": args.steps})  # fmt: skip
    bar.close()


def main() -> None:
    parser = options(__doc__, "build/supervisor-second")
    parser.add_argument(
        "--shipped", type=Path, default=Path("build/supervisor-start"), help="model folder to start from"
    )
    parser.add_argument("--plain", action="store_true", help="start from the encoder as it was published")
    args = parser.parse_args()
    torch.manual_seed(SEED)
    torch.set_num_threads(args.threads)
    sampler = Sampler(read(args.data / f"{args.rows}.jsonl")[: args.limit or None])
    network = Supervisor(args.frozen)
    if args.start:
        network.load_state_dict(torch.load(args.start, weights_only=True)["weights"])
    elif not args.plain:
        network.encoder.load_state_dict(encoder_weights(args.shipped))
    fit(network, sampler, loss_of, args)


if __name__ == "__main__":
    main()
