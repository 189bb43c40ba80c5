"""Writes the model folder of a checkpoint: `model.onnx` (int8, for CPUs), `tokenizer.json`, `config.json` and SHA256SUMS.

In: a checkpoint of `train.py`. Out: the folder, and the parity of the graphs with torch on own pairs: the largest and the mean
difference of a logit and of a probability, and how often the likeliest answer differs. A row runs alone and without padding.
"""

from __future__ import annotations

import argparse
import json
import random
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from guardproxy.lab import parity, write_graph, write_int8
from guardproxy.lab.exporting.graphs import Batches
from models.encoder import write_tokenizer
from models.pairs.recipe.business import RELATIONS
from models.pairs.recipe.everyday import scene_pairs, story_pairs
from models.pairs.recipe.network import Pairs
from models.pairs.recipe.points import write_config
from models.pairs.recipe.relations import Pair, document
from models.pairs.recipe.train import Encoder

SEED = 7


class Graph(nn.Module):
    """The network as it is shipped: the deepest exit alone, no mask, and logits divided by nothing."""

    def __init__(self, network: Pairs) -> None:
        super().__init__()
        self.network = network
        self.config = network.encoder.config

    def forward(self, input_ids: Tensor, token_type_ids: Tensor) -> Tensor:
        """Logits, float32, (rows, 3)."""
        logits: Tensor = self.network(input_ids, torch.ones_like(input_ids), token_type_ids)[-1]
        return logits


def load(checkpoint: Path) -> Pairs:
    """The network of a checkpoint."""
    saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
    network = Pairs(saved["exits"])
    network.take(saved["weights"])
    network.eval()
    return network


def samples(count: int, tokenizer: Path) -> Batches:
    """Own pairs, each a batch of its own: token ids and the text of each token."""
    rng = random.Random(SEED)
    pairs: list[Pair] = []
    while len(pairs) < count:
        pairs += [*document(RELATIONS, rng), *scene_pairs(rng), *story_pairs(rng)]
    encoder = Encoder(Tokenizer.from_file(str(tokenizer)))
    return [
        (np.array([ids], np.int64), np.array([kinds], np.int64)) for ids, kinds, _ in encoder.samples(pairs[:count])
    ]


def export(network: Pairs, folder: Path, scratch: Path, rows: int) -> dict[str, Any]:
    """Writes the graph and the tokenizer. Returns the parity of the fp32 and the int8 graph with the network."""
    folder.mkdir(parents=True, exist_ok=True)
    scratch.mkdir(parents=True, exist_ok=True)
    graph, fp32 = Graph(network), scratch / "model.fp32.onnx"
    write_graph(graph, fp32, ("input_ids", "token_type_ids"), per_token=False)
    write_int8(fp32, folder / "model.onnx", heads=network.encoder.config.num_attention_heads)
    write_tokenizer(folder / "tokenizer.json")
    batches = samples(rows, folder / "tokenizer.json")
    graphs = {"fp32": fp32, "int8": folder / "model.onnx"}
    return {name: asdict(parity(graph, path, batches, "softmax")) for name, path in graphs.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=Path("build/pairs/checkpoint.pt"))
    parser.add_argument("--out", type=Path, default=Path("build/pairs/pairs"))
    parser.add_argument("--scratch", type=Path, default=Path("build/pairs"))
    parser.add_argument("--rows", type=int, default=400, help="own pairs that the graphs are compared on")
    parser.add_argument("--points", type=json.loads, default={"same": 0.9, "supported": 0.5, "contradicted": 0.5})
    args = parser.parse_args()
    torch.set_num_threads(1)
    found = export(load(args.checkpoint), args.out, args.scratch, args.rows)
    write_config(args.out, args.points)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
