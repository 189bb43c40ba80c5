"""How often a semantic cache finds the answer of a reworded question, and how often that of another question.

Run `python -m benchmarks.gateway.semantic_cache --out DIR [--peers DIR]` with GUARDPROXY_DATA for SICK and MSRP: prints tables
and writes `semantic_cache.json`. All candidates see the same pairs: rewordings and 10,000 pairs that look alike and ask
something else, from `benchmarks/models/frame`, and the sentences of SICK and MSRP, which are no questions. Nothing is trained
on any of them. Compared: equal wording (`mode: semantic` without a network), the cache with its networks at each of its
operating points, and the cosine of MiniLM at the thresholds that such caches usually have.

The cosine of MiniLM is what GPTCache and most others decide by; GPTCache's own models come from a hub. The cost is that of one
question against one candidate, with nothing remembered.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.models.frame.by_others import pairs
from benchmarks.models.frame.questions import others, rewordings
from benchmarks.peers import meaning_peers
from benchmarks.processes import machine
from benchmarks.shares import share
from guardproxy.checks import TextPair
from guardproxy.exchange.inputs.caching import CachedQuestion
from guardproxy.exchange.inputs.paraphrase import said
from guardproxy.exchange.inputs.particulars import is_comparable
from guardproxy.inference import Models
from guardproxy.server.driving.similar.questions import LEAST_COSINE, cosine

SEED = 31
REWORDINGS, OTHERS = 2000, 10_000
LISTED = 60
USUAL = (0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
"""Thresholds of cosines. GPTCache's default is 0.8, that of RedisVL 0.9."""
PROBABILITIES = (0.5, 0.8, 0.9, 0.95, 0.97, 0.99)
COSTS, MOST_ASKED = 60, 1500
LEAD = "I am a customer of yours from a small town near the coast, and this is what I want to know today: "
"""Makes questions of about 30 words of short ones."""
Liken = Callable[[str, str], float]
NOTHING: Callable[[], int] = int


@dataclass(frozen=True, slots=True)
class Row:
    """A pair. `group`: its set and what holds of it; `kind`: what differs; `is_same`: whether one answer serves both, `None`
    where nobody has said so."""

    group: str
    kind: str
    first: str
    second: str
    is_same: bool | None


@dataclass(frozen=True, slots=True)
class Candidate:
    """`liken`: how alike two texts are; `points`: the scores from which on a pair is a hit, by name; `asked`: how often a
    network was asked."""

    liken: Liken
    points: Mapping[str, float]
    asked: Callable[[], int] = NOTHING


def frame(rewordings_most: int, others_most: int) -> list[Row]:
    found = [
        Row("frame: rewordings", pair.kind, pair.first, pair.second, True) for pair in rewordings(SEED, rewordings_most)
    ]
    return found + [
        Row("frame: other questions", pair.kind, pair.first, pair.second, False) for pair in others(SEED, others_most)
    ]


def of_others(data: Path) -> list[Row]:
    """SICK's sentences that follow in one direction need not say the same, so they are counted and not judged."""
    judged = {"contradicts": False, "neutral": False, "entails": None, "same": True, "different": False}
    return [
        Row(f"{name.upper()}: {pair.label}", pair.label, pair.first, pair.second, judged[pair.label])
        for name in ("sick", "msrp")
        for pair in pairs(data, name)
    ]


def figures(rows: Sequence[Row], candidate: Candidate) -> dict[str, Any]:
    """Hits by point and group, for the frame by kind as well, and lists of what is wrong at each point."""
    scores = [candidate.liken(row.first, row.second) for row in rows]
    report: dict[str, Any] = {}
    for name, point in candidate.points.items():
        hits = [score >= point for score in scores]
        by_group: dict[str, list[bool]] = defaultdict(list)
        by_kind: dict[str, list[bool]] = defaultdict(list)
        for row, hit in zip(rows, hits, strict=True):
            by_group[row.group].append(hit)
            if row.group == "frame: other questions":
                by_kind[row.kind].append(hit)
        report[name] = {
            "hits": {group: share(sum(found), len(found)) for group, found in by_group.items()},
            "wrong hits by kind": {kind: share(sum(found), len(found)) for kind, found in sorted(by_kind.items())},
            "lists": {
                "wrong hits": listed(
                    [row for row, hit in zip(rows, hits, strict=True) if hit and row.is_same is False]
                ),
                "misses": listed([row for row, hit in zip(rows, hits, strict=True) if not hit and row.is_same]),
            },
        }
    return report


