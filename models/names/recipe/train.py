"""Train the name tagger: from the data sets to `checkpoint.pt`, on one CPU thread in about an hour.

In: the folder of the data sets (`GUARDPROXY_DATA`). Out: `checkpoint.pt` (weights, step), written as training goes;
`--start` goes on from one. Rows change from epoch to epoch: people are exchanged for others, texts are written small or
in capitals, and tokens are hidden. Where a set does not mark dates and nationalities, a token outside its entities may
be one of those.
"""

from __future__ import annotations

import argparse
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from tqdm import tqdm

from guardproxy.inference.names.tagger import case_of, words_of
from models.encoder import encoder_folder
from models.names.recipe.compose import Pool, compose
from models.names.recipe.network import LABELS, TAGS, Names
from models.names.recipe.noise import exchanged, mended
from models.names.recipe.splits import OF_ALL_KINDS, Row, rows

SEED = 20_26
MAX_TOKENS = 128
HIDDEN_SHARE = 0.06
REPEATS = {"wikigold": 2, "wnut17": 2, "contextual": 2, "btc": 1, "composed": 1}
COMPOSED = 12_000
Sample = tuple[list[int], list[int], list[int], bool]  # ids, cases, tags (-1: not scored), whether all kinds are marked
IGNORED = -1


def recased(row: Row, rng: random.Random) -> Row:
    """The row in small letters, in capitals or, mostly, as it is."""
    draw = rng.random()
    text = row["text"]
    changed = text.lower() if draw < 0.1 else text.upper() if draw < 0.14 else text
    return {**row, "text": changed} if len(changed) == len(text) else row


class Sampler:
    """Rows as token ids with cases and tags."""

    def __init__(self, train: list[tuple[str, Row]], pool: Pool, rng: random.Random) -> None:
        self.tokenizer: Any = Tokenizer.from_file(str(encoder_folder() / "tokenizer.json"))
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.first = self.tokenizer.token_to_id("[CLS]")
        self.last = self.tokenizer.token_to_id("[SEP]")
        self.hidden = self.tokenizer.token_to_id("[MASK]")
        self.train, self.pool, self.rng = train, pool, rng

    def sample(self, name: str, row: Row, encoded: Any, change: bool) -> Sample:
        tags = [0] * len(encoded.ids)
        words = encoded.word_ids
        before = None
        spans = sorted(row["spans"], key=lambda span: int(span["start"]))
        spans = [span for span in spans if span["label"] in LABELS]
        at, begun = 0, -1
        for token, (start, end) in enumerate(encoded.offsets):
            while at < len(spans) and spans[at]["end"] <= start:
                at += 1
            if words[token] == before:
                tags[token] = IGNORED  # a word is tagged once, at its first token
            elif at < len(spans) and start < spans[at]["end"] and end > spans[at]["start"]:
                tags[token] = 1 + 2 * LABELS.index(spans[at]["label"]) + (begun == at)
                begun = at
            before = words[token]
        ids, cases = list(encoded.ids), [0] * len(encoded.ids)
        for token, after, start, end in words_of(row["text"], encoded):
            cases[token:after] = [case_of(row["text"][start:end])] * (after - token)
        room = MAX_TOKENS - 2
        low = self.rng.randrange(len(ids) - room + 1) if len(ids) > room else 0
        ids, cases, tags = ids[low : low + room], cases[low : low + room], tags[low : low + room]
        if change:
            ids = [self.hidden if self.rng.random() < HIDDEN_SHARE else one for one in ids]
        marked = name in OF_ALL_KINDS or name == "composed"
        return [self.first, *ids, self.last], [0, *cases, 0], [IGNORED, *tags, IGNORED], marked

    def epoch(self, batch_tokens: int) -> list[list[Sample]]:
        """All rows once (some sets twice), changed anew, in batches of similar length and about `batch_tokens` tokens."""
        chosen = [(name, row) for name, row in self.train for _ in range(REPEATS.get(name, 1))]
        changed = []
        for name, row in chosen:
            share = 0.7 if name == "contextual" else 0.0 if name in ("synth", "composed") else 0.2
            changed.append((name, recased(exchanged(row, self.pool, self.rng, share), self.rng)))
        changed += [("composed", recased(row, self.rng)) for row in compose(self.rng, self.pool, COMPOSED)]
        encoded = self.tokenizer.encode_batch([row["text"] for _, row in changed], add_special_tokens=False)
        samples = [
            self.sample(name, row, one, True) for (name, row), one in zip(changed, encoded, strict=True) if one.ids
        ]
        return batches(samples, batch_tokens, self.rng)


