"""The files of a model folder: `model.onnx` (int8, CPU), `model.fp16.onnx` (CUDA), `config.json` and SHA256SUMS.

In: a network and some texts to compare on; what scores mean. Out: the files, and the parity of the graphs: the largest
differences of logits between torch and the fp32, int8 and fp16 exports, and how often they disagree about the highest output.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from guardproxy.inference.folders.folder import GPU_FILE
from guardproxy.inference.folders.model import FIRST_STAGE
from guardproxy.lab import parity, write_graph, write_int8
from guardproxy.lab.exporting.graphs import Batches, batch, write_fp16
from models.encoder import write_sums
from models.supervisor.recipe.rows import Row

HERE = Path(__file__).parents[1]
Numbers = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Reading:
    """How a text is cut: tokens of a row with the special ones, tokens that neighbours share, and what the logits of a text of
    n rows are lowered by, as a multiple of ln n."""

    max_tokens: int
    overlap_tokens: int
    length_correction: float


SECOND = Reading(256, 64, 0.5)
"""The correction is a third of what makes false alarms as frequent in long texts as in short ones, since attacks in long texts
are lost by it."""


def write_config(
    folder: Path,
    calibration: Numbers,
    points: Numbers,
    outputs: Sequence[str],
    labels: Mapping[str, Mapping[str, Sequence[str]]],
    version: str,
    channels: Mapping[str, int],
    channel_points: Mapping[str, Numbers],
    reading: Reading = SECOND,
) -> None:
    """`config.json`: see guardproxy/inference/folders/model.py for what each key means. What is not given leaves logits alone.

    `channels`: the token of each kind of channel; `channel_points`: its own points. A first stage is removed, because its
    limits were chosen for another encoder: first/choose.py puts it back.
    """
    config = {
        "format": 2,
        "kind": "scores",
        "version": version,
        "outputs": list(outputs),
        "activation": "sigmoid",
        "labels": labels,
        "max_tokens": reading.max_tokens,
        "overlap_tokens": reading.overlap_tokens,
        "length_correction": reading.length_correction,
        "special": {"first": "[CLS]", "last": "[SEP]", "pad": "[PAD]"},
        "channels": dict(channels),
        "calibration": {name: calibration.get(name, {"bias": 0.0, "temperature": 1.0}) for name in outputs},
        "operating_points": {name: points.get(name, {"1%": 0.5}) for name in outputs},
        "channel_points": channel_points,
        "default_point": "1%",
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")
    (folder / FIRST_STAGE).unlink(missing_ok=True)
    gpu = [GPU_FILE] if (folder / GPU_FILE).exists() else []
    write_sums(folder, ["config.json", "model.onnx", "tokenizer.json", *gpu])


def singly(texts: list[str]) -> Batches:
    """The texts one by one, as in production."""
    tokenizer = Tokenizer.from_file(str(HERE / "tokenizer.json"))
    return [batch([tokenizer.encode(text).ids[: SECOND.max_tokens]], 0) for text in texts]


def write_graphs(network: Any, folder: Path, scratch: Path, rows: list[Row]) -> dict[str, Any]:
    """Writes the int8 and the fp16 graph, and the fp32 graph to `scratch`. Returns the parity of each on some of the rows."""
    fp32 = scratch / "model.fp32.onnx"
    write_graph(network, fp32, ("input_ids", "attention_mask"), per_token=False)
    heads = next(module.config.num_attention_heads for module in network.modules() if hasattr(module, "config"))
    write_int8(fp32, folder / "model.onnx", heads=heads)
    write_fp16(fp32, folder / "model.fp16.onnx")
    texts = [row["text"] for row in rows if len(row["text"]) < 3000][:300] + [row["text"] for row in rows][-50:]
    samples = singly(texts)
    graphs = {"fp32": fp32, "int8": folder / "model.onnx", "fp16": folder / "model.fp16.onnx"}
    return {name: asdict(parity(network, path, samples)) for name, path in graphs.items()}
