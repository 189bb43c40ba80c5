"""Measure the shipped model as it runs, on sources that it was neither trained nor calibrated on.

In: the model folder, `report.jsonl` of second/data.py, `parity.json` of second/finish.py. Out: `figures.json`, `recall.png`,
`calibration.png` and the part of `card.md` between its markers. Texts go through the proxy's own check, as `guardproxy
model evaluate` does it; this file only says which rows are attacks of which label.
"""

from __future__ import annotations

import argparse
import json
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
    interval,
    load_judge,
    report,
    table,
    with_verdicts,
)
from guardproxy.lab.reports import EvaluationReport

HERE = Path(__file__).parents[1]
Row = dict[str, Any]
SYSTEM_PROMPTS = "injection/tensor_trust_system_prompts"
"""Judged as users' messages, the hardest case; no user sends such texts, so the figures are given without them too."""
START, END = "<!-- figures: written by evaluate.py -->\n", "<!-- end of figures -->"


def attack(row: Row, outputs: frozenset[str]) -> bool | None:
    """Whether a row is an attack to a label, given the outputs behind it; `None`: nobody has said."""
    told = [value for output, value in row["targets"].items() if output in outputs]
    return any(told) if told else None


def judged(judge: Judge, rows: list[tuple[Row, bool]], label: str) -> list[JudgedRow]:
    given = [LabelledRow(row["text"], bad, row["source"], "") for row, bad in rows]
    return with_verdicts(given, tqdm(judge.judge(row.text for row in given), total=len(given), desc=label, unit="text"))


def markdown(found: EvaluationReport, label: str, kind: str, point: str) -> list[str]:
    lines = [f"`{label}` in texts of the kind `{kind}`:", ""]
    for head, *rows in table(found, point):
        lines += [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
        lines += [f"| {' | '.join(row)} |" for row in rows]
        lines.append("")
    return [*lines, *(f"{note}." for note in found.notes)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=Path("build/supervisor-second"), help="folder with data and parity.json"
    )
    parser.add_argument("--folder", type=Path, default=HERE, help="the model folder")
    args = parser.parse_args()
    folder: Path = args.folder
    scorer = load_judge(folder, remembered=10**6)
    rows: list[Row] = [json.loads(line) for line in (args.data / "report.jsonl").read_text("utf-8").splitlines()]
    groups = sorted(set(scorer.labels) - set(scorer.outputs))
    grouped = {output for name in groups for outputs in scorer.labels[name].values() for output in outputs}
    content = [output for output in scorer.outputs if output not in grouped]
    # Several sets say that a text is harmful and not how: they count for all of these labels together.
    asked: list[tuple[str, list[str], Kind]] = [(name, [name], "user") for name in groups]
    asked += [(name, [name], "tool_result") for name in groups if name == "injection"]
    asked += [("any content", content, "user")] if len(content) > 1 else []
    asked += [(output, [output], "user") for output in content]
    figures: dict[str, Any] = {"digest": scorer.digest, "point": scorer.default_point}
    lines, bins, drawn = (
        [f"Intervals in brackets are of 95 %; thresholds are those of `{scorer.default_point}`.", ""],
        {},
        {},
    )
    for label, labels, kind in asked:
        judge = Judge(scorer, {"labels": labels}, kind)
        harm = labels == content or "harmful" in judge.outputs
        behind = frozenset([*judge.outputs, *(["harmful", *content] if harm else [])])
        told = [(row, bad) for row in rows if (bad := attack(row, behind)) is not None]
        if not any(bad for _, bad in told):
            continue
        verdicts = judged(judge, told, label)
        found = report(verdicts)
        figures[f"{label}, {kind}"] = found.as_json()
        lines += [*markdown(found, label, kind, scorer.default_point), ""]
        if label in groups and kind == "user":
            rest = report([one for one in verdicts if one.source != SYSTEM_PROMPTS])
            figures[f"{label}, {kind}, without system prompts"] = rest.as_json()
            shown_rest = markdown(rest, label, kind, scorer.default_point)
            lines += [
                "Without the system prompts among the harmless texts:",
                "",
                *shown_rest[2 : shown_rest.index("", 2) + 1],
            ]
        bins[f"{label}, {kind}"] = found.bins
        drawn[f"{label}, {kind}"] = verdicts
        print(f"{label}, {kind}: {interval(list(found.attacks.values())[-1].found)} found")
    name, first = next(iter(drawn.items()))
    fine = [one for one in first if not one.attack]
    share = sum(one.found for one in fine) / len(fine)
    draw_roc(curves(first), (share, scorer.default_point), len(fine), folder / "recall.png")
    draw_reliability(bins, folder / "calibration.png")
    parity = json.loads((args.data / "parity.json").read_text())
    figures |= {"drawn": name, "parity": parity}
    (folder / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    shown = [
        f"{form}: at most {one['logit_most']:.2g}, {one['logit_mean']:.2g} on average"
        for form, one in parity.items()
        if isinstance(one, dict)
    ]
    lines.append(f"Difference of the logits of the exports to torch: {'; '.join(shown)}.")
    above, below = (folder / "card.md").read_text("utf-8").split(START)
    (folder / "card.md").write_text(f"{above}{START}{chr(10).join(lines)}\n{END}{below.split(END)[1]}", "utf-8")


if __name__ == "__main__":
    main()
