"""Draws the classes of exchanges over time as stacked bars, as SVG inside an HTML page.

In: the classes by the hour. Out: lines of SVG. The style sheet of the page colours the classes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from guardproxy.reading.summary import CLASSES, HOUR_S
from guardproxy.webpage import html_text

_LIMIT_BARS = 62
_STEPS = {1: "hour", 6: "6 hours", 24: "day", 24 * 7: "7 days", 24 * 28: "28 days", 24 * 364: "364 days"}
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 860, 220, 56, 24, 14
PLOT_STYLE = """
td.number { white-space: nowrap; }
svg { width: 100%; height: auto; } svg text { font: 11px system-ui, sans-serif; fill: currentColor; }
svg line { stroke: var(--line); } .key { display: inline-block; margin-right: 1.2rem; white-space: nowrap; }
.key svg { width: .8rem; height: .8rem; margin-right: .4rem; vertical-align: -1px; }
.c0 { fill: #7aa6c2; } .c1 { fill: #d9a520; } .c2 { fill: #b3392f; } .c3 { fill: #8a6fb0; } .c4 { fill: #9a9a9a; }
.c5 { fill: #222; stroke: #999; }
@media print { svg rect { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""


def plot(hours: Mapping[int, Counter[str]]) -> Iterator[str]:
    """Yields the plot with its legend; nothing if there is no exchange."""
    if not hours:
        return
    first, last = min(hours), max(hours)
    step = next((step for step in _STEPS if (last - first) // step < _LIMIT_BARS), max(_STEPS))
    bars: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for hour, classes in hours.items():
        bars[hour // step].update(classes)
    low, count = first // step, last // step - first // step + 1
    top = max(bar.total() for bar in bars.values())
    width = (_WIDTH - _LEFT) / count
    scale = (_HEIGHT - _TOP - _BOTTOM) / top
    floor = _HEIGHT - _BOTTOM
    yield f"<p>{''.join(_keys())}</p>"
    yield f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="Exchanges per {_STEPS[step]}, by class">'
    for value in sorted({0, top // 2, top}):
        y = floor - value * scale
        yield f'<line x1="{_LEFT}" x2="{_WIDTH}" y1="{y:.1f}" y2="{y:.1f}"></line>'
        yield f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:,}</text>'
    for number, bar in sorted(bars.items()):
        x, y = _LEFT + (number - low) * width, float(floor)
        for at, name in enumerate(CLASSES):
            if height := bar[name] * scale:
                y -= height
                shape = f'x="{x + width * 0.1:.1f}" y="{y:.1f}" width="{width * 0.8:.1f}" height="{height:.1f}"'
                yield f'<rect class="c{at}" {shape}></rect>'
    for number in sorted({0, count // 2, count - 1}):
        x = _LEFT + (number + 0.5) * width
        place = "start" if number == 0 and count > 1 else "end" if number == count - 1 and count > 1 else "middle"
        when = datetime.fromtimestamp((low + number) * step * HOUR_S, UTC)
        text = when.strftime("%Y-%m-%d %H:%M" if step < 24 else "%Y-%m-%d")
        yield f'<text x="{x:.1f}" y="{_HEIGHT - 6}" text-anchor="{place}">{text}</text>'
    yield "</svg>"
    yield f'<p class="quiet">Exchanges per {_STEPS[step]}, in UTC.</p>'


def _keys() -> Iterator[str]:
    for at, name in enumerate(CLASSES):
        box = f'<svg viewBox="0 0 8 8"><rect class="c{at}" width="8" height="8"></rect></svg>'
        yield f'<span class="key">{box}{html_text(name)}</span>'
