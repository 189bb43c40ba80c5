"""Train the third generation: from `train.jsonl` to `checkpoint.pt`, on one CPU thread, to be interrupted and gone on with.

In: the folder that data.py wrote, the encoder as it was published. Out: as `second/train.py`. A row is read as it will be in
use: at most `ROOM` tokens that end with a span. An attack lies before the end of its span, so that no more than the rest of the
span stands behind it. Short texts stand alone, or behind and before another harmless text of their channel.
"""

from __future__ import annotations

import random

import torch

from models.supervisor.recipe.rows import read
from models.supervisor.recipe.second.balance import is_harmful
from models.supervisor.recipe.second.network import CHANNEL_TOKENS, jailbreak
from models.supervisor.recipe.second.outputs import JAILBREAK, PARTS, Row
from models.supervisor.recipe.second.train import UNKNOWN, WEIGHTS, Sample, Sampler, fit, mean_loss, options
from models.supervisor.recipe.third.network import INJECTION, ROOM, SPAN, ThirdSupervisor
from models.supervisor.recipe.third.shipped import shipped_weights
from models.supervisor.recipe.third.targets import injection

SEED = 20_31
SPECIAL = 3
INSIDE = ROOM - SPECIAL
"""Tokens of the text in a row."""
CHANNEL_SHARE = 0.8
"""Share of the rows that name their channel: in use nearly every text does."""
HIDDEN_SHARE = 0.03
SHORT_TOKENS = 70
JOINED_SHARE = 0.3
"""Share of the texts of at most `SHORT_TOKENS` tokens that another text is put beside."""
BESIDE = (16, 100)
"""Tokens of that other text."""
SHIFTED_SHARE = 0.5
"""Share of the long texts whose spans begin elsewhere, as if more text stood before them."""
COLUMNS = (*PARTS, JAILBREAK, INJECTION)
COLUMN_WEIGHTS = WEIGHTS | {INJECTION: 3.0}


class SpanSampler(Sampler):
    """Turns rows into samples that end with a span."""

    plenty = 2000
    seed = SEED

    def __init__(self, rows: list[Row]) -> None:
        super().__init__(rows)
        self.fine_of: dict[str, list[int]] = {}
        for at in self.fine:
            self.fine_of.setdefault(rows[at]["channel"], []).append(at)

    def columns(self, row: Row) -> list[float]:
        told = row["targets"] | {INJECTION: injection(row["targets"])}
        return [UNKNOWN if told.get(name) is None else float(told[name]) for name in COLUMNS]

    def ending(self, at: int, rng: random.Random) -> tuple[int, int]:
        """First token and end of the part of a row that is read: it ends with a span or with the text."""
        size, span = len(self.ids[at]), self.spans[at]
        shift = rng.randrange(SPAN) if size > INSIDE and rng.random() < SHIFTED_SHARE else 0
        ends = [*range(SPAN - shift, size, SPAN), size]
        if span is not None:
            end = next(end for end in ends if end >= span[1])
        elif size <= INSIDE:
            # A harmless text is read in all its spans; where an attack without a known place lies, only the whole text tells.
            end = rng.choice(ends) if not is_harmful(self.rows[at]) and rng.random() < 0.3 else size
        elif is_harmful(self.rows[at]):
            full = [end for end in ends if end >= 2 * SPAN]
            end = rng.choice((full[0], full[min(1, len(full) - 1)], full[-1], rng.choice(full)))
        else:
            end = rng.choice((ends[0], ends[1], ends[-1], rng.choice(ends), rng.choice(ends), rng.choice(ends)))
        return max(0, end - INSIDE), end

    def draw(self, at: int, turn: int) -> Sample:
        rng = random.Random(f"{self.seed} {turn} {at}")
        first, end = self.ending(at, rng)
        ids, channel = self.ids[at][first:end], self.rows[at]["channel"]
        others = self.fine_of.get(channel, ())
        if others and len(ids) <= SHORT_TOKENS and rng.random() < JOINED_SHARE:
            other = self.ids[rng.choice(others)][: rng.randint(*BESIDE)]
            # Behind a text stands no more than the rest of its span.
            is_behind = rng.random() < 0.25
            ids = ids + other[: rng.randrange(SPAN)] if is_behind else (other + ids)[-INSIDE:]
        ids = [self.hidden if rng.random() < HIDDEN_SHARE else token for token in ids]
        named = [CHANNEL_TOKENS[channel]] if rng.random() < CHANNEL_SHARE else []
        return [self.start, *named, *ids, self.end], self.known[at]


def loss_of(found: torch.Tensor, targets: torch.Tensor, smoothing: float = 0.01) -> torch.Tensor:
    """Weighted mean over what is known of each part, of the composed `jailbreak` and of `injection`."""
    parts, own = found[:, : len(PARTS)], found[:, len(PARTS) :]
    logits = torch.cat([parts, jailbreak(parts).unsqueeze(1), own], 1)
    return mean_loss(logits, targets, [COLUMN_WEIGHTS.get(name, 1.0) for name in COLUMNS], smoothing)


def main() -> None:
    parser = options(__doc__, "build/supervisor-third")
    parser.add_argument("--seed", type=int, default=SEED, help="of what is drawn: two trainings may be averaged")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    sampler = SpanSampler(read(args.data / f"{args.rows}.jsonl")[: args.limit or None])
    sampler.seed = args.seed
    network = ThirdSupervisor(args.frozen)
    if args.start:
        is_folder = args.start.is_dir()
        weights = shipped_weights(args.start) if is_folder else torch.load(args.start, weights_only=True)["weights"]
        network.load_state_dict(weights)
    fit(network, sampler, loss_of, args)


if __name__ == "__main__":
    main()
