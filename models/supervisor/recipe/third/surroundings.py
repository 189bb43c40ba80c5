"""Code and documents of this Python environment as tools' results: as they are, and with an order planted between two lines.

In: training rows, whose orders are taken, and a seeded generator. Out: rows. Code, tables and documents are full of imperatives
to people and machines, and they set how many orders are found without false alarms. The same seed and environment give
the same rows.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from itertools import islice

from models.supervisor.recipe.first.data import environment
from models.supervisor.recipe.second.outputs import Row, make_row
from models.supervisor.recipe.second.sources import FINE, ORDER

HARMLESS, PLANTED = 3000, 2000
CHANNEL = "tool_result"
OF_OWN = "own/third/"
"""Whose orders are planted: written one by one, not made of templates."""


def orders(rows: Sequence[Row]) -> list[str]:
    """The orders in the own rows of the third generation, each once, in order."""
    found = [row["text"][slice(*row["span"])] for row in rows if row["span"] and row["source"].startswith(OF_OWN)]
    return list(dict.fromkeys(found))


def plant(text: str, order: str, rng: random.Random) -> tuple[str, list[int]]:
    """The text with the order at a border of lines or sentences, and where it stands."""
    borders = [0, len(text), *(match.end() for match in re.finditer(r"\n+|(?<=[.!?]) ", text))]
    at = rng.choice(borders)
    before, after = text[:at], text[at:]
    gap = "\n" if before.endswith("\n") or not before or rng.random() < 0.5 else " "
    start = len(before) + (0 if before.endswith(("\n", " ")) or not before else len(gap))
    joined = before + (gap if start > len(before) else "") + order + gap + after
    return joined, [start, start + len(order)]


def surroundings(rows: Sequence[Row], rng: random.Random) -> list[Row]:
    """`HARMLESS` harmless parts, and at most `PLANTED` others with an order; fewer in a small environment."""
    planned = orders(rows)
    parts = [row["text"] for row in islice(environment(rng), HARMLESS + min(PLANTED, len(planned)))]
    found = [make_row(text, FINE, "environment", CHANNEL) for text in parts[:HARMLESS]]
    for text, order in zip(parts[HARMLESS:], rng.sample(planned, len(planned)), strict=False):
        whole, span = plant(text, order, rng)
        found.append(make_row(whole, ORDER, "own/planted", CHANNEL, span))
    return found
