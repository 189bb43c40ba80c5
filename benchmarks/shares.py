"""Shares of counted cases, for results and tables."""

from __future__ import annotations

from typing import Any

CONFIDENCE = 3.0
"""With 95 % confidence, a zero of N is below this number / N (the rule of three)."""
FEW = 1000
"""Up to so many cases, a second digit behind the point means nothing."""


def share(count: int, of: int) -> dict[str, Any]:
    """A share in percent. A zero has the bound of the rule of three beside it."""
    digits = 2 if of > FEW else 1
    row: dict[str, Any] = {"count": count, "of": of, "percent": round(100 * count / of, digits) if of else None}
    if of and not count:
        row["below_percent"] = round(100 * min(1.0, CONFIDENCE / of), digits)
    return row
