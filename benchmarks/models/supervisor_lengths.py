"""What the supervisor costs by the length of a text, against another model folder or another version of the code.

Run `python -m benchmarks.models.supervisor_lengths --out DIR [--model DIR] [--baseline DIR] [--baseline-code DIR] [--turns N]`:
prints a table, writes `supervisor_lengths.json` to DIR. Each side is a process of its own with one thread; they take turns
with the same texts. Times are the processor's, tokenizing and the check included, nothing remembered; ratios are medians
of the ratios of the turns, so that other load meets both sides alike. Beside them stand the processor's seconds to the
first answer and the most memory. `--baseline-code`: the root of another checkout, which runs the baseline.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from guardproxy.inference.models import find

WORDS = (50, 200, 1000, 20_000)
FEWER_TURNS = {1000: 3, 20_000: 10}
"""By how much the turns of long texts are divided."""
SEED = 5
TEXT = """Every spring the river rose above the lower fields, and the farmers moved their sheep to the hill until the water
fell again. Nobody in the village found this strange. The school kept a boat, the baker delivered by cart from the north
side, and the post arrived two days late with muddy corners. A visitor once asked why they had never built a wall; the
mayor answered that the river had been there first, and that the best wheat grew where it had slept."""
SIDE = """
import json, sys, time
from pathlib import Path
from guardproxy.checks import Resources, build_supervisor
from guardproxy.findings import Channel, Window
from guardproxy.inference import Settings, load

def memory(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith(name))

scorer = load(Path(sys.argv[1]), settings=Settings(threads=1, workers=1, remembered=0))
options = {"label": scorer.outputs[0], "first_stage": False, "threshold": 0.5}
check = build_supervisor("attack", options, Resources(lambda name: scorer))
channel = Channel("request", "user", "messages[0].content")
for line in sys.stdin:
    began = time.process_time()
    check.scan([Window(channel, json.loads(line))])
    ended = time.process_time()
    print(json.dumps({"cpu_ms": 1000 * (ended - began), "since_start_s": ended, "mib": memory("VmHWM")}), flush=True)
"""


class Side:
    """A process that judges texts. `start_s`: processor seconds until its first answer; `mib`: the most memory so far."""

    def __init__(self, folder: Path, code: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(code.resolve()), "TOKENIZERS_PARALLELISM": "false"}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", SIDE, str(folder.resolve())],  # -P: the code of PYTHONPATH, not of this folder
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.mib = 0
        self.start_s = self._ask("hello")["since_start_s"]

    def cpu_ms(self, text: str) -> float:
        return float(self._ask(text)["cpu_ms"])

    def _ask(self, text: str) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(text) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        self.mib = answer["mib"]
        return answer

    def close(self) -> None:
        self._process.communicate()


def text_of(words: int, rng: random.Random) -> str:
    """A text of so many words, no two alike."""
    known = TEXT.split()
    return " ".join(rng.choice(known) for _ in range(words))


def measure(sides: dict[str, Side], turns: int) -> dict[str, dict[str, dict[str, float]]]:
    """For each number of words and each side the median of its times, and of its ratios to the last side."""
    rng = random.Random(SEED)
    found: dict[str, dict[str, dict[str, float]]] = {}
    for words in WORDS:
        times: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(max(1, turns // FEWER_TURNS.get(words, 1))):
            text = text_of(words, rng)
            for name, side in sides.items():
                times[name].append(side.cpu_ms(text))
        last = times[list(sides)[-1]]
        found[str(words)] = {
            name: {
                "cpu_ms": statistics.median(own),
                "ratio": statistics.median(mine / other for mine, other in zip(own, last, strict=True)),
            }
            for name, own in times.items()
        }
        print(
            f"{words:6} words", {name: f"{one['cpu_ms']:.1f} ms" for name, one in found[str(words)].items()}, flush=True
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for supervisor_lengths.json")
    parser.add_argument("--model", type=Path, help="a model folder; default: the shipped one")
    parser.add_argument("--baseline", type=Path, help="a model folder to compare with; default: the same")
    parser.add_argument("--baseline-code", type=Path, help="the root of the checkout that runs the baseline")
    parser.add_argument("--turns", type=int, default=20, help="texts of each length; fewer of the long ones")
    args = parser.parse_args()
    here, folder = Path(__file__).parents[2], args.model or find()
    sides = {"guardproxy": Side(folder, here)}
    if args.baseline or args.baseline_code:
        sides["baseline"] = Side(args.baseline or folder, args.baseline_code or here)
    words = measure(sides, args.turns)
    about = {name: {"start_cpu_s": side.start_s, "most_mib": side.mib} for name, side in sides.items()}
    for side in sides.values():
        side.close()
    args.out.mkdir(parents=True, exist_ok=True)
    report = {"load_average": os.getloadavg()[0], "sides": about, "words": words}
    (args.out / "supervisor_lengths.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report["sides"]))


if __name__ == "__main__":
    main()
