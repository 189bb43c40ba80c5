"""The overhead benchmark as a picture: one panel a figure, one bar a target, the number beside its bar."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

PANELS = (
    ("added_p50_ms_at_1", "added latency, median, ms", "{:.2f}"),
    ("added_p99_ms_at_1", "added latency, 99th percentile, ms", "{:.2f}"),
    ("added_first_text_p50_ms", "added time to first text of a stream, median, ms", "{:.2f}"),
    ("requests_per_s_at_32", "requests per second, 32 connections", "{:,.0f}"),
    ("chunks_per_s_at_100", "stream chunks per second, 100 streams", "{:,.0f}"),
    ("rss_500_streams_mib", "memory with 500 open streams, MiB", "{:,.0f}"),
)
OURS, OTHERS = "#1f6feb", "#9aa4b2"


def draw(table: Mapping[str, Mapping[str, float]], path: Path) -> None:
    """Writes a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(3, 2, figsize=(13, 2 + 0.9 * len(table)), layout="constrained")
    for axis, (metric, title, form) in zip(axes.flat, PANELS, strict=True):
        # What is zero by definition (added to itself) has no bar, and what was not measured has a dash.
        rows = [(name, row[metric]) for name, row in table.items() if row[metric] or name != "direct"]
        names = [name for name, _ in rows][::-1]
        values = [value for _, value in rows][::-1]
        colors = [OURS if name.startswith("guardproxy") else OTHERS for name in names]
        bars = axis.barh(names, values, color=colors, height=0.6)
        axis.bar_label(bars, [form.format(value) if value else "–" for value in values], padding=4, fontsize=9)
        axis.set_title(title, fontsize=10, loc="left")
        axis.margins(x=0.18)
        axis.tick_params(axis="y", length=0, labelsize=9)
        axis.tick_params(axis="x", labelsize=8)
        for side in ("top", "right", "left"):
            axis.spines[side].set_visible(False)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
