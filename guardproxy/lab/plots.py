"""Draws figures: the ROC with a logarithmic axis of false positives, and reliability.

In: curves and bins. Out: PNG files. matplotlib is imported when a figure is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from guardproxy.errors import ConfigError
from guardproxy.lab.calibration import Bin
from guardproxy.lab.shares import Array

MISSING = "pictures need matplotlib: pip install 'guardproxy[plots]'"


def draw_roc(curves: Mapping[str, tuple[Array, Array]], in_use: tuple[float, str], texts: int, path: Path) -> None:
    """Draws a line for each curve. Raises `ConfigError` without matplotlib.

    `in_use`: the share of false positives at the threshold in use, and the name of the threshold. `texts`: the number
    of harmless texts.
    """
    pyplot = _pyplot()
    figure, axis = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    for name, (x, y) in curves.items():
        axis.step(x, y, where="post", label=name, linewidth=2 if name == "all" else 1.2)
    share, called = in_use
    if share:
        axis.axvline(share, color="grey", linestyle=":", label=f"threshold {called}")
    axis.set(xscale="log", xlim=(0.5 / texts, 1), ylim=(0, 1.02))
    axis.set_xlabel(f"false positives among {texts:,} harmless texts")
    axis.set_ylabel("attacks found")
    axis.grid(alpha=0.3)
    axis.legend(loc="lower right", fontsize=8)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def draw_reliability(lines: Mapping[str, Sequence[Bin]], path: Path) -> None:
    """Draws the share of attacks by score. The size of a point shows the number of texts with that score."""
    pyplot = _pyplot()
    figure, axis = pyplot.subplots(figsize=(5, 4.5), layout="constrained")
    axis.plot([0, 1], [0, 1], color="grey", linestyle=":", label="calibrated")
    for name, bins in lines.items():
        (line,) = axis.plot([bin_.score for bin_ in bins], [bin_.attacks for bin_ in bins], label=name)
        most = max(bin_.texts for bin_ in bins)
        sizes = [20 + 180 * bin_.texts / most for bin_ in bins]
        axis.scatter(
            [bin_.score for bin_ in bins], [bin_.attacks for bin_ in bins], sizes, color=line.get_color(), alpha=0.6
        )
    axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="score", ylabel="share of attacks")
    axis.grid(alpha=0.3)
    axis.legend(loc="upper left", fontsize=8)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def _pyplot() -> Any:
    try:
        import matplotlib  # noqa: PLC0415
    except ImportError:
        raise ConfigError(MISSING) from None
    matplotlib.use("Agg")
    from matplotlib import pyplot  # noqa: PLC0415

    return pyplot
