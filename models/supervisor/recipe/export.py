"""Export the supervisor: from `checkpoint.pt` to `model.onnx` (int8, CPU) and `model.fp16.onnx` (CUDA), and prove the parity.

In: a checkpoint and some texts to compare on. Out: the model folder with `tokenizer.json`, a provisional `config.json`
(calibrate.py sets what scores mean) and SHA256SUMS; `parity.json` beside the checkpoint: the largest differences of logits
between torch and the fp32, int8 and fp16 exports, and how often they disagree about an output.
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tqdm import tqdm

from models.encoder import write_int8, write_sums, write_tokenizer
from models.supervisor.recipe.network import Supervisor
from models.supervisor.recipe.sources import INJECTION, OUTPUTS
from models.supervisor.recipe.train import MAX_TOKENS, read

HERE = Path(__file__).parents[1]
VERSION = "2"
OVERLAP_TOKENS = 64
OPTIONAL = ("model.fp16.onnx", "first_stage.npz")
LABELS = {"injection": {"any": list(INJECTION), "tool_result": ["embedded_instruction"]}}
"""In a tool's result an order to the model is an attack; in a user's message it may be what the user wants."""


def write_config(folder: Path, calibration: dict[str, dict[str, float]], points: dict[str, dict[str, float]]) -> None:
    """`config.json`: see guardproxy/inference/model.py for what each key means. What is not given leaves logits alone."""
    config = {
        "format": 2,
        "kind": "scores",
        "version": VERSION,
        "outputs": list(OUTPUTS),
        "activation": "sigmoid",
        "labels": LABELS,
        "max_tokens": MAX_TOKENS,
        "overlap_tokens": OVERLAP_TOKENS,
        "special": {"first": "[CLS]", "last": "[SEP]", "pad": "[PAD]"},
        "calibration": {name: calibration.get(name, {"bias": 0.0, "temperature": 1.0}) for name in OUTPUTS},
        "operating_points": {name: points.get(name, {"1%": 0.5}) for name in OUTPUTS},
        "default_point": "1%",
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")
    files = ["config.json", "model.onnx", "tokenizer.json", *(name for name in OPTIONAL if (folder / name).exists())]
    write_sums(folder, files)


def write_first_stage(folder: Path, source: Path, thresholds: NDArray[np.float32]) -> None:
    """The first stage with its thresholds, (outputs,); the folder's sums are written after it."""
    saved = np.load(source)
    np.savez_compressed(
        folder / "first_stage.npz", thresholds=thresholds, **{name: saved[name] for name in saved.files}
    )


def write_fp16(source: Path, target: Path) -> None:
    """Half precision, for CUDA; the ends stay as they are."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(str(source)), keep_io_types=True), str(target))


def to_onnx(network: Supervisor, path: Path) -> None:
    """A graph with free numbers of rows and tokens: input_ids, attention_mask -> logits."""
    network.eval()  # the exporter gives a module back in the mode it found it in
    ids = torch.randint(1000, 20_000, (2, 16))
    free = {0: "rows", 1: "tokens"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (ids, torch.ones_like(ids)),
            str(path),
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            dynamic_axes={"input_ids": free, "attention_mask": free, "logits": {0: "rows"}},
            opset_version=17,
            dynamo=False,
        )


def parity(network: Supervisor, paths: dict[str, Path], texts: list[str]) -> dict[str, Any]:
    """Largest and mean difference of logits to torch, one text at a time as in production."""
    network.eval()
    tokenizer = Tokenizer.from_file(str(HERE / "tokenizer.json"))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    sessions = {name: onnxruntime.InferenceSession(str(path), options) for name, path in paths.items()}
    gaps: dict[str, list[float]] = {name: [] for name in sessions}
    flips = dict.fromkeys(sessions, 0)
    for text in tqdm(texts, desc="parity", unit="text"):
        ids = np.array([tokenizer.encode(text).ids[:MAX_TOKENS]], dtype=np.int64)
        with torch.no_grad():
            wanted = network(torch.from_numpy(ids), torch.ones(ids.shape, dtype=torch.long)).numpy()
        for name, session in sessions.items():
            got = session.run(["logits"], {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0]
            gaps[name].append(float(np.abs(got - wanted).max()))
            flips[name] += int(((got > 0) != (wanted > 0)).any())
    return {
        name: {"max": max(gap), "mean": float(np.mean(gap)), "flips_at_0": flips[name], "texts": len(texts)}
        for name, gap in gaps.items()
    }


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
    fp32 = args.checkpoint.with_name("model.fp32.onnx")
    to_onnx(network, fp32)
    write_int8(fp32, folder / "model.onnx", reduce_range=not args.full_range)
    write_fp16(fp32, folder / "model.fp16.onnx")
    write_config(folder, {}, {})
    rows = read(args.data / "validation.jsonl")
    texts = [row["text"] for row in rows if len(row["text"]) < 3000][:300] + [row["text"] for row in rows][-50:]
    found = parity(network, {"fp32": fp32, "int8": folder / "model.onnx", "fp16": folder / "model.fp16.onnx"}, texts)
    found["step"], found["total"] = saved["step"], saved["total"]
    args.checkpoint.with_name("parity.json").write_text(json.dumps(found, indent=2))
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
