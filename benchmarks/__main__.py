"""All figures that the documentation leads with, in one command: the way of a request, a scan, and how costs grow.

`python -m benchmarks [--out DIR] [--peers DIR] [--quick] [--parts path scan growth]` runs each part in a process of its own, in
turn, and writes their JSON and plots to one folder, with `bench.json`: what ran, how long it took, and on what.

| part | files | what it measures |
|---|---|---|
| `path` | `overhead.json`, `overhead.png` | what guardproxy and other proxies add to a call: milliseconds, requests/s, memory |
| `scan` | `scan.json`, `scan.png` | what a scan of a text costs and finds, beside other guardrail libraries |
| `growth` | `growth.json`, `growth.png` | how work grows with prompts, answers, turns, tools, rules, streams and workers |
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.processes import ROOT, machine

PARTS = {
    "path": ("benchmarks.path.overhead", "--rounds", "3", "--seconds", "1.0"),
    "scan": ("benchmarks.checks.scan",),
    "growth": ("benchmarks.path.growth",),
}
WITH_PEERS = ("path", "scan")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the parts. The exit code is the worst of theirs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--peers", type=Path, default=ROOT / "build" / "peers", help="the folder of `make bench-peers`")
    parser.add_argument("--quick", action="store_true", help="one short round of each, to see that everything works")
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=list(PARTS))
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    report: dict[str, Any] = {"machine": machine(), "quick": options.quick, "parts": {}}
    for part in options.parts:
        command = [sys.executable, "-m", *PARTS[part], "--out", str(options.out.resolve())]
        command += ["--peers", str(options.peers.resolve())] if part in WITH_PEERS else []
        command += ["--quick"] if options.quick else []
        print(f"{part}: {' '.join(command[2:])}", file=sys.stderr, flush=True)
        began_s = time.monotonic()
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        report["parts"][part] = {"exit_code": code, "seconds": round(time.monotonic() - began_s, 1)}
        (options.out / "bench.json").write_text(json.dumps(report, indent=1) + "\n")
    for part, row in report["parts"].items():
        print(f"{part:8} {row['seconds']:6.0f} s{'' if row['exit_code'] == 0 else '  failed'}")
    return max(int(row["exit_code"]) for row in report["parts"].values())


if __name__ == "__main__":
    raise SystemExit(main())
