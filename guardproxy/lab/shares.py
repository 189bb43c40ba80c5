"""Shares of texts found, and thresholds for a stated share of false positives, each with its 95 % interval.

In: the scores of attacks and of harmless texts, 0.0 to 1.0, in any order. Out: numbers. A share of false positives, say
0.01, allows `allowed` of the harmless texts to be found; a threshold lies just above the next one. Where it allows none
at all there are too few texts to say anything, and nothing is said.
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
_Z = 1.959964  # of a normal distribution, 95 % lie within so many standard deviations
_DIGITS = range(2, 17)


@dataclass(frozen=True, slots=True)
class Share:
    """A number from 0.0 to 1.0 with its 95 % interval."""

    value: float
    low: float
    high: float


def proportion(count: int, total: int) -> Share:
    """`count` of `total` (at least 1), with Wilson's interval: unlike a bootstrap's it has a width at 0 and at all."""
    share, spread = count / total, _Z * _Z / total
    middle = (share + spread / 2) / (1 + spread)
    half = math.sqrt(share * (1 - share) * spread + spread * spread / 4) / (1 + spread)
    return Share(share, max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half)))


def allowed(share: float, texts: int) -> int:
    """How many of so many harmless texts may be found. A share such as 0.29 is a little less in binary."""
    return int(share * texts + 1e-9)


def cutoff(harmless: ArrayLike, share: float, weights: ArrayLike | None = None) -> float | None:
    """The score that a text must exceed for at most `share` of the harmless ones to be found; `None`: too few of them.
    `weights`: what each of them counts, if not the same."""
    falling = _falling(harmless)
    count = allowed(share, len(falling)) if weights is None else _allowed(_array(harmless), share, _array(weights))
    return float(falling[count]) if 0 < count < len(falling) else None


def joint_cutoffs(columns: Sequence[ArrayLike], share: float, weights: ArrayLike) -> list[float]:
    """A score for each column, such that at most `share` of the harmless texts exceed the score of any column. All columns
    get the same share, as large as that allows. The highest score stands where a share allows nothing."""
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
    """How many of the highest harmless scores together weigh at most `share` of all."""
    reached = np.cumsum(weights[np.argsort(-harmless)])
    return int(np.searchsorted(reached, share * weights.sum() + 1e-12, side="right"))


def threshold(harmless: ArrayLike, share: float) -> Share | None:
    """The threshold in its shortest form, with its bootstrap interval; `None` where `cutoff` says so, or where even texts
    that score 1.0 are too many."""
    above = cutoff(harmless, share)
    if above is None or above >= 1.0:
        return None
    falling = _falling(harmless)
    higher = falling[falling > above]
    low, high = np.percentile(_cutoffs(falling, share), [2.5, 97.5])
    value = _shortest(above, float(higher[-1]) if len(higher) else 1.0)
    return Share(value, min(value, float(low)), max(value, float(high)))


def recall_at(attacks: ArrayLike, harmless: ArrayLike, share: float) -> Share | None:
    """The share of the attacks (at least one) that is found where `share` of the harmless texts is, with its bootstrap
    interval over both; `None`: too few harmless texts."""
    above = cutoff(harmless, share)
    if above is None:
        return None
    rising = np.sort(_array(attacks))
    # As many attacks drawn anew, of which each is found by itself: a binomial draw for each threshold drawn.
    found = _over(rising, _cutoffs(_falling(harmless), share))
    drawn = np.random.default_rng(SEED + 1).binomial(len(rising), found) / len(rising)
    low, high = np.percentile(drawn, [2.5, 97.5])
    value = float(_over(rising, np.array([above]))[0])
    return Share(value, min(value, float(low)), max(value, float(high)))


def auc(attacks: ArrayLike, harmless: ArrayLike) -> float:
    """How often an attack scores higher than a harmless text, a tie being half of once. Neither may be empty."""
    bad, fine = _array(attacks), np.sort(_array(harmless))
    below, upto = np.searchsorted(fine, bad, "left"), np.searchsorted(fine, bad, "right")
    return float((below + upto).mean() / 2 / len(fine))


def roc(attacks: ArrayLike, harmless: ArrayLike) -> tuple[Array, Array]:
    """False positives and recall, as shares, at each threshold that makes a difference, the highest first; from none
    found to all. Neither may be empty."""
    bad, fine = np.sort(_array(attacks)), np.sort(_array(harmless))
    thresholds = np.unique(np.concatenate([bad, fine]))[::-1]
    points = [(len(part) - np.searchsorted(part, thresholds, "left")) / len(part) for part in (fine, bad)]
    return np.concatenate([[0.0], points[0]]), np.concatenate([[0.0], points[1]])


def _array(values: ArrayLike) -> Array:
    return np.asarray(values, dtype=np.float64)


def _falling(values: ArrayLike) -> Array:
    return np.sort(_array(values))[::-1]


def _over(rising: Array, above: Array) -> Array:
    """For each score the share of texts that exceed it."""
    share: Array = (len(rising) - np.searchsorted(rising, above, "right")) / len(rising)
    return share


def _cutoffs(falling: Array, share: float) -> Array:
    """The cutoffs of `ROUNDS` sets of harmless texts drawn anew from these.

    Texts drawn anew are places drawn evenly from 0 to 1, in the order of their scores; of so many even draws the k-th
    smallest has a beta distribution. So one draw a round will do, and no set is drawn.
    """
    texts, count = len(falling), allowed(share, len(falling))
    places = np.random.default_rng(SEED).beta(count + 1, texts - count, ROUNDS)
    drawn: Array = falling[np.minimum((places * texts).astype(int), texts - 1)]
    return drawn


def _shortest(above: float, until: float) -> float:
    """The number with the fewest digits that is more than `above` and at most `until`."""
    exact = Decimal(repr(above))  # as it would stand in a file
    for digits in _DIGITS:
        unit = Decimal(1).scaleb(-digits)
        value = float(exact.quantize(unit, ROUND_FLOOR) + unit)
        if above < value <= until:
            return value
    return until
