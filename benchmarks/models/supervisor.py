"""What the supervisor costs: one text, many at once, and the traffic of chats; against the same encoder run otherwise.

Run `python -m benchmarks.models.supervisor --out DIR [--model DIR] [--data DIR] [--torch PYTHON] [--peers PYTHON] [--turns N]`:
prints tables, writes `supervisor.json` and `supervisor.png` to DIR. Candidates take turns, so that other load meets all
alike; times are for one core, tokenizing included; beside the wall clock stands the processor's own time. `--torch`: an
interpreter with torch and transformers, for fp32, torch and the transformers pipeline; `--peers`: one with other
classifiers (`pip install jailguard metatronnanoguard ...`). What is not given is left out, and said. The part for a GPU
runs where there is one and says so where there is none.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from benchmarks.models import supervisor_cascade, supervisor_gpu, supervisor_traffic
from guardproxy.checks._shared.declared.contract import Query, Resources
from guardproxy.checks.supervisor import build
from guardproxy.findings import Channel, Window
from guardproxy.inference import models as supervisor
from guardproxy.inference.models import Settings
from guardproxy.inference.running.batching import Row
from guardproxy.inference.scoring.scorer import ModelScorer

mpl.use("Agg")
from matplotlib import pyplot as plt

TOKENS = (16, 32, 64, 128, 256, 512)
CONCURRENT = (1, 8, 64)
SLOW_MS = 200
"""Candidates that take longer are timed on every tenth text alone."""
OURS = "guardproxy"
CHANNEL = Channel("request", "user", "messages[0].content")
PROSE = """Every spring the river rose above the lower fields, and the farmers moved their sheep to the hill until the
water fell again. Nobody in the village found this strange. The school kept a boat, the baker delivered by cart from
the north side, and the post arrived two days late with muddy corners. A visitor once asked why they had never built a
wall; the mayor answered that the river had been there first, and that the best wheat grew where it had slept. """
Timed = Callable[[str, Sequence[int]], tuple[float, float]]
"""The wall clock's and the processor's milliseconds for a text, of which the token numbers are given too."""


def here(run: Callable[[str, Sequence[int]], Any]) -> Timed:
    def timed(text: str, ids: Sequence[int]) -> tuple[float, float]:
        begun, busy = time.perf_counter(), time.process_time()
        run(text, ids)
        return 1000 * (time.perf_counter() - begun), 1000 * (time.process_time() - busy)

    return timed


def elsewhere(process: subprocess.Popen[str], name: str) -> Timed:
    """A candidate in another interpreter, which times itself."""

    def timed(text: str, ids: Sequence[int]) -> tuple[float, float]:
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps({"peer": name, "text": text, "ids": list(ids)}) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise SystemExit(f"{name} ended by itself (exit code {process.wait()})")
        answer = json.loads(line)
        return answer["ms"], answer["cpu_ms"]

    return timed


def started(python: str, module: str, *arguments: str, **environment: str) -> tuple[subprocess.Popen[str], list[str]]:
    """A process of candidates, and their names."""
    process = subprocess.Popen(
        [python, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", **environment},
    )
    assert process.stdout
    line = process.stdout.readline()
    return process, json.loads(line) if line else []


class Texts:
    """Texts of so many tokens, no two alike."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._words = (PROSE * 30).split()
        self._turn = 0

    def make(self, tokens: int) -> tuple[str, list[int]]:
        """A text of `tokens` tokens or one less, special ones included, and their numbers."""
        self._turn += 1
        words = [f"Note {self._turn}:", *self._words[self._turn % 40 :]]
        low, high = 1, len(words)
        while low < high:
            middle = (low + high + 1) // 2
            if len(self._tokenizer.encode(" ".join(words[:middle])).ids) <= tokens:
                low = middle
            else:
                high = middle - 1
        text = " ".join(words[:low])
        return text, self._tokenizer.encode(text).ids


