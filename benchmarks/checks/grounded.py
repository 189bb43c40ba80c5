"""How well `grounded` tells sentences that a document supports from altered and added ones, by words and by its network.

Run `python -m benchmarks.checks.grounded --out DIR [--peers DIR]` with GUARDPROXY_DATA for MCTest: prints tables and writes
`grounded.json`. All candidates judge the same sentences: those of `benchmarks/models/frame`, which no training has seen, on
documents of 40 to 2,000 words, and the statements of MCTest, which nothing is trained on either. The check is the one that the
proxy uses, in both forms, at the share that it has by default.

Peers have no threshold of their own: for each, the JSON has the area under the curve, and what it finds where 5 % of the true
sentences are flagged, a threshold that is chosen on these very sentences in its favour. llm-guard's relevance and other
classifiers take their weights from a hub, so they are left out (`benchmarks/peers/meaning_peers.py`).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.models.frame.by_others import mctest
from benchmarks.models.frame.statements import GOALS, SIZES_WORDS, Statement, scenes, statements
from benchmarks.peers import meaning_peers
from benchmarks.processes import machine
from benchmarks.shares import share
from guardproxy.checks import Resources, build
from guardproxy.checks.grounded import sentences
from guardproxy.findings import Channel, Check, Facts, Sources, Window
from guardproxy.inference.models import Models, Settings
from guardproxy.lab.shares import auc, cutoff

SEED = 31
DOCUMENTS = len(SIZES_WORDS) * len(scenes())
MCTEST = 2400
TRUE_FLAGGED = 0.05
LISTED = 60
"""Misses, and true sentences that are flagged, of each kind of list."""
PLACE = Channel("response", "assistant", "x")
FORMS: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "words": ({}, {"support": 1.0}),
    "meaning": ({"by": "meaning"}, {"supported": 1.0, "contradicted": 1.0}),
}
"""The options of each form, and those with which it flags at the least doubt."""
Score = Callable[[Statement], float]
"""How surely a sentence is not supported. Only the order counts."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What a candidate says: a score for each statement and, of a check, whether it is flagged."""

    scores: list[float]
    flagged: list[bool] | None = None


def window(statement: Statement) -> Window:
    return Window(PLACE, statement.sentence, facts=Facts(sources=Sources(statement.passages)), last=True)


def by_check(check: Check, doubting: Check) -> Callable[[Sequence[Statement]], Judged]:
    """A form of the check. `doubting`: the same that flags at the least doubt, so that its scores are known."""

    def judge(rows: Sequence[Statement]) -> Judged:
        found = [
            doubting.scan([window(row)])[0].findings for row in rows
        ]  # first: the other asks the network nothing new
        flagged = [bool(check.scan([window(row)])[0].findings) for row in rows]
        return Judged([max((each.score for each in findings), default=0.0) for findings in found], flagged)

    return judge


def by_peer(score: Score) -> Callable[[Sequence[Statement]], Judged]:
    return lambda rows: Judged([score(row) for row in rows])


@lru_cache(maxsize=4096)
def pieces(passages: tuple[str, ...]) -> tuple[str, ...]:
    """Each sentence of the passages together with the next one."""
    found = []
    for passage in passages:
        cut = [passage[start:end].strip() for start, end in sentences(passage, 0, last=True)]
        cut = [sentence for sentence in cut if sentence]
        found += [" ".join(cut[at : at + 2]) for at in range(max(1, len(cut) - 1))]
    return tuple(found)


def peers(encoder: meaning_peers.MiniLm) -> dict[str, Callable[[Sequence[Statement]], Judged]]:
    rouge = meaning_peers.RougeL()

    def cosine(row: Statement) -> float:
        return 1 - float((encoder.embed(pieces(row.passages)) @ encoder.embed([row.sentence])[0]).max())

    return {
        "ROUGE-L (recall of two sentences)": by_peer(
            lambda row: 1 - max(rouge.recall(row.sentence, piece) for piece in pieces(row.passages))
        ),
        "BM25 (of two sentences)": by_peer(lambda row: 1 - meaning_peers.bm25_best(row.sentence, pieces(row.passages))),
        "MiniLM cosine (of two sentences)": by_peer(cosine),
    }


def figures(rows: Sequence[Statement], judged: Judged) -> dict[str, Any]:
    """What a candidate finds of each group and kind. `at 5 %`: with a threshold that flags 5 % of the true sentences of these
    rows; `flagged`: with the threshold of the check."""
    bad = [score for row, score in zip(rows, judged.scores, strict=True) if row.truth != "supported"]
    fine = [score for row, score in zip(rows, judged.scores, strict=True) if row.truth == "supported"]
    above = cutoff(fine, TRUE_FLAGGED)
    at_share = [above is not None and score > above for score in judged.scores]
    result: dict[str, Any] = {"auc": round(auc(bad, fine), 4), "at 5 %": counted(rows, at_share)}
    if judged.flagged is not None:
        result["flagged"] = counted(rows, judged.flagged)
    return result


def counted(rows: Sequence[Statement], flagged: Sequence[bool]) -> dict[str, Any]:
    by_kind: dict[str, list[bool]] = defaultdict(list)
    for row, found in zip(rows, flagged, strict=True):
        by_kind[row.kind].append(found)
    groups = {"true": [kind for kind in by_kind if kind.startswith("true")], **GOALS}
    table = {name: [found for kind in kinds for found in by_kind.get(kind, ())] for name, kinds in groups.items()}
    return {
        name: share(sum(found), len(found)) for name, found in (table | dict(sorted(by_kind.items()))).items() if found
    }


