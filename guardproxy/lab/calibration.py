"""Calibration: fits bias and temperature to labelled texts, and measures how far scores are from shares of attacks.

In: logits or scores, and labels (true: an attack). Out: numbers. score = sigmoid((logit - bias) / temperature). A score
of 0.8 is calibrated when 80 % of the texts with that score are attacks, for texts with the same share of attacks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from guardproxy.lab.shares import Array

BIN_COUNT = 10
SMALLEST_TEMPERATURE, LARGEST_TEMPERATURE, LARGEST_BIAS = 0.01, 100.0, 100.0
"""What a model folder may hold."""
_CLIP = 1e-15
_ROUNDED = 5e-7  # the proxy's scores have six digits


@dataclass(frozen=True, slots=True)
class Scaling:
    """A bias and a temperature for a logit; see the formula above."""

    bias: float = 0.0
    temperature: float = 1.0

    def score(self, score: float) -> float:
        """The score after the scaling of a text whose score before it is `score`."""
        return sigmoid((logit(score) - self.bias) / self.temperature)

    def after(self, first: Scaling) -> Scaling:
        """The single scaling that equals `first` followed by this one."""
        return Scaling(first.bias + self.bias * first.temperature, first.temperature * self.temperature)

    @property
    def storable(self) -> bool:
        """Whether a model folder may hold it."""
        return SMALLEST_TEMPERATURE <= self.temperature <= LARGEST_TEMPERATURE and abs(self.bias) <= LARGEST_BIAS


@dataclass(frozen=True, slots=True)
class Bin:
    """Texts with similar scores. `score`: their mean; `attacks`: the share of attacks among them."""

    texts: int
    score: float
    attacks: float


def logit(score: float) -> float:
    """The inverse of the sigmoid, finite for every score."""
    kept = min(1 - _CLIP, max(_CLIP, score))
    return math.log(kept / (1 - kept))


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-max(-60.0, min(60.0, value))))


def fit(logits: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None, ridge: float = 0.0) -> Scaling | None:
    """The bias and temperature of the least log loss; `None` where labels of one kind are missing, or where higher logits
    do not go with attacks. What is found need not be `storable`.

    Without `weights` the labels are softened as Platt proposed (by one text of each kind), so that the temperature stays
    finite for texts that a threshold separates without a mistake. With `weights`, which say what each text counts, the labels
    stay as they are, and `ridge` does the same: it pulls 1 / temperature towards 1.
    """
    x, wanted = np.asarray(logits, dtype=np.float64), np.asarray(labels, dtype=bool)
    bad, fine = int(wanted.sum()), int((~wanted).sum())
    if not bad or not fine:
        return None
    if weights is None:
        problem = _Problem(x, np.where(wanted, (bad + 1) / (bad + 2), 1 / (fine + 2)), np.ones_like(x), ridge)
    else:
        problem = _Problem(x, wanted.astype(np.float64), np.asarray(weights, dtype=np.float64), ridge)
    slope, offset = problem.solved()
    if slope <= 0:
        return None
    return Scaling(-offset / slope, 1 / slope)


@dataclass(frozen=True, slots=True)
class _Problem:
    """A logistic regression on one column, each row with a weight; `ridge` pulls the slope towards 1."""

    x: Array
    target: Array
    weights: Array
    ridge: float

    def solved(self) -> tuple[float, float]:
        """Slope and offset, by Newton's steps, each halved until the loss falls."""
        middle, spread = float(self.x.mean()), float(self.x.std()) or 1.0
        columns = np.stack([(self.x - middle) / spread, np.ones_like(self.x)], 1)
        found = np.zeros(2)
        loss = self._loss(columns @ found, found[0] / spread)
        gain = math.inf
        while gain > 1e-12 * self.weights.sum():
            shares = _shares(columns @ found)
            weights = np.maximum(shares * (1 - shares), 1e-12) * self.weights
            curve = columns.T @ (columns * weights[:, None]) + 1e-9 * np.eye(2)
            climb = columns.T @ (self.weights * (self.target - shares))
            curve[0, 0] += self.ridge / spread**2
            climb[0] -= self.ridge * (found[0] / spread - 1) / spread
            step = np.linalg.solve(curve, climb)
            size = 1.0
            while (after := self._loss(columns @ (found + size * step), (found + size * step)[0] / spread)) > loss:
                size /= 2
                if size <= 1e-8:
                    break
            gain = loss - after
            if gain > 0:
                found, loss = found + size * step, after
        slope = float(found[0]) / spread
        return slope, float(found[1]) - slope * middle

    def _loss(self, values: Array, slope: float) -> float:
        each = self.weights * (np.logaddexp(0, values) - self.target * values)
        return float(each.sum()) + 0.5 * self.ridge * (slope - 1) ** 2


def _shares(values: Array) -> Array:
    shares: Array = 1 / (1 + np.exp(-np.clip(values, -60, 60)))
    return shares


def log_loss(scores: ArrayLike, labels: ArrayLike) -> float:
    """The mean log loss, in nats."""
    kept = np.clip(np.asarray(scores, dtype=np.float64), _ROUNDED, 1 - _ROUNDED)
    wanted = np.asarray(labels, dtype=bool)
    return float(-np.where(wanted, np.log(kept), np.log1p(-kept)).mean())


def reliability(scores: ArrayLike, labels: ArrayLike) -> tuple[Bin, ...]:
    """The texts in `BIN_COUNT` bins of equal width, the lowest scores first; bins without texts are left out."""
    values, wanted = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=bool)
    places = np.minimum((values * BIN_COUNT).astype(int), BIN_COUNT - 1)
    return tuple(
        Bin(int(here.sum()), float(values[here].mean()), float(wanted[here].mean()))
        for place in range(BIN_COUNT)
        if (here := places == place).any()
    )


def expected_error(bins: tuple[Bin, ...]) -> float:
    """The expected calibration error: how far scores are from shares of attacks, on the average of all texts."""
    return sum(bin_.texts * abs(bin_.score - bin_.attacks) for bin_ in bins) / sum(bin_.texts for bin_ in bins)
