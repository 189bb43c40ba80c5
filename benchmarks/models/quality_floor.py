"""The floor of `supervisor_quality.py`: a bag of words and logistic regression, trained on the supervisor's training rows.

In: training and validation rows of `models/supervisor/recipe/second/data.py`. Out: for each text a score and whether it is
found. The data are the supervisor's, so what the supervisor finds beyond this floor is due to its network. It takes about a
minute and needs scikit-learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import sklearn
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from guardproxy.lab.shares import Array, joint_cutoffs
from models.supervisor.recipe.calibrate import weights
from models.supervisor.recipe.evaluate import attack
from models.supervisor.recipe.rows import read
from models.supervisor.recipe.second.data import prepare
from models.supervisor.recipe.second.outputs import JAILBREAK, WHAT, Row

TARGETS = {"injection": frozenset({JAILBREAK, "order"}), "content": frozenset(WHAT)}
"""Task -> the targets of which one makes a row an attack. A row that says nothing of them is left out."""
ORDINARY = "ordinary/"
"""Sources of harmless texts of every kind, of which none is trained on."""
SHARE = 0.01


def rows(prepared: Path | None, data: Path) -> tuple[list[Row], list[Row]]:
    """Returns the training and the validation rows, from a folder that holds them or else from the data folder."""
    if prepared is None:
        return prepare(data)[:2]
    return read(prepared / "train.jsonl"), read(prepared / "validation.jsonl")


class Floor:
    """TF-IDF of words and pairs of words, and for each task a logistic regression in which both classes weigh the same. A text
    is found if it scores higher than 99 % of ordinary traffic, of which each kind weighs the same."""

    def __init__(self, train: Sequence[Row], validation: Sequence[Row]) -> None:
        self._words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, dtype=np.float32)
        known = self._words.fit_transform(row["text"] for row in train)
        ordinary = [row for row in validation if row["source"].startswith(ORDINARY)]
        kinds = np.array([row["source"] for row in ordinary])
        weight = weights(kinds, np.ones(len(kinds), dtype=bool))
        self.about = {"scikit-learn": sklearn.__version__, "rows": len(train), "words": known.shape[1]}
        self._models: dict[str, LogisticRegression] = {}
        self._above: dict[str, float] = {}
        for task, targets in TARGETS.items():
            told = [attack(row, targets) for row in train]
            chosen = [at for at, bad in enumerate(told) if bad is not None]
            model = LogisticRegression(class_weight="balanced", max_iter=1000)
            self._models[task] = model.fit(known[chosen], [told[at] for at in chosen])
            scores = self._scores(task, [row["text"] for row in ordinary])
            (self._above[task],) = joint_cutoffs([scores], SHARE, weight)

    def judge(self, task: str, texts: Sequence[str]) -> list[tuple[float, bool]]:
        """Returns for each text its score, 0.0 to 1.0, and whether it is found."""
        return [(float(score), bool(score > self._above[task])) for score in self._scores(task, texts)]

    def _scores(self, task: str, texts: Sequence[str]) -> Array:
        scores: Array = self._models[task].predict_proba(self._words.transform(texts))[:, 1]
        return scores
