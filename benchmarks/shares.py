"""Shares of counted cases, for results and tables."""

from __future__ import annotations

from typing import Any

CONFIDENCE = 3.0
"""With 95 % confidence, a zero of N is below this number / N (the rule of three)."""


def share(count: int, of: int) -> dict[str, Any]:
    """A share in percent. A zero has the bound of the rule of three beside it."""
    row: dict[str, Any] = {"count": count, "of": of, "percent": round(100 * count / of, 1) if of else None}
    if of and not count:
        row["below_percent"] = round(100 * min(1.0, CONFIDENCE / of), 2 if of > 1000 else 1)
    return row
