"""Draws how the time of one exchange grows with the size of what it is sent, for each shape of body, on one core.

`python -m benchmarks.path.cost_growth --out benchmarks/results` writes `cost_growth.json` and `cost_growth.png`. The shapes are
those of the cost tests (`tools/cost.py`), which count work instead: times are noisy. The time is that of the
exchange and its checks together, without sockets. `growth` is the exponent of the curve: 1 is linear, 2 squared.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools import cost

SIZES = (250, 500, 1000, 2000)
LONGEST_S = 20.0  # a shape that takes longer is not doubled again


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--shapes", nargs="*", default=())
    options = parser.parse_args(arguments)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    rows = {}
    for name, shape in cost.SHAPES.items():
        if options.shapes and name not in options.shapes:
            continue
        rows[name] = _measured(shape)
        print(f"{name:40} {rows[name]}", flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {"sizes": SIZES, "seconds": {name: row["seconds"] for name, row in rows.items()}}
    found["growth"] = {name: row["growth"] for name, row in rows.items()}
    (options.out / "cost_growth.json").write_text(json.dumps(found, indent=1) + "\n")
    _draw(found["seconds"], options.out / "cost_growth.png")


def _measured(shape: cost.Shape) -> dict[str, object]:
    shape(SIZES[0] // 10, counted=False)
    seconds: list[float] = []
    for size in SIZES:
        began = time.process_time()
        shape(size, counted=False)
        seconds.append(round(time.process_time() - began, 4))
        if seconds[-1] > LONGEST_S:
            break
    last = len(seconds) - 1
    growth = math.log2(max(seconds[last], 1e-4) / max(seconds[last - 1], 1e-4)) if last else 0.0
    return {"seconds": seconds, "growth": round(growth, 2)}


def _draw(seconds: dict[str, list[float]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(12, 5), layout="constrained", sharey=True)
    for axis, title, answers in zip(axes, ("requests", "answers"), (False, True), strict=True):
        for name, times in seconds.items():
            if name.startswith("answer: ") == answers:
                axis.plot(SIZES[: len(times)], times, color="#1f6feb", alpha=0.35, linewidth=1)
        low = min((times[0] for times in seconds.values()), default=0.01) or 0.001
        axis.plot(SIZES, [low * size / SIZES[0] for size in SIZES], "--", color="#57606a", label="linear")
        axis.plot(SIZES, [low * (size / SIZES[0]) ** 2 for size in SIZES], ":", color="#cf222e", label="squared")
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        axis.set_xticks(SIZES, [str(size) for size in SIZES])
        axis.set_title(f"{title}: seconds of one core, one line a shape", fontsize=10, loc="left")
        axis.set_xlabel("how often the part is repeated")
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    axes[1].legend(frameon=False)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