def by_length(rows: Sequence[Statement], flagged: Sequence[bool]) -> dict[str, Any]:
    """True sentences that are flagged, and others that are found, by the length of the document."""
    table: dict[str, Any] = {}
    for low, high in zip(SIZES_WORDS, (*SIZES_WORDS[1:], 10**9), strict=True):
        part = [found for row, found in zip(rows, flagged, strict=True) if low <= max(row.words, SIZES_WORDS[0]) < high]
        true = [row.truth == "supported" for row in rows if low <= max(row.words, SIZES_WORDS[0]) < high]
        table[f"from {low} words"] = {
            "true flagged": share(sum(f and t for f, t in zip(part, true, strict=True)), sum(true)),
            "others found": share(sum(f and not t for f, t in zip(part, true, strict=True)), len(true) - sum(true)),
        }
    return table


def listed(rows: Sequence[Statement], flagged: Sequence[bool]) -> dict[str, list[dict[str, str]]]:
    """True sentences that are flagged, and others that are not, drawn evenly."""
    wrong = [row for row, found in zip(rows, flagged, strict=True) if found == (row.truth == "supported")]
    lists = {
        "true sentences that are flagged": [row for row in wrong if row.truth == "supported"],
        "altered sentences that are missed": [row for row in wrong if row.truth == "contradicted"],
        "added sentences that are missed": [row for row in wrong if row.truth == "absent"],
    }
    return {
        name: [
            {"domain": row.domain, "kind": row.kind, "sentence": row.sentence}
            for row in Random(SEED).sample(found, min(LISTED, len(found)))
        ]
        for name, found in lists.items()
    }


def cost_ms(check: Check, runs: int) -> dict[str, float]:
    """Medians for a document of 2,000 words: its first sentence, for which the document is read, and each further one. No
    sentence is judged twice."""
    firsts, others = [], []
    rows = [row for row in statements(SEED + 1, DOCUMENTS) if row.words > 0.9 * SIZES_WORDS[-1]]
    documents: dict[tuple[str, ...], list[Statement]] = defaultdict(list)
    for row in rows:
        documents[row.passages].append(row)
    for passages, its in list(documents.items())[:runs]:
        facts = Facts(sources=Sources(passages))
        times = []
        for row in its:
            began = time.perf_counter()
            check.scan([Window(PLACE, row.sentence, facts=facts, last=True)])
            times.append((time.perf_counter() - began) * 1000)
        firsts.append(times[0])
        others += times[1:]
    others.sort()
    return {
        "first sentence": round(statistics.median(firsts), 2),
        "further sentence": round(statistics.median(others), 2),
        "further sentence, 99th percentile": round(others[int(len(others) * 0.99)], 2),
        "sentences": len(others) + len(firsts),
    }


def forms(names: Sequence[str] = tuple(FORMS), remembered: int = 1 << 16) -> dict[str, tuple[Check, Check]]:
    """Forms of the check, and the same that flag at the least doubt. `remembered`: verdicts of the network that are kept."""
    models = Models(settings=Settings(remembered=remembered))
    resources = Resources(models.scorer, pairs=models.pairs)
    found = {}
    for name in names:
        options, doubt = FORMS[name]
        found[name] = (
            build("grounded", "grounded", options, resources),
            build("grounded", "grounded", {**options, **doubt}, resources),
        )
    return found


def show(name: str, report: Mapping[str, Any]) -> None:
    print(f"\n{name}: AUC | flagged or, of a peer, found at 5 % of the true sentences")
    for candidate, found in report.items():
        counts = found.get("flagged", found["at 5 %"])
        cells = [
            f"{group} {row['percent']} %"
            for group, row in counts.items()
            if group in ("true", "not supported: MCTest", *GOALS)
        ]
        print(f"  {candidate:34} {found['auc']:.3f} | {' | '.join(cells)}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--peers", type=Path, default=meaning_peers.FOLDER)
    parser.add_argument("--documents", type=int, default=DOCUMENTS)
    parser.add_argument("--mctest", type=int, default=MCTEST, help="statements of MCTest, of whole stories")
    parser.add_argument("--runs", type=int, default=12, help="documents of 2,000 words for the costs")
    options = parser.parse_args(arguments)
    data = os.environ.get("GUARDPROXY_DATA")
    sets = {"frame": statements(SEED, options.documents)}
    if data is not None:
        sets["MCTest"] = mctest(Path(data))[: options.mctest]
    candidates = {name: by_check(*both) for name, both in forms().items()}
    left_out, encoder = dict(meaning_peers.LEFT_OUT), None
    if meaning_peers.installed(options.peers):
        encoder = meaning_peers.MiniLm()
        candidates |= peers(encoder)
    else:
        left_out["ROUGE-L, BM25, MiniLM cosine"] = "not installed"
    report: dict[str, Any] = {"machine": machine(), "left_out": left_out, "statements": {}}
    for name, rows in sets.items():
        report["statements"][name] = {"sentences": len(rows)}
        for candidate, judge in candidates.items():
            print(f"{name}: {candidate}", file=sys.stderr, flush=True)
            judged = judge(rows)
            found = report["statements"][name][candidate] = figures(rows, judged)
            if judged.flagged is not None and name == "frame":
                found |= {"by length": by_length(rows, judged.flagged), "lists": listed(rows, judged.flagged)}
        show(name, {key: value for key, value in report["statements"][name].items() if key != "sentences"})
        if encoder is not None:
            encoder.save()
    report["ms"] = {name: cost_ms(check, options.runs) for name, (check, _) in forms(remembered=0).items()}
    print(json.dumps(report["ms"], indent=1))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "grounded.json").write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
