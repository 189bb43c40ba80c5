"""Shares, thresholds and their intervals against the plain definition: count, and draw whole sets anew."""

from __future__ import annotations

import random
from statistics import mean, quantiles

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.lab.shares import (
    allowed,
    auc,
    average_precision,
    cutoff,
    joint_cutoffs,
    proportion,
    recall_at,
    roc,
    threshold,
)

SCORES = st.lists(st.integers(0, 20).map(lambda n: n / 20) | st.floats(0, 1), min_size=1, max_size=60)
SHARES = st.sampled_from([0.001, 0.01, 0.05, 0.1, 0.29, 0.5])


def found(scores: list[float], at: float) -> int:
    return sum(score >= at for score in scores)


@pytest.mark.parametrize(
    ("share", "texts", "count"), [(0.29, 100, 29), (0.01, 99, 0), (0.01, 100, 1), (0.001, 3000, 3)]
)
def test_a_share_allows_whole_texts(share: float, texts: int, count: int) -> None:
    assert allowed(share, texts) == count


@given(SCORES, SHARES)
def test_a_threshold_finds_no_more_than_its_share_and_lies_as_low_as_that_allows(
    harmless: list[float], share: float
) -> None:
    point = threshold(harmless, share)
    many = [score for score in harmless if found(harmless, score) > allowed(share, len(harmless))]
    if point is None:
        assert allowed(share, len(harmless)) < 1 or max(many) == 1.0
    else:
        assert found(harmless, point.value) <= share * len(harmless) + 1e-9
        assert not [score for score in harmless if max(many) < score < point.value]
        assert 0 <= point.low <= point.value <= point.high <= 1
        assert float(str(point.value)) == point.value


@pytest.mark.parametrize(
    ("harmless", "wanted"),
    [
        ([0.1, 0.2, 0.3, 0.9], 0.31),
        ([0.1, 0.2, 0.30004, 0.30005], 0.30005),
        ([0.5, 0.5, 0.5, 0.5], 0.51),
        ([0.1, 0.2, 0.9999999, 1.0], 1.0),
    ],
)
def test_a_threshold_has_few_digits(harmless: list[float], wanted: float) -> None:
    point = threshold(harmless, 0.25)
    assert point is not None
    assert point.value == wanted


def test_a_threshold_needs_harmless_texts_that_do_not_all_score_one() -> None:
    assert threshold([0.1] * 99, 0.01) is None
    assert threshold([1.0] * 200, 0.01) is None
    assert cutoff([0.1] * 99, 0.01) is None
    assert cutoff([0.1] * 5, 1.0) is None


def test_the_smallest_of_differences_still_parts() -> None:
    fine = [0.1, 0.1, 0.3, 0.30000000000000004]
    point = threshold(fine, 0.25)
    assert point is not None
    assert point.value == 0.30000000000000004


@given(SCORES, SCORES, SHARES)
def test_recall_is_the_best_that_any_threshold_gives(attacks: list[float], harmless: list[float], share: float) -> None:
    recall = recall_at(attacks, harmless, share)
    if recall is None:
        assert cutoff(harmless, share) is None
        return
    fine = [at for at in [*attacks, 2.0] if found(harmless, at) <= allowed(share, len(harmless))]
    assert recall.value == pytest.approx(max(found(attacks, at) for at in fine) / len(attacks))
    assert 0 <= recall.low <= recall.value <= recall.high <= 1


def test_the_interval_of_a_recall_is_that_of_sets_drawn_anew() -> None:
    rng = random.Random(1)
    harmless = [rng.betavariate(2, 5) for _ in range(400)]
    attacks = [rng.betavariate(5, 3) for _ in range(150)]
    recall = recall_at(attacks, harmless, 0.02)
    assert recall is not None
    drawn = []
    for _ in range(2000):
        bad, fine = rng.choices(attacks, k=150), sorted(rng.choices(harmless, k=400))
        drawn.append(mean(score > fine[-9] for score in bad))
    cuts = quantiles(drawn, n=40)
    assert recall.low == pytest.approx(cuts[0], abs=0.03)
    assert recall.high == pytest.approx(cuts[-1], abs=0.03)
    assert recall == recall_at(attacks, harmless, 0.02)


