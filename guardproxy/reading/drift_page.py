"""Shows the drift of traffic: a page for people and metrics for Prometheus.

In: shifts, and the samples of each day. Out: HTML, and the text format of Prometheus. The page holds names, counts and shares,
and no text of an exchange.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import date

from guardproxy.reading.drift import LARGE_PSI, LEAST_EXCHANGES, MODERATE_PSI, Shift, shifts
from guardproxy.reading.samples import Sample
from guardproxy.webpage import STYLE, html_table, html_text, webpage

_LINES = 6
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 860, 240, 56, 24, 14
_STYLE = """
td.number { white-space: nowrap; } .large { color: var(--loose); font-weight: 600; } .moderate { font-weight: 600; }
svg { width: 100%; height: auto; } svg text { font: 11px system-ui, sans-serif; fill: currentColor; }
svg line { stroke: var(--line); } svg line.limit { stroke-dasharray: 4 4; stroke: currentColor; opacity: .6; }
polyline { fill: none; stroke-width: 2; } .key { display: inline-block; margin-right: 1.2rem; white-space: nowrap; }
.key svg { width: .8rem; height: .8rem; margin-right: .4rem; vertical-align: -1px; }
.l0 { stroke: #b3392f; fill: #b3392f; } .l1 { stroke: #7aa6c2; fill: #7aa6c2; } .l2 { stroke: #d9a520; fill: #d9a520; }
.l3 { stroke: #8a6fb0; fill: #8a6fb0; } .l4 { stroke: #5a9a5a; fill: #5a9a5a; } .l5 { stroke: #9a9a9a; fill: #9a9a9a; }
polyline.l0, polyline.l1, polyline.l2, polyline.l3, polyline.l4, polyline.l5 { fill: none; }
"""
_HEAD = ("measure", "shift", "PSI", "PSI by chance", "KS", "before", "now", "exchanges before", "now")
_METRICS = (
    ("guardproxy_drift_psi", "Population stability index of a measure of the traffic against the baseline."),
    ("guardproxy_drift_chance_psi", "The index up to which the difference may be chance (99.9 %)."),
)


def drift_page(title: str, about: str, baseline: Sample, found: Sequence[Shift], days: Mapping[date, Sample]) -> str:
    """Returns the page. `about`: the compared periods, in words. `days`: the samples to show over time."""
    heading = f"Drift: {title}"
    body = [
        f"<h1>{html_text(heading)}</h1>",
        f'<p class="quiet">{html_text(about)}</p>',
        f"<p>{html_text(verdict_of(found))}</p>",
        *_trend(baseline, found, days),
        "<h2>Measures</h2>",
        *html_table(_HEAD, map(_row, found), numbers=(2, 3, 4, 7, 8)),
        f'<p class="quiet">PSI: population stability index; {MODERATE_PSI} and more is a moderate shift, {LARGE_PSI} '
        "and more a large shift, unless it is at most the PSI by chance. KS: the largest distance between the "
        f"distributions. Measures with fewer than {LEAST_EXCHANGES} exchanges in a period are not judged.</p>",
    ]
    return webpage(heading, body, STYLE + _STYLE)


def drift_metrics(found: Sequence[Shift]) -> str:
    """Returns the shifts in the text format of Prometheus, for the textfile collector of a node exporter."""
    lines = []
    for (metric, meaning), member in zip(_METRICS, ("psi", "chance"), strict=True):
        lines += [f"# HELP {metric} {meaning}", f"# TYPE {metric} gauge"]
        for shift in found:
            if shift.verdict != "too few":
                value = getattr(shift, member)
                shown = f"{value:.6g}" if math.isfinite(value) else "+Inf"
                lines.append(f'{metric}{{measure="{_label(shift.measure)}"}} {shown}')
    return "\n".join((*lines, ""))


def verdict_of(found: Sequence[Shift]) -> str:
    """Returns the result in a sentence."""
    count = {verdict: sum(shift.verdict == verdict for shift in found) for verdict in ("large", "moderate", "stable")}
    if not sum(count.values()):
        return f"Nothing could be compared: each period needs {LEAST_EXCHANGES} exchanges."
    return f"{count['large']} measures shifted much, {count['moderate']} moderately; {count['stable']} are stable."


def _row(shift: Shift) -> tuple[str, ...]:
    verdict = shift.verdict
    return (
        html_text(shift.measure),
        f'<span class="{verdict.replace(" ", "-")}">{verdict}</span>',
        f"{shift.psi:.3f}",
        f"{shift.chance:.3f}" if math.isfinite(shift.chance) else "",
        "" if shift.ks is None else f"{shift.ks:.3f}",
        html_text(shift.before),
        html_text(shift.after),
        *(f"{count:,}" for count in shift.counts),
    )


def _trend(baseline: Sample, found: Sequence[Shift], days: Mapping[date, Sample]) -> Iterator[str]:
    """Yields a plot of the PSI of each day, for the measures that shifted most."""
    shown = [shift.measure for shift in found if shift.is_shifted][:_LINES]
    if not shown or len(days) < 2:
        return
    lines: dict[str, list[tuple[date, float]]] = {measure: [] for measure in shown}
    for day, sample in sorted(days.items()):
        for shift in shifts(baseline, sample):
            if shift.measure in lines and shift.verdict != "too few":
                lines[shift.measure].append((day, shift.psi))
    first, last = min(days), max(days)
    across = (_WIDTH - _LEFT - 10) / (last - first).days
    floor = _HEIGHT - _BOTTOM

    def point(day: date, psi: float) -> tuple[str, str]:
        return f"{_LEFT + (day - first).days * across:.1f}", f"{floor - min(1.0, psi) * (floor - _TOP):.1f}"

    yield "<h2>By day</h2><p>"
    for at, measure in enumerate(shown):
        box = f'<svg viewBox="0 0 8 8"><rect class="l{at}" width="8" height="8"></rect></svg>'
        yield f'<span class="key">{box}{html_text(measure)}</span>'
    yield f'</p><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="PSI of each day against the baseline">'
    for psi, style in ((0.0, ""), (MODERATE_PSI, ' class="limit"'), (LARGE_PSI, ' class="limit"'), (1.0, "")):
        _, y = point(first, psi)
        yield f'<line{style} x1="{_LEFT}" x2="{_WIDTH}" y1="{y}" y2="{y}"></line>'
        yield f'<text x="{_LEFT - 6}" y="{y}" text-anchor="end">{psi:g}</text>'
    for at, measure in enumerate(shown):
        points = [point(day, psi) for day, psi in lines[measure]]
        yield f'<polyline class="l{at}" points="{" ".join(f"{x},{y}" for x, y in points)}"></polyline>'
        yield from (f'<circle class="l{at}" cx="{x}" cy="{y}" r="2.5"></circle>' for x, y in points)
    for day, anchor in ((first, "start"), (last, "end")):
        x, _ = point(day, 0.0)
        yield f'<text x="{x}" y="{_HEIGHT - 6}" text-anchor="{anchor}">{day}</text>'
    yield '</svg><p class="quiet">PSI of each day against the baseline, in UTC; more than 1 is drawn as 1. Days with few '
    yield "exchanges are left out.</p>"


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
