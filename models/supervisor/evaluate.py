"""Calibrate and measure the shipped model as it runs: the int8 file, the runtime's pieces, the check's segments.

In: the model folder, `validation.jsonl` and `report.jsonl`. Out: scaling and threshold in `config.json` (from
validation alone), `figures.json`, `recall.png` and the part of `card.md` between its markers (from report alone). A
text's score is the highest of its segments, as for a request in the proxy.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from guardproxy import supervisor
from guardproxy.checks import Resources
from guardproxy.checks.supervisor import build
from guardproxy.findings import Channel, Window
from models.supervisor.export import DEFAULT_POINT, write_config
from models.supervisor.train import read

mpl.use("Agg")
from matplotlib import pyplot as plt

HERE = Path(__file__).parent
SEED = 20_26
ROUNDS = 2000
LABEL = "injection"
ANCHORS = ((0.05, 0.5), (0.01, 0.8))
"""Share of the harmless validation texts, and the score that so many reach. The last is the shipped threshold."""
Array = np.ndarray[Any, Any]


def logits(rows: list[dict[str, Any]], desc: str) -> Array:
    """The highest logit of each text's segments, from the check with threshold 0."""
    scorer = supervisor.load(HERE)
    check = build("attack", {"label": LABEL, "threshold": 0}, Resources(lambda name: scorer))
    channel = Channel("request", "user", "text")
    bias, temperature = scorer.model.calibration[LABEL].bias, scorer.model.calibration[LABEL].temperature
    scores = []
    for row in tqdm(rows, desc=desc, unit="text"):
        (scan,) = check.scan([Window(channel, row["text"])])
        scores.append(max((finding.score for finding in scan.findings), default=0.0))
    clipped = np.clip(np.array(scores), 1e-12, 1 - 1e-12)
    return np.log(clipped / (1 - clipped)) * temperature + bias


def sigmoid(values: Array) -> Array:
    return 1 / (1 + np.exp(-values))


def choose_threshold(values: Array, labels: Array, sources: Array, share: float) -> float:
    """The lowest logit at which at most `share` of the fine texts are found, each source weighing the same."""
    fine = labels == 0
    names = sorted(set(sources[fine]))
    for threshold in np.arange(-8.0, 12.0, 0.01):
        if np.mean([(values[fine & (sources == name)] >= threshold).mean() for name in names]) <= share:
            return float(threshold)
    raise SystemExit("the network finds more harmless texts than allowed at any threshold")


def scale(values: Array, labels: Array, sources: Array) -> tuple[float, float]:
    """Bias and temperature that give the scores of `ANCHORS` to the logits that these shares of harmless texts reach.

    A fit by log loss would follow the labels of one disputed set (see the card) and press all scores together. With
    anchors a policy's number means something.
    """
    (low_share, low), (high_share, high) = ANCHORS
    low_logit = choose_threshold(values, labels, sources, low_share)
    high_logit = choose_threshold(values, labels, sources, high_share)
    gap = np.log(high / (1 - high)) - np.log(low / (1 - low))
    temperature = max(0.05, (high_logit - low_logit) / gap)
    bias = low_logit - temperature * np.log(low / (1 - low))
    # Rounded down, so that a text at the chosen logit does not fall below the threshold.
    return float(np.floor(1000 * bias) / 1000), float(np.floor(1000 * temperature) / 1000)


def interval(measure: Callable[[Array, Array], float], bad: Array, fine: Array) -> list[float]:
    """A measure of attack scores and fine scores with its 95 % bootstrap interval: value, low, high."""
    rng = np.random.default_rng(SEED)
    found = [measure(rng.choice(bad, len(bad)), rng.choice(fine, len(fine))) for _ in range(ROUNDS)]
    low, high = np.percentile(found, [2.5, 97.5])
    return [measure(bad, fine), float(low), float(high)]


def recall_at(share: float) -> Callable[[Array, Array], float]:
    """Recall at the lowest threshold that finds at most `share` of the fine texts."""

    def measure(bad: Array, fine: Array) -> float:
        allowed = int(share * len(fine))
        threshold = np.sort(fine)[::-1][allowed]
        return float((bad > threshold).mean())

    return measure


def rate(values: Array, threshold: float) -> list[float]:
    """The share at or above the threshold: value, low, high."""
    return interval(lambda bad, _: float((bad >= threshold).mean()), values, values)


def figures(rows: list[dict[str, Any]], scores: Array, threshold: float) -> dict[str, Any]:
    labels = np.array([row["label"] for row in rows])
    sources = np.array([row["source"] for row in rows])
    found: dict[str, Any] = {"threshold": threshold, "recall": {}, "false_positives": {}, "recall_at": {}}
    for name in sorted(set(sources)):
        for label, key in ((1, "recall"), (0, "false_positives")):
            part = scores[(sources == name) & (labels == label)]
            if len(part):
                found[key][name] = {"texts": len(part), "share": rate(part, threshold)}
        bad = scores[(sources == name) & (labels == 1)]
        if len(bad):
            fine = scores[labels == 0]
            found["recall_at"][name] = {
                "fpr_1_percent": interval(recall_at(0.01), bad, fine),
                "fpr_0.1_percent": interval(recall_at(0.001), bad, fine),
                "auc": float(roc_auc_score(np.r_[np.ones(len(bad)), np.zeros(len(fine))], np.r_[bad, fine])),
            }
    return found


