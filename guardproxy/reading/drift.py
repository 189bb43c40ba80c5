"""Compares the traffic of two periods: the population stability index (PSI) of every measure, and for sizes also the
Kolmogorov-Smirnov distance (KS).

In: two samples. Out: a shift for each measure, the largest first.

PSI = sum((p - q) * ln(p / q)) over the groups of a measure, with the shares p and q of both samples. By custom, less than
0.1 is stable and 0.25 or more is a large shift. Small samples differ by chance: without any shift, PSI divided by
(1/n + 1/m) follows a chi-squared distribution with (groups - 1) degrees of freedom. A shift counts only above its 99.9th
percentile. Sizes are grouped by the tenths of both samples together, so that PSI does not depend on how wide the bins are.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from guardproxy.reading.samples import Sample, start_of

MODERATE_PSI, LARGE_PSI = 0.1, 0.25
LEAST_EXCHANGES = 50
"""Fewer exchanges on a side are not compared."""
_GROUPS = 10
_RARE = "(rare)"
_RARE_SHARE = 0.01
_NORMAL_999 = 3.0902  # the 99.9th percentile of the normal distribution
_HALF = 0.5  # added to each group, so that an empty one has a logarithm

Verdict = Literal["stable", "moderate", "large", "too few"]


@dataclass(frozen=True, slots=True)
class Shift:
    """How a measure differs between two samples.

    `before`, `after`: what is typical, in words: a share, a median, or the name whose share moved most. `psi`: see the
    module. `chance`: the PSI up to which the difference may be chance. `ks`: the KS distance, only for sizes.
    `counts`: the exchanges of both samples that have the measure.
    """

    measure: str
    psi: float
    chance: float
    ks: float | None
    before: str
    after: str
    counts: tuple[int, int]

    @property
    def verdict(self) -> Verdict:
        """Returns how large the shift is. A PSI that may be chance is stable."""
        if min(self.counts) < LEAST_EXCHANGES:
            return "too few"
        if self.psi < MODERATE_PSI or self.psi <= self.chance:
            return "stable"
        return "moderate" if self.psi < LARGE_PSI else "large"

    @property
    def is_shifted(self) -> bool:
        """Whether the measure shifted by more than chance."""
        return self.verdict in ("moderate", "large")


def shifts(baseline: Sample, current: Sample) -> list[Shift]:
    """Returns the shift of every measure of either sample, the largest first."""
    found = [*_marks(baseline, current), *_sizes(baseline, current), *_names(baseline, current)]
    order = ("large", "moderate", "stable", "too few")
    return sorted(found, key=lambda shift: (order.index(shift.verdict), -shift.psi, shift.measure))


def psi(before: Sequence[int], after: Sequence[int]) -> float:
    """Returns the PSI of two lists of counts of the same groups."""
    total, newer = sum(before) + _HALF * len(before), sum(after) + _HALF * len(after)
    shares = (((old + _HALF) / total, (new + _HALF) / newer) for old, new in zip(before, after, strict=True))
    return sum((new - old) * math.log(new / old) for old, new in shares)


def chance(groups: int, sizes: tuple[int, int]) -> float:
    """Returns the PSI that two samples of one population exceed once in a thousand. `sizes`: of both.
    The percentile of the chi-squared distribution is Wilson and Hilferty's approximation."""
    before, after = sizes
    if groups < 2 or not before or not after:
        return math.inf
    free = groups - 1
    part = 2 / (9 * free)
    return free * (1 - part + _NORMAL_999 * math.sqrt(part)) ** 3 * (1 / before + 1 / after)


def _marks(baseline: Sample, current: Sample) -> Iterator[Shift]:
    counts = baseline.exchanges, current.exchanges
    for name in baseline.marks.keys() | current.marks.keys():
        held = baseline.marks[name], current.marks[name]
        groups = [(mark, whole - mark) for mark, whole in zip(held, counts, strict=True)]
        old, new = (_share(mark, whole) for mark, whole in zip(held, counts, strict=True))
        yield Shift(f"share {name}", psi(*groups), chance(2, counts), None, old, new, counts)


def _sizes(baseline: Sample, current: Sample) -> Iterator[Shift]:
    for measure in baseline.sizes.keys() | current.sizes.keys():
        before, after = baseline.sizes.get(measure, Counter()), current.sizes.get(measure, Counter())
        counts = before.total(), after.total()
        groups = _tenths(before + after)
        old, new = ([sum(bins[number] for number in group) for group in groups] for bins in (before, after))
        was, now = (_median(measure, bins) for bins in (before, after))
        yield Shift(measure, psi(old, new), chance(len(groups), counts), _ks(before, after), was, now, counts)


def _names(baseline: Sample, current: Sample) -> Iterator[Shift]:
    for measure in baseline.names.keys() | current.names.keys():
        before, after = baseline.names.get(measure, Counter()), current.names.get(measure, Counter())
        counts = before.total(), after.total()
        common = {
            name
            for names, whole in ((before, counts[0]), (after, counts[1]))
            for name, count in names.items()
            if count >= _RARE_SHARE * whole
        }
        old, new = _common(before, common), _common(after, common)
        names = sorted(old.keys() | new.keys())
        moved = max(names, key=lambda name: (abs(old[name] / max(1, counts[0]) - new[name] / max(1, counts[1])), name))
        was, now = (
            f"{moved or '(none)'} {_share(kept[moved], whole)}" for kept, whole in ((old, counts[0]), (new, counts[1]))
        )
        yield Shift(
            measure,
            psi([old[name] for name in names], [new[name] for name in names]),
            chance(len(names), counts),
            None,
            was,
            now,
            counts,
        )


def _common(names: Mapping[str, int], common: set[str]) -> Counter[str]:
    """Returns the counts, with one name for all names that are rare in both samples."""
    counts: Counter[str] = Counter()
    for name, count in names.items():
        counts[name if name in common else _RARE] += count
    return counts


def _tenths(bins: Mapping[int, int]) -> list[range]:
    """Returns groups of bins with about a tenth of the exchanges each. The first begins at bin 0. A bin is never split,
    so there may be fewer groups."""
    numbers = sorted(bins)
    whole = sum(bins.values())
    groups, start, tenth = [], 0, 1
    for number, sum_so_far in zip(numbers, accumulate(bins[number] for number in numbers), strict=True):
        if _GROUPS * sum_so_far >= tenth * whole:
            groups.append(range(start, number + 1))
            start, tenth = number + 1, _GROUPS * sum_so_far // whole + 1
    return groups


def _ks(before: Counter[int], after: Counter[int]) -> float:
    """Returns the largest distance between the shares of exchanges up to a bin."""
    distance, old, new = 0.0, 0, 0
    for number in sorted(before.keys() | after.keys()):
        old, new = old + before[number], new + after[number]
        distance = max(distance, abs(old / max(1, before.total()) - new / max(1, after.total())))
    return distance


def _median(measure: str, bins: Counter[int]) -> str:
    half, seen = bins.total() / 2, 0
    for number in sorted(bins):
        seen += bins[number]
        if seen >= half:
            return f"median about {start_of(measure, number):.3g}"
    return "none"


def _share(count: int, whole: int) -> str:
    return f"{100 * count / whole:.2f} %" if whole else "none"
