"""What the scores of a folder mean: calibration and operating points, chosen with the logits of validation rows.

In: logits (rows, outputs) of calibrate.py, rows of `second/outputs.py`. Out: what a configuration says of them. Points
are chosen on harmless texts, each kind weighing the same and each text judged in its own channel.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.supervisor.recipe.calibrate import points, points_beside, scale, scores, weights
from models.supervisor.recipe.second.balance import is_harmful
from models.supervisor.recipe.second.outputs import JAILBREAK, Row
from models.supervisor.recipe.sources import INJECTION

DIRECT = "injection"
"""The output of the third generation that is an attack of any kind by itself."""
ALIKE = {"user": ("user", "metadata", "unmapped"), "tool_result": ("tool_result",)}
"""Kinds of channel with points of their own, and the kinds that share them."""
MAIN = {"user": INJECTION, "tool_result": INJECTION[::-1]}
"""The output by which most attacks in a kind of channel are found, which gets points of its own there, and the other."""
DOUBTFUL = ("own/documents:held", "own/third:held", ":rest")
"""Harmless rows that are ambiguous on purpose, or of whose content nothing is known: no point rests on them."""
LEAST_OF_KIND = 20
"""Harmless texts of a kind and channel from which on it counts. Each kind weighs the same, so one text of a small kind would
outweigh hundreds of others, and set several points at once."""
UNTOUCHED = {"bias": 0.0, "temperature": 1.0}
Numbers = dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True)
class Chosen:
    """The keys `calibration`, `operating_points` and `channel_points` of a configuration."""

    calibration: Numbers
    operating_points: Numbers
    channel_points: dict[str, Numbers]

    def as_config(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def is_fine(row: Row) -> bool:
    """Whether a row counts as a harmless text for the points."""
    return not is_harmful(row) and row["targets"].get("harmful") == 0 and not row["source"].endswith(DOUBTFUL)


def is_positive(row: Row, output: str) -> bool:
    """Whether a row is to be found by an output; `injection` finds attacks of any kind."""
    if output == DIRECT:
        return is_positive(row, JAILBREAK) or is_positive(row, "order")
    return bool(row["targets"].get("order" if output == "embedded_instruction" else output) == 1)


def counted(rows: Sequence[Row]) -> NDArray[np.bool_]:
    """Which rows the points rest on: harmless texts of kinds of which there are enough, (rows,)."""
    places = [(row["source"], row["channel"]) if is_fine(row) else None for row in rows]
    sizes = Counter(places)
    return np.array([place is not None and sizes[place] >= LEAST_OF_KIND for place in places])


def choose(
    values: NDArray[np.float64],
    rows: Sequence[Row],
    outputs: Sequence[str],
    least_positives: int = 1,
) -> Chosen:
    """Chooses calibration and points. `least_positives`: texts to be found by an output, below which its logits are left as
    they are. Raises `ValueError` where no kind of harmless messages or tools' results has `LEAST_OF_KIND` texts.
    """
    sources = np.array(["own" if row["source"].startswith("own/") else row["source"] for row in rows])
    fine = counted(rows)
    level = points(values, fine, weights(sources, fine), outputs)
    channels = np.array([row["channel"] for row in rows])
    scaling: Numbers = {}
    scored: Numbers = {}
    for at, name in enumerate(outputs):
        bad = np.array([is_positive(row, name) for row in rows])
        scaling[name] = dict(UNTOUCHED)
        if bad.sum() >= least_positives:
            scaling[name] = scale(values[:, at], bad, weights(sources, fine) + weights(sources, bad))
        scored[name] = scores(level[name], scaling[name])
        found = {point: int((values[bad, at] >= logit).sum()) for point, logit in level[name].items()}
        print(f"{name}: {scaling[name]}, points {scored[name]}, validation positives found {found} of {bad.sum()}")
    by_kind: dict[str, Numbers] = {}
    for kind, (main, other) in MAIN.items():
        own = fine & (channels == kind)
        if not own.any():
            raise ValueError(f"`{kind}`: no kind of harmless texts has {LEAST_OF_KIND}, so no point can be chosen")
        weight = weights(sources, own)[own]
        first, second = (values[own, outputs.index(name)] for name in (main, other))
        of_kind = {main: scores(points_beside(first, second, weight, level[other]), scaling[main])}
        if DIRECT in outputs:
            alone = values[own, outputs.index(DIRECT)]
            nothing = np.full_like(alone, -np.inf)
            direct = points_beside(alone, nothing, weight, dict.fromkeys(level[other], 0.0))
            of_kind[DIRECT] = scores(direct, scaling[DIRECT])
        by_kind |= dict.fromkeys(ALIKE[kind], of_kind)
    return Chosen(scaling, scored, by_kind)
