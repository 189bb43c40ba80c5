"""Train the third generation: from `train.jsonl` to `checkpoint.pt`, on one CPU thread, to be interrupted and gone on with.

In: the folder that data.py wrote, the encoder as it was published. Out: as `second/train.py`. A row is read as it will be in
use: at most `ROOM` tokens that end with a span. There a row judges its own span, and often the span before it, too: behind an
attack stands the rest of its span, and sometimes the next span. Short texts stand alone, or in the middle of a harmless text of
their channel.
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
SHORT_TOKENS = 110
AMID_SHARE = 0.5
"""Share of the texts of at most `SHORT_TOKENS` tokens that stand in the middle of another text."""
BEFORE, BEHIND = INSIDE, 2 * SPAN
"""Most tokens of that text before and behind."""
AT_EDGE_SHARE = 0.15
"""Share of them with nothing before, and the same share with nothing behind."""
FOLLOWING_SHARE = 0.4
"""Share of the attacks at a known place that the row of the next span judges, if it holds all of them."""
BORDERS = (".", "!", "?", ":", ";", "}", ")")
"""Tokens after which the other text is cut, if one is near."""
SHIFTED_SHARE = 0.5
"""Share of the long texts whose spans begin elsewhere, as if more text stood before them."""
COLUMNS = (*PARTS, JAILBREAK, INJECTION)
COLUMN_WEIGHTS = WEIGHTS | {INJECTION: 3.0}
Place = tuple[int, int]


class SpanSampler(Sampler):
    """Turns rows into samples that end with a span."""

    plenty = 2000
    seed = SEED

    def __init__(self, rows: list[Row]) -> None:
        super().__init__(rows)
        self.borders = frozenset(map(self.tokenizer.token_to_id, BORDERS))
        self.fine_of: dict[str, list[int]] = {}
        for at in self.fine:
            self.fine_of.setdefault(rows[at]["channel"], []).append(at)

    def columns(self, row: Row) -> list[float]:
        told = row["targets"] | {INJECTION: injection(row["targets"])}
        return [UNKNOWN if told.get(name) is None else float(told[name]) for name in COLUMNS]

    def ending(self, size: int, place: Place | None, is_bad: bool, rng: random.Random) -> Place:
        """First token and end of the part that is read of a text of `size` tokens: it ends with a span or with the text.

        `place`: what must be read. `is_bad`: the text is to be found by some output.
        """
        shift = rng.randrange(SPAN) if size > INSIDE and rng.random() < SHIFTED_SHARE else 0
        ends = [*range(SPAN - shift, size, SPAN), size]
        if place is not None:
            own = next(at for at, end in enumerate(ends) if end >= place[1])
            following = ends[min(own + 1, len(ends) - 1)]
            is_whole = following - INSIDE <= place[0]
            end = following if is_whole and rng.random() < FOLLOWING_SHARE else ends[own]
        elif size <= INSIDE:
            # A harmless text is read in all its spans; where an attack without a known place lies, only the whole text tells.
            end = rng.choice(ends) if not is_bad and rng.random() < 0.3 else size
        elif is_bad:
            full = [end for end in ends if end >= 2 * SPAN]
            end = rng.choice((full[0], full[min(1, len(full) - 1)], full[-1], rng.choice(full)))
        else:
            end = rng.choice((ends[0], ends[1], ends[-1], rng.choice(ends), rng.choice(ends), rng.choice(ends)))
        return max(0, end - INSIDE), end

    def cut(self, ids: list[int], rng: random.Random) -> int:
        """A place inside a text, mostly one where a sentence ends."""
        near = [at + 1 for at, token in enumerate(ids) if token in self.borders]
        return rng.choice(near) if near and rng.random() < 0.8 else rng.randint(0, len(ids))

    def amid(self, at: int, rng: random.Random) -> tuple[list[int], Place]:
        """The tokens of a short text in the middle of a harmless one of its channel, and the place of what must be read."""
        others = self.fine_of[self.rows[at]["channel"]]
        other = max((self.ids[rng.choice(others)] for _ in range(rng.choice((1, 4)))), key=len)  # long ones are few
        middle = self.cut(other, rng)
        edge = rng.random()
        before = [] if edge < AT_EDGE_SHARE else other[max(0, middle - rng.randint(1, BEFORE)) : middle]
        behind = [] if edge > 1 - AT_EDGE_SHARE else other[middle : middle + rng.randint(1, BEHIND)]
        first, end = self.spans[at] or (0, len(self.ids[at]))
        return before + self.ids[at] + behind, (len(before) + first, len(before) + end)

    def draw(self, at: int, turn: int) -> Sample:
        rng = random.Random(f"{self.seed} {turn} {at}")
        ids, place, channel = self.ids[at], self.spans[at], self.rows[at]["channel"]
        if channel in self.fine_of and len(ids) <= SHORT_TOKENS and rng.random() < AMID_SHARE:
            ids, place = self.amid(at, rng)
        first, end = self.ending(len(ids), place, is_harmful(self.rows[at]), rng)
        ids = [self.hidden if rng.random() < HIDDEN_SHARE else token for token in ids[first:end]]
        named = [CHANNEL_TOKENS[channel]] if rng.random() < CHANNEL_SHARE else []
        return [self.start, *named, *ids, self.end], self.known[at]

    def length(self, at: int, turn: int) -> int:
        return len(self.draw(at, turn)[0])


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