def listed(rows: Sequence[Row]) -> list[list[str]]:
    return [[row.group, row.kind, row.first, row.second] for row in Random(SEED).sample(rows, min(LISTED, len(rows)))]


def cost_ms(liken: Liken, asked: Callable[[], int] = NOTHING) -> dict[str, float]:
    """The median and the 99th percentile for two questions of about 30 words that ask the same. `asked`: counts what the
    network was asked; where it counts, only pairs that reach the network are timed."""
    times = []
    for pair in rewordings(SEED + 1, MOST_ASKED):
        first, second = LEAD + pair.first, LEAD + pair.second
        before = asked()
        began = time.perf_counter()
        liken(first, second)
        took_ms = (time.perf_counter() - began) * 1000
        if asked is NOTHING or asked() > before:
            times.append(took_ms)
        if len(times) == COSTS:
            break
    if not times:
        return {"pairs": 0}
    return {
        "pairs": len(times),
        "median": round(statistics.median(times), 3),
        "p99": round(sorted(times)[int(len(times) * 0.99)], 3),
    }


def by_wording(first: str, second: str) -> float:
    return float(said(first) == said(second))


class Cache:
    """The cache with its models: how sure it is that two questions ask the same, 0 where words, the vectors or a particular
    refuse before the network is asked. `asked`: what the network was asked; `refused`: what a particular refused."""

    def __init__(self) -> None:
        models = Models()
        self._embedder, self._judge = models.embedder(), models.pairs()
        self.points = {**{f"{point:g}": point for point in PROBABILITIES}, "same": self._judge.points["same"]}
        self.asked = self.refused = 0

    def _alike(self, first: str, second: str) -> float:
        return cosine(*self._embedder.embed([first, second]))

    def __call__(self, first: str, second: str) -> float:
        if said(first) == said(second):
            return 1.0
        question = CachedQuestion(partition="", holder="", text=first)
        other = question.worded(second)
        if not (is_comparable(first) and is_comparable(second)):
            return 0.0
        vectors = self._embedder.embed([question.asked, other.asked])
        if cosine(*vectors) < LEAST_COSINE:
            return 0.0
        if not question.particulars(self._alike)(other):
            self.refused += 1
            return 0.0
        self.asked += 1
        both = [TextPair(question.asked, other.asked), TextPair(other.asked, question.asked)]
        scores = self._judge.judge(both)
        return min(score.entails for score in scores)


def peers(encoder: meaning_peers.MiniLm) -> dict[str, Candidate]:
    return {"MiniLM cosine": Candidate(encoder.cosine, {f"{point:g}": point for point in USUAL})}


def show(report: Mapping[str, Any]) -> None:
    for name, points in report.items():
        for point, found in points.items():
            cells = [f"{group} {row['percent']} %" for group, row in found["hits"].items()]
            print(f"  {name:24} {point:10} {' | '.join(cells)}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--peers", type=Path, default=meaning_peers.FOLDER)
    parser.add_argument("--rewordings", type=int, default=REWORDINGS)
    parser.add_argument("--others", type=int, default=OTHERS)
    options = parser.parse_args(arguments)
    rows = frame(options.rewordings, options.others)
    data = os.environ.get("GUARDPROXY_DATA")
    rows += of_others(Path(data)) if data is not None else []
    cache = Cache()
    candidates = {
        "equal wording": Candidate(by_wording, {"": 1.0}),
        "the cache": Candidate(cache, cache.points, lambda: cache.asked),
    }
    left_out, encoder = dict(meaning_peers.LEFT_OUT), None
    if meaning_peers.installed(options.peers):
        encoder = meaning_peers.MiniLm()
        candidates |= peers(encoder)
    else:
        left_out["MiniLM cosine"] = "not installed"
    report: dict[str, Any] = {
        "machine": machine(),
        "left_out": left_out,
        "pairs": len(rows),
        "candidates": {},
        "ms": {},
    }
    timed = candidates if encoder is None else candidates | peers(meaning_peers.MiniLm(kept=None))
    for name, candidate in candidates.items():
        print(name, file=sys.stderr, flush=True)
        report["ms"][name] = cost_ms(timed[name].liken, candidate.asked)
        report["candidates"][name] = figures(rows, candidate)
    if encoder is not None:
        encoder.save()
    report["the network was asked"] = {"pairs": cache.asked, "refused by a particular": cache.refused}
    show(report["candidates"])
    print(json.dumps(report["ms"], indent=1))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "semantic_cache.json").write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
