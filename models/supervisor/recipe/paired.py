"""Compare two models on the same texts, source by source, and say which differences are no chance.

In: for each text the score of the older and of the newer model, whether it is an attack, and the name of its source or kind.
Out: for each name the share that each model finds, the difference and its interval.

Attacks are compared at equal false alarms: each model's level lies where it finds `share` of the harmless texts, each kind
weighing the same. Harmless texts are compared at equal finds: each model's level lies where it finds as many attacks, each
source weighing the same, as the older one finds at equal false alarms. So a model that gets better at one kind is not charged
for the others. All levels are chosen anew in each round of a paired bootstrap, which draws whole groups of texts that share an
attack. The intervals are of 95 % for all comparisons together (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

SEED = 20_32
ROUNDS = 2000
CONFIDENCE = 0.95
Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Verdict = Literal["worse", "better", "no difference shown"]


@dataclass(frozen=True, slots=True)
class Side:
    """Texts that are judged by one label at one level. Arrays have one entry for each text.

    `names`: the source of an attack, the kind of a harmless text. `groups`: texts of a name with the same group are drawn
    together. Raises `ValueError` where attacks or harmless texts are missing: then nothing can be compared.
    """

    name: str
    old: Array
    new: Array
    bad: Flags
    names: NDArray[np.str_]
    groups: NDArray[np.str_]

    def __post_init__(self) -> None:
        for is_bad, what in ((True, "attacks"), (False, "harmless texts")):
            if not (self.bad == is_bad).any():
                raise ValueError(f"{self.name}: there are no {what}, so nothing can be compared")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Shares found, from 0 to 1, of the texts of a name. `difference`: newer less older, from `low` to `high`."""

    side: str
    name: str
    is_attack: bool
    texts: int
    old: float
    new: float
    difference: float
    low: float
    high: float

    @property
    def gain(self) -> float:
        """The difference as seen by a user: attacks found more often, harmless texts less often."""
        return self.difference if self.is_attack else -self.difference

    @property
    def verdict(self) -> Verdict:
        if self.low <= 0 <= self.high:
            return "no difference shown"
        return "better" if self.gain > 0 else "worse"

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"verdict": self.verdict}


def level(scores: Array, weights: Array, share: float) -> float:
    """The score that texts of at most `share` of the weight exceed; of such scores the lowest that occurs."""
    order = np.argsort(-scores, kind="stable")
    return _level(scores[order], weights[order], share)


def _level(falling: Array, weights: Array, share: float) -> float:
    """The same for falling scores. A text is found above the level, so equal scores are found together or not at all."""
    reached = np.cumsum(weights)
    first = int(np.searchsorted(reached, share * reached[-1] * (1 + 1e-12), "right"))
    return float(falling[min(first, len(falling) - 1)])


class _Found:
    """The shares found of each name of a side, for given counts of its texts."""

    def __init__(self, side: Side, share: float) -> None:
        self.side, self.share = side, share
        keys = np.char.add(np.where(side.bad, "1 ", "0 "), side.names)
        self.keys, self.place = np.unique(keys, return_inverse=True)
        self.is_attack = np.char.startswith(self.keys, "1")
        self.sizes = np.bincount(self.place)
        self._scores = (side.old, side.new)
        self._harmless = [self._falling(scores, ~side.bad) for scores in self._scores]
        self._attacks = [self._falling(scores, side.bad) for scores in self._scores]

    @staticmethod
    def _falling(scores: Array, chosen: Flags) -> NDArray[np.intp]:
        places = np.flatnonzero(chosen)
        return places[np.argsort(-scores[places], kind="stable")]

    def shares(self, counts: Array) -> tuple[Array, Array]:
        """Of each key the share that the older and that the newer model finds."""
        total = np.bincount(self.place, counts)
        weights = counts / total[self.place]
        equal_alarms = self._found(self._harmless, counts, weights, self.share)
        finds = float((equal_alarms[0] / total)[self.is_attack].mean())
        equal_finds = self._found(self._attacks, counts, weights, finds)
        old, new = (
            np.where(self.is_attack, alarms, found) / total
            for alarms, found in zip(equal_alarms, equal_finds, strict=True)
        )
        return old, new

    def _found(self, orders: Sequence[NDArray[np.intp]], counts: Array, weights: Array, share: float) -> list[Array]:
        """For each model how many texts of each key it finds at the level that the share of the ordered texts exceeds."""
        found = []
        for scores, order in zip(self._scores, orders, strict=True):
            least = _level(scores[order], weights[order], share)
            found.append(np.bincount(self.place, counts * (scores > least)).astype(np.float64))
        return found


def _draws(found: _Found, rounds: int, rng: np.random.Generator) -> Iterator[Array]:
    """Yields how often each text is drawn in a round: as many groups of each name as there are."""
    named = np.char.add(np.char.add(found.keys[found.place], "\n"), found.side.groups)
    names, groups = np.unique(named, return_inverse=True)
    of_name = np.zeros(len(names), np.int64)
    of_name[groups] = found.place
    members = [np.flatnonzero(of_name == key) for key in range(len(found.keys))]
    for _ in range(rounds):
        counts = np.zeros(len(names))
        for places in members:
            counts[places] = rng.multinomial(len(places), np.full(len(places), 1 / len(places)))
        yield counts[groups]


def compare(sides: Sequence[Side], share: float = 0.01, rounds: int = ROUNDS) -> list[Comparison]:
    """Compares each source of attacks and each kind of harmless texts of all sides, the worst first."""
    known = [_Found(side, share) for side in sides]
    comparisons = sum(len(found.keys) for found in known)
    width = NormalDist().inv_cdf(1 - (1 - CONFIDENCE) / 2 / comparisons)
    compared: list[Comparison] = []
    for number, found in enumerate(known):
        rng = np.random.default_rng([SEED, number])
        old, new = found.shares(np.ones(len(found.place)))
        drawn = [after - before for before, after in map(found.shares, _draws(found, rounds, rng))]
        spread = width * np.std(drawn, axis=0)
        for at, key in enumerate(found.keys):
            difference = float(new[at] - old[at])
            compared.append(
                Comparison(
                    found.side.name, str(key[2:]), bool(found.is_attack[at]), int(found.sizes[at]), float(old[at]),
                    float(new[at]), difference, difference - float(spread[at]), difference + float(spread[at]),
                )
            )  # fmt: skip
    return sorted(compared, key=lambda one: (one.verdict != "worse", one.gain))


@dataclass(frozen=True, slots=True)
class Speed:
    """Time of the newer model on texts of a length, as a multiple of the older one's: geometric mean and its 95 % interval."""

    words: int
    texts: int
    old_ms: float
    new_ms: float
    ratio: float
    low: float
    high: float

    @property
    def is_slower(self) -> bool:
        return self.low > 1 + TOLERANCE

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"is_slower": self.is_slower}


TOLERANCE = 0.03
"""What two measurements of the same model may differ by."""


def compare_speed(words: int, old_s: Array, new_s: Array, lengths: int) -> Speed:
    """Compares times in seconds of the same texts. `lengths`: how many such comparisons are made."""
    ratios = np.log(new_s / old_s)
    width = NormalDist().inv_cdf(1 - (1 - CONFIDENCE) / 2 / lengths)
    mean, spread = float(ratios.mean()), width * float(ratios.std(ddof=1)) / float(np.sqrt(len(ratios)))
    ratio, low, high = (float(np.exp(value)) for value in (mean, mean - spread, mean + spread))
    return Speed(words, len(ratios), 1e3 * float(np.median(old_s)), 1e3 * float(np.median(new_s)), ratio, low, high)
