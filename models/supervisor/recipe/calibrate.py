"""What scores mean: temperature and bias of each output, and its operating points.

In: an exported folder, rows. Out: logits of the int8 file as it runs, points, bias and temperature, for
points.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from guardproxy.lab import Judge, load_judge
from guardproxy.lab.calibration import fit
from guardproxy.lab.shares import joint_cutoffs
from models.supervisor.recipe.sources import INJECTION, Row

SHARES = {"5%": 0.05, "1%": 0.01, "0.5%": 0.005, "0.1%": 0.001}
RIDGE = 1e-4
"""Keeps the temperature finite where few attacks are known: attacks and harmless texts weigh 1 each."""
Array = NDArray[np.float64]
Numbers = dict[str, float]


def logits(folder: Path, rows: list[Row], outputs: Sequence[str]) -> Array:
    """The highest logit of each text's segments for each output, as the proxy's check sees them, (rows, outputs).

    A text is judged in its channel; a row without a channel is a user's message.
    """
    scorer, found = load_judge(folder), np.zeros((len(rows), len(outputs)))
    kinds = [row.get("channel", "user") for row in rows]
    for kind in sorted(set(kinds)):
        places = [at for at, own in enumerate(kinds) if own == kind]
        judge = Judge(scorer, {"labels": list(outputs), "threshold": 0, "first_stage": False}, kind)
        judged = tqdm(judge.judge(rows[at]["text"] for at in places), total=len(places), desc=kind, unit="text")
        found[places] = [[verdict.scores[name] for name in outputs] for verdict in judged]
    clipped = np.clip(found, 1e-9, 1 - 1e-9)
    values: Array = np.log(clipped / (1 - clipped))
    return values


def weights(sources: NDArray[np.str_], chosen: NDArray[np.bool_]) -> Array:
    """Each source weighs the same, together 1."""
    names, counts = np.unique(sources[chosen], return_counts=True)
    size = dict(zip(names, counts, strict=True))
    return np.array([1 / size[name] / len(names) if take else 0.0 for name, take in zip(sources, chosen, strict=True)])


def points(
    values: Array, fine: NDArray[np.bool_], weight: Array, outputs: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Logit of each output at each point. The two outputs behind `injection` together find the share that a point names."""
    found: dict[str, dict[str, float]] = {name: {} for name in outputs}
    both = [outputs.index(name) for name in INJECTION]
    for point, share in SHARES.items():
        levels = [joint_cutoffs([values[fine, at]], share, weight[fine])[0] for at in range(len(outputs))]
        together = joint_cutoffs([values[fine, at] for at in both], share, weight[fine])
        for at, level in zip(both, together, strict=True):
            levels[at] = level
        for name, level in zip(outputs, levels, strict=True):
            found[name][point] = float(np.nextafter(level, np.inf))  # the lowest logit that is above
    return found


def points_beside(main: Array, other: Array, weight: Array, levels: Mapping[str, float]) -> dict[str, float]:
    """Logit of an output at each point in one kind of channel, beside another output that keeps its logits `levels`: the
    two together find the share that a point names, or the other alone, if it finds more."""
    found = {}
    for point, share in SHARES.items():
        free = other < levels[point]
        left = max(0.0, share * weight.sum() - weight[~free].sum())
        (level,) = joint_cutoffs([main[free]], left / weight[free].sum(), weight[free])
        found[point] = float(np.nextafter(level, np.inf))
    return found


def scale(values: Array, bad: NDArray[np.bool_], weight: Array) -> Numbers:
    """Bias and temperature of an output. `weight`: of attacks and of harmless texts, 1 each. Exits when the scores order
    attacks below harmless texts."""
    scaling = fit(values, bad, weight, RIDGE)
    if scaling is None:
        raise SystemExit("the scores order attacks below harmless texts: nothing to calibrate")
    return {"bias": round(scaling.bias, 3), "temperature": round(scaling.temperature, 3)}


def scores(levels: Mapping[str, float], scaling: Mapping[str, float]) -> Numbers:
    """Logits as scores of six digits, rounded up: a text that a point must not reach stays below it."""
    return {
        point: float(np.ceil(1e6 / (1 + np.exp(-(logit - scaling["bias"]) / scaling["temperature"]))) / 1e6)
        for point, logit in levels.items()
    }
