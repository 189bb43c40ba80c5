"""What a pair of texts costs, and how good its verdict is: the network for pairs, the same in fp32, and simpler judges.

Run `python -m benchmarks.models.pairs --out DIR [--model DIR] [--data DIR] [--checkpoint FILE] [--frame COUNT] [--quick]`:
prints tables, writes `pairs.json` to DIR. Candidates take turns, so that other load meets all alike. Times are for one core,
tokenizing included and nothing remembered. `--checkpoint`: of the training, for fp32 in torch. `--data`: the folder of the data
sets, for SICK, MSRP and MCTest. What is not given is left out, and said.

Beside the network: shared words (what `grounded` did before), and the cosine of the encoder that the supervisor began with, if
its package is installed. Neither knows contradictions.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.models.frame import questions, statements
from guardproxy.checks import TextPair
from guardproxy.inference import Models, Settings
from models.pairs.recipe import measure
from models.pairs.recipe.measure import Numbers, Score
from models.pairs.recipe.points import counted

TOKENS = (16, 32, 64, 128, 192)
ROUNDS = 60
LIMIT_MS = 8.0
"""The most that a pair of 128 tokens may take."""
PROSE = "the river rose above the lower fields and the farmers moved their sheep to the hill "
"""A sentence of words that are one token each."""
_WORD = re.compile(r"[a-z0-9]+")


def by_words(pairs: Sequence[tuple[str, str]]) -> Numbers:
    """The share of the second text's words that the first has, as `entails`."""
    shares = []
    for first, second in pairs:
        known, asked = (set(_WORD.findall(text.lower())) for text in (first, second))
        shares.append(len(known & asked) / max(1, len(asked)))
    entails = np.array(shares)
    return np.stack([entails, np.zeros(len(entails)), 1 - entails], 1)


def by_cosine() -> Score | None:
    """The cosine of the published encoder's mean vectors, as `entails`; `None` if it or torch is not installed."""
    try:
        import torch
        from tokenizers import Tokenizer
        from transformers import AutoModel

        from models.encoder import encoder_folder

        folder = encoder_folder()
    except (ImportError, SystemExit):
        return None
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    network: Any = AutoModel.from_pretrained(folder).eval()
    known: dict[str, Any] = {}

    def vector(text: str) -> Any:
        if text not in known:
            ids = torch.tensor([tokenizer.encode(text).ids[:256]])
            with torch.inference_mode():
                mean = network(input_ids=ids).last_hidden_state[0].mean(0)
            known[text] = mean / mean.norm()
        return known[text]

    def score(pairs: Sequence[tuple[str, str]]) -> Numbers:
        entails = np.array([max(0.0, float(vector(first) @ vector(second))) for first, second in pairs])
        return np.stack([entails, np.zeros(len(entails)), 1 - entails], 1)

    return score


def prose(tokens: int) -> TextPair:
    """A pair of so many tokens with the special ones, two thirds of them in the first text."""
    words = (PROSE * 20).split()
    room = tokens - 3
    second = room // 3
    return TextPair(" ".join(words[: room - second]), " ".join(words[:second]))


def costs(candidates: dict[str, Callable[[TextPair], Any]], rounds: int) -> dict[str, dict[str, Any]]:
    """The milliseconds of a pair, by tokens: the median and the 95th percentile. Candidates take turns."""
    found: dict[str, dict[str, Any]] = {name: {} for name in candidates}
    for tokens in TOKENS:
        pair = prose(tokens)
        times: dict[str, list[float]] = {name: [] for name in candidates}
        for _ in range(rounds):
            for name, run in candidates.items():
                began = time.perf_counter()
                run(pair)
                times[name].append(1000 * (time.perf_counter() - began))
        for name, own in times.items():
            found[name][str(tokens)] = {
                "ms": round(float(np.median(own)), 3),
                "p95_ms": round(float(np.quantile(own, 0.95)), 3),
            }
    return found


