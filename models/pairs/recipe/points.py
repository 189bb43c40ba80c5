"""Chooses the operating points of a model folder on the sets by other people, and writes them with the figures.

In: a model folder with `model.onnx` and `tokenizer.json`. Out: `config.json` with the points, `SHA256SUMS`, and `figures.json`.

- `same`: the lowest probability that at most 1 % of SICK's contradictions, of its neutral pairs, and of MSRP's different
  pairs reach by `entails` both ways. `same_strict`: as `same`, for 0.1 %.
- `supported`: the lowest probability that at most 5 % of SICK's contradictions reach by `entails`.
- `contradicted`: the lowest probability that at most 1 % of SICK's entailed pairs reach by `contradicts`.

They are chosen on the sets that also measure them. A set that shows no error in n pairs allows, with 95 % certainty, an error
rate up to 3 / n: `bound` stands beside every count.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from guardproxy.lab.shares import proportion
from models.encoder import write_sums
from models.pairs.recipe.measure import Judged, Numbers, figures, kept
from models.pairs.recipe.relations import CONTRADICTS, ENTAILS, NEUTRAL

FILES = ("config.json", "model.onnx", "tokenizer.json")
VERSION = "1"
MAX_TOKENS = 192
WRONG_SAME = {"same": 0.01, "same_strict": 0.001}
"""For each point of `same` the share of each kind of other pairs that may reach it."""
WRONG_SUPPORTED, WRONG_CONTRADICTED = 0.05, 0.01
STEP = 1e-4


def write_config(folder: Path, points: Mapping[str, float], temperature: float = 1.0, version: str = VERSION) -> None:
    """`config.json`: see guardproxy/inference/pairs/model.py for what each key means."""
    config = {
        "format": 1,
        "kind": "pairs",
        "version": version,
        "max_tokens": MAX_TOKENS,
        "special": {"first": "[CLS]", "last": "[SEP]"},
        "matches": True,
        "temperature": temperature,
        "operating_points": dict(points),
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")
    write_sums(folder, FILES)


def above(scores: Numbers, most: float) -> float:
    """The lowest probability, in steps, that at most this share of the scores reach."""
    allowed = int(most * len(scores))
    nearest = np.sort(scores)[::-1][allowed] if allowed < len(scores) else 0.0
    return min(1.0, float(np.floor(nearest / STEP + 1) * STEP))


def choose(of: Judged) -> dict[str, float]:
    """Returns the points."""
    others = [of.sick_same[of.sick_gold == CONTRADICTS], of.sick_same[of.sick_gold == NEUTRAL], of.msrp[~of.msrp_same]]
    points = {name: max(above(scores, most) for scores in others) for name, most in WRONG_SAME.items()}
    points["supported"] = above(of.sick[of.sick_gold == CONTRADICTS, 0], WRONG_SUPPORTED)
    points["contradicted"] = above(of.sick[of.sick_gold == ENTAILS, 1], WRONG_CONTRADICTED)
    return {name: round(point, 4) for name, point in points.items()}


def counted(reached: NDArray[np.bool_]) -> dict[str, Any]:
    """How many rows reach a point, and the highest rate that this allows: 3 / n for none, else the end of an interval."""
    count, total = int(reached.sum()), len(reached)
    bound = proportion(count, total).high if count else 3 / total
    return {"count": count, "of": total, "share": round(count / total, 4), "bound": round(bound, 4)}


def at_points(of: Judged, points: dict[str, float]) -> dict[str, dict[str, Any]]:
    """Which pairs reach each point."""
    kinds = {"entailed": ENTAILS, "contradictions": CONTRADICTS, "neutral": NEUTRAL}
    sick = {f"SICK, {name}": of.sick_gold == gold for name, gold in kinds.items()}
    near = (of.sick_near >= 4.5) & (of.sick_gold == ENTAILS)
    found = {}
    for name in WRONG_SAME:
        found[name] = {
            "SICK, entailed and related by 4.5 or more": counted(of.sick_same[near] >= points[name]),
            **{title: counted(of.sick_same[rows] >= points[name]) for title, rows in sick.items()},
            "MSRP, same": counted(of.msrp[of.msrp_same] >= points[name]),
            "MSRP, different": counted(of.msrp[~of.msrp_same] >= points[name]),
        }
    for name, column in (("supported", 0), ("contradicted", 1)):
        found[name] = {
            **{title: counted(of.sick[rows, column] >= points[name]) for title, rows in sick.items()},
            "MCTest, supported": counted(of.mctest[of.mctest_true, column] >= points[name]),
            "MCTest, not supported": counted(of.mctest[~of.mctest_true, column] >= points[name]),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("GUARDPROXY_DATA"), help="folder of the data sets")
    parser.add_argument("--kept", type=Path, default=Path("build/pairs/scores"), help="folder of scores, by model")
    parser.add_argument("folder", type=Path, nargs="?", default=Path("build/pairs/pairs"))
    args = parser.parse_args()
    of = kept(args.folder, Path(args.data), 1_000_000, args.kept, workers=2)
    points = choose(of)
    write_config(args.folder, points)
    found: dict[str, Any] = {
        "points": points,
        "figures": {name: round(value, 4) for name, value in figures(of).items()},
    }
    found["reached"] = at_points(of, points)
    (args.folder / "figures.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
