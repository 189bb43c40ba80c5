"""Train the table of hashed n-grams that reads every text in spans of 48 tokens: in half a minute on one core, without torch.

In: `first.jsonl` of data.py, in random order. Out: `ngrams.npz`, the weights in float32; `quantized` makes the table of
`guardproxy.inference.scoring.ngrams` of them. A span's logit is the sum of the weights of its n-grams over `root` of their
number, plus the bias of the kind of channel.

A row says whether its text holds an attack, not where. So every span of a harmless row is harmless, and the loss of an attack
is shared among its spans by how suspicious they are. It is a logistic regression for each of `COLUMNS`, by Adagrad over blocks
of rows.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from guardproxy.inference.folders import tokens
from guardproxy.inference.scoring import ngrams
from guardproxy.inference.scoring.ngrams import BUCKETS, root
from models.supervisor.recipe.rows import read
from models.supervisor.recipe.second.outputs import JAILBREAK, Row

COLUMNS = ("injection", "content")
"""As of the first network."""
TOOL = "tool_result"
SPAN_ROOM = 128
"""Tokens of a row of an encoder that reads spans, with the special ones."""
SEED = 20_31
MOST_CHARS = 12_000
BLOCK_GRAMS = 1_000_000
"""N-grams of a step of training."""
PASSES, RATE = 3, 6.0
SEEN = 0.01
"""What Adagrad has seen of each weight before the first step: an n-gram that few rows hold moves by little."""
CLIPPED = 0.0001
"""Share of the weights that are cut to the largest number of 8 bits."""
Floats = NDArray[np.float32]
Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Spans:
    """The spans of rows. `places`: the n-grams of one span after the other. `starts`: where those of each span begin, and the
    end of the last, (spans + 1). `rows`: the first span of each row, and the end, (rows + 1). `channels`: a number a row."""

    places: NDArray[np.int32]
    starts: Numbers
    rows: Numbers
    channels: Numbers

    def highest(self, of_spans: NDArray[Any]) -> NDArray[Any]:
        """The highest value of the spans of each row."""
        found: NDArray[Any] = np.maximum.reduceat(of_spans, self.rows[:-1], axis=0)
        return found

    def take(self, numbers: Numbers) -> Spans:
        """The spans of some rows, at least one."""
        ends = [(self.rows[number], self.rows[number + 1]) for number in numbers]
        counts = np.concatenate([np.diff(self.starts[low : high + 1]) for low, high in ends])
        places = np.concatenate([self.places[self.starts[low] : self.starts[high]] for low, high in ends])
        return Spans(places, _ends(counts), _ends(np.array([high - low for low, high in ends])), self.channels[numbers])


def channel_number(row: Row) -> int:
    """Whether a text is a tool's result: attacks there are orders, and only these two kinds have many of them. A bias
    of its own would clear system prompts and answers only because few attacks in them are trained on."""
    return int(row.get("channel") == TOOL)


def read_spans(rows: Sequence[Row], folder: Path, batch: int = 500) -> Spans:
    """Cuts the texts of rows into spans, with the tokenizer of a model folder."""
    tokenizer, _ = tokens.load(folder)
    places: list[NDArray[np.int32]] = []
    counts: list[Numbers] = []
    spans_of: list[int] = []
    for first in tqdm(range(0, len(rows), batch), desc="n-grams", unit="block", mininterval=30):
        texts = [row["text"][:MOST_CHARS].encode("utf-8", "replace").decode() for row in rows[first : first + batch]]
        for text, encoding in zip(texts, tokenizer.encode_batch(texts, add_special_tokens=False), strict=True):
            found, borders = ngrams.read(text, encoding.ids, encoding.offsets)
            spans = range(borders.shape[1] - 1)
            places += [found[low:high].astype(np.int32) for at in spans for low, high in borders[:, at : at + 2]]
            counts.append((borders[:, 1:] - borders[:, :-1]).sum(0))
            spans_of.append(len(spans))
    channels = np.array([channel_number(row) for row in rows])
    return Spans(np.concatenate(places), _ends(np.concatenate(counts)), _ends(np.array(spans_of)), channels)


def _ends(counts: Numbers) -> Numbers:
    return np.concatenate([[0], np.cumsum(counts)])


@dataclass(frozen=True, slots=True)
class Table:
    """`weights`: (BUCKETS, columns). `bias`: of messages and of tools' results, (2, columns)."""

    weights: Floats
    bias: Floats

    def logits(self, spans: Spans) -> Floats:
        """The logits of all spans, (spans, columns)."""
        found = np.empty((len(spans.starts) - 1, self.weights.shape[1]), np.float32)
        for first, last in blocks(spans.starts):
            low, high = spans.starts[first], spans.starts[last]
            found[first:last] = sums(self.weights, spans.places[low:high], spans.starts[first : last + 1] - low)
        np.add(found, self.bias[np.repeat(spans.channels, np.diff(spans.rows))], out=found)
        return found

    def scales(self) -> Floats:
        """What a step of 8 bits is worth in each column, (columns,)."""
        largest = np.quantile(np.abs(self.weights), 1 - CLIPPED, axis=0)
        return np.asarray(largest / 127, np.float32)

    def quantized(self) -> NDArray[np.int8]:
        """The weights in units of `scales`, (BUCKETS, columns)."""
        steps: NDArray[np.int8] = np.clip(np.rint(self.weights / self.scales()), -127, 127).astype(np.int8)
        return steps

    def save(self, path: Path) -> None:
        np.savez_compressed(path, weights=self.weights, bias=self.bias)

    @staticmethod
    def load(path: Path) -> Table:
        with np.load(path) as found:
            return Table(found["weights"], found["bias"])


