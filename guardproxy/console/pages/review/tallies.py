"""What reviewers said, in numbers: how often each rule was right, and how far two people agree. Pure.

In: verdicts by what they are about and by person. Out: rows of tables. Intervals are 95 % intervals.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

from guardproxy.policytest import Rate, kappa, rate
from guardproxy.reading import GivenVerdict

Subject = tuple[str, str, str]
Verdicts = Iterable[tuple[Subject, Mapping[str, GivenVerdict]]]
WHOLE = "no rule"
"""What stands for exchanges in which no rule was judged."""


@dataclass(frozen=True, slots=True)
class RuleTally:
    """The verdicts about a rule. `is_right`: the share of `right` among `right` and `false alarm`. `disagreed`: subjects about
    which people said different things; these count with each verdict."""

    policy: str
    rule: str
    right: int
    false_alarms: int
    missed: int
    disagreed: int
    is_right: Rate

    @property
    def name(self) -> str:
        """Returns the rule with its policy."""
        return f"{self.policy}: {self.rule}" if self.rule else WHOLE

    @property
    def total(self) -> int:
        """Returns the number of verdicts."""
        return self.right + self.false_alarms + self.missed


@dataclass(frozen=True, slots=True)
class PairAgreement:
    """How two people agree about a rule (`None`: about all rules). `agreed`: the share of equal verdicts; `kappa`: the
    agreement beyond chance, without a value if both always said the same word."""

    policy: str
    rule: str | None
    first: str
    second: str
    agreed: Rate
    kappa: Rate

    @property
    def name(self) -> str:
        """Returns the rule with its policy."""
        return "all rules" if self.rule is None else f"{self.policy}: {self.rule}" if self.rule else WHOLE


def rule_tallies(verdicts: Verdicts) -> list[RuleTally]:
    """Returns a row for each rule, the one with the most false alarms first."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for (_, policy, rule), given in verdicts:
        count = counts.setdefault((policy, rule), Counter())
        count.update(said.verdict for said in given.values())
        count["disagreed"] += len({said.verdict for said in given.values()}) > 1
    rows = [
        RuleTally(
            policy,
            rule,
            count["right"],
            count["false_alarm"],
            count["missed"],
            count["disagreed"],
            rate(count["right"], count["right"] + count["false_alarm"]),
        )
        for (policy, rule), count in counts.items()
    ]
    return sorted(rows, key=lambda row: (-row.false_alarms, -row.total, row.name))


def agreements(verdicts: Verdicts) -> list[PairAgreement]:
    """Returns how each two people agree, about each rule and about all, over what both of them judged."""
    pairs: dict[tuple[str, str], dict[tuple[str, str], list[tuple[str, str]]]] = {}
    for (_, policy, rule), given in verdicts:
        for first, second in combinations(sorted(given), 2):
            said = given[first].verdict, given[second].verdict
            pairs.setdefault((first, second), {}).setdefault((policy, rule), []).append(said)
    rows = []
    for (first, second), rules in sorted(pairs.items()):
        every = [said for its in rules.values() for said in its]
        rows.append(
            PairAgreement("", None, first, second, rate(sum(a == b for a, b in every), len(every)), kappa(every))
        )
        for (policy, rule), its in sorted(rules.items()):
            equal = rate(sum(a == b for a, b in its), len(its))
            rows.append(PairAgreement(policy, rule, first, second, equal, kappa(its)))
    return rows


def people(verdicts: Verdicts) -> list[tuple[str, int, float]]:
    """Returns the people who judged: name, number of verdicts, time of the newest; the most diligent first."""
    counts: Counter[str] = Counter()
    newest: dict[str, float] = {}
    for _, given in verdicts:
        for by, said in given.items():
            counts[by] += 1
            newest[by] = max(newest.get(by, 0.0), said.at)
    return [(by, count, newest[by]) for by, count in counts.most_common()]
