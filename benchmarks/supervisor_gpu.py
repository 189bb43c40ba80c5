"""The supervisor on a GPU: throughput in batches against one row at a time, and whether neighbours change a score.

Run `python -m benchmarks.supervisor_gpu [--model DIR]` where there is a GPU and `onnxruntime-gpu`; elsewhere it says that
there is none. The model folder needs `model.fp16.onnx`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxruntime

from guardproxy.inference import models as supervisor
from guardproxy.inference.batching import Row
from guardproxy.inference.session import CUDA, BatchedRows, Session, SingleRows, is_exact

LENGTHS = (32, 64, 128, 256)


def measure(folder: Path, rows: int = 4096) -> dict[str, Any]:
    """Rows a second at each length, or why there are none."""
    model = supervisor.read(folder)
    if CUDA not in onnxruntime.get_available_providers():
        return {"left_out": "onnxruntime has no CUDA here"}
    if "model.fp16.onnx" not in model.files:
        return {"left_out": "the model has no model.fp16.onnx"}
    session = Session(folder / "model.fp16.onnx", 1)
    if session.provider != CUDA:
        return {"left_out": "no GPU: the session fell back to the CPU"}
    batched, alone = BatchedRows(session, 0), SingleRows(session, 1)
    found: dict[str, Any] = {}
    for length in LENGTHS:
        made: list[Row] = [
            (101, *(1000 + (at * 31 + n) % 20_000 for n in range(length - 2)), 102) for at in range(rows)
        ]
        found[str(length)] = {
            "rows_per_s_batched": speed(batched, made),
            "rows_per_s_alone": speed(alone, made[: rows // 16]),
            "neighbours_change_nothing": is_exact(batched, made[:5]),
        }
        ratio = found[str(length)]["rows_per_s_batched"] / found[str(length)]["rows_per_s_alone"]
        found[str(length)]["times"] = ratio
    return found


def speed(network: BatchedRows | SingleRows, rows: Sequence[Row]) -> float:
    """Rows a second, the best of three rounds after one to warm up."""
    best = 0.0
    for _ in range(4):
        begun = time.perf_counter()
        network.run(rows)
        best = max(best, len(rows) / (time.perf_counter() - begun))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a model folder; default: the shipped one")
    args = parser.parse_args()
    print(json.dumps(measure(args.model or supervisor.find()), indent=1))


if __name__ == "__main__":
    main()
