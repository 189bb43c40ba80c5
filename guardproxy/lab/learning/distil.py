"""Makes a small classifier of labelled texts, and measures how it agrees with the labels.

In: labelled texts in groups, an embedding model, and a folder to write. Out: the folder, which `use: supervisor, model:
NAME` reads, and a `DistilReport`. Some groups are held out: nothing is fitted to their texts, and the figures are about
them alone. The thresholds come from cross-validation over the other groups. All texts are judged by the check `supervisor`,
as the proxy does.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from guardproxy.checks import Query, ScoredPiece
from guardproxy.errors import ConfigError
from guardproxy.findings import Kind
from guardproxy.inference import TableEmbedder
from guardproxy.lab import folders
from guardproxy.lab.calibration import logit, sigmoid
from guardproxy.lab.judging import Judge, load
from guardproxy.lab.learning.head import STRENGTHS, Numbers, VectorHead, VectorSpace, train
from guardproxy.lab.learning.labels import LabelledText
from guardproxy.lab.learning.network import network
from guardproxy.lab.points import Choice, choose, with_choices
from guardproxy.lab.shares import SEED, Share, auc, proportion

AGREE = "agree"
"""The operating point at which the classifier agrees best with the labels."""
SHARES = (0.05, 0.01)
FOLDS = 5
HELD_OUT = 0.3
FEWEST, FEWEST_HELD_OUT = 60, 20
"""Texts with each label that are needed to fit, and to measure."""
FEWEST_GROUPS = 10
"""Groups that need to have texts with each label: texts of a few conversations say little about another one."""
ROUNDS = 1000
MOST_TOKENS, OVERLAP = 512, 64
_SPECIAL = ("[CLS]", "[SEP]", "[PAD]")


@dataclass(frozen=True, slots=True)
class LabelAgreement:
    """How the verdicts on texts agree with their labels, each with its 95 % interval over groups. `kappa`: beyond chance;
    `found`: of the texts that the labels find; `wrongly`: found of the others; `right`: of those found."""

    agreed: Share
    kappa: Share
    found: Share
    wrongly: Share
    right: Share | None
    auc: float


@dataclass(frozen=True, slots=True)
class DistilReport:
    """The result. `fitted`, `held_out`: texts, and those found among them. `groups`: all, and those held out. `threshold`:
    at which the agreement is measured, a score. `cost`: the mean of a verdict, in millionths of the unit of prices, and of
    how many verdicts it is known. `ms`: the mean time of a verdict. `own_ms`: of the classifier for a text."""

    label: str
    fitted: tuple[int, int]
    held_out: tuple[int, int]
    groups: tuple[int, int]
    threshold: float
    agreement: LabelAgreement
    points: Mapping[str, float]
    notes: tuple[str, ...]
    cost: float | None
    priced: int
    ms: float | None

    def as_json(self) -> dict[str, Any]:
        """Returns the report as plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class HeadScorer:
    """Scores texts with a head that is in no folder yet. Implements `guardproxy.checks.Scorer` with one output."""

    label: str
    head: VectorHead
    space: VectorSpace
    embedder: TableEmbedder
    digest: str = "sha256:"
    default_point: str = ""

    @property
    def outputs(self) -> tuple[str, ...]:
        return (self.label,)

    @property
    def labels(self) -> Mapping[str, Mapping[str, tuple[str, ...]]]:
        return {self.label: {"any": (self.label,)}}

    @property
    def points(self) -> Mapping[str, Mapping[str, float]]:
        return {self.label: {}}

    def points_in(self, kind: Kind) -> Mapping[str, Mapping[str, float]]:
        return self.points

    def clears_from(self, kind: Kind) -> Mapping[str, float]:
        return {}

    def judge(self, queries: Sequence[Query]) -> list[tuple[ScoredPiece, ...]]:
        return [(self._piece(query.text),) for query in queries]

    def _piece(self, text: str) -> ScoredPiece:
        """Returns the whole text with the highest score of its rows, which are cut as the model's reader does."""
        ids = np.array(self.embedder.tokens(text), np.int64)
        most = MOST_TOKENS - 2
        starts = range(0, max(1, len(ids) - OVERLAP), most - OVERLAP)
        logits = self.head.logits(self.space, [ids[start : start + most] for start in starts])
        return ScoredPiece(0, len(text), {self.label: sigmoid(float(logits.max()))})


@dataclass(slots=True)
class _Split:
    fitted: list[LabelledText] = field(default_factory=list)
    held_out: list[LabelledText] = field(default_factory=list)


