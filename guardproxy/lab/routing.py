"""Chooses up to which length a request may go to a small model: a threshold for `simple` of a route, from labelled texts.

In: texts with labels (true: the small model is not good enough). Out: for each length, the share of the texts that would go to
the small model, and the share of hard texts among them with its 95 % interval. Texts with code stay with the large model, as a
route sends them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from guardproxy.exchange import has_code
from guardproxy.lab.shares import Share, proportion


@dataclass(frozen=True, slots=True)
class RoutePoint:
    """What happens if texts of at most `chars` characters go to the small model. `sent`: their share of all texts; `hard`:
    the share of hard texts among them."""

    chars: int
    sent: float
    hard: Share


def route_points(texts: Iterable[tuple[str, bool]]) -> list[RoutePoint]:
    """Returns a point for each length of a text without code, by rising length. `texts`: each with whether it is hard."""
    labelled = list(texts)
    lengths = sorted((len(text), is_hard) for text, is_hard in labelled if not has_code(text))
    points: list[RoutePoint] = []
    hard = 0
    for count, (chars, is_hard) in enumerate(lengths, 1):
        hard += is_hard
        if count == len(lengths) or lengths[count][0] != chars:
            points.append(RoutePoint(chars, count / len(labelled), proportion(hard, count)))
    return points


def longest_simple(points: Sequence[RoutePoint], most_hard: float) -> RoutePoint | None:
    """Returns the point that sends most texts while at most `most_hard` of them are hard, with 95 % confidence; `None` if
    there is none."""
    return next((point for point in reversed(points) if point.hard.high <= most_hard), None)


def shown_points(points: Sequence[RoutePoint], most: int) -> list[RoutePoint]:
    """Returns at most `most` points that divide the curve evenly, the last included."""
    if len(points) <= most:
        return list(points)
    return [points[round((number + 1) * len(points) / most) - 1] for number in range(most)]