def blocks(starts: Numbers) -> Iterator[tuple[int, int]]:
    """Cuts spans or rows, which begin at these n-grams, into blocks of about `BLOCK_GRAMS`: the first and the end of each."""
    first = 0
    while first < len(starts) - 1:
        last = max(first + 1, int(np.searchsorted(starts, starts[first] + BLOCK_GRAMS, side="right")) - 1)
        yield first, last
        first = last


def sums(weights: Floats, places: NDArray[np.int32], starts: Numbers) -> Floats:
    """For each span the sum of its weights over `root` of their number, (spans, columns); 0 for a span without n-grams."""
    counts = np.diff(starts)
    if not len(places):
        return np.zeros((len(counts), weights.shape[1]), np.float32)
    found = np.add.reduceat(weights[places], np.minimum(starts[:-1], len(places) - 1), axis=0)
    found[counts == 0] = 0
    return (found / root(counts)[:, None]).astype(np.float32)


def targets(rows: Sequence[Row]) -> Floats:
    """For each row and column 1 or 0, or -1 where it is unknown, (rows, columns)."""
    found = np.empty((len(rows), len(COLUMNS)), np.float32)
    for at, row in enumerate(rows):
        told = row["targets"]
        ways = {told.get(JAILBREAK, -1), max(told.get("order", -1), told.get("embedded_instruction", -1))}
        found[at] = 1 if 1 in ways else min(ways), told.get("harmful", -1)
    return found


def train(
    spans: Spans,
    wanted: Floats,
    kept: NDArray[np.bool_] | None = None,
    passes: int = PASSES,
    rate: float = RATE,
    name: str = "train",
) -> Table:
    """Learns a table. `wanted`: (rows, columns), see `targets`. `kept`: the rows to learn from, if not all. `name`: of the
    progress bar."""
    known = wanted >= 0 if kept is None else (wanted >= 0) & kept[:, None]
    learner = _Learner(wanted.shape[1])
    parts = list(blocks(spans.starts[spans.rows]))
    order = np.random.default_rng(SEED)
    turns = [at for _ in range(passes) for at in order.permutation(len(parts)).tolist()]
    for step, at in enumerate(tqdm(turns, desc=name, unit="step", mininterval=30)):
        learner.step(spans, wanted, known, parts[at], rate * (1 - step / len(turns)))
    return Table(learner.weights, learner.bias)


class _Learner:
    """A table while it is learned, and the sum of the squares of all slopes of each number."""

    def __init__(self, columns: int) -> None:
        self.weights = np.zeros((BUCKETS, columns), np.float32)
        self.bias = np.zeros((2, columns), np.float32)
        self._seen = np.full_like(self.weights, SEEN)
        self._seen_bias = np.full_like(self.bias, SEEN)

    def step(self, spans: Spans, wanted: Floats, known: NDArray[np.bool_], part: tuple[int, int], rate: float) -> None:
        """Learns from the rows from the first to the end of `part`."""
        first, last = part
        low, high = spans.rows[first], spans.rows[last]
        begin, end = spans.starts[low], spans.starts[high]
        places, starts = spans.places[begin:end], spans.starts[low : high + 1] - begin
        lengths = np.diff(spans.rows[first : last + 1])
        row = np.repeat(np.arange(first, last), lengths)
        logits = sums(self.weights, places, starts) + self.bias[spans.channels[row]]
        chance = 1 / (1 + np.exp(-logits))
        guilty = shares(logits, spans.rows[first:last] - low, lengths)
        slopes = np.where(wanted[row] == 1, (chance - 1) * guilty, chance) * known[row]
        counts = np.diff(starts)
        spread = np.repeat((slopes / root(counts)[:, None]).astype(np.float32), counts, axis=0)
        columns = [np.bincount(places, spread[:, column], BUCKETS) for column in range(slopes.shape[1])]
        _move(self.weights, self._seen, np.stack(columns, 1).astype(np.float32), rate)
        of_channels = np.zeros_like(self.bias)
        np.add.at(of_channels, spans.channels[row], slopes)
        _move(self.bias, self._seen_bias, of_channels, rate)


def _move(numbers: Floats, seen: Floats, slope: Floats, rate: float) -> None:
    seen += slope * slope
    numbers -= np.float32(rate) * slope / np.sqrt(seen)


def shares(logits: Floats, first: Numbers, lengths: Numbers) -> Floats:
    """How much of an attack lies in each of a row's spans: the softmax of their logits. `first`: the first span of each row."""
    powers = np.exp(logits - np.repeat(np.maximum.reduceat(logits, first, axis=0), lengths, axis=0))
    found: Floats = powers / np.repeat(np.add.reduceat(powers, first, axis=0), lengths, axis=0)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("build/supervisor-third"))
    parser.add_argument("--folder", type=Path, default=Path("models/supervisor"), help="for its tokenizer")
    args = parser.parse_args()
    rows = read(args.data / "first.jsonl")
    train(read_spans(rows, args.folder), targets(rows)).save(args.data / "ngrams.npz")


if __name__ == "__main__":
    main()
