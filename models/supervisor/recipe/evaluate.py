"""Measure a model folder as it runs, on sources that it was neither trained nor calibrated on, and write its card's figures.

In: the model folder, the report sources of the data folder. Out: `figures.json`, `recall.png`, `calibration.png` and the part
of `card.md` between its markers. Texts go through the proxy's own check, as `guardproxy model evaluate` does it; this file
only says which rows are attacks of which label. The report sources are looked at once a release.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from guardproxy.findings import Kind
from guardproxy.lab import (
    Judge,
    JudgedRow,
    LabelledRow,
    curves,
    draw_reliability,
    draw_roc,
    load_judge,
    report,
    with_verdicts,
)
from guardproxy.lab.reports import EvaluationReport
from guardproxy.lab.shares import Share
from models.supervisor.recipe.data import data_folder, held_out
from models.supervisor.recipe.sources import INJECTION, Row

HERE = Path(__file__).parents[1]
SYSTEM_PROMPTS = "injection/tensor_trust_system_prompts"
"""System prompts of a password game. No user sends such texts, so what the model can tell apart is given without them."""
START, END = "<!-- figures: written by evaluate.py -->\n", "<!-- end of figures -->"
POINTS = ("0.5%", "1%")
"""The point of the shipped policies, and the default."""
ASKED: tuple[tuple[str, Kind], ...] = (("injection", "user"), ("injection", "tool_result"), ("content", "user"))
"""The labels and the kinds of channel that are measured."""
Reports = Mapping[str, EvaluationReport]


def attack(row: Row, outputs: frozenset[str]) -> bool | None:
    """Whether a row is an attack to a label, given the outputs behind it; `None`: nobody has said."""
    told = [value for output, value in row["targets"].items() if output in outputs]
    return any(told) if told else None


def behind(outputs: Sequence[str]) -> frozenset[str]:
    """What a row may say that these outputs are to find. Some sets say that a text is harmful and not how."""
    found = set(outputs)
    if "injection" in found:
        found |= set(INJECTION)
    if "harmful" in found:
        found |= {"hate", "harassment", "sexual", "violence", "self_harm", "illicit"}
    return frozenset(found)


def group(source: str) -> str:
    """The name that a source has in the card: parts of own files are shown together."""
    return source.partition(":")[0] if source.startswith("own/") else source


def judged(judge: Judge, rows: Sequence[tuple[Row, bool]], told: str) -> list[JudgedRow]:
    given = [LabelledRow(row["text"], bad, group(row["source"]), "") for row, bad in rows]
    return with_verdicts(given, tqdm(judge.judge(row.text for row in given), total=len(given), desc=told, unit="text"))


def percent(share: Share | None) -> str:
    return f"{100 * share.value:.1f} % ({100 * share.low:.1f} to {100 * share.high:.1f})" if share else "-"


def attacks_table(at: Mapping[str, EvaluationReport], apart: EvaluationReport) -> list[str]:
    """A line for each source of attacks. `at`: the reports by point. `apart`: that without the system prompts."""
    lines = [
        f"| attacks | texts | {' | '.join(f'found at `{point}`' for point in at)} | at 1 % of harmless texts | AUC |",
        f"|---|---|{'---|' * len(at)}---|---|",
    ]
    for name, own in apart.attacks.items():
        found = " | ".join(percent(one.attacks[name].found) for one in at.values())
        lines.append(f"| {name} | {own.texts} | {found} | {percent(own.recall_at[0])} | {own.auc or 0:.3f} |")
    return lines


def harmless_table(columns: Mapping[str, EvaluationReport]) -> list[str]:
    """A line for each source of harmless texts, and a column for each report."""
    names = sorted({name for one in columns.values() for name in one.harmless}, key=lambda name: (name == "all", name))
    lines = [f"| harmless | texts | {' | '.join(columns)} |", f"|---|---|{'---|' * len(columns)}"]
    for name in names:
        own = [one.harmless.get(name) for one in columns.values()]
        texts = max(one.texts for one in own if one)
        lines.append(f"| {name} | {texts} | {' | '.join(percent(one.found) if one else '-' for one in own)} |")
    return lines


def markdown(
    reports: Mapping[tuple[str, Kind], Reports], apart: Mapping[tuple[str, Kind], EvaluationReport]
) -> list[str]:
    """The figures of the card: a table of attacks for each label and kind, and one of harmless texts."""
    lines = []
    for (label, kind), at in reports.items():
        lines += [f"`{label}` in texts of the kind `{kind}`:", "", *attacks_table(at, apart[label, kind]), ""]
    columns = {
        f"`{label}`, `{kind}`, at `{point}`": one
        for (label, kind), at in reports.items()
        for point, one in at.items()
        if point == POINTS[0]
    }
    return [*lines, "Harmless texts that are found:", "", *harmless_table(columns)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=HERE, help="the model folder")
    folder: Path = parser.parse_args().folder
    scorer = load_judge(folder, remembered=10**6)
    _, rows = held_out(data_folder())
    reports: dict[tuple[str, Kind], dict[str, EvaluationReport]] = {}
    apart: dict[tuple[str, Kind], EvaluationReport] = {}
    drawn: dict[str, list[JudgedRow]] = {}
    for label, kind in ASKED:
        for point in POINTS:
            judge = Judge(scorer, {"labels": [label], "threshold": point}, kind)
            wanted = behind(judge.outputs)
            told = [(row, bad) for row in rows if (bad := attack(row, wanted)) is not None]
            verdicts = judged(judge, told, f"{label}, {kind}, {point}")
            reports.setdefault((label, kind), {})[point] = report(verdicts)
        drawn[f"{label}, {kind}"] = verdicts
        apart[label, kind] = report([one for one in verdicts if one.source != SYSTEM_PROMPTS])
    first = next(iter(drawn.values()))
    fine = [one for one in first if not one.attack]
    share = sum(one.found for one in fine) / len(fine)
    draw_roc(curves(first), (share, POINTS[-1]), len(fine), folder / "recall.png")
    draw_reliability({name: report(rows).bins for name, rows in drawn.items()}, folder / "calibration.png")
    figures: dict[str, Any] = {"digest": scorer.digest}
    for (label, kind), at in reports.items():
        figures |= {f"{label}, {kind}, {point}": one.as_json() for point, one in at.items()}
        figures[f"{label}, {kind}, without system prompts"] = apart[label, kind].as_json()
    (folder / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    lines = markdown(reports, apart)
    print("\n".join(lines))
    if (folder / "card.md").exists():
        above, below = (folder / "card.md").read_text("utf-8").split(START)
        card = f"{above}{START}{chr(10).join(lines)}\n{END}{below.split(END)[1]}"
        (folder / "card.md").write_text(card, "utf-8")


if __name__ == "__main__":
    main()
