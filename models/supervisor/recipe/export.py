"""Export the supervisor: from `checkpoint.pt` to `model.onnx` (int8, CPU) and `model.fp16.onnx` (CUDA), and prove the parity.

In: a checkpoint and some texts to compare on. Out: the model folder with `tokenizer.json`, a provisional `config.json`
(calibrate.py sets what scores mean) and SHA256SUMS; `parity.json` beside the checkpoint: the largest differences of logits
between torch and the fp32, int8 and fp16 exports, and how often they disagree about the highest output.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from guardproxy.inference.model import FIRST_STAGE, GPU_FILE
from guardproxy.lab import batch, parity, write_fp16, write_graph, write_int8
from guardproxy.lab.graphs import Batches
from models.encoder import write_sums, write_tokenizer
from models.supervisor.recipe.network import Supervisor
from models.supervisor.recipe.sources import INJECTION, OUTPUTS, Row
from models.supervisor.recipe.train import MAX_TOKENS, read

HERE = Path(__file__).parents[1]
Numbers = Mapping[str, Mapping[str, float]]
VERSION = "2"
OVERLAP_TOKENS = 64
LABELS = {"injection": {"any": list(INJECTION), "tool_result": ["embedded_instruction"]}}
"""In a tool's result an order to the model is an attack; in a user's message it may be what the user wants."""


def write_config(
    folder: Path,
    calibration: Numbers,
    points: Numbers,
    outputs: Sequence[str] = OUTPUTS,
    labels: Mapping[str, Mapping[str, Sequence[str]]] = LABELS,
    version: str = VERSION,
    channels: Mapping[str, int] | None = None,
) -> None:
    """`config.json`: see guardproxy/inference/model.py for what each key means. What is not given leaves logits alone.

    `channels`: the token of each kind of channel, for a network that was trained with them. A first stage is removed, because
    its limits were chosen for another encoder: first/choose.py puts it back.
    """
    config = {
        "format": 2,
        "kind": "scores",
        "version": version,
        "outputs": list(outputs),
        "activation": "sigmoid",
        "labels": labels,
        "max_tokens": MAX_TOKENS,
        "overlap_tokens": OVERLAP_TOKENS,
        "special": {"first": "[CLS]", "last": "[SEP]", "pad": "[PAD]"},
        **({"channels": dict(channels)} if channels else {}),
        "calibration": {name: calibration.get(name, {"bias": 0.0, "temperature": 1.0}) for name in outputs},
        "operating_points": {name: points.get(name, {"1%": 0.5}) for name in outputs},
        "default_point": "1%",
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")
    (folder / FIRST_STAGE).unlink(missing_ok=True)
    gpu = [GPU_FILE] if (folder / GPU_FILE).exists() else []
    write_sums(folder, ["config.json", "model.onnx", "tokenizer.json", *gpu])


def singly(texts: list[str]) -> Batches:
    """The texts one by one, as in production."""
    tokenizer = Tokenizer.from_file(str(HERE / "tokenizer.json"))
    return [batch([tokenizer.encode(text).ids[:MAX_TOKENS]], 0) for text in texts]


def write_graphs(network: Any, folder: Path, scratch: Path, rows: list[Row], full_range: bool) -> dict[str, Any]:
    """Writes the int8 and the fp16 graph, and the fp32 graph to `scratch`. Returns the parity of each on some of the rows."""
    fp32 = scratch / "model.fp32.onnx"
    write_graph(network, fp32, ("input_ids", "attention_mask"), per_token=False)
    heads = next(module.config.num_attention_heads for module in network.modules() if hasattr(module, "config"))
    write_int8(fp32, folder / "model.onnx", reduce_range=not full_range, heads=heads)
    write_fp16(fp32, folder / "model.fp16.onnx")
    texts = [row["text"] for row in rows if len(row["text"]) < 3000][:300] + [row["text"] for row in rows][-50:]
    samples = singly(texts)
    graphs = {"fp32": fp32, "int8": folder / "model.onnx", "fp16": folder / "model.fp16.onnx"}
    return {name: asdict(parity(network, path, samples)) for name, path in graphs.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=Path("build/supervisor/checkpoint.pt"))
    parser.add_argument("--data", type=Path, default=Path("build/supervisor"), help="folder that data.py wrote")
    parser.add_argument("--folder", type=Path, default=HERE, help="the model folder to write")
    parser.add_argument("--full-range", action="store_true", help="8-bit weights, for processors with VNNI only")
    args = parser.parse_args()
    torch.set_num_threads(1)
    saved = torch.load(args.checkpoint, map_location="cpu", weights_only=False)
    print(f"checkpoint of step {saved['step']} of {saved['total']}")
    network = Supervisor()
    network.load_state_dict(saved["weights"])

    folder: Path = args.folder
    write_tokenizer(folder / "tokenizer.json")
    found = write_graphs(network, folder, args.checkpoint.parent, read(args.data / "validation.jsonl"), args.full_range)
    found |= {"step": saved["step"], "total": saved["total"]}
    write_config(folder, {}, {})
    args.checkpoint.with_name("parity.json").write_text(json.dumps(found, indent=2))
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
