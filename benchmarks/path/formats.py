"""Measures what each wire format costs, on one core, in one run: a request and an answer, each KB of their text, each chunk of
a stream, and each edited chunk.

`python -m benchmarks.path.formats --out benchmarks/results` writes `formats.json` and `formats.png`. Every registered format is
measured, plug-ins too. `us` is the time of one more unit, the difference between two sizes, so what happens once is not in it;
`once_us` is the time of one unit with all that happens once. `calls` counts calls of functions, which do not depend on the
machine. `ratio` compares with the first format, chat. Times are the least of several rounds: other programs only add.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from guardproxy.wire import Codec, codecs
from tests.kit import codec_cost
from tests.kit.codec_cost import Case, Work

SIZES = {"KB": (16, 80), "chunk": (500, 1500)}
ROUNDS = 9
AIM = 1.5


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    formats: dict[str, Any] = {codec.name: {} for codec in codecs()}
    for name, case in codec_cost.CASES.items():
        rows = _measured(case)
        first = next(iter(rows.values()))
        for codec, row in rows.items():
            row["ratio"] = {key: round(row[key] / first[key], 2) for key in ("us", "once_us", "calls") if first[key]}
            formats[codec][name] = {"unit": case.unit, **row}
            print(f"{name:14} {codec:22} {row}", flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "formats.json").write_text(json.dumps({"aim": AIM, "formats": formats}, indent=1) + "\n")
    _draw(formats, options.out / "formats.png")


def _measured(case: Case) -> dict[str, dict[str, Any]]:
    """The figures of each format that has the part. The formats take turns, so that a slow moment of the machine meets all."""
    small, large = SIZES[case.unit]
    works: dict[str, tuple[Codec, Work, Work, Work]] = {}
    for codec in codecs():
        prepared = [case.prepare(codec, size) for size in (1, small, large)]
        if all(prepared):
            works[codec.name] = (codec, *prepared)  # type: ignore[assignment]
    once: dict[str, list[float]] = {name: [] for name in works}
    lower: dict[str, list[float]] = {name: [] for name in works}
    upper: dict[str, list[float]] = {name: [] for name in works}
    gc.collect()
    gc.disable()
    for _ in range(ROUNDS):
        for name, (_, single, few, many) in works.items():
            once[name].append(min(_seconds(single) for _ in range(5)))
            lower[name].append(_seconds(few))
            upper[name].append(_seconds(many))
    gc.enable()
    return {
        name: {
            "us": round((min(upper[name]) - min(lower[name])) / (large - small) * 1e6, 2),
            "once_us": round(min(once[name]) * 1e6, 1),
            "calls": codec_cost.calls_per_unit(codec, case),
            "once_calls": codec_cost.calls_once(codec, case),
        }
        for name, (codec, *_) in works.items()
    }


def _seconds(work: Work) -> float:
    began = time.thread_time()
    work()
    return time.thread_time() - began


def _draw(formats: dict[str, Any], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(codec_cost.CASES), figsize=(17, 3.6), layout="constrained", sharey=True)
    names = list(formats)[::-1]
    for axis, (name, case) in zip(axes, codec_cost.CASES.items(), strict=True):
        key = "once_us" if case.unit == "KB" else "us"
        values = [formats[codec].get(name, {}).get(key, 0.0) for codec in names]
        bars = axis.barh(names, values, color="#1f6feb", height=0.6)
        axis.bar_label(bars, [f"{value:.1f}" if value else "" for value in values], padding=3, fontsize=8)
        if values[-1]:
            axis.axvline(values[-1] * AIM, linestyle=":", color="#cf222e", label=f"{AIM:g}x of chat")
        axis.set_title(f"{name}, µs" if key == "us" else f"{name} of 1 KB, µs", fontsize=10, loc="left")
        axis.margins(x=0.2)
        axis.tick_params(axis="y", length=0, labelsize=9)
        for side in ("top", "right", "left"):
            axis.spines[side].set_visible(False)
    axes[0].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
