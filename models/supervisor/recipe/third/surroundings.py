"""Real code, documents and tools' results, read as tools' results: as they are, and with an order planted between two lines.

In: the data folder, this Python environment, training rows, whose orders are taken, and a seeded generator. Out: rows. Code,
tables and documents are full of imperatives to people and machines. A network that saw few of them takes their form for an
order, and then they set how many orders are found without false alarms. The same seed, data and environment give the same rows.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from models.supervisor.recipe import groups
from models.supervisor.recipe.first.data import MORE, environment, more
from models.supervisor.recipe.second.outputs import Row, make_row
from models.supervisor.recipe.second.sources import ORDER

HARMLESS, PLANTED = 16_000, 3000
OF_RESULTS = 2000
"""Harmless parts of each public file of tools' results."""
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


def results(folder: Path, held: list[Row], rng: random.Random) -> list[Row]:
    """Harmless parts of the public files of tools' results, but of those to choose with."""
    strangers = {source.name for source in groups.STRANGERS}
    others = {name for name, (channel, _) in MORE.items() if channel != CHANNEL}
    by_source: dict[str, list[Row]] = {}
    for row in more(folder, held, rng, strangers | others):
        by_source.setdefault(row["source"], []).append(row)
    return [row for rows in by_source.values() for row in rng.sample(rows, min(OF_RESULTS, len(rows)))]


def surroundings(rows: Sequence[Row], rng: random.Random) -> list[Row]:
    """At most `PLANTED` parts of the environment with an order, and at most `HARMLESS` others; a small one has fewer."""
    planned = orders(rows)
    planned = rng.sample(planned, min(PLANTED, len(planned)))
    parts = list(islice(environment(rng), len(planned) + HARMLESS))
    found = []
    for row, order in zip(parts, planned, strict=False):
        whole, span = plant(row["text"], order, rng)
        found.append(make_row(whole, ORDER, "own/planted", CHANNEL, span))
    return found + [row | {"channel": CHANNEL} for row in parts[len(planned) :]]
