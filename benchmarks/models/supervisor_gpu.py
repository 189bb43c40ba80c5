"""The supervisor on a GPU and on a CPU, in one run: rows a second in batches, and how long a caller waits for a batch.

Run `python -m benchmarks.models.supervisor_gpu [--model DIR] [--out FILE]` where there is a GPU and `onnxruntime-gpu`;
elsewhere it says why it measured nothing, and exits with code 0. `--provider cpu` runs the code for a GPU on the CPU with few
rows, which proves the code and measures nothing of a GPU. Out: JSON.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxruntime

from guardproxy.inference import models as supervisor
from guardproxy.inference.folders.folder import GPU_FILE
from guardproxy.inference.running.batching import Network, Row
from guardproxy.inference.running.device import CPU, CUDA, FELL_BACK, load_libraries, obstacle
from guardproxy.inference.running.session import BatchedRows, Session, SingleRows, is_exact

LENGTHS = (32, 64, 128, 256, 512)
BATCHES = (1, 8, 64)
ROUNDS = 20


class FewRows(BatchedRows):
    """As on a GPU, with batches that a CPU runs soon."""

    TOKENS = 64


def measure(
    folder: Path, provider: str = CUDA, lengths: Sequence[int] = LENGTHS, rounds: int = ROUNDS
) -> dict[str, Any]:
    """Returns the figures of the model in `folder`, or why there are none (`left_out`)."""
    model = supervisor.read(folder)
    if reason := obstacle(GPU_FILE in model.files) if provider == CUDA else "":
        return {"left_out": reason}
    if provider == CUDA:
        load_libraries()
    session = Session(folder / GPU_FILE, 1, tuple(dict.fromkeys((provider, CPU))))
    if session.provider != provider:
        return {"left_out": FELL_BACK}
    batched = BatchedRows(session, 0) if provider == CUDA else FewRows(session, 0, "cpu")
    on_cpu = SingleRows(Session(folder / "model.onnx", 1, (CPU,)), 1)
    by_length = {str(length): figures(batched, on_cpu, length, rounds) for length in lengths}
    return {
        "provider": session.provider,
        "runtime": f"onnxruntime {onnxruntime.__version__}",
        "machine": platform.machine(),
        "file": GPU_FILE,
        "lengths": by_length,
    }


def figures(batched: BatchedRows, on_cpu: Network, length: int, rounds: int) -> dict[str, Any]:
    """Returns rows a second and milliseconds of batches of rows with `length` tokens, and the same of the CPU's network."""
    most = batched.TOKENS // length
    full = made(most, length)
    batches = {str(count): wait_ms(batched, full[:count], rounds) for count in BATCHES if count < most}
    batches[str(most)] = wait_ms(batched, full, rounds)
    alone_ms = wait_ms(on_cpu, full[:1], rounds)["median"]
    rows_per_s = most / batches[str(most)]["median"] * 1000
    return {
        "wait_ms_by_rows": batches,
        "rows_per_s": rows_per_s,
        "cpu_wait_ms_of_a_row": alone_ms,
        "cpu_rows_per_s_of_a_core": 1000 / alone_ms,
        "times": rows_per_s * alone_ms / 1000,
        "neighbours_change_nothing": is_exact(batched, full[:5]),
    }


def made(count: int, length: int) -> list[Row]:
    """Returns different rows of a length."""
    return [(101, *(1000 + (at * 31 + n) % 20_000 for n in range(length - 2)), 102) for at in range(count)]


def wait_ms(network: Network, rows: Sequence[Row], rounds: int) -> dict[str, float]:
    """Returns the median and the 99th percentile of the milliseconds of a run, after one to warm up."""
    network.run(rows)
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        network.run(rows)
        times.append((time.perf_counter() - begun) * 1000)
    return {"median": statistics.median(times), "p99": sorted(times)[min(rounds - 1, rounds * 99 // 100)]}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a model folder; default: the shipped one")
    parser.add_argument("--provider", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--out", type=Path, help="a file for the JSON")
    args = parser.parse_args(arguments)
    folder = args.model or supervisor.find()
    found = measure(folder, CPU, LENGTHS[:1], rounds=2) if args.provider == "cpu" else measure(folder)
    text = json.dumps(found, indent=1)
    if args.out:
        args.out.write_text(text + "\n", "utf-8")
    print(f"nothing was measured: {found['left_out']}" if "left_out" in found else text)


if __name__ == "__main__":
    main()