def on_frame(score: Score, points: dict[str, float], count: int) -> dict[str, Any]:
    """Verdicts on texts that nothing was trained or chosen on, by kind. A sentence is supported by its best passage."""
    made = statements.statements(1, max(1, count // 12))
    places = [(at, passage) for at, row in enumerate(made) for passage in row.passages]
    each = score([(passage, made[at].sentence) for at, passage in places])
    best = np.zeros((len(made), 2))
    np.maximum.at(best, [at for at, _ in places], each[:, :2])
    is_flagged = best[:, 0] < points["supported"]
    found: dict[str, Any] = {"statements flagged, by kind": {}, "same, by kind": {}}
    for kind in sorted({f"{row.truth}: {row.kind}" for row in made}):
        rows = np.array([f"{row.truth}: {row.kind}" == kind for row in made])
        found["statements flagged, by kind"][kind] = counted(is_flagged[rows])
    true = np.array([row.truth == "supported" for row in made])
    found["statements, AUC of follows"] = round(measure.area(best[:, 0], true), 4)
    asked = [*questions.rewordings(1, count), *questions.others(1, count)]
    ways = [score([(row.first, row.second) for row in asked]), score([(row.second, row.first) for row in asked])]
    both = np.minimum(ways[0][:, 0], ways[1][:, 0])
    for kind in sorted({row.kind for row in asked}):
        rows = np.array([row.kind == kind for row in asked])
        found["same, by kind"][kind] = {name: counted(both[rows] >= points[name]) for name in ("same", "same_strict")}
    found["questions, AUC of the same"] = round(measure.area(both, np.array([row.is_same for row in asked])), 4)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=Path(__file__).parents[2] / "models" / "pairs")
    parser.add_argument("--data", type=Path, default=os.environ.get("GUARDPROXY_DATA"))
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument(
        "--frame", type=int, default=2400, help="statements, rewordings and other questions of the frame"
    )
    parser.add_argument("--quick", action="store_true", help="one short round, and some hundred pairs")
    args = parser.parse_args()
    judge = Models((args.model.parent,), Settings(workers=1, remembered=0, wait_s=3600.0)).pairs(args.model.name)
    network = measure.from_folder(args.model)
    judges: dict[str, Score] = {"network": network, "shared words": by_words}
    if cosine := by_cosine():
        judges["cosine of the encoder"] = cosine
    runs: dict[str, Callable[[TextPair], Any]] = {"int8": lambda pair: judge.judge([pair])}
    if args.checkpoint:
        torch_score = measure.from_checkpoint(args.checkpoint)
        runs["fp32, torch"] = lambda pair: torch_score([pair])
    else:
        print("without --checkpoint: fp32 is left out")
    found: dict[str, Any] = {
        "machine": {"processor": platform.processor() or platform.machine(), "python": platform.python_version()},
        "model": judge.digest,
        "costs": costs(runs, 10 if args.quick else ROUNDS),
    }
    for name, rows in found["costs"].items():
        print(f"{name:24s}" + "".join(f"{tokens_:>6s}: {row['ms']:6.2f} ms" for tokens_, row in rows.items()))
    most = 300 if args.quick else 1_000_000
    count = 240 if args.quick else args.frame
    if args.data:
        found["by others"] = {
            name: measure.figures(measure.judged(score, Path(args.data), most)) for name, score in judges.items()
        }
        for title in found["by others"]["network"]:
            print(f"{title:28s}" + "".join(f"{name}: {rows[title]:.3f}  " for name, rows in found["by others"].items()))
    else:
        print("without --data: SICK, MSRP and MCTest are left out")
    found["frame"] = on_frame(network, dict(judge.points), count)
    found["frame, shared words"] = _areas(by_words, count)
    print(json.dumps(found["frame"], indent=1))
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "pairs.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")


def _areas(score: Score, count: int) -> dict[str, float]:
    """The areas of a judge without points."""
    rows = on_frame(score, {"supported": 0.5, "same": 0.5, "same_strict": 0.5}, count)
    return {title: value for title, value in rows.items() if "AUC" in title}


if __name__ == "__main__":
    main()