def batches(samples: list[Sample], batch_tokens: int, rng: random.Random) -> list[list[Sample]]:
    rng.shuffle(samples)
    found: list[list[Sample]] = []
    block = 4000
    for at in range(0, len(samples), block):
        group: list[Sample] = []
        for sample in sorted(samples[at : at + block], key=lambda one: len(one[0])):
            if group and len(sample[0]) * (len(group) + 1) > batch_tokens:
                found.append(group)
                group = []
            group.append(sample)
        found.append(group)
    rng.shuffle(found)
    return found


def tensors(batch: list[Sample]) -> tuple[torch.Tensor, ...]:
    """Ids, mask, cases and tags (rows, tokens) int64, marked (rows) bool; padded to the longest row."""
    width = max(len(sample[0]) for sample in batch)
    ids = torch.zeros(len(batch), width, dtype=torch.long)
    mask, cases = torch.zeros_like(ids), torch.zeros_like(ids)
    tags = torch.full_like(ids, IGNORED)
    for at, (row, case, tag, _) in enumerate(batch):
        ids[at, : len(row)] = torch.tensor(row)
        mask[at, : len(row)] = 1
        cases[at, : len(row)] = torch.tensor(case)
        tags[at, : len(row)] = torch.tensor(tag)
    return ids, mask, cases, tags, torch.tensor([sample[3] for sample in batch])


UNMARKED = [at for at, tag in enumerate(TAGS) if tag[2:] in ("DATE_TIME", "NRP")]


def loss_of(logits: torch.Tensor, tags: torch.Tensor, marked: torch.Tensor) -> torch.Tensor:
    """Cross entropy over tagged tokens. Where not all kinds are marked, `O` is the sum of `O` and the unmarked kinds."""
    logs = torch.log_softmax(logits, -1)
    outside = torch.logsumexp(logs[..., [0, *UNMARKED]], -1)
    kept = tags != IGNORED
    gold = logs.gather(-1, tags.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    gold = torch.where((tags == 0) & ~marked.unsqueeze(-1), outside, gold)
    return -(gold * kept).sum() / kept.sum()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("GUARDPROXY_DATA"), help="folder of the data sets")
    parser.add_argument("--out", type=Path, default=Path("build/names/checkpoint.pt"))
    parser.add_argument("--exits", type=int, nargs="+", default=[3, 4], help="layers after which tags are read off")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-tokens", type=int, default=1280)
    parser.add_argument("--rate", type=float, default=2e-4, help="highest learning rate")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--start", type=Path, help="a checkpoint to go on from")
    parser.add_argument("--steps", type=int, default=0, help="stop after so many; for a quick try")
    args = parser.parse_args()
    if args.data is None:
        raise SystemExit("name the folder of the data sets with --data or GUARDPROXY_DATA")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    random.seed(SEED)
    np.random.seed(SEED)
    torch.manual_seed(SEED)
    torch.set_num_threads(args.threads)
    rng = random.Random(SEED)

    train = [(name, row) for name, part, row in rows(Path(args.data)) if part == "train"]
    train = [(name, mended(row, LABELS) if name == "contextual" else row) for name, row in train]
    sampler = Sampler(train, Pool(rng), rng)
    network = Names(args.exits)
    if args.start:
        kept = network.state_dict().keys()
        weights = torch.load(args.start, weights_only=True)["weights"]
        network.load_state_dict({name: value for name, value in weights.items() if name in kept})  # fewer exits will do
    network.train()
    plain = [p for name, p in network.named_parameters() if name.endswith("bias") or "LayerNorm" in name]
    free = {id(p) for p in plain}
    decayed = [p for p in network.parameters() if id(p) not in free]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=args.rate)

    queue = sampler.epoch(args.batch_tokens)
    total = args.steps or args.epochs * len(queue)
    warm_up = max(1, total // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda at: min((at + 1) / warm_up, max(0.02, (total - at) / (total - warm_up)))
    )
    losses: list[float] = []
    bar = tqdm(total=total, desc="train", unit="step", mininterval=10)
    for step in range(1, total + 1):
        if not queue:
            queue = sampler.epoch(args.batch_tokens)
        ids, mask, cases, tags, marked = tensors(queue.pop())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            outs = network(ids, mask, cases)
        loss = torch.stack([loss_of(logits, tags, marked) for logits in outs]).sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item() / len(outs))
        bar.update()
        if step % 250 == 0 or step == total:
            bar.write(f"step {step} of {total}: loss {np.mean(losses[-250:]):.4f}")
            part = args.out.with_suffix(".part")
            saved = {"weights": network.state_dict(), "step": step, "total": total, "exits": list(args.exits)}
            torch.save(saved, part)
            part.replace(args.out)
    bar.close()


if __name__ == "__main__":
    main()
