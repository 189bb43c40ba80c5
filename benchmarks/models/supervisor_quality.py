"""How well the shipped model tells attacks and harm from harmless texts, beside every classifier that a package holds.

Run `python -m benchmarks.models.supervisor_quality --out DIR [--peers PYTHON] [--npm FOLDER]` with GUARDPROXY_DATA: prints
tables, writes `supervisor_quality.json` and `.png` to DIR. All candidates judge the same texts. guardproxy judges them by the
very check that the proxy uses. `bag of words` is the floor (quality_floor.py): it is trained here on the rows that the
supervisor learns from, those of `--rows` or else made anew from the data. What a peer said of a text is kept in
`build/peer_scores.jsonl`, so a run with a new model asks them nothing. Two peers take 30 and 190 ms for each text.

None of the sets is trained on here, nor are thresholds chosen on them; those under `own/` were written here, for a test
alone. Whether a peer has seen any of them is not known. Recall is given where 1 % and 0.1 % of the harmless texts of all sets
are found, with bootstrap intervals; AP is average precision, the area under precision over recall; over-defence is what each
finds of the harmless texts at its own threshold. `--peers`: an interpreter with `pip install jailguard metatronnanoguard
prompt-guardrail prompt-injection-detector forcefield alt-profanity-check hatesonar`; JAILGUARD_MODEL_DIR names the folder
that `peers/jailguard_encoder.py` wrote, LOCPATH one with the locale en_US.UTF-8, which hatesonar needs. `--npm`: a folder
with `npm install llm_guardrail`. What is not there is left out, and said.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from benchmarks.models.supervisor_cascade import content
from guardproxy.findings import Kind
from guardproxy.inference.models import find
from guardproxy.lab import Judge, JudgedRow, LabelledRow, interval, load_judge, report, with_verdicts
from guardproxy.lab.reports import ALL, Attacks, EvaluationReport
from guardproxy.lab.shares import Share

if TYPE_CHECKING:
    from benchmarks.models.quality_floor import Floor

ROOT = Path(__file__).parents[2]
SEED = 11
OURS = "guardproxy"
FLOOR = "bag of words"
KEPT = Path("build/peer_scores.jsonl")
TOXICITY = ("alt-profanity-check", "hatesonar")


@dataclass(frozen=True, slots=True)
class Set:
    """A file of texts, below the data folder or, `own`, in this repository, and how many of it are judged. `fits`: which
    rows; `kind`: where such texts sit in a request."""

    path: str
    most: int | None = None
    fits: Callable[[dict[str, Any]], bool] = lambda row: True
    kind: Kind = "user"
    own: bool = False

    @property
    def name(self) -> str:
        return "own/" * self.own + Path(self.path).name.split(".")[0].removesuffix("-nc")

    def rows(self, data: Path) -> list[dict[str, Any]]:
        path = (ROOT if self.own else data) / self.path
        if self.own and not path.exists():
            return []
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
            found = [row for row in map(json.loads, lines) if self.fits(row)]
        return Random(SEED).sample(found, self.most) if self.most and len(found) > self.most else found


@dataclass(frozen=True, slots=True)
class Text:
    text: str
    attack: bool
    source: str
    kind: Kind


HARMLESS = [
    Set("injection/mitre_frr_benign_cyber.jsonl"),
    Set("injection/tensor_trust_system_prompts.jsonl"),
    Set("benign/self_instruct_mtbench.jsonl", None, lambda row: row["source"] != "self-instruct seed"),
    Set("benign/alpaca_instructions-nc.jsonl.gz", 2000),
    Set("models/supervisor/recipe/own/test/triggers.jsonl", own=True),
]
"""Harmless texts of several kinds, which no candidate may find, whatever it looks for."""
SETS: dict[str, list[Set]] = {
    "injection": [
        Set("injection/pypi_corpora.jsonl"),
        Set("injection/tensor_trust_attacks.jsonl", None, lambda row: "hijacking" in row["source"]),
        Set("injection/seval_attack_en-nc.jsonl.gz", 1000),
        Set("models/supervisor/recipe/own/test/attacks.jsonl", own=True),
        Set("models/supervisor/recipe/own/test/documents.jsonl", kind="tool_result", own=True),
        # A harmful "how to" is a plain request, which is no injection.
        Set(
            "models/supervisor/recipe/own/test/framed.jsonl",
            None,
            lambda row: not (row["label"] and row["style"] == "how-to"),
            own=True,
        ),
        *HARMLESS,
    ],
    "content": [
        Set("content/surge_toxicity.jsonl"),
        Set("content/do_not_answer-nc.jsonl"),
        Set("content/safety_tuned_llamas-nc.jsonl.gz"),
        Set("models/supervisor/recipe/own/test/framed.jsonl", own=True),
        Set("models/supervisor/recipe/own/test/stance.jsonl", own=True),
        *HARMLESS,
    ],
}


def texts(data: Path, task: str) -> list[Text]:
    found = []
    for one in SETS[task]:
        for row in one.rows(data):
            kind: Kind = "assistant" if task == "content" and row.get("kind") == "answer" else one.kind
            found.append(Text(row["text"], bool(row["label"]), one.name, kind))
    return found


class Peers:
    """Packages in a process of their own, see quality_peers.py and .mjs, and what they said before."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.versions: dict[str, str] = self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def judge(self, peer: str, part: Sequence[str]) -> list[list[Any]]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"peer": peer, "texts": list(part)}) + "\n")
        self._process.stdin.flush()
        answers: list[list[Any]] = self._answer()
        return answers

    def close(self) -> None:
        with self._process:  # its input ends, so it stops
            pass


