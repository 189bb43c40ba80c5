"""Choose the constants of the tagger `fast` on sources that its training did not see, and write them into `config.json`.

In: the exported folders `without-SOURCE`, the training rows of those sources, the folder that is written, and texts without
names. Out: by how much the tag for no name is lowered, in ordinary text and in that of programs, from which score each label
counts, and the temperature that makes a score the share of findings that are right.

The rule: of all constants of the grid the ones with the best F2 of overlap on the sources left out, which weigh the same
(recall weighs twice: what is missed leaks, what is found too much is only a placeholder too many), among those with
which the folder finds at most `MOST_FALSE` names in 1,000 words of code and commands, and of documents. These are of
repositories that no training saw; what is reported is never looked at. Of what is as good, the least margin: the sources
left out hold next to no text of programs, so they do not show what it loses there.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

from tqdm import tqdm

from guardproxy.checks._shared.pii.names import Names
from guardproxy.inference.models import load_tagger
from models.names.recipe import silver
from models.names.recipe.evaluate import FAST, SOURCES, false_names, finder
from models.names.recipe.export_fast import write_config
from models.names.recipe.fast import LABELS
from models.names.recipe.measure import NAMES, Tally
from models.names.recipe.noise import mended
from models.names.recipe.splits import OF_ALL_KINDS, read, rows

WEIGHT, NOISE = 2.0, 0.001
MOST_FALSE = {"code": 1.0, "documents": 3.0}
"""Documents name firms and places, and thank people; so does code in its comments: about half of what is found is right."""
BIASES = tuple(step / 4 for step in range(9))
MARGINS = (0.0, 1.0, 2.0, 3.0)
"""By how much less the tag for no name is lowered in text of programs."""
THRESHOLDS = tuple(step / 20 for step in range(17))
TEMPERATURES = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0)
ROWS = 700
Tried = tuple[float, float, float, dict[str, float]]  # score, margin, bias, thresholds
Judged = list[tuple[str, str, float, bool]]  # source, label, score, whether it is right


def judged(
    folder: Path, name: str, source: str, texts: list[Any]
) -> tuple[Judged, Counter[tuple[str, str]], list[Any]]:
    """Returns each finding of a tagger, the number of marked names by label, and the findings that meet each marked name."""
    names = Names(load_tagger(name, (folder,)), dict.fromkeys(LABELS, 0.0))
    kinds = ("PERSON", "LOCATION", "ORGANIZATION", "DATE_TIME") if source in OF_ALL_KINDS else NAMES
    found: Judged = []
    marked: Counter[tuple[str, str]] = Counter()
    hits = []
    for row in texts:
        spans = [span for span in names.find(row["text"], 0, "request", True).spans if span[2] in kinds]
        gold = [(span["start"], span["end"], span["label"]) for span in row["spans"] if span["label"] in kinds]
        for low, high, label, score in spans:
            found.append((source, label, score, any(a < high and b > low and k == label for a, b, k in gold)))
        for a, b, k in gold:
            marked[source, k] += 1
            hits.append(
                (
                    source,
                    k,
                    max(
                        (score for low, high, label, score in spans if label == k and low < b and high > a),
                        default=-1.0,
                    ),
                )
            )
    return found, marked, hits


def best(found: Judged, marked: Counter[tuple[str, str]], hits: list[Any]) -> tuple[float, dict[str, float]]:
    """Returns the mean score over sources and labels, and the threshold of each label that reaches it."""
    thresholds: dict[str, float] = {}
    total, counted = 0.0, 0
    for label in LABELS:
        sources = [source for source in SOURCES if marked[source, label] >= 40]
        if (
            len(sources) < 2
        ):  # dates: the mails alone mark them, and few of `last night`; nationalities: no source outside
            thresholds[label] = thresholds["PERSON"]
            continue
        tried = []
        for threshold in THRESHOLDS:
            scores = []
            for source in sources:
                mine = [
                    right for one, kind, score, right in found if one == source and kind == label and score >= threshold
                ]
                hit = sum(score >= threshold for one, kind, score in hits if one == source and kind == label)
                scores.append(Tally(sum(mine), len(mine), hit, marked[source, label]).f(WEIGHT))
            tried.append((sum(scores) / len(scores), -threshold))
        score, threshold = max(tried)
        thresholds[label] = -threshold
        total, counted = total + score, counted + 1
    return total / counted, thresholds


def harmless(data: Path, marked: Path) -> dict[str, list[str]]:
    """Returns code and documents of repositories that are kept for this, and commands that `marked` (silver.py) does not
    hold, as code."""
    seen = {json.loads(line)["text"] for line in marked.read_text("utf-8").split("\n") if line}
    kept = [
        row["text"][: silver.MOST_CHARS]
        for row in read(data / silver.REPOSITORIES)
        if any(source in row["source"] for source in silver.CHOSEN_ON)
    ]
    commands = [row["text"] for row in read(data / "benign/nl2bash.jsonl.gz") if row["source"] == "nl2bash command"]
    return {
        "code": [text for text in kept if silver.is_code(text)] + [text for text in commands if text not in seen],
        "documents": [text for text in kept if not silver.is_code(text)],
    }


def chosen(tried: list[Tried]) -> Tried:
    """Returns of all with few false names the one with the least margin among the best. Raises `SystemExit` where none is."""
    if not tried:
        raise SystemExit(f"no constants find at most {MOST_FALSE} names in 1,000 words")
    least = max(score for score, *_ in tried) - NOISE
    return min((one for one in tried if one[0] >= least), key=lambda one: (one[1], -one[0]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("GUARDPROXY_DATA"), help="folder of the data sets")
    parser.add_argument("--without", type=Path, default=Path("build/names"), help="holds the folders `without-SOURCE`")
    parser.add_argument("--silver", type=Path, default=Path("build/names/silver.jsonl"), help="texts of silver.py")
    parser.add_argument("--folder", type=Path, default=FAST, help="whose `config.json` is written")
    args = parser.parse_args()
    if args.data is None:
        raise SystemExit("name the folder of the data sets with --data or GUARDPROXY_DATA")
    texts: dict[str, list[Any]] = {}
    for source in SOURCES:
        drawn = [row for _, part, row in rows(args.data, (source,)) if part == "train"][:ROWS]
        texts[source] = [mended(row, LABELS) for row in drawn] if source == "contextual" else drawn
    plain = harmless(args.data, args.silver)

    def at(bias: float, margin: float, temperature: float) -> tuple[Judged, Counter[tuple[str, str]], list[Any]]:
        found, marked, hits = [], Counter[tuple[str, str]](), []
        for source in SOURCES:
            write_config(
                args.without / f"without-{source}", dict.fromkeys(LABELS, 0.0), bias, bias - margin, temperature
            )
            one = judged(args.without, f"without-{source}", source, texts[source])
            found += one[0]
            marked += one[1]
            hits += one[2]
        return found, marked, hits

    errors = []
    for temperature in tqdm(TEMPERATURES, desc="temperatures"):
        found, _, _ = at(1.0, 0.0, temperature)
        error = sum((score - right) ** 2 for _, _, score, right in found) / len(found)
        errors.append((error, temperature))
        print(f"temperature {temperature}: Brier score {error:.4f}", flush=True)
    temperature = min(errors)[1]
    tried = []
    for bias, margin in tqdm(list(product(BIASES, MARGINS)), desc="biases"):
        score, thresholds = best(*at(bias, margin, temperature))
        write_config(args.folder, thresholds, bias, bias - margin, temperature)
        find = finder(args.folder.name, (args.folder.parent,))
        false = {kind: false_names(find, texts)["per_1000_words"] for kind, texts in plain.items()}
        print(f"bias {bias}, margin {margin}: {score:.4f} at {thresholds}, false names {false}", flush=True)
        if all(false[kind] <= most for kind, most in MOST_FALSE.items()):
            tried.append((score, margin, bias, thresholds))
    score, margin, bias, thresholds = chosen(tried)
    for folder in (args.folder, *(args.without / f"without-{source}" for source in SOURCES)):
        write_config(folder, thresholds, bias, bias - margin, temperature)
    print(f"written: bias {bias}, margin {margin}, temperature {temperature}, thresholds {thresholds}: {score:.4f}")


if __name__ == "__main__":
    main()
