"""Compares a model folder with the one before it on the sets by other people, and refuses one that loses anywhere.

    python -m models.pairs.recipe.gate OLD NEW

Neither may have been trained on SICK, MSRP or MCTest. Figures are compared on the same rows; a difference counts if its
interval of 95 %, by drawing rows (of MCTest groups of four) again, does not reach 0.

Exit status: 0, NEW loses nowhere beyond its interval, its points let no more pass than they say, and it is not slower by a
tenth; 1, refused. "No difference shown" does not mean that there is none: the intervals say how large it may be.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.pairs.recipe.measure import Judged, area, best_of_group, kept
from models.pairs.recipe.points import WRONG_SAME, at_points

ROUNDS = 500
SEED = 11
SLOWER = 1.1
WORDS, TIMES = (20, 90), 200
PASSING = ("SICK, contradictions", "SICK, neutral", "MSRP, different")
FIGURES: dict[str, Callable[[Judged], float]] = {
    "SICK, accuracy": lambda of: float((of.sick.argmax(1) == of.sick_gold).mean()),
    "SICK, AUC of contradicts": lambda of: area(of.sick[:, 1], of.sick_gold == 1),
    "SICK, AUC of the same": lambda of: area(of.sick_same, of.sick_gold == 0),
    "MSRP, AUC of the same": lambda of: area(of.msrp, of.msrp_same),
    "MCTest, AUC of follows": lambda of: area(of.mctest[:, 0], of.mctest_true),
    "MCTest, best of four": best_of_group,
}


def drawn(of: Judged, rng: np.random.Generator) -> Iterator[dict[str, NDArray[np.int64]]]:
    """Rows of each set, drawn with replacement, without end."""
    while True:
        groups = rng.integers(0, len(of.mctest) // 4, len(of.mctest) // 4) * 4
        yield {
            "sick": rng.integers(0, len(of.sick), len(of.sick)),
            "msrp": rng.integers(0, len(of.msrp), len(of.msrp)),
            "mctest": (groups[:, None] + np.arange(4)).ravel(),
        }


def taken(of: Judged, places: dict[str, NDArray[np.int64]]) -> Judged:
    """The scores of these rows."""
    values = {field.name: getattr(of, field.name)[places[field.name.split("_")[0]]] for field in fields(of)}
    return Judged(**values)


def compare(old: Judged, new: Judged, rounds: int = ROUNDS) -> dict[str, dict[str, float]]:
    """Returns for each figure both values, and the interval of the difference."""
    draws = drawn(old, np.random.default_rng(SEED))
    differences: dict[str, list[float]] = {name: [] for name in FIGURES}
    for _ in range(rounds):
        places = next(draws)
        one, other = taken(old, places), taken(new, places)
        for name, figure in FIGURES.items():
            differences[name].append(figure(other) - figure(one))
    found = {}
    for name, figure in FIGURES.items():
        low, high = np.quantile(differences[name], [0.025, 0.975])
        found[name] = {"old": figure(old), "new": figure(new), "low": float(low), "high": float(high)}
    return found


def refusals(compared: dict[str, dict[str, float]], reached: dict[str, dict[str, Any]], slower: float) -> list[str]:
    """Returns why the new folder is refused. `slower`: its time, as a multiple of the old one's."""
    found = [
        f"{name} falls from {row['old']:.3f} to {row['new']:.3f}" for name, row in compared.items() if row["high"] < 0
    ]
    for point, share in WRONG_SAME.items():
        for title in PASSING:
            row = reached[point][title]
            if row["count"] > share * row["of"]:
                found.append(f"`{point}` is reached by {row['count']} of {row['of']} pairs of {title}")
    if slower > SLOWER:
        found.append(f"a pair takes {slower:.2f} times as long")
    return found


def pace_s(folder: Path) -> float:
    """The seconds of a pair, over two lengths: the fastest of many."""
    from guardproxy.checks import TextPair
    from guardproxy.inference import Models, Settings

    judge = Models((folder.parent,), Settings(workers=1, remembered=0)).pairs(folder.name)
    total = 0.0
    for words in WORDS:
        pair, times = TextPair("word " * words, "word " * (words // 3)), []
        for _ in range(TIMES):
            began = time.perf_counter()
            judge.judge([pair])
            times.append(time.perf_counter() - began)
        total += min(times)
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("GUARDPROXY_DATA"), help="folder of the data sets")
    parser.add_argument("--kept", type=Path, default=Path("build/pairs/scores"), help="folder of scores, by model")
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    args = parser.parse_args()
    old, new = (kept(folder, Path(args.data), 1_000_000, args.kept, workers=2) for folder in (args.old, args.new))
    compared = compare(old, new)
    for name, row in compared.items():
        print(f"{name:28s} {row['old']:.3f} -> {row['new']:.3f}  ({row['low']:+.3f} to {row['high']:+.3f})")
    points = json.loads((args.new / "config.json").read_text("utf-8"))["operating_points"]
    found = refusals(compared, at_points(new, points), pace_s(args.new) / pace_s(args.old))
    for reason in found:
        print(f"refused: {reason}")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