class Kept:
    """What peers said: peer, version and text -> score, found, microseconds."""

    def __init__(self, path: Path) -> None:
        self._path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self._known: dict[str, list[Any]] = {key: answer for key, *answer in map(json.loads, lines)}

    def judged(self, peers: Peers, peer: str, asked: Sequence[str], doing: str) -> list[list[Any]]:
        keys = [hashlib.sha256(f"{peer} {peers.versions[peer]} {text}".encode()).hexdigest()[:32] for text in asked]
        new = [(key, text) for key, text in zip(keys, asked, strict=True) if key not in self._known]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as file:
            for at in tqdm(range(0, len(new), 16), desc=f"{doing}: {peer}", disable=not new):
                part = new[at : at + 16]
                for (key, _), answer in zip(part, peers.judge(peer, [text for _, text in part]), strict=True):
                    self._known[key] = answer
                    file.write(json.dumps([key, *answer]) + "\n")
                file.flush()  # a run that is stopped leaves whole lines
        return [self._known[key] for key in keys]


def ours(task: str, asked: Sequence[Text], model: Path) -> list[JudgedRow] | None:
    """`None` when the model has no output for the task. A text is found at the model's own threshold."""
    scorer = load_judge(model)
    labels = ["injection"] if task == "injection" else [*content(scorer)]
    if not labels:
        return None
    judges = {kind: Judge(scorer, {"labels": labels}, kind) for kind in {text.kind for text in asked}}
    found: dict[Text, JudgedRow] = {}
    for kind, judge in judges.items():
        part = [text for text in asked if text.kind == kind]
        rows = [LabelledRow(text.text, text.attack, text.source, "") for text in part]
        verdicts = tqdm(judge.judge(row.text for row in rows), total=len(part), desc=f"{task}: {OURS}")
        found |= dict(zip(part, with_verdicts(rows, verdicts), strict=True))
    return [found[text] for text in asked]


def trained_floor(prepared: Path | None, data: Path) -> Floor | None:
    """`None` without scikit-learn."""
    try:
        from benchmarks.models.quality_floor import Floor, rows
    except ImportError as error:
        print(f"skipped {FLOOR}: {error}", file=sys.stderr)
        return None
    return Floor(*rows(prepared, data))


def with_answers(asked: Sequence[Text], answers: Sequence[Sequence[Any]]) -> list[JudgedRow]:
    """`answers`: for each text its score, whether it is found, and more that does not matter here."""
    return [
        JudgedRow(text.source, text.attack, score, found)
        for text, (score, found, *_) in zip(asked, answers, strict=True)
    ]


def theirs(
    task: str, asked: Sequence[Text], groups: Sequence[Peers], kept: Kept
) -> Iterator[tuple[str, tuple[list[JudgedRow], float]]]:
    """The name of a peer, and its verdicts and its microseconds a text."""
    for peers in groups:
        for peer in peers.versions:
            if (peer in TOXICITY) == (task == "content"):
                answers = kept.judged(peers, peer, [text.text for text in asked], task)
                yield peer, (with_answers(asked, answers), statistics.median(us for *_, us in answers))


def whole(found: EvaluationReport) -> Attacks:
    """The figures of the attacks of all sets."""
    return list(found.attacks.values())[-1]


def show(task: str, results: dict[str, EvaluationReport]) -> None:
    print(f"\n{task}: recall at 1 % | at 0.1 % of the harmless texts of all sets (bootstrap, 95 %) | AUC | AP")
    for name, found in results.items():
        for source, one in found.attacks.items():
            cells = [interval(share) for share in one.recall_at]
            cells += ["-" if area is None else f"{area:.3f}" for area in (one.auc, one.average_precision)]
            print(f"  {name:26} {source:26} {one.texts:6} {' | '.join(cells)}")
    print(f"{task}: harmless texts found at the candidate's own threshold, and attacks (Wilson, 95 %)")
    for name, found in results.items():
        for source, harmless in found.harmless.items():
            print(f"  {name:26} {source:26} {harmless.texts:6} {interval(harmless.found, 2)}")
        print(f"  {name:26} {'attacks of all':26} {'':6} {interval(whole(found).found)}")


