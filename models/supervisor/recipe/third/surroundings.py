"""Real code, documents and tools' results, read as tools' results: as they are, and with a sentence planted between two lines.

In: the data folder, this Python environment, training rows, whose orders are taken, and a seeded generator. Out: rows. Code,
tables and documents are full of imperatives to people and machines. A network that saw few of them takes their form for an
order, and then they set how many orders are found without false alarms. An order to the model and its twin, a sentence that is
for people or for nobody, stand at the same place of the same text. The same seed, data and environment give the same rows.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from itertools import islice, pairwise
from pathlib import Path

from models.supervisor.recipe import groups
from models.supervisor.recipe.first.data import MORE, environment, more
from models.supervisor.recipe.second.outputs import Row, make_row
from models.supervisor.recipe.second.sources import FINE, ORDER

HARMLESS = 16_000
PLANTINGS = 2
"""How often each pair of twins is planted."""
OF_RESULTS = 2000
"""Harmless parts of each public file of tools' results."""
CHANNEL = "tool_result"
OF_OWN = "own/third/"
"""Whose sentences are planted: written one by one, not made of templates."""
Twins = tuple[str, str]


def twins(rows: Sequence[Row]) -> list[Twins]:
    """The orders in the own rows of the third generation, each with what its twin says in its place. Twins are neighbours."""
    found = []
    for one, other in pairwise(row for row in rows if row["source"].startswith(OF_OWN)):
        for bad, fine in ((one, other), (other, one)):
            if bad["span"] and not fine["span"] and bad["source"] == fine["source"]:
                start, end = bad["span"]
                head, tail, text = bad["text"][:start], bad["text"][end:], fine["text"]
                if text.startswith(head) and text.endswith(tail) and len(text) > len(head) + len(tail):
                    found.append((bad["text"][start:end], text[len(head) : len(text) - len(tail)]))
    return list(dict.fromkeys(found))


def plant(text: str, sentence: str, rng: random.Random) -> tuple[str, list[int]]:
    """The text with the sentence at a border of lines or sentences, and where it stands."""
    borders = [0, len(text), *(match.end() for match in re.finditer(r"\n+|(?<=[.!?]) ", text))]
    at = rng.choice(borders)
    before, after = text[:at], text[at:]
    gap = "\n" if before.endswith("\n") or not before or rng.random() < 0.5 else " "
    start = len(before) + (0 if before.endswith(("\n", " ")) or not before else len(gap))
    joined = before + (gap if start > len(before) else "") + sentence + gap + after
    return joined, [start, start + len(sentence)]


def planted(text: str, pair: Twins, rng: random.Random) -> list[Row]:
    """The text with the order, and with its twin at the same place, which is to be read as well."""
    seed = rng.random()
    found = []
    for sentence, told, name in zip(pair, (ORDER, FINE), ("own/planted", "own/unplanted"), strict=True):
        whole, span = plant(text, sentence, random.Random(seed))
        found.append(make_row(whole, told, name, CHANNEL, span))
    return found


def results(folder: Path, held: list[Row], rng: random.Random) -> list[Row]:
    """Harmless parts of the public files of tools' results, but of those to choose with."""
    strangers = {source.name for source in groups.STRANGERS}
    others = {name for name, (channel, _) in MORE.items() if channel != CHANNEL}
    by_source: dict[str, list[Row]] = {}
    for row in more(folder, held, rng, strangers | others):
        by_source.setdefault(row["source"], []).append(row)
    return [row for rows in by_source.values() for row in rng.sample(rows, min(OF_RESULTS, len(rows)))]


def surroundings(rows: Sequence[Row], others: Sequence[Row], rng: random.Random) -> list[Row]:
    """At most `HARMLESS` parts of the environment, and `PLANTINGS` of each pair of twins, one after the other in such a part
    and in one of the harmless `others`. A small environment has fewer parts, and then less is planted."""
    pairs = twins(rows) * PLANTINGS
    pairs = rng.sample(pairs, len(pairs))
    parts = list(islice(environment(rng), len(pairs) // 2 + HARMLESS))
    half = len(pairs) // 2
    inside = [row["text"] for row in parts[:half]] + [row["text"] for row in rng.choices(others, k=len(pairs) - half)]
    found = [row for text, pair in zip(inside, pairs, strict=False) for row in planted(text, pair, rng)]
    return found + [row | {"channel": CHANNEL} for row in parts[half:]]