def distil(texts: Sequence[LabelledText], label: str, embedding: Path, out: Path) -> DistilReport:
    """Writes the folder `out` and returns the report. `embedding`: the folder of the model of vectors. Raises `ConfigError` for
    too few texts, with the number that is needed, and for a folder that exists."""
    if out.exists():
        raise ConfigError(f"{out} exists already; choose another folder")
    split = _split(texts)
    _refuse_few(texts, split)
    embedder = TableEmbedder(embedding)
    space = VectorSpace(embedder.table.rows, (embedder.table.weights / embedder.table.weights.max()).astype(np.float32))
    ids = [np.array(embedder.tokens(text.text), np.int64) for text in split.fitted]
    wanted = [text.is_found for text in split.fitted]
    folds = np.array([_number(f"fold {text.group}", FOLDS) for text in split.fitted])
    strength = min(STRENGTHS, key=lambda each: (_loss(space, ids, wanted, folds, each), each))
    unseen = _unseen_logits(split.fitted, ids, folds, label, space, embedder, strength)
    fine, bad = (
        [value for value, is_bad in zip(unseen, wanted, strict=True) if is_bad is side] for side in (False, True)
    )
    choice = choose(label, fine, bad, SHARES, scale=True)
    config = _configured(label, choice, fine, bad)
    head = train(space, ids, wanted, strength)
    with folders.new(out) as folder:
        special = [embedder.token(name) for name in _SPECIAL]
        (folder / "model.onnx").write_bytes(network(head, space, special))
        shutil.copyfile(embedding / "tokenizer.json", folder / "tokenizer.json")
        folders.configure(folder, config, ("model.onnx", "tokenizer.json", "config.json"))
        report = _report(split, texts, label, folder, config, choice)
        (folder / "card.md").write_text(card(report), "utf-8")
    return report


def _split(texts: Sequence[LabelledText]) -> _Split:
    split = _Split()
    for text in texts:
        is_held_out = _number(f"held out {text.group}", 1000) < HELD_OUT * 1000
        (split.held_out if is_held_out else split.fitted).append(text)
    return split


def _number(text: str, below: int) -> int:
    """Returns a number that a text always has, as if by chance."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:6], "big") % below


def _refuse_few(texts: Sequence[LabelledText], split: _Split) -> None:
    """Raises `ConfigError` if texts with a label are too few to fit or to measure."""
    least = round(FEWEST / (1 - HELD_OUT))
    lacking = []
    for side, word in ((True, "found"), (False, "not found")):
        counts = [sum(text.is_found is side for text in part) for part in (split.fitted, split.held_out)]
        groups = len({text.group for text in texts if text.is_found is side})
        if counts[0] < FEWEST or counts[1] < FEWEST_HELD_OUT or groups < FEWEST_GROUPS:
            lacking.append(f"{sum(counts):,} {word} in {groups:,} groups")
    if lacking:
        raise ConfigError(
            f"too few labelled texts: {' and '.join(lacking)}; needed are about {least} texts with each label, of which "
            f"{FEWEST} to fit and {FEWEST_HELD_OUT} to measure, in at least {FEWEST_GROUPS} groups (conversations or "
            "tenants). Nothing is written"
        )


def _loss(space: VectorSpace, ids: Sequence[Any], wanted: Sequence[bool], folds: Any, strength: float) -> float:
    """Returns the mean log loss of texts that a head has not seen."""
    total = 0.0
    for fold in range(FOLDS):
        unseen = _places(folds == fold)
        if not unseen:
            continue
        logits = _head_without(space, ids, wanted, folds, fold, strength).logits(space, [ids[at] for at in unseen])
        signs = np.where(np.asarray(wanted)[unseen], -1.0, 1.0)
        total += float(np.logaddexp(0, signs * logits).sum())
    return total / len(ids)


def _places(is_there: Any) -> list[int]:
    return [int(at) for at in np.flatnonzero(is_there)]


def _head_without(
    space: VectorSpace, ids: Sequence[Any], wanted: Sequence[bool], folds: Any, fold: int, strength: float
) -> VectorHead:
    seen = _places(folds != fold)
    return train(space, [ids[at] for at in seen], [wanted[at] for at in seen], strength)


def _unseen_logits(
    texts: Sequence[LabelledText],
    ids: Sequence[Any],
    folds: Any,
    label: str,
    space: VectorSpace,
    embedder: TableEmbedder,
    strength: float,
) -> list[float]:
    """Returns for each text the logit of the check's score, by a head that saw no text of its fold."""
    wanted = [text.is_found for text in texts]
    found = [0.0] * len(texts)
    for fold in range(FOLDS):
        unseen = _places(folds == fold)
        if unseen:
            scorer = HeadScorer(label, _head_without(space, ids, wanted, folds, fold, strength), space, embedder)
            for at, score in zip(unseen, _scores(scorer, label, [texts[at] for at in unseen]), strict=True):
                found[at] = logit(score)
    return found


def _scores(scorer: Any, label: str, texts: Sequence[LabelledText]) -> list[float]:
    """Returns the check's score of each text."""
    found = [0.0] * len(texts)
    for kind in sorted({text.kind for text in texts}):
        places = [at for at, text in enumerate(texts) if text.kind == kind]
        judge = Judge(scorer, {"label": label, "threshold": 0, "evasions": "off"}, kind)
        for at, verdict in zip(places, judge.judge(texts[at].text for at in places), strict=True):
            found[at] = verdict.score
    return found


