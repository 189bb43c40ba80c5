"""Estimates how long work takes, and how much of the queued work is done before new work.

In: measured amounts. Out: estimates for new amounts. Kept: two sums, in which older measurements count less and less.
"""

from __future__ import annotations

from collections.abc import Iterable

_KEEP = 0.9
"""Share of the older measurements that still counts after a new measurement."""


class Ratio:
    """An estimate of a result per amount, such as seconds per character.

    It begins with `guess`, which counts like a measurement of the amount `weight`. Recent measurements count most.
    """

    def __init__(self, guess: float, weight: float) -> None:
        self._amount = weight
        self._result = guess * weight

    def add(self, amount: float, result: float) -> None:
        """Adds a measurement: `amount` led to `result`."""
        if amount > 0:
            self._amount = _KEEP * self._amount + amount
            self._result = _KEEP * self._result + result

    def of(self, amount: float) -> float:
        """Returns the estimated result for an amount."""
        return amount * self._result / self._amount


def work_ahead(amount: float, others: Iterable[float], turn: float) -> float:
    """Returns the amount of the work `others` that is done before new work of `amount` is done.

    Work is taken in turns of `turn`, so other work delays the new work by at most the new work's own amount or one
    turn.
    """
    own = max(amount, turn)
    return sum(min(other, own) for other in others)
