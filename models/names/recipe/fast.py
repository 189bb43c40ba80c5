"""The network of the tagger `fast`, and rows as its numbers.

In: rows. Out: for a batch of texts the words (each distinct one once), the places of their neighbours, and a tag for each
word. The network: a word is the sum of rows of a table (its own, its parts, its lists), two layers that depend on the word
alone, three layers that see the words beside it, and what is strongest in the whole text; a linear layer over all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from guardproxy.inference.names import forms

Row = dict[str, Any]
LABELS = ("PERSON", "LOCATION", "ORGANIZATION", "DATE_TIME", "NRP")
TAGS = ("O", *(f"{place}-{label}" for label in LABELS for place in "BI"))
IGNORED = -1
WIDTH, ROW, HIDDEN = 96, 64, 256
REACH = (1, 1, 2)
"""How far apart the three words are that a layer sees."""
HIDDEN_SHARE, RARE_HIDDEN = 0.15, 0.45
"""How often a word is read without its own row: so that its parts, its lists and its neighbours must tell as well."""
HIDDEN_MARK = -1
DROPPED = 0.2
"""Share of the numbers between layers that a step of the training leaves out."""
MOST = 511 / 64
"""The largest number between two layers."""


class Vocabulary:
    """Words as rows of the table."""

    def __init__(self, known: Sequence[int], lists: dict[int, int]) -> None:
        self.rows = {number: 1 + at for at, number in enumerate(known)}
        self.lists = lists
        self.rare = np.zeros(1 + len(known), bool)
        self._bags: dict[str, tuple[int, list[int]]] = {}

    def bag(self, word: str) -> tuple[int, list[int]]:
        """Returns the word's own row (0: none) and the others."""
        if (found := self._bags.get(word)) is None:
            clean = forms.folded(word)
            number = forms.number(forms.lowered(clean))
            own = self.rows.get(number, 0)
            found = self._bags[word] = (own, forms.parts(clean, self.lists.get(number, 0), bool(own)))
        return found


@dataclass
class Text:
    """A text as its words, the gap before each, and the tag of each. `marked`: which labels the set marks."""

    words: list[str]
    gaps: list[int]
    tags: list[int]
    open: int  # 0: all labels are marked, 1: dates and nationalities are not, 2: nationalities are not


def gap(text: str, before: int, start: int) -> int:
    if before == start and before:
        return forms.NONE
    return forms.SPACE if before and "\n" not in text[before:start] else forms.LINE


def encode(row: Row, open_: int) -> Text:
    text = row["text"]
    places = forms.words(text)
    spans = sorted(
        (span for span in row["spans"] if span["label"] in LABELS or span["label"] == "IGNORED"),
        key=lambda span: int(span["start"]),
    )
    tags, gaps, at, begun, before = [], [], 0, -1, 0
    for start, end in places:
        while at < len(spans) and spans[at]["end"] <= start:
            at += 1
        if at < len(spans) and spans[at]["start"] < end:
            span = spans[at]
            if span["label"] == "IGNORED" or span.get("score", 1.0) < 0.6:
                tags.append(IGNORED)
            else:
                tags.append(1 + 2 * LABELS.index(span["label"]) + (begun == at))
            begun = at
        else:
            tags.append(0)
        gaps.append(gap(text, before, start))
        before = end
    return Text([text[a:b] for a, b in places], gaps, tags, open_)


@dataclass
class Batch:
    own: Tensor
    bags: Tensor
    starts: Tensor
    weights: Tensor
    words: Tensor
    gaps: Tensor
    sides: list[tuple[Tensor, Tensor]]
    piece: Tensor
    pieces: int
    tags: Tensor
    open: Tensor


