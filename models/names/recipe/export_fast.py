"""Write the weights of the tagger `fast`: from `fast.pt` to whole numbers in a folder that policies can name."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from guardproxy.inference.names.weights import SHIFT, TABLE_UNIT, UNIT
from models.encoder import write_arrays, write_sums
from models.names.recipe.fast import LABELS, REACH

FOLDER = Path(__file__).parents[2] / "fast"
FILES = ("config.json", "weights.npz", "words.json")


def whole(weights: Any, steps: int, kind: Any = np.int16) -> Any:
    """Returns weights as whole numbers of `steps` a unit."""
    limits = np.iinfo(kind)
    return np.clip(np.rint(weights.double().numpy() * steps), limits.min, limits.max).astype(kind)


def arrays_of(saved: dict[str, Any]) -> dict[str, Any]:
    """Returns the arrays of a checkpoint as guardproxy/inference/names/weights.py reads them."""
    w = saved["weights"]
    listed = sorted(saved["lists"].items())
    arrays = {
        "known": np.array(saved["known"], np.uint32),
        "listed": np.array([number for number, _ in listed], np.uint32),
        "lists": np.array([bits for _, bits in listed], np.uint8),
        "table": whole(torch.cat([w["table.weight"], w["own.weight"][1:]]), TABLE_UNIT, np.int8),
        "gap": whole(w["gap.weight"], UNIT * SHIFT, np.int32),
        "pooled": whole(w["pooled.weight"].T, SHIFT),
    }
    names = {
        "first": "first",
        "second": "second",
        "out": "out",
        **{f"layer{at}": f"layers.{at}" for at in range(len(REACH))},
    }
    for name, own in names.items():
        arrays[name] = whole(w[f"{own}.weight"].T, SHIFT)
        arrays[f"{name}_bias"] = whole(w[f"{own}.bias"], UNIT * SHIFT, np.int32)
    return arrays


def write_config(
    folder: Path, thresholds: dict[str, float], bias: float, program_bias: float, temperature: float
) -> None:
    """Writes `config.json` and SHA256SUMS; guardproxy/inference/names/weights.py says what each key means."""
    config = {
        "format": 1, "kind": "forms", "version": "1", "labels": list(LABELS), "reach": list(REACH),
        "thresholds": thresholds, "bias": bias, "program_bias": program_bias, "temperature": temperature,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")
    write_sums(folder, FILES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=Path("build/names/fast.pt"))
    parser.add_argument("--out", type=Path, default=FOLDER)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    write_arrays(args.out / "weights.npz", arrays_of(torch.load(args.checkpoint, weights_only=True)))
    if not (args.out / "words.json").exists():
        (args.out / "words.json").write_bytes((FOLDER.parent / "names" / "words.json").read_bytes())
    write_config(args.out, dict.fromkeys(LABELS, 0.0), 0.0, 0.0, 1.0)


if __name__ == "__main__":
    main()
