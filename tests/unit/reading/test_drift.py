"""Drift: what shifted is found, and chance is not taken for a shift."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.reading.drift import LEAST_EXCHANGES, chance, psi, shifts
from guardproxy.reading.drift_page import verdict_of
from tests.kit.drift import by_measure, exchange, found, random_sample, sample

COUNTS = st.lists(st.integers(0, 1000), min_size=2, max_size=12)


@given(COUNTS, st.data())
def test_psi_is_symmetric_positive_and_zero_for_equal_counts(before: list[int], data: st.DataObject) -> None:
    after = data.draw(st.lists(st.integers(0, 1000), min_size=len(before), max_size=len(before)))
    assert psi(before, after) >= 0
    assert psi(before, after) == pytest.approx(psi(after, before))
    assert psi(before, before) == 0


def test_psi_is_what_the_formula_says() -> None:
    # 0.5 is added to each count, so the shares are 1/2 and 1/2 against 1/4 and 3/4.
    assert psi([99, 99], [49, 149]) == pytest.approx(0.25 * math.log(2) + 0.25 * math.log(1.5), abs=0.005)


def test_chance_has_the_percentiles_of_the_chi_squared_distribution() -> None:
    # 99.9th percentiles from tables: 10.828 for 1 degree of freedom, 16.266 for 3, 27.877 for 9.
    for groups, percentile in ((2, 10.828), (4, 16.266), (10, 27.877)):
        assert chance(groups, (100, 100)) == pytest.approx(percentile / 50, rel=0.035)
    assert chance(1, (100, 100)) == math.inf
    assert chance(4, (0, 100)) == math.inf


@pytest.mark.parametrize("size", [60, 300, 1500])
def test_samples_of_one_traffic_are_stable(size: int) -> None:
    alarms: Counter[str] = Counter()
    judged = 0
    for seed in range(12):
        chooser = random.Random(seed)
        for shift in shifts(random_sample(chooser, 300), random_sample(chooser, size)):
            judged += shift.verdict != "too few"
            alarms[shift.measure] += shift.is_shifted
    assert judged > 80
    assert alarms.total() <= 1, alarms


def test_what_shifted_is_found_and_comes_first() -> None:
    chooser = random.Random(1)
    before = random_sample(chooser, 400)
    after = random_sample(chooser, 200, middle=400.0, model="other")
    result = by_measure(before, after)
    assert result["model"].verdict == result["characters of a request"].verdict == "large"
    assert {"model", "characters of a request"} == set(list(result)[:2])
    assert result["characters of an answer"].verdict == "stable"
    assert (result["model"].before, result["model"].after) == ("other 0.00 %", "other 100.00 %")
    ks = result["characters of a request"].ks
    assert ks is not None
    assert ks > 0.4
    assert result["model"].ks is None


def test_a_kind_of_finding_that_appears_or_vanishes_is_found() -> None:
    plain, marked = [exchange()] * 100, [exchange("hello", "hi", found(score=0.7))] * 100
    for before, after in ((plain, marked), (marked, plain)):
        result = by_measure(sample(*before), sample(*after))
        assert result["share found pii NAME in a request"].verdict == "large"
        assert result["score of pii NAME in a request"].verdict == "too few", "there is nothing to compare with"


def test_a_value_that_most_have_is_one_group_and_longer_ones_count() -> None:
    before = sample(*[exchange("x" * 9)] * 95, *[exchange("x" * 40)] * 5)
    after = sample(*[exchange("x" * 9)] * 60, *[exchange("x" * 4000)] * 40)
    assert by_measure(before, after)["characters of a request"].verdict == "large"
    assert by_measure(before, before)["characters of a request"].psi == 0


def test_many_rare_names_are_one_name() -> None:
    rare = (exchange(model=f"n{number}") for number in range(10))
    before = sample(*[exchange(model="m")] * 190, *rare)
    flood = sample(*[exchange(model="m")] * 190, *(exchange(model=f"m{number}") for number in range(10)))
    assert by_measure(before, flood)["model"].verdict == "stable"


def test_few_exchanges_are_not_judged() -> None:
    few = sample(*[exchange(model="other")] * (LEAST_EXCHANGES - 1))
    result = shifts(sample(*[exchange()] * 500), few)
    assert {shift.verdict for shift in result} == {"too few"}
    assert "Nothing could be compared" in verdict_of(result)
