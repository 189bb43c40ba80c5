"""Operating points and the gate of the network for pairs, on made scores."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from guardproxy.inference.models import read_pairs
from models.pairs.recipe.gate import compare, refusals
from models.pairs.recipe.measure import Judged, area, best_of_group, figures, windows
from models.pairs.recipe.points import WRONG_SAME, above, at_points, choose, counted, write_config
from models.pairs.recipe.relations import LABELS
from tests.kit.pair_models import pair_folder

ROWS = 1200


def made(skill: float, seed: int = 1) -> Judged:
    """Scores of a judge; with a higher skill they follow the labels more closely."""
    rng = np.random.default_rng(seed)
    gold = rng.integers(0, 3, ROWS)
    same = rng.random(ROWS) < 0.6
    true = np.arange(ROWS) % 4 == rng.integers(0, 4)

    def shares(wanted: np.ndarray) -> np.ndarray:
        logits = np.random.default_rng(seed + 1).normal(size=(ROWS, 3))
        logits[np.arange(ROWS), wanted] += skill
        powers = np.exp(logits)
        return np.asarray(powers / powers.sum(1, keepdims=True))

    back = shares(np.where(gold == 2, 2, gold))
    two_way = shares(np.where(same, 0, 2))[:, 0]
    stories = shares(np.where(true, 0, 2))[:, :2]
    near = np.where(gold == 0, 5.0, 3.0)
    groups = np.arange(ROWS).astype(np.str_)
    return Judged(shares(gold), back, gold, near, two_way, same, stories, true, groups)


def test_points_let_as_much_pass_as_they_say() -> None:
    of = made(2.5)
    points = choose(of)
    reached = at_points(of, points)
    for name, most in WRONG_SAME.items():
        for title in ("SICK, contradictions", "SICK, neutral", "MSRP, different"):
            assert reached[name][title]["count"] <= most * reached[name][title]["of"]
    assert points["same_strict"] >= points["same"]
    assert reached["supported"]["SICK, contradictions"]["share"] <= 0.05
    assert reached["contradicted"]["SICK, entailed"]["share"] <= 0.01
    assert all(0 < point <= 1 for point in points.values())


def test_no_error_is_not_no_risk() -> None:
    assert counted(np.zeros(300, np.bool_)) == {"count": 0, "of": 300, "share": 0.0, "bound": 0.01}
    some = counted(np.arange(100) < 3)
    assert (some["count"], some["share"]) == (3, 0.03)
    assert 0.03 < some["bound"] < 0.1


def test_above_is_reached_by_no_more_than_the_share() -> None:
    scores = np.linspace(0, 0.9, 100)
    for most in (0.0, 0.01, 0.1, 0.5):
        assert (scores >= above(scores, most)).sum() <= most * 100
    assert above(np.array([0.5]), 1.0) <= 0.5
    assert above(np.array([1.0]), 0.0) == 1.0


def test_the_area_counts_pairs() -> None:
    scores, is_wanted = np.array([0.1, 0.4, 0.4, 0.8]), np.array([False, True, False, True])
    assert area(scores, is_wanted) == pytest.approx(3.5 / 4)
    assert area(-scores, is_wanted) == pytest.approx(0.5 / 4)


def test_windows_hold_every_word() -> None:
    for count in (0, 1, 45, 46, 300):
        words = [str(number) for number in range(count)]
        found = windows(" ".join(words))
        assert {word for window in found for word in window.split()} == set(words)
        assert all(len(window.split()) <= 45 for window in found)


def test_figures_rise_with_skill() -> None:
    weak, strong = figures(made(0.5)), figures(made(3.0))
    assert all(strong[name] > weak[name] for name in weak)
    assert {f"SICK, {label} found" for label in LABELS} < weak.keys()
    assert best_of_group(made(30.0)) == 1


def test_a_worse_judge_is_refused_and_an_equal_one_passes() -> None:
    old, worse, equal = made(2.5), made(1.5), made(2.5)
    reached = at_points(old, choose(old))
    assert refusals(compare(old, equal, 60), reached, 1.0) == []
    refused = refusals(compare(old, worse, 60), reached, 1.0)
    assert any("SICK, accuracy falls" in reason for reason in refused)
    assert refusals(compare(worse, old, 60), reached, 1.0) == []
    assert refusals({}, reached, 1.2) == ["a pair takes 1.20 times as long"]
    loose = at_points(old, {**choose(old), "same": 0.01})
    assert any("`same` is reached by" in reason for reason in refusals({}, loose, 1.0))


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    write_config(pair_folder(tmp_path), {"same": 0.875})
    model = read_pairs(tmp_path)
    assert (model.points, model.max_tokens, model.version) == ({"same": 0.875}, 192, "1")
    assert json.loads((tmp_path / "config.json").read_text("utf-8"))["kind"] == "pairs"


def test_a_comparison_is_the_same_again() -> None:
    assert compare(made(2.0), made(1.0), 20) == compare(made(2.0), made(1.0), 20)
