"""What a scan of a text costs, and what it finds, beside other guardrail libraries on the same texts.

`python -m benchmarks.checks.scan --out DIR [--peers DIR] [--quick]` writes `scan.json` and `scan.png`. The libraries are
those of `peers/scan_peers.py`, each in an environment that `make bench-peers` made in the folder `--peers`; a library that is
not installed or does not start is listed with the reason. All look for the same kinds of personal data and the same words,
none looks for names, and none asks a model. Time: processor time of a call, for ordinary texts of 50, 200 and 1,000 words of
which no two are alike; medians, the candidates in turn. Found: the share of labelled texts (`scan_texts.py`) that a library
objects to, for each kind, and the share of harmless texts. `guardproxy, whole request` is the exchange of a request whose
policy has the three checks: parsing and decision included.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random
from threading import Timer
from typing import Any

from benchmarks.checks.pii_texts import chat
from benchmarks.checks.scan_texts import TASKS, WORDS, found, harmless
from benchmarks.processes import ROOT, START_TIMEOUT_S, machine, reason
from guardproxy.checks._shared.declared.contract import Resources, build
from guardproxy.exchange.inputs.transcript import RequestReceived, Scanned
from guardproxy.findings import Channel, Window
from tests.kit.play import CHAT, Play, policy_set

SIZES = {50: 40, 200: 20, 1000: 10}  # words of a text, and texts of that size
LABELLED = 20  # texts of each kind
HARMLESS = 160
PEERS = ("presidio", "llm-guard", "nemo", "openai-guardrails")
OURS, REQUEST, ALL = "guardproxy", "guardproxy, whole request", "all three"
ENTITIES = ["EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "US_SSN", "IBAN_CODE", "IP_ADDRESS"]
CHANNEL = Channel("request", "user", "messages[0].content")
POLICY = f"""
policy: three
checks:
  pii: {{use: pii, entities: {json.dumps(ENTITIES)}}}
  secrets: {{use: secrets}}
  words: {{use: pattern, words: {json.dumps(WORDS)}}}
