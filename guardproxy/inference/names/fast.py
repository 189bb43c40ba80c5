"""Finds names with the network `fast`: sums of table rows for each word, and three small layers over neighbouring words.

In: texts. Out: for each text spans with a label and a score. Kept: the weights, and the numbers of words seen before.

All numbers between two layers are whole numbers of limited size, and so are the weights. A sum of their products is
below 2^24, so it is exact in 32-bit floating point in any order: the tags of a text are the same alone and among others,
with the numbers of its words remembered or not, and on every machine. The words that are remembered are known by their
hashes, which mean something in this process alone.

Decision: docs/decisions/0063-names-are-found-by-a-table-of-words.md
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import exp
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from guardproxy.checks import Tag, stop_point
from guardproxy.inference.names import forms
from guardproxy.inference.names.joining import EDGES, joined
from guardproxy.inference.names.weights import BOUND, SHIFT, UNIT, FastModel, rows_for, times

Numbers = NDArray[np.float32]
Places = NDArray[np.int64]
REMEMBERED = 1 << 14
"""Words whose numbers are kept; then all are forgotten."""
MOST_WORDS = 192
"""A longer text is tagged in parts of so many words."""
AT_ONCE = 256
"""Words between two stop points."""
_STEPS = 64
"""Steps of a natural unit in the table of powers."""
_SHARES = 10_000
"""Steps of a score."""
_EDGES = f"{EDGES}#@+-–—&^%$•·"


class FastTagger:
    """Implements `guardproxy.checks.Tagger`. `provider`: how it runs, shown on the status page."""

    provider = "numpy"
    context_words = 12
    is_slow = False

    def __init__(self, model: FastModel) -> None:
        self._model = model
        self.digest, self.thresholds = model.digest, model.thresholds
        self.plain, self.timeless = model.plain, model.timeless
        self._known: dict[int, int] = {}
        self._kept = np.zeros((REMEMBERED, model.width), np.float32)
        self._lock = Lock()
        temperature = model.temperature * _STEPS
        self._powers = np.array([round(2**20 * exp(-step / temperature)) for step in range(16 * _STEPS)], np.int64)
        self._bias, self._program_bias = (round(bias * UNIT * SHIFT) for bias in (model.bias, model.program_bias))
        self.tag(["Warm up, Ada."])

    def tag(self, texts: Sequence[str]) -> list[list[Tag]]:
        """Returns the names of each text, in order, without overlaps; see `guardproxy.checks.Tagger.tag`."""
        found: list[list[Tag]] = []
        places: list[list[tuple[int, int]]] = []
        count = 0
        for text in texts:
            places.append(forms.words(text))
            count += len(places[-1])
            if count >= AT_ONCE:
                found += self._tags(texts[len(found) : len(places)], places[len(found) :])
                count = 0
                stop_point()
        return found + self._tags(texts[len(found) :], places[len(found) :])

    def _tags(self, texts: Sequence[str], places: Sequence[Sequence[tuple[int, int]]]) -> list[list[Tag]]:
        words = [text[start:end] for text, own in zip(texts, places, strict=True) for start, end in own]
        if not words:
            return [[] for _ in texts]
        gaps = np.concatenate([_gaps(text, own) for text, own in zip(texts, places, strict=True) if own])
        counts = [len(own) for own in places]
        ends = list(accumulate(counts))
        logits = self._logits(self._words(words), gaps, _starts(counts))
        is_of_programs = [
            forms.is_of_programs(words[end - count : end]) for end, count in zip(ends, counts, strict=True)
        ]
        lowered = np.where(is_of_programs, self._program_bias, self._bias)
        logits[:, 0] -= lowered.repeat(counts)
        best, shares = self._shares(logits)
        return [
            self._joined(text, own, best[end - len(own) : end], shares[end - len(own) : end])
            for text, own, end in zip(texts, places, ends, strict=True)
        ]

    def _joined(
        self, text: str, places: Sequence[tuple[int, int]], best: Sequence[int], shares: Sequence[Sequence[int]]
    ) -> list[Tag]:
        tags = joined(text, places, best, shares, self._model.labels, _EDGES, _SHARES)
        # One letter is part of a code (`C-204817`), rarely a name.
        return [tag for tag in tags if tag.end - tag.start > 1 or not text[tag.start : tag.end].isascii()]

    def _words(self, words: Sequence[str]) -> Numbers:
        """Returns what the layers that see one word alone make of each word."""
        keys = list(map(hash, words))
        with self._lock:
            rows = list(map(self._known.get, keys))
            if None not in rows:
                return self._kept.take(np.array(rows), 0)
            held = self._kept.take(np.array([row or 0 for row in rows]), 0)
        # Without the lock: a scan of a few words on the event loop must not wait for the many new words of a thread.
        new = {key: word for key, word, row in zip(keys, words, rows, strict=True) if row is None}
        numbers = self._model.alone(list(new.values()))
        at = dict(zip(new, range(len(new)), strict=True))
        held[[row is None for row in rows]] = numbers.take([at[key] for key in keys if key in at], 0)
        # More would not even fit into an empty memory.
        if len(new) <= REMEMBERED:
            self._remember(list(new), numbers)
        return held

    def _remember(self, keys: Sequence[int], numbers: Numbers) -> None:
        with self._lock:
            if len(self._known) + len(keys) > REMEMBERED:
                self._known.clear()
            first = len(self._known)
            new = [at for at, key in enumerate(keys) if key not in self._known]  # another thread may have been faster
            self._kept[first : first + len(new)] = numbers.take(new, 0)
            self._known.update((keys[at], row) for row, at in enumerate(new, first))

    def _logits(self, alone: Numbers, gaps: Places, starts: Places) -> Numbers:
        """Returns for each word and tag a number, in steps of 1 / (UNIT * SHIFT). `starts`: the first word of each text."""
        model = self._model
        count, width = alone.shape
        part = np.zeros(count, np.int64)
        part[starts[1:]] = 1
        part = part.cumsum()
        firsts, lasts = starts[part], (np.append(starts[1:], count) - 1)[part]
        here = np.arange(count)
        layer = np.zeros((count + 1, width), np.float32)  # the last row: what lies outside of a text
        layer[:-1] = alone
        seen = rows_for(count, width * (1 + len(model.layers)))
        seen[:count, :width] = alone
        beside = rows_for(count, 3 * width)
        for at, (reach, weights, bias) in enumerate(model.layers):
            left, right = here - reach, here + reach
            left[left < firsts] = count
            right[right > lasts] = count
            beside[:count, :width] = layer.take(left, 0)
            beside[:count, width : 2 * width] = layer[:-1]
            beside[:count, 2 * width :] = layer.take(right, 0)
            sums = times(beside, weights)[:count]
            if at == 0:
                sums += model.gap.take(gaps, 0)
            elif at == 1:
                strongest = rows_for(len(starts), width)
                np.maximum.reduceat(layer[:-1], starts, 0, out=strongest[: len(starts)])
                sums += times(strongest, model.pooled).take(part, 0)
            sums += bias
            layer[:-1] = settled(sums)
            seen[:count, (at + 1) * width : (at + 2) * width] = layer[:-1]
        logits: Numbers = times(seen, model.out)[:count]
        logits += model.out_bias
        return logits

    def _shares(self, logits: Numbers) -> tuple[list[int], list[list[int]]]:
        """Returns for each word the best tag, and in steps of 1 / _SHARES the share of each label."""
        best = logits.argmax(1)
        steps = ((logits.max(1, keepdims=True) - logits) * np.float32(_STEPS / (UNIT * SHIFT))).astype(np.int64)
        powers = self._powers.take(np.minimum(steps, len(self._powers) - 1))
        labels = powers[:, 1::2] + powers[:, 2::2]
        return best.tolist(), (labels * _SHARES // powers.sum(1, keepdims=True)).tolist()


def settled(sums: Numbers) -> Numbers:
    """Returns the whole numbers that a layer hands on, of the sums of its products."""
    sums *= np.float32(1 / SHIFT)
    np.rint(sums, sums)
    return np.clip(sums, 0, BOUND, sums)


def _gaps(text: str, places: Sequence[tuple[int, int]]) -> Places:
    """Returns what lies before each word of a text."""
    edges = np.array(places)
    gaps = np.full(len(edges), forms.SPACE)
    gaps[1:][edges[1:, 0] == edges[:-1, 1]] = forms.NONE
    gaps[0] = forms.LINE
    at = text.find("\n")
    if at >= 0:
        lines = []
        while at >= 0:
            lines.append(at)
            at = text.find("\n", at + 1)
        after = np.searchsorted(edges[:, 0], np.array(lines))
        gaps[after[after < len(gaps)]] = forms.LINE
    return gaps


def _starts(counts: Sequence[int]) -> Places:
    """Returns the first word of each text that has words, and of each further part of a long text."""
    starts: list[int] = []
    at = 0
    for count in counts:
        starts += range(at, at + count, MOST_WORDS)
        at += count
    return np.array(starts)
