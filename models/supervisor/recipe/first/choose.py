"""Choose below which estimate a text is cleared, put the first network into a model folder, and publish what it costs.

In: `first_stage.onnx` of train.py, the files of encoder.py on the validation and the report rows. Out: `first_stage.onnx`,
`config.json` and SHA256SUMS in the model folder, and there the curve: `first-stage.json`, `first-stage.png` and, if there is a
`card.md`, the part between its markers. The limits are
chosen on the validation rows: of the attacks that the encoder finds at its point `1%`, at most `--lost` may be cleared, and the
95 % interval of that share must end below twice as much. The report rows are only measured.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from guardproxy.inference.folders.clearing import Clearing
from guardproxy.inference.models import read as read_model
from guardproxy.inference.scoring.first_stage import FirstStage
from guardproxy.inference.scoring.reader import ModelReader
from guardproxy.lab import configure, listed_files
from guardproxy.lab.shares import proportion
from models.supervisor.recipe.first.data import is_attack
from models.supervisor.recipe.first.encoder import POINT, query, read_scores
from models.supervisor.recipe.first.network import COLUMNS, FAMILY
from models.supervisor.recipe.rows import read
from models.supervisor.recipe.second.outputs import JAILBREAK, KINDS, Row

mpl.use("Agg")
from matplotlib import pyplot as plt

LOST = (0.0, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1)
LOSS = 0.0075
"""A little less than the 1 % that may be lost on sources that were not chosen on."""
ORDINARY = "ordinary/"
START, END = "<!-- first stage: written by first/choose.py -->\n", "<!-- end of first stage -->\n"
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Question:
    """What a policy asks. `outputs`: of the encoder, if it has them. `attacks`: targets of the texts that are attacks.
    `column`: of the first network. `channel`: the only channel that counts, if it is not all."""

    outputs: tuple[str, ...]
    attacks: tuple[str, ...]
    column: int
    channel: str = ""

    def counts(self, row: Row) -> bool:
        """Whether it is asked of a text."""
        return self.channel in ("", row.get("channel", "user"))


INJECTIONS = (JAILBREAK, "embedded_instruction", "order")
QUESTIONS = {
    "injection": Question((JAILBREAK, "embedded_instruction"), INJECTIONS, 0),
    "injection in tools' results": Question((JAILBREAK, "embedded_instruction"), INJECTIONS, 0, "tool_result"),
    "any content": Question(("harmful", *KINDS), ("harmful", *KINDS), 1),
}


@dataclass(frozen=True, slots=True)
class Texts:
    """What the first network and the encoder say of texts. `pieces`: the estimates of each text, (pieces, columns).
    `attacks`: for each question and each of its attacks that the encoder finds, the highest estimate of a piece in which it
    finds it: the attack is lost if that is cleared."""

    rows: list[Row]
    pieces: list[Array]
    attacks: dict[str, list[float]]

    def harmless(self, question: Question) -> list[int]:
        """Places of the texts of which it is asked: of ordinary traffic where there is some, else of all harmless texts."""
        asked = [at for at, row in enumerate(self.rows) if question.counts(row)]
        ordinary = [at for at in asked if self.rows[at]["source"].startswith(ORDINARY)]
        return ordinary or [at for at in asked if not is_attack(self.rows[at])]


class Estimator:
    """The estimates of the first network for the pieces of a text, cut as the proxy cuts them."""

    def __init__(self, graph: Path, folder: Path) -> None:
        self._stage = FirstStage(graph, {name: Clearing(at, 0.0, 0.0) for at, name in enumerate(COLUMNS)}, COLUMNS)
        self._reader = ModelReader(read_model(folder), 6)

    def pieces(self, row: Row) -> Array:
        """(pieces, columns)."""
        asked = query(row)
        channel = self._reader.channel(asked)
        rows = [self._reader.row(piece.ids, channel) for piece in self._reader.pieces(asked.text)]
        return np.array([self._stage.estimates(row) for row in rows])


def judged(name: str, data: Path, folder: Path, estimator: Estimator) -> Texts:
    """The rows of a file that the encoder has scored, and all its harmless rows."""
    rows, model = read(data / f"{name}.jsonl"), read_model(folder)
    scores = read_scores(data / f"encoder-{name}.jsonl", folder)
    places = [at for at, row in enumerate(rows) if at in scores or not is_attack(row)]
    estimates: list[Array] = []
    attacks: dict[str, list[float]] = {name: [] for name in QUESTIONS}
    for at in tqdm(places, desc=name, unit="text", mininterval=30):
        pieces = estimator.pieces(rows[at])
        estimates.append(pieces)
        if len(scores.get(at, pieces)) != len(pieces):
            raise SystemExit("texts were cut otherwise when the encoder scored them: remove its scores")
        for label, question in QUESTIONS.items():
            if question.counts(rows[at]) and any(rows[at]["targets"].get(target) == 1 for target in question.attacks):
                points = model.points_in(rows[at].get("channel", "user"))
                outputs = [output for output in question.outputs if output in points]
                found = [any(piece[output] >= points[output][POINT] for output in outputs) for piece in scores[at]]
                if any(found):
                    attacks[label].append(float(pieces[found, question.column].max()))
    return Texts([rows[at] for at in places], estimates, attacks)


def limits(texts: Texts, lost: float) -> list[float]:
    """For each column the estimate below which a text is cleared, so that at most `lost` of each question's attacks are."""
    below = [1.0] * len(COLUMNS)
    for label, question in QUESTIONS.items():
        least = float(np.quantile(texts.attacks[label], lost, method="lower"))
        below[question.column] = min(below[question.column], least)
    return below