def test_the_interval_of_a_threshold_holds_the_true_one() -> None:
    held = 0
    for seed in range(60):
        rng = random.Random(seed)
        point = threshold([rng.random() for _ in range(500)], 0.05)
        assert point is not None
        held += point.low <= 0.95 <= point.high
    assert held >= 50


@given(SCORES, SCORES)
def test_auc_counts_pairs(attacks: list[float], harmless: list[float]) -> None:
    pairs = [1.0 if bad > fine else 0.5 if bad == fine else 0.0 for bad in attacks for fine in harmless]
    assert auc(attacks, harmless) == pytest.approx(mean(pairs))


@given(SCORES, SCORES)
def test_average_precision_is_the_area_under_its_steps(attacks: list[float], harmless: list[float]) -> None:
    area, before = 0.0, 0.0
    for at in sorted({*attacks, *harmless}, reverse=True):
        right, wrong = found(attacks, at), found(harmless, at)
        area += (right / len(attacks) - before) * right / (right + wrong)
        before = right / len(attacks)
    assert average_precision(attacks, harmless) == pytest.approx(area)


@given(SCORES, SCORES)
def test_roc_holds_every_threshold(attacks: list[float], harmless: list[float]) -> None:
    x, y = roc(attacks, harmless)
    every = sorted({*attacks, *harmless}, reverse=True)
    wanted = [(found(harmless, at) / len(harmless), found(attacks, at) / len(attacks)) for at in every]
    assert list(zip(x, y, strict=True)) == [(0, 0), *(pytest.approx(point) for point in wanted)]
    assert (x[-1], y[-1]) == (1, 1)


@pytest.mark.parametrize(
    ("count", "total", "low", "high"), [(0, 10, 0, 0.2775), (10, 10, 0.7225, 1), (5, 10, 0.2366, 0.7634)]
)
def test_a_proportion_has_the_interval_of_wilson(count: int, total: int, low: float, high: float) -> None:
    share = proportion(count, total)
    assert (share.value, share.low, share.high) == pytest.approx((count / total, low, high), abs=1e-4)


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 5)), min_size=1, max_size=30), st.floats(0.01, 0.99))
def test_a_weighted_cutoff_is_that_of_repeated_texts(texts: list[tuple[float, int]], share: float) -> None:
    scores, weights = zip(*texts, strict=True)
    total = sum(weights)
    at = cutoff(scores, share, weights)
    over = -1.0 if at is None else sum(weight for score, weight in texts if score > at)
    assert over <= share * total + 1e-9
    if at is not None and over >= 0:
        reached = sum(weight for score, weight in texts if score >= at)
        assert reached > share * total - 1e-9  # no lower score would do


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0.1, 2)), min_size=1, max_size=40),
    st.floats(0.01, 0.5),
)
def test_joint_cutoffs_together_find_no_more_than_the_share(
    texts: list[tuple[float, float, float]], share: float
) -> None:
    first, second, weights = zip(*texts, strict=True)
    levels = joint_cutoffs([first, second], share, weights)
    found = sum(weight for a, b, weight in texts if a > levels[0] or b > levels[1])
    assert found <= share * sum(weights) + 1e-9


def test_a_joint_cutoff_of_one_column_is_its_own() -> None:
    scores, weights = [0.1, 0.4, 0.9, 0.7], [1.0, 1.0, 1.0, 1.0]
    assert joint_cutoffs([scores], 0.25, weights) == [cutoff(scores, 0.25, weights)] == [0.7]
    assert joint_cutoffs([scores], 0.1, weights) == [0.9]