def plain(path: Path, length: int = 0) -> Callable[[str, Sequence[int]], Any]:
    """A network as it is often deployed: `length`: every text filled up to so many tokens, and cut there."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(text: str, ids: Sequence[int]) -> Any:
        row = np.zeros((1, length or len(ids)), np.int64)
        row[0, : len(ids)] = ids[: row.shape[1]]
        mask = (row > 0).astype(np.int64)
        return session.run(["logits"], {"input_ids": row, "attention_mask": mask})

    return run


def checked(scorer: ModelScorer) -> Callable[[str, Sequence[int]], Any]:
    """The check as the proxy runs it, on a text that was never seen."""
    check = build("attack", {"first_stage": False}, Resources(lambda name: scorer))
    return lambda text, ids: check.scan([Window(CHANNEL, text)])


def latency(ways: dict[str, Timed], texts: Texts, turns: int) -> dict[str, dict[int, dict[str, float]]]:
    """For each way and number of tokens the milliseconds of one text by itself."""
    found: dict[str, dict[int, dict[str, float]]] = {name: {} for name in ways}
    for tokens in TOKENS:
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for turn in range(-3, turns):
            text, ids = texts.make(tokens)
            for name, way in ways.items():
                if len(times[name]) > 3 and turn % 10 and np.median(times[name]) > SLOW_MS:
                    continue
                one = way(text, ids)
                if turn >= 0:
                    times[name].append(one)
        for name, all_ in times.items():
            wall, cpu = np.array(all_).T
            found[name][tokens] = {
                "p50_ms": float(np.percentile(wall, 50)),
                "p99_ms": float(np.percentile(wall, 99)),
                "cpu_p50_ms": float(np.percentile(cpu, 50)),
            }
    return found


class Together:
    """A network whose rows of one batch go through it together, padded: what a CPU is spared. Only here, to be timed."""

    provider = "together"
    budget = 2048
    workers = 1

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(self, rows: Sequence[Row]) -> list[list[float]]:
        found: dict[int, list[float]] = {}
        order = sorted(range(len(rows)), key=lambda at: len(rows[at]))
        for at in range(0, len(order), 8):
            numbers = order[at : at + 8]
            ids = np.zeros((len(numbers), len(rows[numbers[-1]])), np.int64)
            for place, number in enumerate(numbers):
                ids[place, : len(rows[number])] = rows[number]
            logits = self._session.run(["logits"], {"input_ids": ids, "attention_mask": (ids > 0).astype(np.int64)})[0]
            found |= dict(zip(numbers, logits.tolist(), strict=True))
        return [found[number] for number in range(len(rows))]

    def close(self) -> None:
        pass


def throughput(folder: Path, texts: Texts, count: int, rounds: int) -> dict[str, dict[int, dict[str, float]]]:
    """Texts a second and how long each took, with so many requests at once; texts of 16 to 128 tokens."""
    from guardproxy.inference.running.meters import Registry

    model = supervisor.read(folder)
    one = Settings(threads=1, workers=1, queue=1000, remembered=0)
    batched = ModelScorer(
        model, lambda pad, rows: Together(folder / "model.onnx"), Registry().meters("batched"), 1000, 0
    )
    alone = supervisor.load(folder, settings=one)
    several = supervisor.load(folder, settings=Settings(threads=1, queue=1000, remembered=0))
    ways: dict[str, ModelScorer] = {
        "one worker, rows one by one": alone,
        "one worker, padded batches of 8": batched,
        f"{supervisor.cores()} workers, rows one by one": several,
    }
    times: dict[str, dict[int, list[list[float]]]] = {name: {n: [] for n in CONCURRENT} for name in ways}
    for _ in range(rounds):
        for concurrent in CONCURRENT:
            for name, scorer in ways.items():
                asked = [texts.make((16, 32, 64, 128)[at % 4])[0] for at in range(count)]

                def judge(text: str, scorer: ModelScorer = scorer) -> float:
                    begun = time.perf_counter()
                    scorer.judge([Query(text, scorer.outputs, first_stage=False)])
                    return 1000 * (time.perf_counter() - begun)

                with ThreadPoolExecutor(concurrent) as pool:
                    begun = time.perf_counter()
                    took = list(pool.map(judge, asked))
                    seconds = time.perf_counter() - begun
                times[name][concurrent].append(
                    [count / seconds, float(np.percentile(took, 50)), float(np.percentile(took, 99))]
                )
    keys = ("texts_per_s", "p50_ms", "p99_ms")
    return {
        name: {n: dict(zip(keys, np.median(all_, 0).tolist(), strict=True)) for n, all_ in by.items()}
        for name, by in times.items()
    }


def traffic(folder: Path, data: Path | None, count: int) -> dict[str, Any]:
    """The processor's time for the texts of chats, with and without remembered verdicts."""
    requests = list(supervisor_traffic.interleaved(supervisor_traffic.conversations(count, data)))
    ways = {"every text, every time": 0, "remembered verdicts": 50_000}
    scorers = {
        name: supervisor.load(folder, settings=Settings(threads=1, workers=1, remembered=remembered))
        for name, remembered in ways.items()
    }
    cost: dict[str, float] = dict.fromkeys(ways, 0.0)
    for request in requests:
        for name in ways:
            queries = [Query(text, scorers[name].outputs, first_stage=False) for text in request]
            busy = time.process_time()
            scorers[name].judge(queries)
            cost[name] += 1000 * (time.process_time() - busy)
    texts = sum(map(len, requests))
    whole = cost["every text, every time"]
    return {
        "requests": len(requests),
        "texts": texts,
        "words_per_text": sum(len(text.split()) for request in requests for text in request) / texts,
        "source": "data sets" if data else "made up",
        "ways": {
            name: {
                "cpu_ms_per_text": spent / texts,
                "cpu_ms_per_request": spent / len(requests),
                "share": spent / whole,
            }
            for name, spent in cost.items()
        },
    }


