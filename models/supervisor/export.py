"""Export the supervisor: from `checkpoint.pt` to an int8 `model.onnx` with its `tokenizer.json`, and prove the parity.

In: a checkpoint and some texts to compare on. Out: the model folder with a provisional `config.json` (evaluate.py sets
scaling and thresholds) and SHA256SUMS; `parity.json` beside the checkpoint: the largest differences of logits between
torch, the fp32 export and the int8 export.
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
from tokenizers import Tokenizer
from tqdm import tqdm

from models.encoder import write_int8, write_sums, write_tokenizer
from models.supervisor.network import LABELS, Supervisor
from models.supervisor.train import MAX_TOKENS, read

HERE = Path(__file__).parent
VERSION = "1"
FILES = ("config.json", "model.onnx", "tokenizer.json")
OVERLAP_TOKENS = 48
DEFAULT_POINT = "1%"


def write_config(
    folder: Path, points: dict[str, dict[str, float]], biases: dict[str, float], temperatures: dict[str, float]
) -> None:
    """`config.json`: see guardproxy/supervisor/model.py for what each key means."""
    scaling = {label: {"bias": biases[label], "temperature": temperatures[label]} for label in LABELS}
    config = {
        "format": 2,
        "kind": "scores",
        "version": VERSION,
        "outputs": list(LABELS),
        "activation": "sigmoid",
        "max_tokens": MAX_TOKENS,
        "overlap_tokens": OVERLAP_TOKENS,
        "special": {"first": "[CLS]", "last": "[SEP]", "pad": "[PAD]"},
        "calibration": scaling,
        "operating_points": points,
        "default_point": DEFAULT_POINT,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")
    write_sums(folder, FILES)


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
    parser.add_argument("--full-range", action="store_true", help="8-bit weights, for processors with VNNI only")
    args = parser.parse_args()
    torch.set_num_threads(1)
    saved = torch.load(args.checkpoint, map_location="cpu", weights_only=False)
    print(f"checkpoint of step {saved['step']} of {saved['total']}")
    network = Supervisor(len(LABELS))
    network.load_state_dict(saved["weights"])

    write_tokenizer(HERE / "tokenizer.json")
    fp32 = args.checkpoint.with_name("model.fp32.onnx")
    to_onnx(network, fp32)
    write_int8(fp32, HERE / "model.onnx", reduce_range=not args.full_range)
    write_config(
        HERE, {label: {DEFAULT_POINT: 0.5} for label in LABELS}, dict.fromkeys(LABELS, 0.0), dict.fromkeys(LABELS, 1.0)
    )
    rows = read(args.data / "validation.jsonl")
    texts = [row["text"] for row in rows if len(row["text"]) < 3000][:300] + [row["text"] for row in rows][-50:]
    found = parity(network, {"fp32": fp32, "int8": HERE / "model.onnx"}, texts)
    found["step"], found["total"] = saved["step"], saved["total"]
    args.checkpoint.with_name("parity.json").write_text(json.dumps(found, indent=2))
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
