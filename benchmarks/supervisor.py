"""How long the supervisor takes for one text, against a plain deployment of the same network.

In: the shipped model. Out: `supervisor.json` and `supervisor.png` in the folder `--out`. Three ways are timed in turns
in one process on one core: the check as the proxy runs it; the same int8 network with every text padded to 512 tokens,
cut at 512; and the same with the fp32 network, where its file is given with `--fp32`. The times include tokenizing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from guardproxy import supervisor
from guardproxy.checks import Resources
from guardproxy.checks.supervisor import build
from guardproxy.findings import Channel, Window

mpl.use("Agg")
from matplotlib import pyplot as plt

WORDS = (20, 50, 200, 800)
PROSE = """Every spring the river rose above the lower fields, and the farmers moved their sheep to the hill until the
water fell again. Nobody in the village found this strange. The school kept a boat, the baker delivered by cart from
the north side, and the post arrived two days late with muddy corners. A visitor once asked why they had never built a
wall; the mayor answered that the river had been there first, and that the best wheat grew where it had slept. """


def text_of(words: int, turn: int) -> str:
    """A text of so many words, different at each turn, so that nothing can be remembered."""
    split = (PROSE * (words // 80 + 2)).split()
    return " ".join([f"Note {turn}:", *split[turn % 7 : turn % 7 + words - 2]])


def checked() -> Callable[[str], Any]:
    scorer = supervisor.load(supervisor.find(), threads=1)
    check = build("attack", {}, Resources(lambda name: scorer))
    channel = Channel("request", "user", "messages[0].content")
    return lambda text: check.scan([Window(channel, text)])


def padded(path: Path) -> Callable[[str], Any]:
    tokenizer: Any = Tokenizer.from_file(str(supervisor.find() / "tokenizer.json"))
    tokenizer.enable_truncation(512)
    tokenizer.enable_padding(length=512)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(text: str) -> Any:
        encoded = tokenizer.encode(text)
        ids = np.array([encoded.ids], dtype=np.int64)
        mask = np.array([encoded.attention_mask], dtype=np.int64)
        return session.run(["logits"], {"input_ids": ids, "attention_mask": mask})

    return run


def measure(ways: dict[str, Callable[[str], Any]], turns: int) -> dict[str, dict[int, dict[str, float]]]:
    """Milliseconds of each way for each length, the ways taking turns so that other load meets all alike."""
    times: dict[str, dict[int, list[float]]] = {name: {words: [] for words in WORDS} for name in ways}
    for words in WORDS:
        for turn in range(-3, turns):
            text = text_of(words, turn + 3)
            for name, way in ways.items():
                begun = time.perf_counter()
                way(text)
                if turn >= 0:
                    times[name][words].append(1000 * (time.perf_counter() - begun))
    return {
        name: {
            words: {
                "p50_ms": float(np.percentile(all_, 50)),
                "p99_ms": float(np.percentile(all_, 99)),
                "runs": len(all_),
            }
            for words, all_ in lengths.items()
        }
        for name, lengths in times.items()
    }


def draw(found: dict[str, dict[int, dict[str, float]]], path: Path) -> None:
    figure, axes = plt.subplots(figsize=(7, 4), dpi=150)
    width = 0.8 / len(found)
    for at, (name, lengths) in enumerate(found.items()):
        places = np.arange(len(WORDS)) + (at - (len(found) - 1) / 2) * width
        middle = [lengths[words]["p50_ms"] for words in WORDS]
        above = [lengths[words]["p99_ms"] - lengths[words]["p50_ms"] for words in WORDS]
        bars = axes.bar(places, middle, width, yerr=[np.zeros(len(WORDS)), above], capsize=3, label=name)
        axes.bar_label(bars, [f"{value:.1f}" for value in middle], fontsize=7, padding=2)
    axes.set_xticks(range(len(WORDS)), [f"{words} words" for words in WORDS])
    axes.set_yscale("log")
    axes.set_ylabel("ms for one text (bar p50, line p99)")
    axes.set_title("Supervisor, one CPU core, tokenizing included", fontsize=10)
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for supervisor.json and supervisor.png")
    parser.add_argument("--turns", type=int, default=100, help="timed runs of each way and length")
    parser.add_argument("--fp32", type=Path, help="the fp32 network that export.py leaves beside the checkpoint")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    ways = {"guardproxy": checked(), "int8, padded to 512": padded(supervisor.find() / "model.onnx")}
    if args.fp32:
        ways["fp32, padded to 512"] = padded(args.fp32)
    found = measure(ways, args.turns)
    about = {
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "onnxruntime": onnxruntime.__version__,
        "note": "a text of 800 words is longer than 512 tokens: the padded ways do not read the rest of it",
    }
    (args.out / "supervisor.json").write_text(json.dumps({"about": about, "times": found}, indent=1) + "\n")
    draw(found, args.out / "supervisor.png")
    for name, lengths in found.items():
        for words, one in lengths.items():
            print(f"{name:22} {words:4} words  p50 {one['p50_ms']:7.1f} ms  p99 {one['p99_ms']:7.1f} ms")


if __name__ == "__main__":
    main()
