"""Choose the thresholds of the name tagger on the validation rows, and write them into `config.json`.

In: the exported folder, the data sets. Out: for each label the score from which a tag counts: the one with the best
entity F-score on validation rows, the sets weighing the same, and recall weighing more than precision (`BETA`): what is
missed leaks, what is found too much is only a placeholder too many. What is reported is measured on other rows, by
`benchmarks/checks/pii_quality.py`.
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from guardproxy.checks._shared.pii.names import Names
from guardproxy.inference.models import read_tags
from guardproxy.inference.names.tagger import OnnxTagger
from models.names.recipe.export import HERE, write_config
from models.names.recipe.network import LABELS
from models.names.recipe.splits import OF_ALL_KINDS, rows

BETA = 1.5
BIASES = (0.0, -0.7, -1.4)  # how much the tags of names are raised against that of none
THRESHOLDS = tuple(step / 20 for step in range(7, 18))
Counts = dict[str, list[int]]  # set -> right, found, marked


def mean_f(counts: Counts) -> float:
    """The mean over sets that have the label."""
    weight = BETA**2
    shown = [(1 + weight) * right / (found + weight * marked) for right, found, marked in counts.values() if marked > 3]
    return sum(shown) / max(1, len(shown))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("GUARDPROXY_DATA"), help="folder of the data sets")
    parser.add_argument("--folder", type=Path, default=HERE, help="the exported model")
    args = parser.parse_args()
    if args.data is None:
        raise SystemExit("name the folder of the data sets with --data or GUARDPROXY_DATA")
    texts = [(name, row) for name, part, row in rows(Path(args.data)) if part == "validation"]
    best: tuple[float, float, dict[str, float]] = (-1.0, 0.0, {})
    for bias in BIASES:
        write_config(args.folder, dict.fromkeys(LABELS, 0.0), bias)
        names = Names(OnnxTagger(read_tags(args.folder), 1), dict.fromkeys(LABELS, 0.0))
        found: list[tuple[str, Any, list[tuple[int, int, str, float]]]] = [
            (name, row, names.find(row["text"], 0, "request", True).spans)
            for name, row in tqdm(texts, desc=f"bias {bias}", unit="text")
        ]
        thresholds, total = {}, 0.0
        for label in LABELS:
            tried = []
            for threshold in THRESHOLDS:
                counts: Counts = defaultdict(lambda: [0, 0, 0])
                for name, row, spans in found:
                    if label not in ("PERSON", "LOCATION", "ORGANIZATION") and name not in OF_ALL_KINDS:
                        continue
                    gold = {(one["start"], one["end"]) for one in row["spans"] if one["label"] == label}
                    kept = {(low, high) for low, high, kind, score in spans if kind == label and score >= threshold}
                    for at, value in enumerate((len(gold & kept), len(kept), len(gold))):
                        counts[name][at] += value
                tried.append((mean_f(counts), threshold))
            score, thresholds[label] = max(tried)
            total += score
        print(f"bias {bias}: mean F {total / len(LABELS):.4f} at {thresholds}")
        best = max(best, (total, bias, thresholds), key=lambda one: one[0])
    write_config(args.folder, best[2], best[1])
    print(f"written: bias {best[1]}, thresholds {best[2]}")


if __name__ == "__main__":
    main()
