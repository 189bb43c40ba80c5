"""Leave one family out: how the table of n-grams finds attacks of a kind that it was not trained on.

In: `first.jsonl` of first/data.py, the choice rows. Out: `leave-out.json` and a table. The table of first/spans.py is trained
once without each family that has `LEAST` attacks: the family's harmless rows and the documents in which its orders were
planted are left out with it. Its attacks are then compared with the harmless choice texts, on which nothing is trained. The
mean and the worst of these figures say what new data is worth; the pooled figure does not, as it knows every family.

A family is a source. Its near copies in other sources (a frame that two sources share, a disturbed copy) stay in training, so
a figure is rather too high than too low.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from models.supervisor.recipe import groups
from models.supervisor.recipe.data import data_folder
from models.supervisor.recipe.first.spans import COLUMNS, PASSES, Spans, read_spans, targets, train
from models.supervisor.recipe.rows import read
from models.supervisor.recipe.second.outputs import Row

LEAST = 500
"""Attacks of a family that is left out."""
FALSE_ALARMS = 0.01
"""Share of the harmless choice texts above the point at which attacks are found."""
Values = NDArray[np.float64]
Figures = dict[str, float]


def family(source: str) -> str:
    """The family of a row's source: documents with an order belong to the order, and reframed tasks to the frame."""
    name = source.removeprefix("planted/").removeprefix("more/").partition(":")[0]
    return name.replace("reframed/", "own/")


def families(rows: Sequence[Row], wanted: NDArray[np.float32], least: int = LEAST) -> list[tuple[str, int]]:
    """The families with at least so many attacks of a column: the name and the number of the column."""
    names = np.array([family(row["source"]) for row in rows])
    found = []
    for column in range(wanted.shape[1]):
        known, counts = np.unique(names[wanted[:, column] == 1], return_counts=True)
        found += [(str(name), column) for name, count in zip(known, counts, strict=True) if count >= least]
    return sorted(found)


def area(bad: Values, fine: Values) -> float:
    """The share of pairs of an attack and a harmless text in which the attack has the higher value; equal ones count half."""
    ordered = np.sort(fine)
    below, up_to = (np.searchsorted(ordered, bad, side) for side in ("left", "right"))
    return float((below + up_to).mean() / (2 * len(ordered)))


def figures(bad: Values, fine: Values) -> Figures:
    """Of the attacks of a family: their number, the area, the share found at `FALSE_ALARMS`."""
    point = np.quantile(fine, 1 - FALSE_ALARMS, method="higher")
    return {"attacks": len(bad), "auc": area(bad, fine), "found": float((bad > point).mean())}


def leave_out(
    rows: Sequence[Row], spans: Spans, fine: Spans, least: int = LEAST, passes: int = PASSES
) -> dict[str, Figures]:
    """For `FAMILY (COLUMN)` the figures of its attacks when nothing of it is trained on. `fine`: the harmless choice texts."""
    wanted = targets(rows)
    names = np.array([family(row["source"]) for row in rows])
    found: dict[str, Figures] = {}
    left_out = ""
    for name, column in tqdm(families(rows, wanted, least), desc="families", unit="family"):
        if name != left_out:  # a family that attacks in both ways is left out once
            learned, left_out = train(spans, wanted, names != name, passes, name=name), name
            of_fine = fine.highest(learned.logits(fine)).astype(np.float64)
        bad = spans.take(np.flatnonzero((names == name) & (wanted[:, column] == 1)))
        of_bad = bad.highest(learned.logits(bad)).astype(np.float64)
        found[f"{name} ({COLUMNS[column]})"] = figures(of_bad[:, column], of_fine[:, column])
    return found


def summary(by_family: Mapping[str, Figures]) -> dict[str, Any]:
    """The mean and the worst of each figure, for each column."""
    found: dict[str, Any] = {}
    for column in COLUMNS:
        own = {name: one for name, one in by_family.items() if name.endswith(f"({column})")}
        if own:
            found[column] = {"families": len(own)}
            for figure in ("auc", "found"):
                worst = min(own, key=lambda name: own[name][figure])
                found[column][figure] = {
                    "mean": float(np.mean([one[figure] for one in own.values()])),
                    "worst": own[worst][figure],
                    "family": worst,
                }
    return found


def table(by_family: Mapping[str, Figures], means: Mapping[str, Any]) -> list[str]:
    """Lines of Markdown, the worst family first."""
    lines = ["| family left out | attacks | AUC | found at 1 % |", "|---|---|---|---|"]
    for name, one in sorted(by_family.items(), key=lambda entry: entry[1]["auc"]):
        lines.append(f"| {name} | {one['attacks']:,} | {one['auc']:.3f} | {one['found']:.1%} |")
    for column, of in means.items():
        lines.append(f"| mean of {of['families']} ({column}) | | {of['auc']['mean']:.3f} | {of['found']['mean']:.1%} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("build/supervisor-third"))
    parser.add_argument("--folder", type=Path, default=Path("models/supervisor"), help="for its tokenizer")
    parser.add_argument("--least", type=int, default=LEAST, help="attacks of a family that is left out")
    parser.add_argument("--passes", type=int, default=PASSES, help="passes of each training")
    args = parser.parse_args()
    rows = read(args.data / "first.jsonl")
    harmless = [row for row in groups.choice_rows(data_folder()) if not row["label"]]
    spans, fine = (read_spans(part, args.folder) for part in (rows, harmless))
    found = leave_out(rows, spans, fine, args.least, args.passes)
    means = summary(found)
    report = {"harmless": len(harmless), "passes": args.passes, "families": found, "summary": means}
    (args.data / "leave-out.json").write_text(json.dumps(report, indent=1) + "\n")
    print("\n".join(table(found, means)))


if __name__ == "__main__":
    main()
