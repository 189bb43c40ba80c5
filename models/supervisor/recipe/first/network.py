"""The first network: word vectors of the encoder, two convolutions, the highest value of each feature in a short span.

In: rows of token ids, special tokens included. Out: logits of `COLUMNS`. Every span of `SPAN` tokens is judged by itself
and the highest logit counts, so that an attack is not averaged away in a long text.

The word vectors are the main directions of the encoder's own, so that words which training never shows keep their
neighbours. Training adds a vector to each word that it shows. The graph holds the sum of both, 8 bits a number.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool1d, pad

from models.supervisor.recipe.second.outputs import KINDS

COLUMNS = ("injection", "content")
"""One column for each family of outputs. Messages and tools' results share the column `injection`: the encoder finds most
attacks by both outputs behind that label."""
FAMILY = {"jailbreak": 0, "embedded_instruction": 0, **dict.fromkeys((*KINDS, "harmful"), 1)}
"""Output of the encoder -> its column."""
SPAN = 48
"""Tokens judged together; spans begin every `SPAN // 2` tokens."""
WORD, FEATURES = 64, 96
OPSET = 17
LOWEST = -30.0


class FirstNetwork(nn.Module):
    """`vectors`: the word vectors of the encoder, (tokens, width). Their main directions stay as they are."""

    def __init__(self, vectors: Tensor) -> None:
        super().__init__()
        centred = vectors - vectors.mean(0)
        _, _, directions = torch.pca_lowrank(centred, WORD, center=False, niter=4)
        main = centred @ directions
        self.main = nn.Buffer(main / main.std(0))
        self.own = nn.Embedding(len(vectors), WORD, sparse=True)
        nn.init.zeros_(self.own.weight)
        self.layers = SpanLayers()

    def words(self) -> Tensor:
        """The vector of each word, (tokens, WORD)."""
        return self.main + self.own.weight

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits of the rows, (rows, COLUMNS); rows are padded at the end."""
        found: Tensor = self.layers(self.main[input_ids] + self.own(input_ids), attention_mask)
        return found


class SpanLayers(nn.Module):
    """Convolutions over the words' vectors, spans, and a hidden layer for each span."""

    def __init__(self) -> None:
        super().__init__()
        self.near = nn.Conv1d(WORD, FEATURES, 5, padding=2)
        self.far = nn.Conv1d(FEATURES, FEATURES, 5, padding=4, dilation=2)
        self.head = nn.Sequential(
            nn.Dropout(0.1),
            nn.Linear(FEATURES, FEATURES),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Linear(FEATURES, len(COLUMNS)),
        )

    def spans(self, words: Tensor, mask: Tensor) -> Tensor:
        """Logits of each span, (rows, spans, COLUMNS). Features are at least 0, so padding with 0 changes no maximum."""
        features = torch.relu(self.near((words * mask).transpose(1, 2))) * mask.transpose(1, 2)
        features = (features + torch.relu(self.far(features))) * mask.transpose(1, 2)
        found: Tensor = self.head(max_pool1d(pad(features, (0, SPAN - 1)), SPAN, SPAN // 2).transpose(1, 2))
        return found

    def forward(self, words: Tensor, attention_mask: Tensor) -> Tensor:
        spans = self.spans(words, attention_mask.unsqueeze(-1).to(words.dtype))
        starts = torch.arange(spans.shape[1]) * (SPAN // 2)
        empty = starts >= attention_mask.sum(1, keepdim=True)
        return spans.masked_fill(empty.unsqueeze(-1), LOWEST).amax(1)


class ShippedNetwork(nn.Module):
    """The network as it ships, for a single row without padding: 8-bit word vectors, scores instead of logits."""

    def __init__(self, network: FirstNetwork) -> None:
        super().__init__()
        words = network.words().detach()
        scale = words.abs().amax(0) / 127
        self.scale = nn.Buffer(scale)
        self.table = nn.Buffer((words / scale).round().to(torch.int8))
        self.layers = network.layers

    def forward(self, input_ids: Tensor) -> Tensor:
        """Scores of the row, (1, COLUMNS)."""
        words = self.table[input_ids].float() * self.scale
        return torch.sigmoid(self.layers.spans(words, torch.ones_like(words[:, :, :1])).amax(1))


def write_graph(network: FirstNetwork, path: Path) -> None:
    """Writes `first_stage.onnx`, whose only free size is the number of tokens."""
    shipped: Any = ShippedNetwork(network).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            shipped,
            (torch.ones(1, 9, dtype=torch.long),),
            str(path),
            input_names=["input_ids"],
            output_names=["scores"],
            dynamic_axes={"input_ids": {1: "tokens"}},
            opset_version=OPSET,
            dynamo=False,
        )