def batch(texts: Sequence[Text], vocabulary: Vocabulary, rng: np.random.Generator | None) -> Batch:
    """Returns texts as tensors. `rng`: hides some of the words' rows; `None` hides nothing."""
    distinct: dict[str, int] = {}
    numbers = [distinct.setdefault(word, len(distinct)) for text in texts for word in text.words]
    bags: list[int] = []
    starts: list[int] = []
    owns: list[int] = []
    whole: list[int] = []
    for word in distinct:
        own, parts = vocabulary.bag(word)
        owns.append(own)
        starts.append(len(bags))
        whole.append(len(bags) + parts.index(forms._row("w" + forms.folded(word))))
        bags += [*parts, HIDDEN_MARK]
    rows, own_rows = np.array(bags), np.array(owns)
    weights = np.ones(len(bags), np.float32)
    marks = np.flatnonzero(rows == HIDDEN_MARK)
    rows[marks] = forms._UNKNOWN
    weights[marks] = 0.0
    if rng is not None:
        share = np.where(vocabulary.rare[own_rows], RARE_HIDDEN, HIDDEN_SHARE)
        is_hidden = (rng.random(len(owns)) < share) & (own_rows > 0)
        own_rows[is_hidden] = 0
        weights[np.array(whole)[is_hidden | (rng.random(len(owns)) < 0.3)]] = 0.0
        weights[(rng.random(len(weights)) < 0.1) & (rows >= forms.FIXED)] = 0.0
        lists = (rows >= forms._LIST_ROWS) & (rows < forms._LIST_ROWS + forms.LISTS)
        off = np.repeat(rng.random(len(starts)) < 0.12, np.diff([*starts, len(bags)]))
        weights[lists & off] = 0.0
        weights[marks[is_hidden]] = 1.0
    lengths = np.array([len(text.words) for text in texts])
    total = int(lengths.sum())
    piece = np.repeat(np.arange(len(texts)), lengths)
    sides = []
    here = np.arange(total)
    for reach in sorted(set(REACH)):
        left, right = here - reach, here + reach
        left = np.where((left >= 0) & (piece[np.maximum(left, 0)] == piece), left, total)
        right = np.where((right < total) & (piece[np.minimum(right, total - 1)] == piece), right, total)
        sides.append((torch.from_numpy(left), torch.from_numpy(right)))
    return Batch(
        torch.from_numpy(own_rows),
        torch.from_numpy(rows),
        torch.tensor(starts),
        torch.from_numpy(weights),
        torch.tensor(numbers),
        torch.tensor([gap for text in texts for gap in text.gaps]),
        sides,
        torch.from_numpy(piece),
        len(texts),
        torch.tensor([tag for text in texts for tag in text.tags]),
        torch.from_numpy(np.repeat([text.open for text in texts], lengths)),
    )


class Fast(nn.Module):
    def __init__(self, known: int) -> None:
        super().__init__()
        self.own = nn.Embedding(1 + known, ROW, padding_idx=0)
        self.table = nn.EmbeddingBag(forms.FIXED + forms.HASHED, ROW, mode="sum")
        nn.init.normal_(self.table.weight, std=0.05)
        self.first, self.second = nn.Linear(ROW, HIDDEN), nn.Linear(HIDDEN, WIDTH)
        self.gap = nn.Embedding(3, WIDTH)
        self.layers = nn.ModuleList(nn.Linear(3 * WIDTH, WIDTH) for _ in REACH)
        self.pooled = nn.Linear(WIDTH, WIDTH, bias=False)
        self.out = nn.Linear((1 + len(REACH)) * WIDTH, len(TAGS))
        self.dropout = nn.Dropout(DROPPED)
        for layer in (self.first, self.second, *self.layers):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.constant_(layer.bias, 0.05)
        nn.init.normal_(self.gap.weight, std=0.1)

    def forward(self, b: Batch) -> Tensor:
        x = self.own(b.own) + self.table(b.bags, b.starts, per_sample_weights=b.weights)
        x = self.first(x).clamp(0, MOST)
        x = self.second(self.dropout(x)).clamp(0, MOST)
        h = self.dropout(x)[b.words]  # a word that is hidden in part is hidden in all of its places
        seen = [h]
        for at, (layer, reach) in enumerate(zip(self.layers, REACH, strict=True)):
            padded = torch.cat([h, h.new_zeros(1, h.shape[1])])
            left, right = b.sides[reach - 1]
            a = layer(torch.cat([padded[left], h, padded[right]], 1))
            if at == 0:
                a = a + self.gap(b.gaps)
            elif at == 1:
                strongest = h.new_zeros(b.pieces, h.shape[1]).scatter_reduce(
                    0, b.piece.unsqueeze(1).expand_as(h), h, "amax"
                )
                a = a + self.pooled(strongest)[b.piece]
            h = a.clamp(0, MOST)
            seen.append(h)
        out: Tensor = self.out(self.dropout(torch.cat(seen, 1)))
        return out


UNMARKED = {
    1: [at for at, tag in enumerate(TAGS) if tag[2:] in ("DATE_TIME", "NRP")],
    2: [at for at, tag in enumerate(TAGS) if tag[2:] == "NRP"],
}


def loss_of(logits: Tensor, tags: Tensor, open_: Tensor) -> Tensor:
    """Cross entropy. Where labels are not marked, `O` is the sum of `O` and those."""
    logs = torch.log_softmax(logits, -1)
    kept = tags != IGNORED
    gold = logs.gather(-1, tags.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    for kind, tags_of in UNMARKED.items():
        outside = torch.logsumexp(logs[:, [0, *tags_of]], -1)
        gold = torch.where((tags == 0) & (open_ == kind), outside, gold)
    return -(gold * kept).sum() / kept.sum()
