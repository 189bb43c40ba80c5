"""Labels with a bounded number of values, so that clients cannot make a monitoring system keep series without end.

In: a value. Out: the value, or `other`. Kept: the values that came first.
"""

from __future__ import annotations

OTHER = "other"


class BoundedLabels:
    """Lets the first `limit` values through. Every later value becomes `other`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: set[str] = set()

    def of(self, value: str) -> str:
        """Returns the label for a value."""
        if value in self._known:
            return value
        if len(self._known) >= self._limit:
            return OTHER
        self._known.add(value)
        return value
