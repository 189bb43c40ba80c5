"""How much of a text is held back while it arrives token by token: characters and words, for each variant of the check.

Run `python -m benchmarks.checks.holdback --out DIR [--texts N]`: prints a table, writes `holdback.json` and `holdback.png` to
DIR. The texts are answers in plain English of the folder in GUARDPROXY_DATA, or a small text of our own where there is none. A
token is a space with a word of up to six letters, the next letters of a longer one, or a sign. After each token but the last it
is counted what the check would not yet let go on; a word that has begun counts as one.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import re
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from guardproxy.checks._shared.declared.contract import Resources, build, with_partner
from guardproxy.checks._shared.pii.recognizers import DEFAULTS, configured_recognizers, recognizers, versions
from guardproxy.exchange.gate.gate import Lane
from guardproxy.findings import Channel
from guardproxy.inference.models import load_tagger

CHANNEL = Channel("response", "assistant", "choices[0].message.content")
SOURCE = "benign/alpaca_eval_answers-nc.jsonl.gz"
TOKEN = re.compile(r"\s*\w{1,6}|\s*[^\w\s]|\s+")
OWN = """The lighthouse keeper walked down to the harbour at seven and counted 14 boats. "Two are missing," he said to the
baker, who had come for news; nobody had an answer. By noon the fog had lifted, and both of them came in together, at
half past twelve, with 3.5 tons of herring. It was the best catch since 1987. They sold it on www.example.org that evening."""


def _english() -> list[str]:
    return sorted({entity for one in configured_recognizers("en") for entity in one.supported_entities})


def variants() -> dict[str, dict[str, Any]]:
    """The options of the check, by the name of the variant."""
    return {
        "patterns, default entities": {},
        "patterns, all of Presidio's for English": {"entities": _english()},
        "names as well": {"entities": [*DEFAULTS, "PERSON", "LOCATION", "ORGANIZATION"]},
        "patterns, every entity but IN_PAN": {"entities": sorted(set(recognizers()) - {"IN_PAN"})},
    }


def texts(count: int) -> Iterator[str]:
    folder = os.environ.get("GUARDPROXY_DATA")
    if not folder:
        yield OWN
        return
    with gzip.open(Path(folder, SOURCE), "rt", encoding="utf-8") as lines:
        chosen = (json.loads(line)["text"] for line in lines)
        for text, _ in zip((text for text in chosen if text.isascii() and len(text) > 300), range(count), strict=False):
            yield text[:1500]


def held(check: Any, text: str) -> Iterator[tuple[int, int]]:
    """The characters and words held after each token but the last."""
    lane = Lane(CHANNEL, with_partner(check), False)
    at = 0
    for token in list(TOKEN.finditer(text))[:-1]:
        lane.text.append(text[at : token.end()])
        at = token.end()
        windows = lane.windows()
        lane.learn(windows, [lane.progress.checks[number].scan([window])[0] for number, window in windows])
        yield at - lane.progress.settled, len(text[lane.progress.settled : at].split())


def _spread(values: list[int]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {
        "median": statistics.median(values),
        "p90": cuts[89],
        "p99": cuts[98],
        "most": max(values),
        "mean": round(statistics.mean(values), 2),
    }


def draw(found: dict[str, tuple[list[int], list[int]]], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(11, 3.6), layout="constrained")
    for axis, which, title in ((axes[0], 0, "characters held"), (axes[1], 1, "words held")):
        for name, series in found.items():
            values = sorted(series[which])
            axis.plot(values, [(at + 1) / len(values) for at in range(len(values))], label=name, drawstyle="steps-post")
        most = max(sorted(series[which])[len(series[which]) * 999 // 1000] for series in found.values())
        axis.set_xlim(-0.3, most + 1)
        axis.set_xlabel(f"at most so many {title}")
        axis.set_ylabel("share of tokens")
        axis.spines[["top", "right"]].set_visible(False)
    axes[1].legend(loc="lower right", fontsize=8)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--texts", type=int, default=200)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    chosen = list(texts(asked.texts))
    found: dict[str, tuple[list[int], list[int]]] = {}
    for name, options in variants().items():
        check = build("pii", "pii", options, Resources(tagger=load_tagger))
        pairs = [pair for text in chosen for pair in held(check, text)]
        found[name] = [characters for characters, _ in pairs], [words for _, words in pairs]
    results = {
        name: {"characters": _spread(first), "words": _spread(second)} for name, (first, second) in found.items()
    }
    about = {
        "python": platform.python_version(),
        "versions": versions(),
        "texts": len(chosen),
        "source": SOURCE if os.environ.get("GUARDPROXY_DATA") else "own",
    }
    (asked.out / "holdback.json").write_text(json.dumps({"about": about, "held": results}, indent=2) + "\n")
    draw(found, asked.out / "holdback.png")
    for name, row in results.items():
        for unit, spread in row.items():
            print(f"{name:42} {unit:11} " + "  ".join(f"{key} {value:g}" for key, value in spread.items()))


if __name__ == "__main__":
    main()
