"""The places of lines and bars in small plots. Templates draw them as SVG, without a script and without style attributes."""

from __future__ import annotations

import math
from collections.abc import Sequence


def line_points(values: Sequence[float], width: float, height: float) -> str:
    """Returns the points of a line through values, for `points` of a polyline. The largest value is at the top, 0 at the
    bottom."""
    finite = [value if math.isfinite(value) else 0.0 for value in values]
    top = max((*finite, 0.0)) or 1.0
    step = width / max(1, len(finite) - 1)
    return " ".join(f"{at * step:.1f},{height - height * max(0.0, value) / top:.1f}" for at, value in enumerate(finite))


def share(value: float, most: float) -> float:
    """Returns the part that a value is of the largest one, from 0 to 1."""
    if not most > 0 or not math.isfinite(value) or value <= 0:
        return 0.0
    return min(1.0, value / most)
