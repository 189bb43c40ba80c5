"""What a candidate would do better or worse, and what it would cost: the comparisons of judges in a log, added up.

In: the folder of a log and a period. Out: for each policy and candidate, how often its answer was better, equal or worse,
and the cost of both, with 95 % intervals. The logs are read twice, because a comparison comes after its exchange."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, stdev

from guardproxy.audit import Better, Judged, Record
from guardproxy.audit.shipping import confirmed_entries
from guardproxy.reading.period import Period

_Z = 1.959964  # 95 % of a normal distribution lie within this number of standard deviations
_MICRO = 1e6


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(slots=True)
class CandidateResults:
    """The comparisons of a candidate with the model that answered. `better`: how many had which better answer; `failures`:
    of the candidate or of the judge, by reason; `turned`: comparisons in which the order decided, which count as equal.
    `costs`: of the answers that were sent and of the candidate's to the same requests, in the unit of prices, where both
    are known."""

    policy: str
    model: str
    better: Counter[Better] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    turned: int = 0
    costs: list[tuple[float, float]] = field(default_factory=list)

    @property
    def total(self) -> int:
        """The number of comparisons."""
        return self.better.total()

    def share(self, *kinds: Better) -> Estimate:
        """Returns the share of comparisons with one of these results (Wilson's interval)."""
        return share(sum(self.better[kind] for kind in kinds), self.total)

    def cost_ratio(self) -> Estimate | None:
        """Returns what the candidate costs for each unit that was spent, of requests with both costs; `None` below two."""
        return ratio(self.costs)


def share(count: int, total: int) -> Estimate:
    """Returns `count` of `total` with Wilson's interval; all of it without a row."""
    if not total:
        return Estimate(0.0, 0.0, 1.0)
    value, spread = count / total, _Z * _Z / total
    middle = (value + spread / 2) / (1 + spread)
    half = math.sqrt(value * (1 - value) * spread + spread * spread / 4) / (1 + spread)
    return Estimate(value, min(value, max(0.0, middle - half)), max(value, min(1.0, middle + half)))


def ratio(pairs: Sequence[tuple[float, float]]) -> Estimate | None:
    """Returns the sum of the second numbers for each unit of the first, with the interval of a ratio of means; `None` for fewer
    than two pairs, or a sum of 0."""
    first, second = sum(pair[0] for pair in pairs), sum(pair[1] for pair in pairs)
    if len(pairs) <= 1 or not first:
        return None
    value = second / first
    # The ratio's error is that of the mean of what is left of each pair, per unit of the first.
    half = (
        _Z
        * stdev(of_other - value * spent for spent, of_other in pairs)
        / math.sqrt(len(pairs))
        / mean(pair[0] for pair in pairs)
    )
    return Estimate(value, max(0.0, value - half), value + half)


def candidate_results(folder: Path, period: Period, unread: Counter[str]) -> list[CandidateResults]:
    """Returns the results by policy and candidate. `period`: of the comparisons. Counts lines that cannot be read in
    `unread`, by reason. Raises `OSError`."""
    found: dict[tuple[str, str], CandidateResults] = {}
    costs: defaultdict[str, list[tuple[CandidateResults, int]]] = defaultdict(list)
    for logged in confirmed_entries(folder, unread):
        entry = logged.entry
        if not isinstance(entry, Judged) or entry.compared is None or entry.at not in period:
            continue
        compared = entry.compared
        results = found.setdefault((entry.policy, compared.model), CandidateResults(entry.policy, compared.model))
        if compared.better is None:
            results.failures[compared.failure or "unknown"] += 1
            continue
        results.better[compared.better] += 1
        results.turned += compared.said[0] != compared.said[1]
        if compared.cost is not None:
            costs[entry.id].append((results, compared.cost))
    for logged in confirmed_entries(folder, Counter()):
        record = logged.entry
        if isinstance(record, Record) and record.cost is not None:
            for results, cost in costs.pop(record.id, ()):
                results.costs.append((record.cost / _MICRO, cost / _MICRO))
    return [found[key] for key in sorted(found)]