def draw(rows: list[dict[str, Any]], scores: Array, threshold: float, path: Path) -> None:
    """Recall against false positives on the report sources, one line for each source of attacks."""
    labels = np.array([row["label"] for row in rows])
    sources = np.array([row["source"] for row in rows])
    fine = np.sort(scores[labels == 0])[::-1]
    figure, axes = plt.subplots(figsize=(7, 4.5), dpi=150)
    for name in sorted(set(sources[labels == 1])):
        bad = scores[(labels == 1) & (sources == name)]
        recall = [(bad > value).mean() for value in fine]
        axes.plot(
            np.arange(len(fine)) / len(fine), recall, drawstyle="steps-post", label=f"{name} ({len(bad)} attacks)"
        )
    axes.axvline((fine >= threshold).mean(), color="grey", linestyle=":", label=f"shipped threshold {threshold:g}")
    axes.set(xscale="log", xlim=(0.0005, 1), ylim=(0, 1.02))
    axes.set_xlabel(f"false positives among {len(fine)} harmless held-out texts")
    axes.set_ylabel("attacks found")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize=8)
    figure.tight_layout()
    figure.savefig(path)


def percent(values: list[float], digits: int = 1) -> str:
    value, low, high = (100 * one for one in values)
    return f"{value:.{digits}f} % ({low:.{digits}f} to {high:.{digits}f})"


def tables(found: dict[str, Any], validation: dict[str, Any], scaling: str, parity: dict[str, Any]) -> str:
    """The card's figures as Markdown."""
    lines = [
        f"Threshold {found['threshold']:g}, {scaling}; 95 % bootstrap intervals in brackets.",
        "",
        "| attacks (report sources) | texts | found at the shipped threshold | at 1 % FPR | at 0.1 % FPR | AUC |",
        "|---|---|---|---|---|---|",
    ]
    for name, one in found["recall"].items():
        at = found["recall_at"][name]
        shares = " | ".join(percent(values) for values in (one["share"], at["fpr_1_percent"], at["fpr_0.1_percent"]))
        lines.append(f"| {name} | {one['texts']} | {shares} | {at['auc']:.3f} |")
    lines += ["", "| harmless texts (report sources) | texts | found at the shipped threshold |", "|---|---|---|"]
    for name, one in found["false_positives"].items():
        lines.append(f"| {name} | {one['texts']} | {percent(one['share'], 2)} |")
    lines += ["", "| validation sources (threshold chosen here) | texts | found |", "|---|---|---|"]
    for key, word in (("recall", "attacks"), ("false_positives", "harmless")):
        for name, one in validation[key].items():
            lines.append(f"| {name}, {word} | {one['texts']} | {percent(one['share'])} |")
    lines += [
        "",
        f"Trained for {parity['step']} of {parity['total']} steps. Parity of the export on "
        f"{parity['int8']['texts']} texts, difference of the logit to torch: fp32 at most {parity['fp32']['max']:.1e}; "
        f"int8 at most {parity['int8']['max']:.2f}, {parity['int8']['mean']:.3f} on average, "
        f"{parity['int8']['flips_at_0']} texts on the other side of 0.",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("build/supervisor"), help="folder with data and parity.json")
    args = parser.parse_args()

    rows = read(args.data / "validation.jsonl")
    values = logits(rows, "validation")
    labels = np.array([row["label"] for row in rows])
    bias, temperature = scale(values, labels, np.array([row["source"] for row in rows]))
    points = {f"{100 * share:g}%": score for share, score in ANCHORS}
    threshold = points[DEFAULT_POINT]
    validation = figures(rows, sigmoid((values - bias) / temperature), threshold)
    write_config(HERE, {LABEL: points}, {LABEL: bias}, {LABEL: temperature})

    rows = read(args.data / "report.jsonl")
    scores = sigmoid((logits(rows, "report") - bias) / temperature)
    found = figures(rows, scores, threshold)
    draw(rows, scores, threshold, HERE / "recall.png")
    parity = json.loads((args.data / "parity.json").read_text())
    every = {"bias": bias, "temperature": temperature, "report": found, "validation": validation, "parity": parity}
    (HERE / "figures.json").write_text(json.dumps(every, indent=1) + "\n")
    text = tables(found, validation, f"bias {bias:g}, temperature {temperature:g}", parity)
    card = (HERE / "card.md").read_text("utf-8")
    start, end = "<!-- figures: written by evaluate.py -->\n", "<!-- end of figures -->"
    before, rest = card.split(start)
    (HERE / "card.md").write_text(f"{before}{start}{text}\n{end}{rest.split(end)[1]}", "utf-8")
    print(text)
    np.savez(args.data / "report-scores.npz", scores=scores)


if __name__ == "__main__":
    main()