def _configured(label: str, choice: Choice, fine: Sequence[float], bad: Sequence[float]) -> dict[str, Any]:
    """Returns `config.json`. The threshold `agree` is the score with the highest kappa among texts that were not seen."""
    config = with_choices(
        {
            "format": 2,
            "kind": "scores",
            "version": "1",
            "outputs": [label],
            "activation": "sigmoid",
            "max_tokens": MOST_TOKENS,
            "overlap_tokens": OVERLAP,
            "default_point": AGREE,
        },
        [choice],
    )
    scaled = [
        [round(choice.fitted.scaling.score(sigmoid(value)) if choice.fitted else sigmoid(value), 6) for value in part]
        for part in (fine, bad)
    ]
    scores = np.array([*scaled[0], *scaled[1]])
    wanted = np.array([False] * len(fine) + [True] * len(bad))
    candidates = np.unique(scores)
    best = max(candidates[:: max(1, len(candidates) // 500)], key=lambda at: _kappa(scores >= at, wanted))
    config["operating_points"].setdefault(label, {})[AGREE] = float(best)
    return config


def _kappa(found: Any, wanted: Any) -> float:
    agreed = float((found == wanted).mean())
    chance = float(found.mean() * wanted.mean() + (1 - found.mean()) * (1 - wanted.mean()))
    return (agreed - chance) / (1 - chance) if chance < 1 else 0.0


def _report(
    split: _Split, texts: Sequence[LabelledText], label: str, folder: Path, config: Mapping[str, Any], choice: Choice
) -> DistilReport:
    points = config["operating_points"][label]
    scores = np.array(_scores(load(folder), label, split.held_out))
    costs = [text.cost for text in texts if text.cost is not None]
    times = [text.ms for text in texts if text.ms is not None]
    return DistilReport(
        label=label,
        fitted=_counts(split.fitted),
        held_out=_counts(split.held_out),
        groups=(len({text.group for text in texts}), len({text.group for text in split.held_out})),
        threshold=points[AGREE],
        agreement=agreement(split.held_out, scores, points[AGREE]),
        points=points,
        notes=choice.notes,
        cost=sum(costs) / len(costs) if costs else None,
        priced=len(costs),
        ms=sum(times) / len(times) if times else None,
    )


def _counts(texts: Sequence[LabelledText]) -> tuple[int, int]:
    return len(texts), sum(text.is_found for text in texts)


def agreement(texts: Sequence[LabelledText], scores: Numbers, threshold: float) -> LabelAgreement:
    """Returns how verdicts agree with labels. Groups are drawn again for the intervals; a share of 0 or 1 has Wilson's."""
    wanted, found = np.array([text.is_found for text in texts]), scores >= threshold
    names = {group: at for at, group in enumerate(dict.fromkeys(text.group for text in texts))}
    cells = np.zeros((len(names), 4))
    for text, is_wanted, is_found in zip(texts, wanted, found, strict=True):
        cells[names[text.group], 2 * is_wanted + is_found] += 1
    total = cells.sum(0)
    chosen = np.random.default_rng(SEED).integers(0, len(names), (ROUNDS, len(names)))
    drawn = np.vstack([total, cells[chosen].sum(1)])
    fine, wrong, missed, hit = drawn.T
    count = drawn.sum(1)
    agreed = (fine + hit) / count
    chance = ((missed + hit) * (wrong + hit) + (fine + wrong) * (fine + missed)) / count**2
    kappa = (agreed - chance) / np.maximum(1 - chance, 1e-9)
    return LabelAgreement(
        agreed=_share(agreed, total[0] + total[3], total.sum()),
        kappa=Share(*(float(value) for value in (kappa[0], *np.percentile(kappa[1:], [2.5, 97.5])))),
        found=_share(hit / np.maximum(hit + missed, 1), total[3], total[2] + total[3]),
        wrongly=_share(wrong / np.maximum(fine + wrong, 1), total[1], total[0] + total[1]),
        right=_share(hit / np.maximum(hit + wrong, 1), total[3], total[1] + total[3]) if total[1] + total[3] else None,
        auc=auc(scores[wanted], scores[~wanted]),
    )


def _share(drawn: Numbers, count: float, of: float) -> Share:
    """Returns a share with the wider of two intervals: over groups, and over texts, which has a width at 0 and 1."""
    plain = proportion(int(count), int(of))
    low, high = np.percentile(drawn[1:], [2.5, 97.5])
    return Share(plain.value, min(plain.low, float(low)), max(plain.high, float(high)))


def card(report: DistilReport) -> str:
    """Returns the card of the model, in Markdown."""
    content = json.dumps(report.as_json(), indent=2)
    return f"""# {report.label}

A head on the vectors and tokens of a text, made of labels in an audit log by `guardproxy model distil`. It agrees with those
labels as far as the figures say, on conversations or tenants that it was not fitted to, and with nothing else. A new kind of
traffic needs new labels.

```json
{content}
```
"""