rules: [{{id: all, on: request, when: pii or secrets or words, action: block}}]
"""
Scan = Callable[[str], bool]
Answer = tuple[bool, float]  # whether it objects, microseconds
Candidate = Callable[[str, Sequence[str]], list[Answer]]


def guardproxy() -> dict[str, dict[str, Scan]]:
    """Our scans, by name and task."""
    checks = {
        "personal data": build("pii", "pii", {"entities": ENTITIES}, Resources()),
        "secrets": build("secrets", "secrets", {}, Resources()),
        "banned words": build("pattern", "pattern", {"words": list(WORDS)}, Resources()),
    }

    def scan(names: Sequence[str]) -> Scan:
        # Each of them is asked, as in a request.
        return lambda text: bool(
            [one for name in names for one in checks[name].scan([Window(CHANNEL, text)])[0].findings]
        )

    policies = policy_set(POLICY)

    def request(text: str) -> bool:
        play = Play(policies, CHAT)
        play.tell(RequestReceived(json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode()))
        while play.pending:
            jobs, play.pending = play.pending.jobs, None
            play.tell(Scanned(tuple(job.check.scan([job.window])[0] for job in jobs)))
        return play.exchange.is_over

    ours = {name: scan([name]) for name in checks} | {ALL: scan(list(checks))}
    return {OURS: ours, REQUEST: {ALL: request}}


def timed(scans: Mapping[str, Scan]) -> Candidate:
    """A candidate in this process."""

    def run(task: str, texts: Sequence[str]) -> list[Answer]:
        answers: list[Answer] = []
        for text in texts:
            begun = time.process_time_ns()
            objects = scans[task](text)
            answers.append((objects, (time.process_time_ns() - begun) / 1000))
        return answers

    return run


class Peer:
    """A library in a process of its own. `about`: what it said of itself, or the reason why it cannot be used."""

    def __init__(self, stack: ExitStack, peers: Path, name: str) -> None:
        python = peers / name / "bin" / "python"
        self.about: dict[str, Any] = {"reason": reason(peers, name)}
        if python.is_file():
            script = str(ROOT / "benchmarks" / "peers" / "scan_peers.py")
            command = [str(python), "-P", script, name, json.dumps(WORDS)]  # -P: our modules hide none of a library
            environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
            self._process = stack.enter_context(
                subprocess.Popen(
                    command,
                    env=environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                )
            )
            limit = Timer(START_TIMEOUT_S, self._process.kill)
            limit.start()
            self.about = self._answer() or {"reason": "it ended, or was not ready in time"}
            limit.cancel()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline() or "null")

    def scan(self, task: str, texts: Sequence[str]) -> list[Answer]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"task": task, "texts": texts}) + "\n")
        self._process.stdin.flush()
        return [(bool(objects), float(us)) for objects, us in self._answer()]


def cost(candidates: Mapping[str, tuple[Sequence[str], Candidate]], sizes: Mapping[int, int]) -> dict[str, Any]:
    """Median microseconds: task -> words -> candidate -> value."""
    random, table = Random(11), dict[str, Any]()
    for task in TASKS:
        able = {name: run for name, (tasks, run) in candidates.items() if task in tasks}
        table[task] = {}
        for size, count in sizes.items():
            took: dict[str, list[float]] = {name: [] for name in able}
            for at in range(count + 2):
                text = chat(random, size)
                for name, run in able.items():
                    ((_, us),) = run(task, [text])
                    if at >= 2:  # the first two warm up
                        took[name].append(us)
            table[task][size] = {name: round(statistics.median(values), 1) for name, values in took.items()}
    return table


def quality(candidates: Mapping[str, tuple[Sequence[str], Candidate]], labelled: int, clean: int) -> dict[str, Any]:
    """The shares that are objected to: task -> kind of text -> candidate -> value. Kind `harmless`: false alarms."""
    random, table = Random(12), dict[str, Any]()
    for task, kinds in TASKS.items():
        texts = {kind: [found(random, kind) for _ in range(labelled)] for kind in kinds}
        texts["harmless"] = [harmless(random, at) for at in range(clean)]
        able = {name: run for name, (tasks, run) in candidates.items() if task in tasks}
        table[task] = {
            kind: {
                name: round(statistics.mean(objects for objects, _ in run(task, listed)), 3)
                for name, run in able.items()
            }
            for kind, listed in texts.items()
        }
    return table


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Writes a PNG: what a text of 200 words costs above, what is found below."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, len(TASKS), figsize=(15, 6), layout="constrained")
    for column, task in enumerate(TASKS):
        sizes = report["median_us"][task]
        costs = sizes.get(200) or next(iter(sizes.values()))
        names = list(costs)[::-1]
        colors = ["#1f6feb" if name.startswith(OURS) else "#9aa4b2" for name in names]
        bars = axes[0][column].barh(names, [costs[name] for name in names], color=colors, height=0.6)
        axes[0][column].bar_label(bars, [f"{costs[name]:,.0f} us" for name in names], padding=4, fontsize=8)
        axes[0][column].set_xscale("log")
        axes[0][column].set_title(f"{task}: 200 words, logarithmic", fontsize=10, loc="left")
        kinds = report["objected"][task]
        shares = {
            name: statistics.mean(row[name] for kind, row in kinds.items() if kind != "harmless") for name in names
        }
        bars = axes[1][column].barh(names, [shares[name] for name in names], color=colors, height=0.6)
        labels = [f"{shares[name]:.0%} ({kinds['harmless'][name]:.1%})" for name in names]
        axes[1][column].bar_label(bars, labels, padding=4, fontsize=8)
        axes[1][column].set_xticks([])
        axes[1][column].set_title(f"{task}: found (false alarms)", fontsize=10, loc="left")
        for row in (0, 1):
            axes[row][column].margins(x=0.4)
            axes[row][column].tick_params(axis="both", length=0, labelsize=8)
            axes[row][column].spines[["top", "right", "left"]].set_visible(False)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--peers", type=Path, default=ROOT / "build" / "peers", help="the folder of `make bench-peers`")
    parser.add_argument("--quick", action="store_true", help="few texts, to see that everything works")
    options = parser.parse_args(arguments)
    sizes, labelled, clean = ({50: 1}, 1, 8) if options.quick else (SIZES, LABELLED, HARMLESS)
    candidates = {name: (list(scans), timed(scans)) for name, scans in guardproxy().items()}
    before = machine()
    with ExitStack() as stack:
        peers = {name: Peer(stack, options.peers, name) for name in PEERS}
        usable = {name: peer for name, peer in peers.items() if "reason" not in peer.about}
        candidates |= {name: (peer.about["tasks"], peer.scan) for name, peer in usable.items()}
        report = {
            "machine": before,
            "left_out": {name: peer.about["reason"] for name, peer in peers.items() if name not in usable},
            "peers": {name: peer.about for name, peer in usable.items()},
            "texts": {"words": list(sizes), "labelled_of_each_kind": labelled, "harmless": clean},
            "median_us": cost(candidates, sizes),
            "objected": quality(candidates, labelled, clean),
        }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "scan.json").write_text(json.dumps(report, indent=1) + "\n")
    draw(report, options.out / "scan.png")
    for name, why in report["left_out"].items():
        print(f"left out: {name}: {why}", file=sys.stderr)
    for task, rows in report["median_us"].items():
        for name in next(iter(rows.values())):
            us = "  ".join(f"{size} words {values[name]:9,.0f} us" for size, values in rows.items())
            kinds = report["objected"][task]
            shares = "  ".join(f"{kind} {values[name]:.0%}" for kind, values in kinds.items())
            print(f"{task:14} {name:26} {us}\n{'':15}{shares}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
