"""Shares of texts found, and thresholds for a given share of false positives, each with its 95 % interval.

In: the scores of attacks and of harmless texts, 0.0 to 1.0, in any order. Out: numbers. A share of false positives,
such as 0.01, allows `allowed` of the harmless texts to be found; the threshold lies just above the score of the next
text. If the share allows no text at all, there are too few texts, and the result is `None`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
ROUNDS = 2000
JOINT_STEPS = 51
SEED = 20_26
_Z = 1.959964  # 95 % of a normal distribution lie within this number of standard deviations
_DIGITS = range(2, 17)


@dataclass(frozen=True, slots=True)
class Share:
    """A number from 0.0 to 1.0 with its 95 % interval."""

    value: float
    low: float
    high: float


def proportion(count: int, total: int) -> Share:
    """Returns `count` of `total` (at least 1) with Wilson's interval, which unlike a bootstrap's has a width at 0 and
    1."""
    share, spread = count / total, _Z * _Z / total
    middle = (share + spread / 2) / (1 + spread)
    half = math.sqrt(share * (1 - share) * spread + spread * spread / 4) / (1 + spread)
    return Share(share, max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half)))


def allowed(share: float, texts: int) -> int:
    """Returns how many of `texts` harmless texts may be found. The addend corrects shares such as 0.29, which is less
    in binary."""
    return int(share * texts + 1e-9)


def cutoff(harmless: ArrayLike, share: float, weights: ArrayLike | None = None) -> float | None:
    """Returns the score that a text must exceed so that at most `share` of the harmless texts are found; `None` if
    there are too few harmless texts. `weights`: the weight of each text, if they are not equal."""
    falling = _falling(harmless)
    count = allowed(share, len(falling)) if weights is None else _allowed(_array(harmless), share, _array(weights))
    return float(falling[count]) if 0 < count < len(falling) else None


def joint_cutoffs(columns: Sequence[ArrayLike], share: float, weights: ArrayLike) -> list[float]:
    """Returns a score for each column, so that at most `share` of the harmless texts exceed the score of any column. All
    columns get the same share, which is as large as possible. The highest score is returned if a share allows no text."""
    values, weight = [_array(column) for column in columns], _array(weights)
    levels: list[float] = []
    for part in np.linspace(1.0, 1 / len(values), JOINT_STEPS):
        found = [cutoff(column, share * part, weight) for column in values]
        levels = [float(column.max()) if at is None else at for column, at in zip(values, found, strict=True)]
        either = np.any([column > at for column, at in zip(values, levels, strict=True)], axis=0)
        if weight[either].sum() <= share * weight.sum():
            break
    return levels


def _allowed(harmless: Array, share: float, weights: Array) -> int:
    """Returns the number of highest harmless scores that together have at most `share` of the total weight."""
    reached = np.cumsum(weights[np.argsort(-harmless)])
    return int(np.searchsorted(reached, share * weights.sum() + 1e-12, side="right"))


def threshold(harmless: ArrayLike, share: float) -> Share | None:
    """Returns the threshold with the fewest digits, with its bootstrap interval; `None` if `cutoff` is `None`, or if
    even the texts with score 1.0 are too many."""
    above = cutoff(harmless, share)
    if above is None or above >= 1.0:
        return None
    falling = _falling(harmless)
    higher = falling[falling > above]
    low, high = np.percentile(_cutoffs(falling, share), [2.5, 97.5])
    value = _shortest(above, float(higher[-1]) if len(higher) else 1.0)
    return Share(value, min(value, float(low)), max(value, float(high)))


def recall_at(attacks: ArrayLike, harmless: ArrayLike, share: float) -> Share | None:
    """Returns the share of the attacks (at least one) that is found where `share` of the harmless texts is, with its
    bootstrap interval over both; `None` if there are too few harmless texts."""
    above = cutoff(harmless, share)
    if above is None:
        return None
    rising = np.sort(_array(attacks))
    # Resampling the attacks, of which each is found independently, is a binomial draw for each resampled threshold.
    recall = _over(rising, _cutoffs(_falling(harmless), share))
    drawn = np.random.default_rng(SEED + 1).binomial(len(rising), recall) / len(rising)
    low, high = np.percentile(drawn, [2.5, 97.5])
    value = float(_over(rising, np.array([above]))[0])
    return Share(value, min(value, float(low)), max(value, float(high)))


def auc(attacks: ArrayLike, harmless: ArrayLike) -> float:
    """Returns how often an attack scores higher than a harmless text; a tie counts as half. Neither may be empty."""
    bad, fine = _array(attacks), np.sort(_array(harmless))
    below, upto = np.searchsorted(fine, bad, "left"), np.searchsorted(fine, bad, "right")
    return float((below + upto).mean() / 2 / len(fine))


def average_precision(attacks: ArrayLike, harmless: ArrayLike) -> float:
    """Returns the mean over the attacks of the precision at the threshold that just finds the attack: the area under
    precision over recall. It depends on how many attacks there are for each harmless text. There must be an attack."""
    bad, fine = np.sort(_array(attacks)), np.sort(_array(harmless))
    right, wrong = (len(part) - np.searchsorted(part, bad, "left") for part in (bad, fine))
    return float((right / (right + wrong)).mean())


def roc(attacks: ArrayLike, harmless: ArrayLike) -> tuple[Array, Array]:
    """Returns false positives and recall, as shares, at each distinct threshold, the highest first. Neither may be
    empty."""
    bad, fine = np.sort(_array(attacks)), np.sort(_array(harmless))
    thresholds = np.unique(np.concatenate([bad, fine]))[::-1]
    points = [(len(part) - np.searchsorted(part, thresholds, "left")) / len(part) for part in (fine, bad)]
    return np.concatenate([[0.0], points[0]]), np.concatenate([[0.0], points[1]])


def _array(values: ArrayLike) -> Array:
    return np.asarray(values, dtype=np.float64)


def _falling(values: ArrayLike) -> Array:
    return np.sort(_array(values))[::-1]


def _over(rising: Array, above: Array) -> Array:
    """Returns for each score the share of texts that exceed it."""
    share: Array = (len(rising) - np.searchsorted(rising, above, "right")) / len(rising)
    return share


def _cutoffs(falling: Array, share: float) -> Array:
    """Returns the cutoffs of `ROUNDS` resampled sets of harmless texts.

    A resampled text is a uniform draw of an index into the sorted scores. The k-th smallest of n uniform draws has a
    beta distribution, so one draw for each round is enough.
    """
    texts, count = len(falling), allowed(share, len(falling))
    places = np.random.default_rng(SEED).beta(count + 1, texts - count, ROUNDS)
    drawn: Array = falling[np.minimum((places * texts).astype(int), texts - 1)]
    return drawn


def _shortest(above: float, until: float) -> float:
    """Returns the number with the fewest digits that is more than `above` and at most `until`."""
    exact = Decimal(repr(above))  # as it is written in a file
    for digits in _DIGITS:
        unit = Decimal(1).scaleb(-digits)
        value = float(exact.quantize(unit, ROUND_FLOOR) + unit)
        if above < value <= until:
            return value
    return until