def draw(found: dict[str, Any], path: Path) -> None:
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(15, 4.5), dpi=120, layout="constrained")
    for name, lengths in found["latency"].items():
        style = {"linewidth": 2.5, "color": "#1f6feb"} if name == OURS else {"linewidth": 1}
        times = [one["cpu_p50_ms"] for one in lengths.values()]
        left.plot(list(lengths), times, marker="o", markersize=3, label=name, **style)
    left.set(
        xscale="log", yscale="log", xlabel="tokens", ylabel="processor ms for one text, p50", title="One text, one core"
    )
    left.set_xticks(TOKENS, [str(one) for one in TOKENS], minor=False)
    left.set_xticks([], minor=True)
    left.legend(fontsize=6)
    for name, by in found["throughput"].items():
        middle.plot(list(by), [one["texts_per_s"] for one in by.values()], marker="o", markersize=3, label=name)
    middle.set(
        xscale="log", xlabel="requests at once", ylabel="texts per second", title="Many at once, CPU", ylim=(0, None)
    )
    middle.set_xticks(CONCURRENT, [str(one) for one in CONCURRENT], minor=False)
    middle.set_xticks([], minor=True)
    middle.legend(fontsize=6)
    ways = found["traffic"]["ways"]
    bars = right.barh(list(ways)[::-1], [one["cpu_ms_per_text"] for one in ways.values()][::-1], color="#1f6feb")
    right.bar_label(bars, [f"{one['cpu_ms_per_text']:.2f} ms ({one['share']:.0%})" for one in ways.values()][::-1])
    right.set(xlabel="processor ms per text", title="Chats that send their history", xlim=(0, None))
    right.margins(x=0.3)
    figure.savefig(path)
    plt.close(figure)


def table(found: dict[str, Any]) -> None:
    for name, lengths in found["latency"].items():
        cells = "  ".join(
            f"{tokens}: {one['p50_ms']:.1f} / {one['p99_ms']:.1f} ({one['cpu_p50_ms']:.1f})"
            for tokens, one in lengths.items()
        )
        print(f"{name:36} ms p50 / p99 (processor, p50) at tokens  {cells}")
    for name, by in found["throughput"].items():
        cells = "  ".join(f"{n}: {one['texts_per_s']:.0f}/s, p99 {one['p99_ms']:.0f} ms" for n, one in by.items())
        print(f"{name:36} requests at once  {cells}")
    for name, one in found["traffic"]["ways"].items():
        print(
            f"{name:36} {one['cpu_ms_per_text']:.2f} ms a text, {one['cpu_ms_per_request']:.1f} a request, {one['share']:.0%}"
        )
    print(f"first stage: {json.dumps(found['cascade'])}")
    print(f"GPU: {json.dumps(found['gpu'])}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for supervisor.json and supervisor.png")
    parser.add_argument("--model", type=Path, help="a model folder; default: the shipped one")
    parser.add_argument("--data", type=Path, default=os.environ.get("GUARDPROXY_DATA"), help="folder of the data sets")
    parser.add_argument("--torch", help="an interpreter with torch and transformers")
    parser.add_argument("--peers", help="an interpreter with other classifiers")
    parser.add_argument("--turns", type=int, default=100, help="timed texts of each length; the other parts follow it")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    folder = args.model or supervisor.find()
    texts = Texts(folder)
    scorer = supervisor.load(folder, settings=Settings(threads=1, workers=1, remembered=0))
    ways: dict[str, Timed] = {
        OURS: here(checked(scorer)),
        "int8, padded to 512 and cut": here(plain(folder / "model.onnx", 512)),
    }
    processes: list[subprocess.Popen[str]] = []
    with tempfile.TemporaryDirectory() as scratch:
        if args.torch:
            process, names = started(args.torch, "benchmarks.peers.supervisor_torch", "--export", scratch)
            processes.append(process)
            ways |= {name: elsewhere(process, name) for name in names}
            ways["fp32 in onnxruntime"] = here(plain(Path(scratch) / "fp32.onnx"))
        else:
            print("no --torch: fp32, torch and the transformers pipeline are left out")
        if args.peers:
            process, names = started(args.peers, "benchmarks.peers.supervisor_peers", JAILGUARD_MODEL_DIR=scratch)
            processes.append(process)
            ways |= {name: elsewhere(process, name) for name in names}
        else:
            print("no --peers: other classifiers are left out")
        found: dict[str, Any] = {
            "about": {
                "machine": platform.machine(),
                "cpus": os.cpu_count(),
                "load_average": os.getloadavg()[0],
                "onnxruntime": onnxruntime.__version__,
                "model": supervisor.read(folder).version,
                "note": "p50_ms and p99_ms are wall clock, which other load stretches; cpu_p50_ms is the processor's time; "
                "512 tokens are three pieces of 256 for guardproxy, one row for others",
            },
            "latency": latency(ways, texts, args.turns),
        }
        for process in processes:
            process.terminate()
            process.wait()
    found["throughput"] = throughput(folder, texts, 64, max(1, args.turns // 20))
    found["traffic"] = traffic(folder, args.data and Path(args.data), max(6, args.turns // 2))
    found["cascade"] = supervisor_cascade.measure(folder, args.data and Path(args.data), max(40, 4 * args.turns))
    found["gpu"] = supervisor_gpu.measure(folder)
    (args.out / "supervisor.json").write_text(json.dumps(found, indent=1) + "\n")
    draw(found, args.out / "supervisor.png")
    table(found)


if __name__ == "__main__":
    main()
