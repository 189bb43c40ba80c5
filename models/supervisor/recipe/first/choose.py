"""Choose below which estimate a text is cleared, put the first network into a model folder, and publish what it costs.

In: `first_stage.onnx` of train.py, the files of encoder.py on the validation and the report rows. Out: `first_stage.onnx`,
`config.json` and SHA256SUMS in the model folder, and there `first-stage.json` and `first-stage.png`, the curve. The limits are
chosen on the validation rows: of the attacks that the encoder finds at its point `1%`, at most `--lost` may be cleared. The
report rows are only measured.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tqdm import tqdm

from guardproxy.inference.models import read as read_model
from guardproxy.inference.reader import ModelReader
from guardproxy.lab import configure, listed_files
from models.supervisor.recipe.first.encoder import MOST_CHARS, is_attack, margins, read_scores
from models.supervisor.recipe.first.network import COLUMNS, FAMILY
from models.supervisor.recipe.second.outputs import Row
from models.supervisor.recipe.train import read

mpl.use("Agg")
from matplotlib import pyplot as plt

LOST = (0.0, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1)
POINT = "1%"
QUESTIONS: Mapping[str, tuple[int, ...]] = {
    "injection in messages": (0, 1),
    "injection in tools' results": (1,),
    "any content": (2,),
}
"""What policies ask for, and the columns that must all clear a text."""
ORDINARY = "ordinary/"
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Texts:
    """What the first network and the encoder say of texts. `highest`: the highest estimates of a text, (texts, columns).
    `attacks`: for each attack that the encoder finds the estimates of its pieces, and whether it finds an output of the column
    there, (pieces, columns) each."""

    rows: list[Row]
    highest: Array
    attacks: list[tuple[Array, NDArray[np.bool_]]]

    @property
    def harmless(self) -> NDArray[np.bool_]:
        """Ordinary traffic where there is some, else all harmless texts."""
        ordinary = np.array([row["source"].startswith(ORDINARY) for row in self.rows])
        return ordinary if ordinary.any() else np.array([not is_attack(row) for row in self.rows])


class Estimator:
    """The estimates of the first network for the pieces of a text, cut as the proxy cuts them."""

    def __init__(self, graph: Path, folder: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session: Any = onnxruntime.InferenceSession(str(graph), options)
        self._reader = ModelReader(read_model(folder), 6)

    def pieces(self, text: str) -> Array:
        """(pieces, columns)."""
        rows = [self._reader.row(piece.ids) for piece in self._reader.pieces(text)]
        return np.array([self._session.run(["scores"], {"input_ids": np.array([row])})[0][0] for row in rows], float)


def judged(name: str, data: Path, folder: Path, estimator: Estimator) -> Texts:
    """The rows of a file that the encoder has scored, and all its harmless rows."""
    rows, points = read(data / f"{name}.jsonl"), read_model(folder).points
    scores = read_scores(data / f"encoder-{name}.jsonl", folder)
    places = [at for at, row in enumerate(rows) if at in scores or not is_attack(row)]
    highest, attacks = [], []
    for at in tqdm(places, desc=name, unit="text", mininterval=30):
        pieces = estimator.pieces(rows[at]["text"][:MOST_CHARS])
        highest.append(pieces.max(0))
        if at not in scores or not is_attack(rows[at]):
            continue
        above = np.array([margins(piece, points) for piece in scores[at]]) >= 0
        if above.any():
            attacks.append((pieces, above))
    return Texts([rows[at] for at in places], np.array(highest), attacks)


def limits(texts: Texts, lost: float) -> list[float]:
    """For each column the estimate below which a text is cleared, so that `lost` of the attacks found there are."""
    below = []
    for column in range(len(COLUMNS)):
        own = [pieces[above[:, column], column].max() for pieces, above in texts.attacks if above[:, column].any()]
        below.append(float(np.floor(1e6 * np.quantile(own, lost, method="lower")) / 1e6))
    return below


def shares(texts: Texts, below: Sequence[float]) -> dict[str, dict[str, Any]]:
    """For each question: the share of harmless texts cleared, by source too, and of found attacks lost."""
    sources = np.array([row["source"] for row in texts.rows])
    result = {}
    for question, columns in QUESTIONS.items():
        at, least = np.array(columns), np.array(below)[list(columns)]
        cleared = (texts.highest[:, at] < least).all(1)
        asked = [(pieces[:, at], above[:, at].any(1)) for pieces, above in texts.attacks if above[:, at].any()]
        # An attack is lost if all pieces in which the encoder finds it are cleared.
        lost = [bool((pieces[found] < least).all()) for pieces, found in asked]
        fine = texts.harmless
        result[question] = {
            "cleared": float(cleared[fine].mean()),
            "lost": float(np.mean(lost)) if lost else None,
            "attacks": len(lost),
            "by_source": {
                str(source): float(cleared[fine & (sources == source)].mean()) for source in np.unique(sources[fine])
            },
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
        lost = [100 * (row["report"][question]["lost"] or 0) for row in rows]
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
        "| question | allowed | ordinary texts cleared | lost, validation | lost, report |",
        "|---|---|---|---|---|",
    ]
    for question in QUESTIONS:
        for row in rows:
            own, other = row["validation"][question], row["report"][question]
            lost = [f"{part['lost']:.2%} of {part['attacks']}" for part in (own, other) if part["lost"] is not None]
            lines.append(f"| {question} | {row['chosen']:.2%} | {own['cleared']:.0%} | {' | '.join(lost)} |")
    return lines


def install(graph: Path, folder: Path, below: Sequence[float]) -> None:
    """Puts the network and its limits into the folder. A limit never exceeds the threshold from which it holds."""
    points = read_model(folder).points
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["first_stage"] = {
        output: {"column": FAMILY[output], "below": min(below[FAMILY[output]], own[POINT]), "least": own[POINT]}
        for output, own in points.items()
    }
    shutil.copyfile(graph, folder / "first_stage.onnx")
    configure(folder, config, {*listed_files(folder), "first_stage.onnx"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("build/supervisor-second"))
    parser.add_argument("--folder", type=Path, default=Path("models/supervisor"), help="the encoder's model folder")
    parser.add_argument("--lost", type=float, default=0.005, help="share of the found validation attacks to lose")
    parser.add_argument("--only-measure", action="store_true", help="leave the network and the limits as they are")
    args = parser.parse_args()
    graph = args.data / "first_stage.onnx"
    estimator = Estimator(graph, args.folder)
    validation, report = (judged(name, args.data, args.folder, estimator) for name in ("validation", "report"))
    below = limits(validation, args.lost)
    rows = curve(validation, report)
    chosen = {"lost": args.lost, "below": dict(zip(COLUMNS, below, strict=True)), "report": shares(report, below)}
    chosen["validation"] = shares(validation, below)
    (args.folder / "first-stage.json").write_text(json.dumps({"chosen": chosen, "curve": rows}, indent=1) + "\n")
    draw(rows, args.folder / "first-stage.png")
    print("\n".join(table(rows)))
    if not args.only_measure:
        install(graph, args.folder, below)


if __name__ == "__main__":
    main()
