"""How well `topic` tells texts on a topic from others, with ten examples, beside words and the cosine of an encoder.

Run `python -m benchmarks.checks.topic --out DIR [--peers DIR]` with GUARDPROXY_DATA for topics by other hands: prints tables
and writes `topic.json`. All candidates see the same ten examples and the same sentence for each topic, and judge the same
texts: those of the topic that nothing was fitted on, and those of all other topics of the set. In our own ten topics the other
texts hold some that share words with the topic. `benchmarks/models/frame/topics.py` says where the topics come from.

For each candidate: the area under the curve, and the share found where 2 % of the other texts are found as well, a threshold
that is chosen on these very texts; for the check, also what it finds at its own threshold, which it fits from the examples.
llm-guard's BanTopics takes its weights from a hub, so it is left out. Some texts of the topics by others, without their
headings, may be among the sentences from which the embedding model was distilled, and two of the sources (`shell`, `sums`) are
among the ordinary texts that it compares a topic with.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, cast

from benchmarks.models.frame import topics
from benchmarks.models.frame.topics import Topic
from benchmarks.peers import meaning_peers
from benchmarks.processes import machine
from benchmarks.shares import share
from guardproxy.checks import Resources, build
from guardproxy.checks._shared.topics.pieces import pieces
from guardproxy.checks.topic import TopicCheck
from guardproxy.inference.models import Models
from guardproxy.lab.shares import auc, cutoff

SEED = 31
OTHER_FOUND = 0.02
LISTED = 40
TRAFFIC_EACH = 300


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a candidate made of a topic. `score`: how surely a text is on it; `threshold`: from which score on it is, if the
    candidate has fitted one."""

    score: Callable[[str], float]
    threshold: float | None = None


Fit = Callable[[Topic], Fitted]


def by_check(way: str) -> Fit:
    """The check with its own threshold: `deny` finds a text on the topic, `allow` lets it pass."""
    models = Models()
    resources = Resources(embedder=models.embedder, background=models.background)

    def fit(topic: Topic) -> Fitted:
        entry = {"name": topic.name, "about": topic.about, "examples": list(topic.examples)}
        check = cast(TopicCheck, build("topic", "topic", {way: [entry]}, resources))
        return Fitted(
            lambda text: max(check.scores(text[start:end])[0] for start, end in pieces(text, 0, last=True)),
            check.topics[0].threshold,
        )

    return fit


def by_words(topic: Topic) -> Fitted:
    """BM25 of the text for the best of the examples and the sentence."""
    from rank_bm25 import BM25Plus

    index = BM25Plus([meaning_peers.words_of(text) for text in (topic.about, *topic.examples)])
    return Fitted(lambda text: float(max(index.get_scores(meaning_peers.words_of(text)))))


def by_centroid(encoder: meaning_peers.MiniLm) -> Fit:
    def fit(topic: Topic) -> Fitted:
        centre = encoder.embed((topic.about, *topic.examples)).mean(axis=0)
        return Fitted(lambda text: float(encoder.embed([text])[0] @ centre))

    return fit


def by_nearest(encoder: meaning_peers.MiniLm) -> Fit:
    def fit(topic: Topic) -> Fitted:
        known = encoder.embed((topic.about, *topic.examples))
        return Fitted(lambda text: float((known @ encoder.embed([text])[0]).max()))

    return fit


def peers(encoder: meaning_peers.MiniLm) -> dict[str, Fit]:
    return {
        "BM25, best example": by_words,
        "MiniLM cosine, best example": by_nearest(encoder),
        "MiniLM cosine, mean of examples": by_centroid(encoder),
    }


