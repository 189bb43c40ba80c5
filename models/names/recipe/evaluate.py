"""Measure the taggers of names, and write `figures.json`.

In: the model folders, the data sets, own rows of other hands (`own/*-test.jsonl`), checkpoints that were trained without a
source. Out: `figures.json` beside the card of `fast`, and tables on the screen. Nothing that is reported here was trained on;
constants come from `constants.py`, which looks at other rows.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from guardproxy.checks._shared.pii.names import Names
from guardproxy.inference.models import load_tagger
from models.names.recipe import silver
from models.names.recipe.measure import ALL, NAMES, Figures, Span, joined
from models.names.recipe.splits import OF_ALL_KINDS, Row, read, rows

HERE = Path(__file__).parent
FAST = HERE.parents[1] / "fast"
MOST, HARMLESS = 800, 400
SEED = 3
SOURCES = ("wnut17", "btc", "contextual")
KEPT_OUT = tuple(name for name in silver.KEPT_OUT if not name.startswith("tau"))
"""Repositories whose code and documents no training saw."""
Finder = Callable[[str], list[Span]]


def finder(name: str, folders: tuple[Path, ...] = ()) -> Finder:
    tagger = load_tagger(name, folders)
    names = Names(tagger, dict(tagger.thresholds))
    return lambda text: [(low, high, label) for low, high, label, _ in names.find(text, 0, "request", True).spans]


def measured(find: Finder, texts: list[Row], kinds: tuple[str, ...]) -> dict[str, Any]:
    """Returns the figures of a finder on marked texts; `f1_joined`: with places that touch as one, in both."""
    figures, joint = Figures(), Figures()
    seconds = 0.0
    for row in texts:
        begun = time.process_time()
        found = [span for span in find(row["text"]) if span[2] in kinds]
        seconds += time.process_time() - begun
        marked = [(span["start"], span["end"], span["label"]) for span in row["spans"] if span["label"] in kinds]
        figures.add(row["text"], marked, found)
        joint.add(row["text"], joined(marked, row["text"]), joined(found, row["text"]))
    ms = round(1e6 * seconds / max(1, figures.words), 1)
    return figures.shown() | {"f1_joined": joint.shown()["f1"], "ms_per_1000_words": ms}


def tests(data: Path) -> dict[str, list[Row]]:
    """Returns the test rows of each set, at most `MOST` of each."""
    found: dict[str, list[Row]] = {}
    for name, part, row in rows(data):
        if part == "test":
            found.setdefault(name, []).append(row)
    rng = random.Random(SEED)
    return {name: rng.sample(texts, min(MOST, len(texts))) for name, texts in found.items()}


def own_tests(folder: Path) -> dict[str, list[Row]]:
    """Returns the rows of `*-test.jsonl` by language."""
    found: dict[str, list[Row]] = {}
    for path in sorted(folder.glob("languages*-test.jsonl")):
        for line in path.read_text("utf-8").split("\n"):
            if line:
                row = json.loads(line)
                found.setdefault(row.get("lang", path.stem.removesuffix("-test")), []).append(row)
    return found


def harmless(data: Path, own: Path) -> dict[str, list[str]]:
    """Returns texts by kind in which next to nothing is a name: code and documents, logs, tool results on products."""
    code = [
        row["text"]
        for row in read(data / "benign/repo_docs_code.jsonl.gz")
        if any(name in row["source"] for name in KEPT_OUT)
    ]
    tools = read(data / "benign/tool_outputs.jsonl.gz")
    lines = [line for path in sorted(own.glob("harmless*-test.jsonl")) for line in path.read_text("utf-8").split("\n")]
    return {
        "own": [json.loads(line)["text"] for line in lines if line],
        "code": [text for text in code if silver.is_code(text)],
        "documents": [text for text in code if not silver.is_code(text)],
        "logs": [row["text"] for row in read(data / "benign/loghub_logs-nc.jsonl.gz")],
        "products": [row["text"] for row in tools if row["source"] in ("tau-bench products", "tau2 telecom manual")],
    }


def false_names(find: Finder, texts: list[str]) -> dict[str, Any]:
    """Returns how many names are found in 1,000 words of texts without names, by label."""
    words, counts = 0, Counter[str]()
    for text in texts:
        words += len(text.split())
        counts.update(label for _, _, label in find(text) if label != "DATE_TIME")
    return {"words": words, "per_1000_words": round(1000 * counts.total() / words, 2)} | {
        label: round(1000 * count / words, 2) for label, count in sorted(counts.items())
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("GUARDPROXY_DATA"), help="folder of the data sets")
    parser.add_argument("--without", type=Path, default=Path("build/names"), help="holds the folders `without-SOURCE`")
    parser.add_argument("--own", type=Path, default=HERE / "own", help="folder of rows written by hand")
    parser.add_argument("--taggers", nargs="+", default=["fast", "accurate"])
    parser.add_argument("--out", type=Path, default=FAST / "figures.json")
    args = parser.parse_args()
    if args.data is None:
        raise SystemExit("name the folder of the data sets with --data or GUARDPROXY_DATA")
    finders = {name: finder(name) for name in args.taggers}
    said: dict[str, Any] = {"sets": {}, "languages": {}, "without": {}, "false_names": {}}

    def show(group: str, name: str, candidate: str, find: Finder, texts: list[Row], kinds: tuple[str, ...]) -> None:
        found = measured(find, texts, kinds)
        said[group].setdefault(name, {})[candidate] = found
        print(
            f"{name:18} {candidate:9} F1 {found['f1']:5} ({found['f1_joined']:5} joined)  precision {found['precision']:5}  "
            f"leaked {found['leaked']:5}  {found['by_label']}",
            flush=True,
        )

    for name, texts in tests(args.data).items():
        for candidate, find in finders.items():
            show("sets", name, candidate, find, texts, ALL if name in OF_ALL_KINDS else NAMES)
    for language, texts in own_tests(args.own).items():
        for candidate, find in finders.items():
            show("languages", language, candidate, find, texts, ALL)
    for source in SOURCES:
        if (args.without / f"without-{source}" / "config.json").exists():
            texts = [row for _, part, row in rows(args.data, (source,)) if part == "test"][:MOST]
            show(
                "without",
                source,
                "fast",
                finder(f"without-{source}", (args.without,)),
                texts,
                ALL if source in OF_ALL_KINDS else NAMES,
            )
    for kind, plain in harmless(args.data, args.own).items():
        for candidate, find in finders.items():
            found = said["false_names"].setdefault(kind, {})[candidate] = false_names(find, plain[:HARMLESS])
            print(f"{kind:18} {candidate:9} {found}", flush=True)
    args.out.write_text(json.dumps(said, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
