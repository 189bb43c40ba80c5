"""Estimates how long work takes, and how much of the waiting work comes before new work.

In: amounts that were measured. Out: estimates for new amounts. Kept: two sums that forget.
"""

from __future__ import annotations

from collections.abc import Iterable

_KEEP = 0.9
"""How much of what was measured before still counts after each new measurement."""


class Ratio:
    """An estimate of a result per amount, such as seconds per character: `guess` at first, then recent measurements. The
    guess counts like a measurement of the amount `weight`."""

    def __init__(self, guess: float, weight: float) -> None:
        self._amount = weight
        self._result = guess * weight

    def measured(self, amount: float, result: float) -> None:
        """Takes note that `amount` led to `result`."""
        if amount > 0:
            self._amount = _KEEP * self._amount + amount
            self._result = _KEEP * self._result + result

    def of(self, amount: float) -> float:
        """The estimated result for an amount."""
        return amount * self._result / self._amount


def before(amount: float, others: Iterable[float], turn: float) -> float:
    """How much of the work of `others` is done before new work of `amount` is, where work is taken in turns of `turn`: of
    each as much as there is, but no more than the new work itself takes, or one turn."""
    own = max(amount, turn)
    return sum(min(other, own) for other in others)
