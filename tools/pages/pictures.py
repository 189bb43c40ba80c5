"""Draws graphs as SVG: the floors of packages, the states of an exchange, the messages between parts.

In: names and arrows. Out: an SVG that loads nothing and follows the colour scheme of the reader.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import count
from typing import NamedTuple

_STYLE = """
  text { font: 14px ui-sans-serif, system-ui, sans-serif; fill: #0f172a; text-anchor: middle; }
  .box { fill: #fff; stroke: #334155; } .way { fill: none; stroke: #2563eb; stroke-opacity: .55; stroke-width: 1.3; }
  .back { stroke: #b45309; } .life { stroke: #94a3b8; stroke-dasharray: 4 4; } .note { fill: #fef9c3; stroke: #a16207; }
  .group { fill: none; stroke: #94a3b8; stroke-dasharray: 5 4; } .start { text-anchor: start; }
  .tip { fill: #2563eb; } .tip.back { fill: #b45309; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e2e8f0; } .box { fill: #1e293b; stroke: #94a3b8; } .way { stroke: #60a5fa; } .tip { fill: #60a5fa; }
    .back { stroke: #f59e0b; } .tip.back { fill: #f59e0b; } .note { fill: #422006; }
  }
"""
_LETTER = 8
_BOX_HEIGHT = 30


class Message(NamedTuple):
    """An arrow between two parts. `is_answer`: drawn dashed; `note`: a text over the sender instead of an arrow."""

    sender: str
    receiver: str
    text: str
    is_answer: bool = False
    is_note: bool = False


def _svg(width: int, height: int, title: str, lines: Iterable[str]) -> str:
    marker = (
        '<marker id="{0}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
        '<path class="tip{1}" d="M0 0L10 5L0 10z"/></marker>'
    )
    view = f"0 0 {width} {height}"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{view}" role="img" aria-label="{escape(title)}">',
            f"<title>{escape(title)}</title><style>{_STYLE}</style>",
            f"<defs>{marker.format('to', '')}{marker.format('back', ' back')}</defs>",
            *lines,
            "</svg>",
            "",
        ]
    )


def _box(x: float, y: float, width: float, text: str, kind: str = "box") -> str:
    """A box whose middle is at x."""
    return (
        f'<rect class="{kind}" x="{x - width / 2:g}" y="{y:g}" width="{width:g}" height="{_BOX_HEIGHT}" rx="5"/>'
        f'<text x="{x:g}" y="{y + 20:g}">{escape(text)}</text>'
    )


def floors_picture(title: str, floors: Sequence[Sequence[str]], arrows: Mapping[str, Iterable[str]]) -> str:
    """A row of boxes for each floor, the highest first, and a line to each part below that a part imports."""
    gap, row = 22, 84
    widths = {part: len(part) * _LETTER + 26 for floor in floors for part in floor}
    totals = [sum(widths[part] for part in floor) + gap * (len(floor) - 1) for floor in floors]
    width = max(totals) + 40
    places: dict[str, tuple[float, int]] = {}
    for number, floor in enumerate(floors):
        importers = {part: [places[above][0] for above in places if part in arrows[above]] for part in floor}
        middle = {part: sum(xs) / len(xs) if xs else width / 2 for part, xs in importers.items()}
        left = (width - totals[number]) / 2
        for part in sorted(floor, key=lambda part: (middle[part], part)):  # fewer lines cross
            places[part] = left + widths[part] / 2, 20 + number * row
            left += widths[part] + gap
    lines = []
    for part, (x, y) in places.items():
        for other in sorted(arrows[part]):
            below, bottom = places[other]
            top, half = y + _BOX_HEIGHT, (bottom - y - _BOX_HEIGHT) / 2
            lines.append(
                f'<path class="way" marker-end="url(#to)" '
                f'd="M{x:g} {top}C{x:g} {top + half:g} {below:g} {bottom - half:g} {below:g} {bottom}"/>'
            )
    lines += [_box(x, y, widths[part], part) for part, (x, y) in places.items()]
    return _svg(int(width), 20 + row * (len(floors) - 1) + _BOX_HEIGHT + 20, title, lines)


def arcs_picture(title: str, names: Sequence[str], arrows: Mapping[str, Iterable[str]]) -> str:
    """A column of boxes, an arc at the right for each arrow down, and one at the left for each arrow up."""
    row, middle = 58, 330
    places = {name: 20 + row * number for number, name in enumerate(names)}
    box = max(len(name) for name in names) * _LETTER + 30
    lines, ends = [], {name: count() for name in names}
    for name, others in arrows.items():
        for other in sorted(others, key=places.__getitem__):
            from_y = places[name] + 15 + next(ends[name]) * 3 - 10
            to_y = places[other] + 15 + next(ends[other]) * 3 - 10
            side = 1 if to_y > from_y else -1
            x = middle + side * box / 2
            far = x + side * (18 + abs(to_y - from_y) * 0.45)
            kind, tip = ("way", "to") if side > 0 else ("way back", "back")
            curve = f"M{x:g} {from_y:g}C{far:g} {from_y:g} {far:g} {to_y:g} {x:g} {to_y:g}"
            lines.append(f'<path class="{kind}" marker-end="url(#{tip})" d="{curve}"/>')
    lines += [_box(middle, y, box, name) for name, y in places.items()]
    return _svg(middle * 2, 20 + row * (len(names) - 1) + _BOX_HEIGHT + 20, title, lines)


def messages_picture(
    title: str, parts: Sequence[str], messages: Sequence[Message], group: tuple[int, int, str] | None = None
) -> str:
    """A column for each part and an arrow for each message, in order of time. `group`: the first and the last message of those
    that repeat, and what it says of them."""
    column, row, top = 240, 44, 70
    xs = {part: 110 + column * number for number, part in enumerate(parts)}
    width, bottom = 110 + column * (len(parts) - 1) + 110, top + row * (len(messages) - 1) + 20
    lines = [f'<path class="life" d="M{x} 50V{bottom}"/>' for x in xs.values()]
    if group:
        first, last, words = group
        y = top + row * first - 30
        lines.append(
            f'<rect class="group" x="20" y="{y}" width="{width - 40}" height="{row * (last - first + 1) + 8}" rx="6"/>'
            f'<text class="start" x="30" y="{y + 18}">{escape(words)}</text>'
        )
    for number, message in enumerate(messages):
        y, start, end = top + row * number, xs[message.sender], xs[message.receiver]
        if message.is_note:
            wide = len(message.text) * _LETTER
            lines.append(_box((start + end) / 2, y - 20, wide, message.text, "note"))
            continue
        dashes = ' stroke-dasharray="5 4"' if message.is_answer else ""
        lines.append(
            f'<path class="way" marker-end="url(#to)"{dashes} d="M{start} {y}H{end}"/>'
            f'<text x="{(start + end) / 2:g}" y="{y - 7}">{escape(message.text)}</text>'
        )
    lines += [_box(x, 15, 130, part) for part, x in xs.items()]
    return _svg(width, bottom + 10, title, lines)
