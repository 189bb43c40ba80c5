"""What the supervisor's first stage saves on ordinary traffic, for `benchmarks/models/supervisor.py`.

In: a model folder with a first stage or one that reads in spans, the folder of data sets if there is one. Out: for what
policies ask the time of a text with and without the first stage, and the share of pieces that it clears; and how fast a text
is read up to the encoder. Ways take turns on each text, so that other load meets both alike; times are the processor's own,
tokenizing included.

Run `python -m benchmarks.models.supervisor_cascade --data DIR [--model DIR] [--against DIR]` for the time by the length of a
text: prints a table for `injection` in messages and tools' results. `--against`: another model folder, whose first stage is
measured as well.
"""

from __future__ import annotations

import argparse
import re
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from benchmarks.models import supervisor_traffic
from guardproxy.checks._shared.declared.contract import Query, Scorer
from guardproxy.findings import Kind
from guardproxy.inference import models as supervisor
from guardproxy.inference.models import Settings
from guardproxy.inference.running.cache import Verdicts
from guardproxy.inference.scoring.scorer import ModelScorer
from models.supervisor.recipe.second.ordinary import ordinary

SEED = 20_28
LENGTHS = {50: 100, 200: 40, 1000: 10, 20_000: 1}
"""Words of a text -> how many such texts are measured."""
PARTS = frozenset(("jailbreak", "embedded_instruction"))
"""Outputs that a model may have beside an output `injection`, of which they are parts."""
Text = tuple[str, Kind]


def texts(data: Path | None, count: int) -> list[Text]:
    """Ordinary texts of all kinds and the kind of channel of each; made-up chats without the data sets."""
    random = Random(SEED)
    if data is None:
        made = supervisor_traffic.conversations(count, None)
        return [(text, "user") for requests in made for text in requests[-1]][:count]
    rows = ordinary(data, random)
    return [(row["text"], row["channel"]) for row in random.sample(rows, min(count, len(rows)))]


def content(scorer: Scorer) -> tuple[str, ...]:
    """The outputs that are about what a text says: neither behind the label `injection` nor a part of it."""
    behind = scorer.labels.get("injection", {}).values()
    injection = PARTS.union(*behind)
    return tuple(output for output in scorer.outputs if output not in injection)


def asked(scorer: ModelScorer) -> dict[str, dict[Kind, tuple[str, ...]]]:
    """Outputs of what policies ask, by kind of channel: injection, and any content."""
    behind = scorer.labels.get("injection", {})
    kinds: tuple[Kind, ...] = ("user", "tool_result", "system", "assistant")
    return {
        "injection": {kind: behind.get(kind, behind.get("any", ())) for kind in kinds},
        "any content": dict.fromkeys(kinds, content(scorer)),
    }


def measure(folder: Path, data: Path | None, count: int) -> dict[str, Any]:
    """The figures, empty for a model without a first stage."""
    scorer = supervisor.load(folder, settings=Settings(threads=1, workers=1, remembered=0))
    if not scorer.model.clearing:
        return {}
    sample = texts(data, count)
    found: dict[str, Any] = {"texts": len(sample), "source": "data sets" if data else "made up"}
    for label, outputs in asked(scorer).items():
        spent: dict[bool, list[float]] = {True: [], False: []}
        cleared = []
        for text, kind in sample:
            for first, times in spent.items():
                busy = time.process_time()
                (pieces,) = scorer.judge([Query(text, outputs[kind], first, kind)])
                times.append(1000 * (time.process_time() - busy))
                if first:
                    cleared += [piece.cleared for piece in pieces]
        found[label] = {
            "p50_ms": float(np.median(spent[True])),
            "p50_ms_without": float(np.median(spent[False])),
            "mean_share": sum(spent[True]) / sum(spent[False]),
            "pieces_cleared": float(np.mean(cleared)),
        }
    return found | {"words_per_s": speed(scorer, [text for text, _ in sample])}


def speed(scorer: ModelScorer, given: list[str]) -> dict[str, float]:
    """Words a second on one core up to the encoder, with the tokenizer that the encoder needs as well and without it."""
    reader = scorer.reader
    cutting = reading = 0.0
    for text in given:
        begun = time.process_time()
        reader.pieces(text)
        cut = time.process_time()
        reader.read(Query(text, tuple(scorer.model.clearing)), Verdicts())
        cutting += cut - begun
        reading += time.process_time() - cut
    words = sum(len(text.split()) for text in given)
    return {"with_tokenizer": words / reading, "alone": words / max(reading - cutting, 1e-9)}


def long_texts(data: Path, words: int, count: int, random: Random) -> Iterator[Text]:
    """Ordinary messages and tools' results of so many words. Each is the beginning of a text, or of texts of one kind
    joined if no text of the kind is long enough."""
    by_kind = defaultdict(list)
    for row in ordinary(data, random):
        if row["channel"] in ("user", "tool_result"):
            by_kind[row["source"]].append(row)
    for _ in range(count):
        rows = by_kind[random.choice(sorted(by_kind))]
        long = [row for row in rows if len(row["text"].split()) >= words]
        joined = random.choice(long)["text"] if long else ""
        while len(joined.split()) < words:
            joined += "\n\n" + random.choice(rows)["text"]
        ends = [found.end() for found in re.finditer(r"\S+", joined)]
        yield joined[: ends[words - 1]], rows[0]["channel"]


def by_length(scorers: Mapping[str, ModelScorer], data: Path) -> Iterator[str]:
    """Lines of a table: the time of a text without a first stage (by the first scorer) and with that of each scorer."""
    plain = next(iter(scorers.values()))
    ways = {"none": (plain, False), **{name: (scorer, True) for name, scorer in scorers.items()}}
    yield from ("| words | first stage | median, ms | mean, ms | pieces cleared |", "|---|---|---|---|---|")
    random = Random(SEED)
    for words, count in LENGTHS.items():
        spent: dict[str, list[float]] = {name: [] for name in ways}
        cleared: dict[str, list[bool]] = {name: [] for name in ways}
        for text, kind in long_texts(data, words, count, random):
            outputs = asked(plain)["injection"][kind]
            for name, (scorer, first) in ways.items():
                busy = time.process_time()
                (pieces,) = scorer.judge([Query(text, outputs, first, kind)])
                spent[name].append(1000 * (time.process_time() - busy))
                cleared[name] += [piece.cleared for piece in pieces]
        for name in ways:
            middle, mean, share = np.median(spent[name]), np.mean(spent[name]), np.mean(cleared[name])
            yield f"| {words:,} | {name} | {middle:.1f} | {mean:.1f} | {share:.0%} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--model", type=Path, help="model folder (default: the shipped one)")
    parser.add_argument("--against", type=Path, help="another model folder")
    args = parser.parse_args()
    folders = {"of this model": args.model or supervisor.find()} | ({"other": args.against} if args.against else {})
    settings = Settings(threads=1, workers=1, remembered=0)
    scorers = {name: supervisor.load(folder, settings=settings) for name, folder in folders.items()}
    for line in by_length(scorers, args.data):
        print(line, flush=True)


if __name__ == "__main__":
    main()