def sure_limits(texts: Texts, lost: float) -> list[float]:
    """For each column the highest limit at which each question loses at most `lost` of its attacks, or 0 where the attacks are
    too few to say that less than twice as many are lost. The question with the most attacks must say so: the attacks
    of a column's other questions are among them."""
    below = []
    for column in range(len(COLUMNS)):
        asked = [sorted(texts.attacks[label]) for label, question in QUESTIONS.items() if question.column == column]
        most = max(asked, key=len)
        sure = [count for count in range(int(lost * len(most)) + 1) if is_sure(count, len(most), lost)]
        ends = [rising[int(lost * len(rising))] for rising in asked if rising]
        below.append(min(most[sure[-1]], *ends) if sure else 0.0)
    return below


def is_sure(count: int, total: int, lost: float) -> bool:
    return total > count and proportion(count, total).high <= 2 * lost


def shares(texts: Texts, below: Sequence[float]) -> dict[str, dict[str, Any]]:
    """For each question: the share of harmless texts cleared, by source too, of their pieces, and of found attacks lost."""
    result = {}
    for label, question in QUESTIONS.items():
        column, limit = question.column, below[question.column]
        fine = texts.harmless(question)
        by_source: dict[str, list[bool]] = defaultdict(list)
        for at in fine:
            by_source[texts.rows[at]["source"]].append(bool(texts.pieces[at][:, column].max() < limit))
        result[label] = {
            "cleared": float(np.mean(list(chain(*by_source.values())))) if fine else 0.0,
            "pieces": float(np.concatenate([texts.pieces[at][:, column] < limit for at in fine]).mean())
            if fine
            else 0.0,
            "lost": float((np.array(texts.attacks[label]) < limit).mean()) if texts.attacks[label] else 0.0,
            "attacks": len(texts.attacks[label]),
            "by_source": {source: float(np.mean(cleared)) for source, cleared in sorted(by_source.items())},
        }
    return result


def curve(validation: Texts, report: Texts) -> list[dict[str, Any]]:
    """For each share of `LOST`: what limits chosen for it on the validation rows do on both files."""
    rows = []
    for lost in LOST:
        below = limits(validation, lost)
        rows.append({"chosen": lost, "validation": shares(validation, below), "report": shares(report, below)})
    return rows


