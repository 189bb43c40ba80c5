"""Calibration against the plain definition of log loss, and against scalings that are known."""

from __future__ import annotations

import math
import random
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.lab.calibration import BIN_COUNT, Scaling, expected_error, fit, log_loss, logit, reliability, sigmoid

LABELLED = st.lists(st.tuples(st.floats(-8, 8), st.booleans()), min_size=2, max_size=40)
SCALINGS = st.builds(Scaling, st.floats(-3, 3), st.floats(0.2, 5))


def softened_loss(rows: list[tuple[float, bool]], bias: float, temperature: float) -> float:
    bad = sum(attack for _, attack in rows)
    high, low = (bad + 1) / (bad + 2), 1 / (len(rows) - bad + 2)
    total = 0.0
    for value, attack in rows:
        share = sigmoid((value - bias) / temperature)
        wanted = high if attack else low
        total -= wanted * math.log(share) + (1 - wanted) * math.log(1 - share)
    return total


@given(LABELLED)
def test_no_other_scaling_has_less_loss(rows: list[tuple[float, bool]]) -> None:
    found = fit([value for value, _ in rows], [attack for _, attack in rows])
    if found is None:
        return
    best = softened_loss(rows, found.bias, found.temperature)
    if found.storable:
        for moves in product((-0.05, 0, 0.05), (0.95, 1, 1.05)):
            assert softened_loss(rows, found.bias + moves[0], found.temperature * moves[1]) >= best - 1e-6


def test_a_known_scaling_is_found_again() -> None:
    rng = random.Random(2)
    values = [rng.gauss(0, 4) for _ in range(20_000)]
    labels = [rng.random() < sigmoid((value - 1.5) / 2.5) for value in values]
    found = fit(values, labels)
    assert found is not None
    assert (found.bias, found.temperature) == pytest.approx((1.5, 2.5), abs=0.15)


@pytest.mark.parametrize(
    ("values", "labels"),
    [([1, 2], [True, True]), ([1, 2], [False, False]), ([3, 2, 1, 0], [False, False, True, True])],
)
def test_there_is_nothing_to_fit(values: list[float], labels: list[bool]) -> None:
    assert fit(values, labels) is None


def test_texts_that_a_threshold_parts_have_a_finite_scaling() -> None:
    found = fit([-3, -2, 2, 3], [False, False, True, True])
    assert found is not None
    assert found.temperature > 0.1
    assert found.bias == pytest.approx(0, abs=1e-6)


def test_not_every_scaling_can_be_stored() -> None:
    assert Scaling().storable
    assert not Scaling(temperature=0.001).storable
    assert not Scaling(temperature=101).storable
    assert not Scaling(bias=-101).storable


@given(st.floats(-6, 6), SCALINGS, SCALINGS)
def test_two_scalings_are_one(value: float, first: Scaling, second: Scaling) -> None:
    scaled = ((value - first.bias) / first.temperature - second.bias) / second.temperature
    both = second.after(first)
    assert (value - both.bias) / both.temperature == pytest.approx(scaled)


@given(st.floats(0.001, 0.999), SCALINGS)
def test_a_score_is_scaled_by_its_logit(score: float, scaling: Scaling) -> None:
    assert Scaling().score(score) == pytest.approx(score)
    assert scaling.score(score) == pytest.approx(sigmoid((logit(score) - scaling.bias) / scaling.temperature))


def test_scores_of_none_and_all_are_finite() -> None:
    assert math.isfinite(logit(0.0))
    assert math.isfinite(logit(1.0))
    assert 0 < sigmoid(-1e9) < sigmoid(1e9) <= 1
    assert log_loss([0.0, 1.0], [True, False]) > 10
    assert log_loss([0.5, 0.5], [True, False]) == pytest.approx(math.log(2))


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50))
def test_bins_hold_every_text_once(rows: list[tuple[float, bool]]) -> None:
    bins = reliability([score for score, _ in rows], [attack for _, attack in rows])
    assert sum(one.texts for one in bins) == len(rows)
    assert sum(one.texts * one.attacks for one in bins) == pytest.approx(sum(attack for _, attack in rows))
    places: dict[int, list[tuple[float, bool]]] = {}
    for score, attack in rows:
        places.setdefault(min(BIN_COUNT - 1, int(score * BIN_COUNT)), []).append((score, attack))
    gaps = [abs(sum(score for score, _ in part) - sum(attack for _, attack in part)) for part in places.values()]
    assert expected_error(bins) == pytest.approx(sum(gaps) / len(rows))


def test_a_weight_counts_as_often_as_a_text_stands_there() -> None:
    rng = random.Random(3)
    values = [rng.gauss(0, 3) for _ in range(300)]
    labels = [rng.random() < sigmoid(value - 0.5) for value in values]
    counts = [rng.randint(1, 4) for _ in values]
    weighted = fit(values, labels, counts, ridge=0.5)
    repeated = [at for at, count in enumerate(counts) for _ in range(count)]
    spelt_out = fit([values[at] for at in repeated], [labels[at] for at in repeated], [1] * len(repeated), ridge=0.5)
    assert weighted is not None
    assert spelt_out is not None
    assert (weighted.bias, weighted.temperature) == pytest.approx((spelt_out.bias, spelt_out.temperature), rel=1e-6)


def test_a_ridge_keeps_a_temperature_finite_without_softened_labels() -> None:
    values, labels, weights = [-3.0, -2.0, 2.0, 3.0], [False, False, True, True], [0.5] * 4
    loose, tight = (fit(values, labels, weights, ridge) for ridge in (1e-4, 10.0))
    assert loose is not None
    assert tight is not None
    assert 0 < loose.temperature < tight.temperature
    assert tight.temperature == pytest.approx(1, abs=0.1)
