"""Turns judged rows into figures for each source, and into a table.

In: for each row its source, its label, its score and whether it was found at the threshold in use. Out: an
`EvaluationReport`. Recall is given at shares of false positives over the harmless texts of all sources together, so
that a source without harmless texts is measured too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from guardproxy.lab.calibration import Bin, expected_error, reliability
from guardproxy.lab.shares import Array, Share, allowed, auc, average_precision, proportion, recall_at, roc

if TYPE_CHECKING:
    from guardproxy.lab.judging import Judgement
    from guardproxy.lab.rows import LabelledRow

SHARES = (0.01, 0.001)
"""The shares of false positives at which recall is given."""
ALL = "all"


@dataclass(frozen=True, slots=True)
class JudgedRow:
    """A row after the check. `score`: the highest of its segments. `found`: whether it was found at the threshold in
    use. `margin`: by which texts are ranked, if not by the score: several outputs have thresholds of their own."""

    source: str
    attack: bool
    score: float
    found: bool
    margin: float | None = None


@dataclass(frozen=True, slots=True)
class Attacks:
    """Figures for the attacks of a source, against the harmless texts of all sources. `recall_at`: for each of `SHARES`;
    `None` if there are too few harmless texts."""

    texts: int
    found: Share
    recall_at: tuple[Share | None, ...]
    auc: float | None
    average_precision: float | None


@dataclass(frozen=True, slots=True)
class Harmless:
    """Figures for the harmless texts of a source."""

    texts: int
    found: Share


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """`attacks` and `harmless`: by source in alphabetical order, with `ALL` last if there are several."""

    attacks: dict[str, Attacks]
    harmless: dict[str, Harmless]
    bins: tuple[Bin, ...]
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "attacks": {
                name: {
                    "texts": attacks.texts,
                    "found": asdict(attacks.found),
                    "recall_at": {
                        f"{share:g}": asdict(recall) if recall else None
                        for share, recall in zip(SHARES, attacks.recall_at, strict=True)
                    },
                    "auc": attacks.auc,
                    "average_precision": attacks.average_precision,
                }
                for name, attacks in self.attacks.items()
            },
            "harmless": {name: asdict(harmless) for name, harmless in self.harmless.items()},
            "calibration": {
                "expected_error": expected_error(self.bins),
                "bins": [asdict(bin_) for bin_ in self.bins],
            },
            "notes": list(self.notes),
        }


def with_verdicts(rows: Sequence[LabelledRow], verdicts: Iterable[Judgement]) -> list[JudgedRow]:
    """The rows with the verdicts on them, which come in the same order."""
    return [
        JudgedRow(row.source, row.attack, verdict.score, verdict.found, verdict.margin)
        for row, verdict in zip(rows, verdicts, strict=True)
    ]


def report(rows: Sequence[JudgedRow]) -> EvaluationReport:
    """Returns the figures of at least one row."""
    fine = _scores(row for row in rows if not row.attack)
    attacks: dict[str, Attacks] = {}
    harmless: dict[str, Harmless] = {}
    for name, part in _parts([row for row in rows if row.attack]):
        scores = _scores(part)
        attacks[name] = Attacks(
            len(part),
            _share_found(part),
            tuple(recall_at(scores, fine, share) for share in SHARES),
            auc(scores, fine) if len(fine) else None,
            average_precision(scores, fine) if len(fine) else None,
        )
    for name, part in _parts([row for row in rows if not row.attack]):
        harmless[name] = Harmless(len(part), _share_found(part))
    bins = reliability([row.score for row in rows], [row.attack for row in rows])
    return EvaluationReport(attacks, harmless, bins, _notes(len(rows) - len(fine), len(fine)))


def curves(rows: Sequence[JudgedRow]) -> dict[str, tuple[Array, Array]]:
    """Returns the ROC of each source of attacks against all harmless texts; empty without attacks or harmless texts."""
    fine = _scores(row for row in rows if not row.attack)
    if not len(fine):
        return {}
    return {name: roc(_scores(part), fine) for name, part in _parts([row for row in rows if row.attack])}


def table(evaluation: EvaluationReport, threshold: str) -> list[list[list[str]]]:
    """Returns two tables, attacks and harmless texts, as rows of cells; the first row is the head."""
    at = [f"at {percent(share)} false pos." for share in SHARES]
    upper = [["attacks", "texts", f"found at {threshold}", *at, "AUC", "AP"]]
    for name, attacks in evaluation.attacks.items():
        recalls = [interval(share) for share in attacks.recall_at]
        areas = ["-" if area is None else f"{area:.3f}" for area in (attacks.auc, attacks.average_precision)]
        upper.append([name, str(attacks.texts), interval(attacks.found), *recalls, *areas])
    lower = [["harmless", "texts", f"found at {threshold}"]]
    lower += [
        [name, str(harmless.texts), interval(harmless.found, 2)] for name, harmless in evaluation.harmless.items()
    ]
    return [part for part in (upper, lower) if len(part) > 1]


def percent(share: float) -> str:
    return f"{100 * share:g} %"


def interval(share: Share | None, digits: int = 1) -> str:
    """Formats a share as `93.1 % (90.2 to 95.0)`."""
    if share is None:
        return "-"
    value, low, high = (f"{100 * part:.{digits}f}" for part in (share.value, share.low, share.high))
    return f"{value} % ({low} to {high})"


def _notes(attacks: int, fine: int) -> tuple[str, ...]:
    """Returns notes on what the figures cannot show."""
    if not attacks:
        return ("no row is labelled as an attack, so there is no recall",)
    return tuple(
        f"{fine} harmless texts are too few for {percent(share)} false positives: "
        f"not a single text could be found; give {round(1 / share):,} or more"
        for share in SHARES
        if not allowed(share, fine)
    )


def _scores(rows: Any) -> Array:
    return np.array([row.score if row.margin is None else row.margin for row in rows], dtype=np.float64)


def _share_found(rows: Sequence[JudgedRow]) -> Share:
    return proportion(sum(row.found for row in rows), len(rows))


def _parts(rows: Sequence[JudgedRow]) -> list[tuple[str, Sequence[JudgedRow]]]:
    """Returns the rows of each source, and all rows if there are several sources."""
    names = sorted({row.source for row in rows})
    parts: list[tuple[str, Sequence[JudgedRow]]] = [
        (name, [row for row in rows if row.source == name]) for name in names
    ]
    return [*parts, (ALL, rows)] if len(names) > 1 else parts