def draw(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draws the curve: attacks lost on the report sources against ordinary texts cleared."""
    figure, axes = plt.subplots(figsize=(6, 4), dpi=120, layout="constrained")
    for question in QUESTIONS:
        lost = [100 * row["report"][question]["lost"] for row in rows]
        axes.plot(lost, [100 * row["validation"][question]["cleared"] for row in rows], marker="o", label=question)
    axes.axvline(1, color="grey", linewidth=0.8, linestyle=":")
    axes.set(
        xlabel="% of the found attacks lost, sources never seen", ylabel="% of ordinary texts cleared", ylim=(0, 100)
    )
    axes.legend(fontsize=8)
    figure.savefig(path)
    plt.close(figure)


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The curve as lines of Markdown."""
    lines = [
        "| question | allowed | lost, validation | lost, report | cleared, ordinary | pieces | cleared, report |",
        "|---|---|---|---|---|---|---|",
    ]
    for question in QUESTIONS:
        for row in rows:
            own, other = row["validation"][question], row["report"][question]
            lost = " | ".join(
                f"{part['lost']:.2%} of {part['attacks']:,}" if part["attacks"] else "-" for part in (own, other)
            )
            allowed = row["chosen"] if isinstance(row["chosen"], str) else f"{row['chosen']:.2%}"
            shown = (own["cleared"], own["pieces"], other["cleared"] if other["attacks"] else None)
            cleared = " | ".join("-" if share is None else f"{share:.0%}" for share in shown)
            lines.append(f"| {question} | {allowed} | {lost} | {cleared} |")
    return lines


def write_card(path: Path, lines: Sequence[str]) -> None:
    """Writes lines between the markers of a card."""
    above, rest = path.read_text("utf-8").split(START)
    path.write_text(f"{above}{START}{chr(10).join(lines)}\n{END}{rest.split(END)[1]}", "utf-8")


def install(graph: Path, folder: Path, below: Sequence[float]) -> None:
    """Puts the network and its limits into the folder. A limit never exceeds the default point of any kind of channel; an
    output with the limit 0 is never cleared."""
    model = read_model(folder)
    lowest = {
        output: min(model.points_in(kind)[output][POINT] for kind in ("assistant", *model.channel_points))
        for output in model.outputs
    }
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["first_stage"] = {
        output: {"column": FAMILY[output], "below": min(below[FAMILY[output]], lowest[output]), "least": own[POINT]}
        for output, own in model.points.items()
        if below[FAMILY[output]] > 0
    }
    shutil.copyfile(graph, folder / "first_stage.onnx")
    configure(folder, config, {*listed_files(folder), "first_stage.onnx"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("build/supervisor-second"))
    parser.add_argument("--folder", type=Path, default=Path("models/supervisor"), help="the encoder's model folder")
    parser.add_argument("--lost", type=float, default=LOSS, help="share of the found validation attacks to lose")
    parser.add_argument("--only-measure", action="store_true", help="leave the network and the limits as they are")
    args = parser.parse_args()
    graph = args.data / "first_stage.onnx"
    estimator = Estimator(graph, args.folder)
    validation, report = (judged(name, args.data, args.folder, estimator) for name in ("validation", "report"))
    below = sure_limits(validation, args.lost)
    rows = curve(validation, report)
    chosen = {"lost": args.lost, "below": dict(zip(COLUMNS, below, strict=True)), "report": shares(report, below)}
    chosen["validation"] = shares(validation, below)
    (args.folder / "first-stage.json").write_text(json.dumps({"chosen": chosen, "curve": rows}, indent=1) + "\n")
    draw(rows, args.folder / "first-stage.png")
    lines = table([*rows, {"chosen": "shipped", "validation": chosen["validation"], "report": chosen["report"]}])
    print("\n".join(lines))
    if (args.folder / "card.md").exists():
        write_card(args.folder / "card.md", lines)
    if not args.only_measure:
        install(graph, args.folder, below)


if __name__ == "__main__":
    main()
