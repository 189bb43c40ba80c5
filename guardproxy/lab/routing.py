"""Chooses which requests may go to a small model: a limit for `simple` of a route, from labelled requests.

In: for each request a value that grows with its difficulty, such as its length, and whether it is hard (the small model is not
good enough). Out: for each limit, the share of the requests that would go to the small model, and the share of hard ones among
them with its 95 % interval. And the weights of the model of difficulty, fitted to labelled requests.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from guardproxy.conditions import UNIT
from guardproxy.errors import ConfigError
from guardproxy.lab.shares import Share, proportion

LEAST_ROWS = 50
"""The fewest hard rows, and the fewest others, that say anything."""
PULL = 0.2
"""How strongly the present weights hold, per squared difference; a row counts 1 at most."""
_STEPS = 50
_DIGITS = 4


@dataclass(frozen=True, slots=True)
class RoutePoint:
    """What happens if requests with a value of at most `limit` go to the small model. `sent`: their share of all requests;
    `hard`: the share of hard ones among them."""

    limit: int
    sent: float
    hard: Share


def route_points(requests: Iterable[tuple[int, bool]], total: int) -> list[RoutePoint]:
    """Returns a point for each value, by rising value. `requests`: those that may go to the small model, each with its value
    and whether it is hard; `total`: the number of all."""
    values = sorted(requests)
    points: list[RoutePoint] = []
    hard = 0
    for count, (value, is_hard) in enumerate(values, 1):
        hard += is_hard
        if count == len(values) or values[count][0] != value:
            points.append(RoutePoint(value, count / total, proportion(hard, count)))
    return points


def highest_simple(points: Sequence[RoutePoint], most_hard: float) -> RoutePoint | None:
    """Returns the point that sends most requests while at most `most_hard` of them are hard, with 95 % confidence; `None` if
    there is none."""
    return next((point for point in reversed(points) if point.hard.high <= most_hard), None)


def shown_points(points: Sequence[RoutePoint], most: int) -> list[RoutePoint]:
    """Returns at most `most` points that divide the curve evenly, the last included."""
    if len(points) <= most:
        return list(points)
    return [points[round((number + 1) * len(points) / most) - 1] for number in range(most)]


def learned_weights(
    features: Sequence[Sequence[int]], hard: Sequence[bool], present: Sequence[float]
) -> tuple[float, ...]:
    """Returns the weights at which the penalised likelihood is highest (Newton's method). `features`: of requests, each with
    whether it is `hard`. The fit begins at the `present` weights and is pulled to them: a hundred rows move them a little, ten
    thousand as far as they must. Raises `ConfigError` if there are too few hard requests, or too few others."""
    count = sum(hard)
    if min(count, len(hard) - count) < LEAST_ROWS:
        message = (
            f"{count} hard requests and {len(hard) - count} others; at least {LEAST_ROWS} of each are needed to learn"
        )
        raise ConfigError(message)
    rows = np.column_stack([np.ones(len(hard)), np.array(features, np.float64) / UNIT])
    wanted, start = np.array(hard, np.float64), np.array(present, np.float64)
    weights = start.copy()
    pull = PULL * np.ones(len(start))
    pull[0] = 0.0  # how common hard requests are is a matter of the traffic alone
    for _ in range(_STEPS):
        scores = 1 / (1 + np.exp(-np.clip(rows @ weights, -60, 60)))
        slope = rows.T @ (wanted - scores) - pull * (weights - start)
        bend = (rows * (scores * (1 - scores))[:, None]).T @ rows + np.diag(pull + 1e-9)
        step = np.linalg.solve(bend, slope)
        weights += step / max(1.0, float(np.abs(step).max()) / 5)  # far steps of separable rows are cut short
        if np.abs(step).max() < 10**-_DIGITS / 2:
            break
    return tuple(round(float(weight), _DIGITS) for weight in weights)
