"""The same encoder as most people run it, for `benchmarks/models/supervisor.py`: torch, and the transformers pipeline.

Runs in an interpreter that has torch and transformers; imports nothing of guardproxy but where the encoder's weights are.
`--export DIR` writes `fp32.onnx` (the encoder, pooling and a head, never trained: a time does not depend on weights) and
`all-MiniLM-L6-v2.onnx` (the encoder alone, which a peer wants). Then lines of JSON: `{"peer", "text", "ids"}` in,
`{"ms", "cpu_ms"}` out, on one thread.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer, pipeline

from models.encoder import encoder_folder

OUTPUTS = 8
Timed = Callable[[dict[str, Any]], Any]


class Network(nn.Module):
    """Mean and maximum of the last layer, one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder: Any = AutoModel.from_pretrained(encoder_folder(), attn_implementation="sdpa")
        self.encoder.pooler = None
        self.head = nn.Linear(2 * self.encoder.config.hidden_size, OUTPUTS)

    def forward(self, input_ids: Any, attention_mask: Any) -> Any:
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(states.dtype)
        most = (states + (mask - 1.0) * 1e4).amax(1)
        return self.head(torch.cat([(states * mask).sum(1) / mask.sum(1), most], -1))


class Encoder(nn.Module):
    """The last layer, asked for with token types too."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
        found = self.encoder(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        return found.last_hidden_state


def export(module: nn.Module, path: Path, inputs: list[str], output: str) -> None:
    module.eval()
    ids = torch.randint(1000, 20_000, (2, 16))
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
    free = {0: "rows", 1: "tokens"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            tuple(given[name] for name in inputs),
            str(path),
            input_names=inputs,
            output_names=[output],
            dynamic_axes={**dict.fromkeys(inputs, free), output: free},
            opset_version=17,
            dynamo=False,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--export", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    network = Network().eval()
    export(network, args.export / "fp32.onnx", ["input_ids", "attention_mask"], "logits")
    encoder = AutoModel.from_pretrained(encoder_folder(), attn_implementation="eager")
    names = ["input_ids", "attention_mask", "token_type_ids"]
    export(Encoder(encoder), args.export / "all-MiniLM-L6-v2.onnx", names, "last_hidden_state")
    classifier = AutoModelForSequenceClassification.from_pretrained(encoder_folder(), num_labels=2)
    tokenizer: Any = AutoTokenizer.from_pretrained(encoder_folder())
    piped: Any = pipeline("text-classification", model=classifier, tokenizer=tokenizer, device="cpu")

    def torch_run(asked: dict[str, Any]) -> Any:
        ids = torch.tensor([asked["ids"]])
        with torch.inference_mode():
            return network(ids, torch.ones_like(ids)).tolist()

    ways: dict[str, Timed] = {
        "torch fp32": torch_run,
        "transformers pipeline": lambda asked: piped(asked["text"], truncation=True, max_length=512),
    }
    print(json.dumps(list(ways)), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        begun, busy = time.perf_counter(), time.process_time()
        ways[asked["peer"]](asked)
        wall, cpu = time.perf_counter() - begun, time.process_time() - busy
        print(json.dumps({"ms": 1000 * wall, "cpu_ms": 1000 * cpu}), flush=True)


if __name__ == "__main__":
    main()
