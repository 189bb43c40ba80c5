"""What the patterns of the `pii` check cost, against Presidio and against packages that do the same job.

Run `python -m benchmarks.checks.pii --out DIR [--texts N] [--peers PYTHON]`: prints a table, writes `pii.json` and `pii.png` to
DIR. The candidates take turns, a round of 20 texts each, of which no two are alike; medians of the processor time of one
thread. guardproxy and Presidio have the same recognizers: all that Presidio loads for English by default, URL and DATE_TIME
among them, but for the one that needs a model; Presidio runs over a spaCy pipeline without a model. `--peers`: an
interpreter that has the other packages (`pip install presidio-rs scrubadub datafog`); those that are not there are left
out. They look for fewer or other things, so beside the time stands which share of Presidio's findings they cover.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.checks.pii_texts import chat, dense
from guardproxy.checks._shared.declared.contract import Resources, build
from guardproxy.checks._shared.pii.recognizers import configured_recognizers, versions
from guardproxy.checks._shared.pii.whole import nlp_engine
from guardproxy.findings import Channel, Window

CHANNEL = Channel("response", "assistant", "choices[0].message.content")
THRESHOLD = 0.4
ROUND = 20  # texts
OURS, STREAM, PRESIDIO = "guardproxy", "guardproxy, a stream of tokens", "Presidio"
KINDS: dict[str, Callable[[Random], str]] = {
    "chat, 50 words": lambda random: chat(random, 50),
    "identifiers, 50 words": lambda random: dense(random, 50),
    "identifiers, 190 words": lambda random: dense(random, 190),
}
Spans = list[tuple[int, int]]
Candidate = Callable[[str], tuple[float, Spans]]  # microseconds, what was found


def timed(find: Callable[[str], Spans]) -> Candidate:
    def run(text: str) -> tuple[float, Spans]:
        begun = time.thread_time_ns()
        spans = find(text)
        return (time.thread_time_ns() - begun) / 1000, spans

    return run


def guardproxy() -> dict[str, Candidate]:
    entities = sorted({entity for one in configured_recognizers("en") for entity in one.supported_entities})
    check = build("pii", "pii", {"entities": entities, "threshold": THRESHOLD}, Resources())

    def whole(text: str) -> Spans:
        (scan,) = check.scan([Window(CHANNEL, text)])
        return [(one.start, one.end) for one in scan.findings]

    def stream(text: str) -> Spans:
        found: Spans = []
        settled = keep = 0
        for end in [*range(4, len(text), 4), len(text)]:
            (scan,) = check.scan([Window(CHANNEL, text[keep:end], keep, settled, end == len(text))])
            found += [(one.start, one.end) for one in scan.findings]
            settled, keep = scan.settled, scan.keep
        return found

    return {OURS: timed(whole), STREAM: timed(stream)}


def presidio() -> Candidate:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from presidio_analyzer import AnalyzerEngine, RecognizerRegistry

        registry = RecognizerRegistry(recognizers=list(configured_recognizers("en")))
        engine = AnalyzerEngine(registry=registry, nlp_engine=nlp_engine("en"), supported_languages=["en"])
    return timed(lambda text: [(one.start, one.end) for one in engine.analyze(text, "en", score_threshold=THRESHOLD)])


class Peers:
    """Other packages, in a process of their own."""

    def __init__(self, python: str) -> None:
        script = str(Path(__file__).parents[1] / "peers" / "pii_peers.py")
        self._process = subprocess.Popen(
            [python, "-W", "ignore", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.names: list[str] = self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def candidate(self, name: str) -> Candidate:
        def run(text: str) -> tuple[float, Spans]:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps({"peer": name, "text": text}) + "\n")
            self._process.stdin.flush()
            answer = self._answer()
            return answer["us"], [tuple(span) for span in answer["spans"]]

        return run


def measure(candidates: dict[str, Candidate], texts: int) -> dict[str, dict[str, dict[str, float]]]:
    """kind of text -> candidate -> `median_us`, `times_as_fast` as Presidio, `found`: share of Presidio's findings."""
    results: dict[str, dict[str, dict[str, float]]] = {}
    for kind, make in KINDS.items():
        random = Random(kind)
        took: dict[str, list[float]] = {name: [] for name in candidates}
        found: dict[str, list[Spans]] = {name: [] for name in candidates}
        for turn in range(2 * texts // ROUND):  # the first half warms all up
            chosen = [make(random) for _ in range(ROUND)]
            for name, run in candidates.items():
                for text in chosen:
                    us, spans = run(text)
                    if turn >= texts // ROUND:
                        took[name].append(us)
                        found[name].append(spans)
        base = statistics.median(took[PRESIDIO])
        results[kind] = {
            name: {
                "median_us": round(statistics.median(took[name]), 1),
                "times_as_fast": round(base / statistics.median(took[name]), 2),
                "found": round(covered(found[PRESIDIO], found[name]), 3),
            }
            for name in candidates
        }
    return results


def covered(theirs: list[Spans], ours: list[Spans]) -> float:
    """The share of characters in Presidio's findings that are in ours."""
    count = total = 0
    for one, other in zip(theirs, ours, strict=True):
        places = {at for start, end in one for at in range(start, end)}
        total += len(places)
        count += len(places & {at for start, end in other for at in range(start, end)})
    return count / total if total else 1.0


def draw(results: dict[str, dict[str, dict[str, float]]], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(results), figsize=(13, 3.6), layout="constrained")
    for axis, (kind, rows) in zip(axes.flat, results.items(), strict=True):
        names = list(rows)[::-1]
        values = [rows[name]["median_us"] for name in names]
        colors = ["#1f6feb" if name.startswith(OURS) else "#9aa4b2" for name in names]
        bars = axis.barh(names, values, color=colors, height=0.6)
        labels = [f"{rows[name]['median_us']:,.0f} us ({rows[name]['times_as_fast']:.1f}x)" for name in names]
        axis.bar_label(bars, labels, padding=4, fontsize=8)
        axis.set_xscale("log")
        axis.set_title(kind, fontsize=10, loc="left")
        axis.margins(x=0.35)
        axis.tick_params(axis="y", length=0, labelsize=8, labelleft=axis is axes.flat[0])
        axis.tick_params(axis="x", labelsize=7)
        for side in ("top", "right", "left"):
            axis.spines[side].set_visible(False)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--texts", type=int, default=200)
    parser.add_argument("--peers", help="an interpreter that has the other packages")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    candidates = {**guardproxy(), PRESIDIO: presidio()}
    if asked.peers:
        peers = Peers(asked.peers)
        candidates |= {name: peers.candidate(name) for name in peers.names}
    else:
        print("no other packages: --peers names no interpreter that has them", file=sys.stderr)
    results = measure(candidates, asked.texts)
    about = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "versions": versions(),
        "texts": asked.texts,
    }
    (asked.out / "pii.json").write_text(json.dumps({"about": about, "results": results}, indent=2) + "\n")
    draw(results, asked.out / "pii.png")
    for kind, rows in results.items():
        for name, row in rows.items():
            print(f"{kind:24} {name:32} {row['median_us']:10,.0f} us {row['times_as_fast']:8.2f}x {row['found']:7.1%}")


if __name__ == "__main__":
    main()