def figures(found: Sequence[Topic], fit: Fit, traffic: Sequence[str]) -> dict[str, Any]:
    """The figures of each topic, and the sums of all."""
    report: dict[str, Any] = {"topics": {}}
    sums: dict[str, list[int]] = {}
    misses, wrong = [], []

    def count(name: str, flags: Sequence[bool]) -> dict[str, Any]:
        both = sums.setdefault(name, [0, 0])
        both[0] += sum(flags)
        both[1] += len(flags)
        return share(sum(flags), len(flags))

    for topic in found:
        fitted = fit(topic)
        other = [text for each in found if each is not topic for text in each.texts]
        sets = {"on the topic": topic.texts, "other topics": other, "near": topic.near, "traffic": traffic}
        scores = {name: [fitted.score(text) for text in texts] for name, texts in sets.items()}
        negative = scores["other topics"] + scores["near"]
        above = cutoff(negative, OTHER_FOUND)
        row: dict[str, Any] = {"auc": round(auc(scores["on the topic"], negative), 4)}
        row["found at 2 %"] = count(
            "found at 2 %", [above is not None and score > above for score in scores["on the topic"]]
        )
        if (threshold := fitted.threshold) is not None:
            for name, its in scores.items():
                if its:
                    row[name] = count(name, [score >= threshold for score in its])
            judged = list(zip(topic.texts, scores["on the topic"], strict=True))
            misses += [[topic.name, text] for text, score in judged if score < threshold]
            judged = list(zip((*other, *topic.near), negative, strict=True))
            wrong += [[topic.name, text] for text, score in judged if score >= threshold]
        report["topics"][topic.name] = row
    report["mean auc"] = round(statistics.mean(row["auc"] for row in report["topics"].values()), 4)
    report["all"] = {name: share(*both) for name, both in sums.items()}
    report["lists"] = {name: drawn(rows) for name, rows in (("misses", misses), ("wrongly found", wrong)) if rows}
    return report


def drawn(rows: Sequence[list[str]]) -> list[list[str]]:
    return Random(SEED).sample(rows, min(LISTED, len(rows)))


def cost_ms(fitted: Fitted, texts: Sequence[str]) -> float:
    """The median time of a text."""
    times = []
    for text in texts:
        began = time.perf_counter()
        fitted.score(text)
        times.append((time.perf_counter() - began) * 1000)
    return round(statistics.median(times), 4)


def show(report: Mapping[str, Any]) -> None:
    for candidate, found in report.items():
        cells = [f"{name} {row['percent']} %" for name, row in found["all"].items()]
        print(f"  {candidate:32} AUC {found['mean auc']:.3f} | {' | '.join(cells)}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--peers", type=Path, default=meaning_peers.FOLDER)
    parser.add_argument("--most", type=int, default=200, help="texts of a topic by others")
    options = parser.parse_args(arguments)
    sets: dict[str, tuple[Sequence[Topic], Sequence[str]]] = {"own topics": (topics.own(), ())}
    if (data := os.environ.get("GUARDPROXY_DATA")) is not None:
        sets["topics by others"] = (
            topics.by_others(Path(data), SEED, options.most),
            topics.traffic(Path(data), SEED, TRAFFIC_EACH),
        )
    candidates: dict[str, Fit] = {"`deny`": by_check("deny"), "`allow`": by_check("allow")}
    left_out, encoder, timed = dict(meaning_peers.LEFT_OUT), None, dict(candidates)
    if meaning_peers.installed(options.peers):
        encoder = meaning_peers.MiniLm()
        candidates |= peers(encoder)
        # Each has an encoder that has seen no text.
        timed |= {name: peers(meaning_peers.MiniLm(kept=None))[name] for name in peers(encoder)}
    else:
        left_out["BM25, MiniLM cosine"] = "not installed"
    report: dict[str, Any] = {"machine": machine(), "left_out": left_out, "sets": {}, "ms": {}}
    for candidate, fit in timed.items():
        new = [text for topic in topics.own() for text in topic.near]  # judged for the first time
        report["ms"][candidate] = cost_ms(fit(topics.own()[0]), new)
    for name, (found, traffic) in sets.items():
        print(f"\n{name}: at the threshold of each, and at 2 % of the other topics")
        report["sets"][name] = {}
        for candidate, fit in candidates.items():
            print(f"{name}: {candidate}", file=sys.stderr, flush=True)
            report["sets"][name][candidate] = figures(found, fit, traffic)
        show(report["sets"][name])
    if encoder is not None:
        encoder.save()
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "topic.json").write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