def draw(results: dict[str, dict[str, EvaluationReport]], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        len(results), 4, figsize=(18, 1.6 + 2.9 * len(results)), layout="constrained", squeeze=False
    )
    for row, (task, found) in zip(axes, results.items(), strict=True):
        names = list(found)[::-1]
        last = [whole(found[name]) for name in names]
        fine = [found[name].harmless for name in names]
        precision = [one.average_precision for one in last]
        panels: tuple[tuple[str, list[Any]], ...] = (
            (f"{task}: attacks found at 1 % false positives", [one.recall_at[0] for one in last]),
            (f"{task}: attacks found at 0.1 % false positives", [one.recall_at[1] for one in last]),
            (f"{task}: average precision", [None if one is None else Share(one, one, one) for one in precision]),
            (
                f"{task}: harmless texts found at its own threshold",
                [part[ALL if ALL in part else next(iter(part))].found for part in fine],
            ),
        )
        for axis, (title, shares) in zip(row, panels, strict=True):
            for at, (name, share) in enumerate(zip(names, shares, strict=True)):
                if share:
                    color = {OURS: "#1f6feb", FLOOR: "#c98500"}.get(name, "#9aa4b2")
                    spread = [[share.value - share.low], [share.high - share.value]]
                    axis.barh(
                        at,
                        share.value,
                        xerr=spread if share.low < share.high else None,
                        color=color,
                        height=0.6,
                        ecolor="#444",
                        capsize=2,
                    )
                    axis.text(min(1.0, share.high) + 0.02, at, f"{share.value:.1%}", va="center", fontsize=8)
            axis.set_yticks(range(len(names)), names if axis is row[0] else [""] * len(names), fontsize=8)
            axis.set(xlim=(0, 1.15), ylim=(-0.6, len(names) - 0.4), xticks=[0, 0.25, 0.5, 0.75, 1])
            axis.set_title(title, fontsize=10, loc="left")
            axis.tick_params(axis="y", length=0)
            for side in ("top", "right", "left"):
                axis.spines[side].set_visible(False)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=find("supervisor"), help="a model folder")
    parser.add_argument(
        "--rows", type=Path, help="a folder with train.jsonl and validation.jsonl, to train the floor on"
    )
    parser.add_argument("--peers", help="an interpreter that has the other packages")
    parser.add_argument("--npm", help="a folder in which llm_guardrail is installed")
    parser.add_argument("--peers-only", action="store_true", help="ask the peers, keep what they say, and stop")
    asked = parser.parse_args()
    if "GUARDPROXY_DATA" not in os.environ:
        raise SystemExit("name the folder of the data sets in GUARDPROXY_DATA")
    asked.out.mkdir(parents=True, exist_ok=True)
    here = ROOT / "benchmarks" / "peers"
    groups = [Peers([asked.peers, str(here / "quality_peers.py")])] if asked.peers else []
    groups += [Peers(["node", str(here / "quality_peers.mjs"), asked.npm])] if asked.npm else []
    if not groups:
        print("no other packages: neither --peers nor --npm says where they are", file=sys.stderr)
    kept = Kept(KEPT)
    data = Path(os.environ["GUARDPROXY_DATA"])
    rows = {task: texts(data, task) for task in SETS}
    others = {task: dict(theirs(task, rows[task], groups, kept)) for task in SETS}
    for peers in groups:
        peers.close()
    if asked.peers_only:
        return
    floor = trained_floor(asked.rows, data)
    results: dict[str, dict[str, EvaluationReport]] = {}
    shown: dict[str, Any] = {}
    for task in SETS:
        judged: dict[str, list[JudgedRow]] = {}
        if (mine := ours(task, rows[task], asked.model)) is None:
            print(f"{task}: the model has no output for it", file=sys.stderr)
        else:
            judged[OURS] = mine
        if floor:
            judged[FLOOR] = with_answers(rows[task], floor.judge(task, [text.text for text in rows[task]]))
        judged |= {peer: verdicts for peer, (verdicts, _) in others[task].items()}
        results[task] = {name: report(verdicts) for name, verdicts in judged.items()}
        took = {peer: {"median_us": round(us, 1)} for peer, (_, us) in others[task].items()}
        shown[task] = {name: took.get(name, {}) | found.as_json() for name, found in results[task].items()}
        show(task, results[task])
    about = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "model": load_judge(asked.model).digest,
        "floor": floor.about if floor else None,
        "peers": {name: number for peers in groups for name, number in peers.versions.items()},
        "training": "none of the sets is trained on here; whether a peer has seen them is not known",
    }
    (asked.out / "supervisor_quality.json").write_text(json.dumps({"about": about, "results": shown}, indent=2) + "\n")
    draw({task: found for task, found in results.items() if found}, asked.out / "supervisor_quality.png")


if __name__ == "__main__":
    main()
