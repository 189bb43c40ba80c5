"""What reviewers said, in numbers."""

from __future__ import annotations

import pytest

from guardproxy.console.pages.review.tallies import agreements, people, rule_tallies
from guardproxy.reading import GivenVerdict


def said(**verdicts: str) -> dict[str, GivenVerdict]:
    return {by: GivenVerdict(verdict, float(at), None) for at, (by, verdict) in enumerate(verdicts.items())}


VERDICTS = [
    (("x1", "p", "r"), said(ann="right", bob="right")),
    (("x2", "p", "r"), said(ann="right", bob="false_alarm")),
    (("x3", "p", "r"), said(ann="false_alarm", bob="false_alarm")),
    (("x4", "p", "r"), said(ann="right", bob="right")),
    (("x5", "p", "s"), said(bob="missed")),
    (("x6", "", ""), said(ann="right")),
]


def test_rules_with_most_false_alarms_come_first() -> None:
    rows = rule_tallies(VERDICTS)
    assert [(row.name, row.right, row.false_alarms, row.missed, row.disagreed, row.total) for row in rows] == [
        ("p: r", 5, 3, 0, 1, 8),
        ("no rule", 1, 0, 0, 0, 1),
        ("p: s", 0, 0, 1, 0, 1),
    ]
    assert rows[0].is_right.share == pytest.approx(5 / 8)
    assert rows[0].is_right.low < 5 / 8 < rows[0].is_right.high
    assert rows[2].is_right.share is None
    assert rule_tallies([]) == []


def test_two_people_agree_beyond_chance() -> None:
    every, rule = agreements(VERDICTS)
    assert (every.name, rule.name) == ("all rules", "p: r")
    assert (rule.first, rule.second, rule.agreed.of) == ("ann", "bob", 4)
    assert rule.agreed.share == pytest.approx(0.75)
    # By chance: 3/4 * 2/4 + 1/4 * 2/4 = 1/2.
    assert rule.kappa.share == pytest.approx(0.5)
    assert rule.kappa.low < 0.5 < rule.kappa.high
    assert agreements([(("x", "", ""), said(ann="right", bob="right"))])[1].name == "no rule"


def test_kappa_is_not_defined_where_both_always_say_the_same_word() -> None:
    (every, _) = agreements([(("x", "p", "r"), said(ann="right", bob="right"))])
    assert every.agreed.share == 1
    assert every.kappa.share is None


def test_three_people_are_three_pairs() -> None:
    rows = agreements([(("x", "p", "r"), said(ann="right", bob="missed", eve="right"))])
    assert [(row.first, row.second) for row in rows if row.rule is None] == [
        ("ann", "bob"),
        ("ann", "eve"),
        ("bob", "eve"),
    ]


def test_people_by_diligence() -> None:
    assert people(VERDICTS) == [("ann", 5, 0.0), ("bob", 5, 1.0)]
