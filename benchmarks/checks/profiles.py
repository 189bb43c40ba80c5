"""What the text checks cost: microseconds per scan, for chat without identifiers and for text full of them.

Run `python benchmarks/checks/profiles.py --out DIR [--rounds N]`: prints a table, writes `checks.json` and `checks.png` to DIR.
Each text is scanned as one request, and as a stream of windows of about four characters (a token at a time). The same
texts go to Presidio's `AnalyzerEngine` in the same run, with the same entities, over a blank spaCy pipeline for English
(no model). All on one thread; medians over rounds in which the candidates take turns.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from guardproxy.checks._shared.declared.contract import Resources, build
from guardproxy.checks._shared.pii.recognizers import DEFAULTS, versions
from guardproxy.findings import Channel, Window

CHANNEL = Channel("response", "assistant", "choices[0].message.content")

CHAT = (
    "Thanks for asking! The easiest way to keep basil alive through the winter is to give it more light than you think "
    "it needs, and less water. Put the pot near a bright window, turn it every few days, and pinch off the flowers as "
    "soon as they show. If the leaves go pale, feed it a little."
)
DENSE = (
    "Call Ada at (212) 555-0147 or +49 30 901820, or write to ada.l@example.org; her card 4111 1111 1111 1111 expires "
    "in 2027. The social security number is 536-22-8726, the iban DE89 3704 0044 0532 0130 00, and the host 10.0.0.1 "
    "has MAC 00:1A:2B:3C:4D:5E in rack 12. Her bank account 12345678 and passport 912803456 are on file with the clerk."
)
PATTERNS = {"patterns": [r"(?i)project[ -]falcon", r"\bEMP-\d{6}\b"], "words": ["umbrella corporation", "blue harvest"]}


def _presidio() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import spacy
        from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
        from presidio_analyzer.nlp_engine import SpacyNlpEngine

        from guardproxy.checks._shared.pii.recognizers import recognizers

        engine: Any = SpacyNlpEngine(models=[{"lang_code": "en", "model_name": "blank"}])
        engine.nlp = {"en": spacy.blank("en")}
        makers: list[Any] = [kind for entity in DEFAULTS for kind in recognizers()[entity]]
        registry = RecognizerRegistry(recognizers=[make(supported_language="en") for make in makers])
        return AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=["en"])


def _streamed(check: Any, text: str, step: int = 4) -> None:
    settled = keep = 0
    for end in [*range(step, len(text), step), len(text)]:
        (scan,) = check.scan([Window(CHANNEL, text[keep:end], keep, settled, end == len(text))])
        settled, keep = scan.settled, scan.keep


def _measured(candidates: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median microseconds of each candidate; they take turns so that a busy machine slows all of them."""
    took: dict[str, list[float]] = {name: [] for name in candidates}
    for at in range(rounds + 3):
        for name, run in candidates.items():
            begun = time.perf_counter_ns()
            run()
            if at >= 3:
                took[name].append((time.perf_counter_ns() - begun) / 1000)
    return {name: statistics.median(values) for name, values in took.items()}


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Medians in microseconds: text -> candidate -> value."""
    checks = {
        "pattern": build("pattern", "pattern", PATTERNS, Resources()),
        "secrets": build("secrets", "secrets", {}, Resources()),
        "pii": build("pii", "pii", {}, Resources()),
    }
    engine = _presidio()
    results: dict[str, dict[str, float]] = {}
    for label, text in {"chat": CHAT, "dense": DENSE}.items():
        window = [Window(CHANNEL, text)]
        candidates: dict[str, Callable[[], object]] = {}
        for name, check in checks.items():
            candidates[name] = partial(check.scan, window)
        candidates["presidio AnalyzerEngine"] = partial(
            engine.analyze, text, "en", entities=list(DEFAULTS), score_threshold=0.4
        )
        for name, check in checks.items():
            candidates[f"{name}, whole stream"] = partial(_streamed, check, text)
        results[label] = _measured(candidates, rounds)
    return results


def _draw(results: dict[str, dict[str, float]], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    names = list(results["chat"])[::-1]
    figure, axes = plt.subplots(figsize=(9, 4.5))
    for offset, (label, color) in {-0.2: ("dense", "#c44e52"), 0.2: ("chat", "#4c72b0")}.items():
        values = [results[label][name] for name in names]
        places = [at + offset for at in range(len(names))]
        axes.barh(places, values, 0.38, color=color, label=f"{label} text")
        for place, value in zip(places, values, strict=True):
            axes.text(value * 1.06, place, f"{value:,.0f}", va="center", fontsize=8)
    axes.set_yticks(range(len(names)), names)
    axes.set_xscale("log")
    axes.set_xlabel("microseconds per text of about 55 words (median, one thread, logarithmic)")
    axes.margins(x=0.15)
    axes.legend(loc="upper right")
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=200)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    results = measure(options.rounds)
    about = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "versions": versions(),
        "rounds": options.rounds,
        "words": {"chat": len(CHAT.split()), "dense": len(DENSE.split())},
    }
    (options.out / "checks.json").write_text(json.dumps({"about": about, "median_us": results}, indent=2) + "\n")
    _draw(results, options.out / "checks.png")
    for label, values in results.items():
        for name, value in values.items():
            print(f"{label:6} {name:26} {value:10.1f} us")


if __name__ == "__main__":
    main()
