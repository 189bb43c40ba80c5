"""What depth 0 costs and saves: a model that reads in spans against a model with a first stage that reads pieces.

Run `python -m benchmarks.models.supervisor_spans --baseline DIR --out DIR [--model DIR] [--data DIR] [--turns N]`: prints two
tables, writes `supervisor_spans.json` to the folder `--out`. `--model`: a folder that reads in spans (default: the shipped
one); `--baseline`: one that does not, such as that of an earlier release. `--data`: the folder of the data sets, for ordinary
texts of all kinds; without it the texts are made up. All ways take turns on each text, so that other load meets them alike;
times are the processor's own on one thread, tokenizing included, nothing remembered. The first table has the time of a text
by its length and the share of its pieces or spans that are cleared, the second the time of the first stages by themselves for
`TOKENS` tokens.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from benchmarks.models.supervisor_cascade import LENGTHS, SEED, Text, asked, long_texts
from benchmarks.models.supervisor_lengths import text_of
from guardproxy.checks import Query
from guardproxy.inference import models as supervisor
from guardproxy.inference.folders.model import FIRST_STAGE, NGRAMS
from guardproxy.inference.folders.tokens import load
from guardproxy.inference.models import Settings
from guardproxy.inference.scoring import ngrams
from guardproxy.inference.scoring.depth import DepthZero
from guardproxy.inference.scoring.first_stage import FirstStage
from guardproxy.inference.scoring.scorer import ModelScorer

TOKENS = 256
SPANS, PIECES = "spans", "pieces"


def texts(data: Path | None, words: int, count: int, random: Random) -> Iterator[Text]:
    """Texts of so many words, and the kind of channel of each."""
    if data:
        yield from long_texts(data, words, count, random)
    else:
        yield from ((text_of(words, random), "user") for _ in range(count))


def by_length(scorers: Mapping[str, ModelScorer], data: Path | None, scale: float = 1.0) -> dict[str, Any]:
    """For each number of words and each way the time of a text, and the share of pieces and of whole texts that are cleared.

    `scale`: what the numbers of texts are multiplied by.
    """
    ways = {f"{name}{'' if first else ', all read'}": (scorer, first) for name, scorer in scorers.items()
            for first in (True, False)}  # fmt: skip
    random, found = Random(SEED), {}
    for words, count in LENGTHS.items():
        spent: dict[str, list[float]] = {name: [] for name in ways}
        cleared: dict[str, list[list[bool]]] = {name: [] for name in ways}
        for text, kind in texts(data, words, max(1, round(scale * count)), random):
            for name, (scorer, first) in ways.items():
                query = Query(text, asked(scorer)["injection"][kind], first, kind)
                busy = time.process_time()
                (pieces,) = scorer.judge([query])
                spent[name].append(1000 * (time.process_time() - busy))
                cleared[name].append([piece.cleared for piece in pieces])
        found[str(words)] = {
            name: {
                "median_ms": float(np.median(spent[name])),
                "mean_ms": float(np.mean(spent[name])),
                "pieces_cleared": float(np.mean([*chain(*cleared[name])])),
                "texts_cleared": float(np.mean([all(own) for own in cleared[name]])),
            }
            for name in ways
        }
        for name, figures in found[str(words)].items():
            middle, mean, share = figures["median_ms"], figures["mean_ms"], figures["pieces_cleared"]
            print(f"| {words:,} | {name} | {middle:.1f} | {mean:.1f} | {share:.0%} |", flush=True)
    return found


def median_us(run: Callable[[], object], turns: int) -> float:
    """The processor's time of a call, in microseconds."""
    run()
    times = []
    for _ in range(turns):
        busy = time.thread_time()
        run()
        times.append(1e6 * (time.thread_time() - busy))
    return float(np.median(times))


def alone(scorers: Mapping[str, ModelScorer], turns: int) -> dict[str, float]:
    """The microseconds of each first stage for a text of `TOKENS` tokens that is tokenized already."""
    tokenizer, _ = load(scorers[SPANS].model.folder)
    text = text_of(2 * TOKENS, Random(SEED))
    text = text[: tokenizer.encode(text, add_special_tokens=False).offsets[TOKENS - 1][1]]
    encoding = tokenizer.encode(text, add_special_tokens=False)
    ids, offsets = encoding.ids, encoding.offsets
    before, model = scorers[PIECES].model, scorers[SPANS].model
    found = {}
    if before.clearing:
        stage = FirstStage(before.folder / FIRST_STAGE, before.clearing, before.outputs)
        found["first stage"] = median_us(lambda: stage.estimates(ids), turns)
    if model.spans:
        zero = DepthZero(model.spans, model.folder / NGRAMS, model.folder / FIRST_STAGE)
        found["depth 0"] = median_us(lambda: zero.logits(text, ids, offsets, "user"), turns)
        table = ngrams.NgramTable(model.folder / NGRAMS, len(model.spans.columns))
        found["its n-grams"] = median_us(lambda: table.sums(*ngrams.read(text, ids, offsets)), turns)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="model folder that reads in spans (default: the shipped one)")
    parser.add_argument("--out", type=Path, required=True, help="folder for supervisor_spans.json")
    parser.add_argument("--baseline", type=Path, required=True, help="model folder that reads pieces")
    parser.add_argument("--data", type=Path, help="folder of the data sets")
    parser.add_argument("--turns", type=int, default=300, help="calls of each first stage by itself")
    parser.add_argument("--scale", type=float, default=1.0, help="what the numbers of texts are multiplied by")
    args = parser.parse_args()
    settings = Settings(threads=1, workers=1, remembered=0)
    folders = {PIECES: args.baseline, SPANS: args.model or supervisor.find()}
    for name, folder in folders.items():
        if (supervisor.read(folder).spans is not None) != (name == SPANS):
            parser.error(f"{folder} does not read in {name}: name another folder, see --help")
    scorers = {name: supervisor.load(folder, settings=settings) for name, folder in folders.items()}
    print("| words | way | median, ms | mean, ms | cleared |\n|---|---|---|---|---|")
    load_average = os.getloadavg()[0]
    words, alone_us = by_length(scorers, args.data, args.scale), alone(scorers, args.turns)
    for name, microseconds in alone_us.items():
        print(f"{name}, {TOKENS} tokens: {microseconds:.0f} us")
    report = {"load_average": load_average, "source": "data sets" if args.data else "made up", "words": words,
              "alone_us": alone_us}  # fmt: skip
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "supervisor_spans.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
