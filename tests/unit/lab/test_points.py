"""Operating points and scalings from a user's texts, and the configuration that they are written to."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.lab.calibration import Scaling, sigmoid
from guardproxy.lab.points import Choice, ScalingFit, can_scale, choose, name, share, with_choices

RNG = random.Random(4)
FINE = [RNG.gauss(-4, 2) for _ in range(3000)]
BAD = [RNG.gauss(4, 2) for _ in range(300)]
CONFIG: dict[str, Any] = {
    "format": 2,
    "outputs": ["jailbreak", "harm"],
    "calibration": {"jailbreak": {"bias": 1.0, "temperature": 2.0}},
    "operating_points": {"jailbreak": {"5%": 0.3, "1%": 0.6}, "harm": {"1%": 0.5}},
    "default_point": "1%",
}


@pytest.mark.parametrize(("text", "value"), [("1%", 0.01), ("0.1%", 0.001), ("0.5", None), ("x%", None), ("0%", None)])
def test_a_share_is_written_in_percent(text: str, value: float | None) -> None:
    assert share(text) == (None if value is None else pytest.approx(value))
    assert value is None or name(value) == text


def test_thresholds_are_chosen_for_the_shares() -> None:
    chosen = choose("jailbreak", FINE, BAD, [0.01, 0.001], scale=False)
    one, tenth = chosen.points["1%"], chosen.points["0.1%"]
    assert one.harmless.value <= 0.01 < one.harmless.high
    assert one.threshold.low <= one.threshold.value <= one.threshold.high
    assert one.attacks is not None
    assert tenth.attacks is not None
    assert tenth.attacks.value < one.attacks.value
    assert chosen.fitted is None
    assert json.loads(json.dumps(chosen.as_json()))["points"]["1%"]["threshold"]["value"] == one.threshold.value


def test_without_attacks_there_is_nothing_to_fit_and_no_recall() -> None:
    chosen = choose("jailbreak", FINE, [], [0.01], scale=True)
    assert chosen.points["1%"].attacks is None
    assert (chosen.fitted, chosen.notes) == (None, ())


def test_what_cannot_be_chosen_is_said() -> None:
    few = choose("jailbreak", FINE[:500], [], [0.01, 0.001], scale=False)
    assert list(few.points) == ["1%"]
    assert few.notes == ("500 harmless texts are too few for 0.1 %: give 1,000 or more",)
    high = choose("jailbreak", [50.0] * 200, [], [0.01], scale=False)
    assert not high.points
    assert high.notes == ("more than 1 % of the harmless texts have the highest score: no threshold is possible",)


def test_scores_of_a_model_that_is_too_sure_are_calibrated() -> None:
    values = [RNG.gauss(0, 3) for _ in range(6000)]
    labels = [RNG.random() < sigmoid(value) for value in values]
    sure = [(5 * value + 3, attack) for value, attack in zip(values, labels, strict=True)]
    chosen = choose(
        "x", [v for v, attack in sure if not attack], [v for v, attack in sure if attack], [0.05], scale=True
    )
    assert chosen.fitted is not None
    assert (chosen.fitted.scaling.bias, chosen.fitted.scaling.temperature) == pytest.approx((3, 5), abs=0.4)
    assert chosen.fitted.error[1] < 0.03 < chosen.fitted.error[0]
    assert chosen.fitted.loss[1] < chosen.fitted.loss[0]
    assert chosen.points["5%"].threshold.value < 0.95


def test_a_fit_that_cannot_be_stored_or_points_down_is_not_used() -> None:
    down = choose("x", [3.0, 2.0] * 100, [-3.0, -2.0] * 100, [0.01], scale=True)
    assert down.notes[0] == "attacks do not score higher than harmless texts here, so the old scaling is kept"
    wild = choose("x", [i * 1e-7 for i in range(200)], [1e-4 + i * 1e-7 for i in range(200)], [0.01], scale=True)
    assert wild.notes[0] == "the scaling that fits these texts is out of bounds, so the old scaling is kept"
    assert (down.fitted, wild.fitted) == (None, None)


def test_a_half_that_fits_nothing_stays_as_it_was() -> None:
    chosen = choose("x", [-2.0, 1.0, -3.0], [2.0], [0.5], scale=True)
    assert chosen.fitted is not None


@given(st.floats(-5, 5), st.floats(-2, 2), st.floats(0.3, 3))
def test_old_points_move_with_the_scale(logit: float, bias: float, temperature: float) -> None:
    """What a text's logit is to an old point, above or below, it is to the moved one under the new scale."""
    chosen = choose("jailbreak", [(v - bias) * temperature for v in FINE[:300]], [(v + bias) for v in BAD], [0.1], True)
    found = with_choices(CONFIG, [chosen])
    old, new = (one["calibration"]["jailbreak"] for one in (CONFIG, found))
    before = sigmoid((logit - old["bias"]) / old["temperature"])
    after = sigmoid((logit - new["bias"]) / new["temperature"])
    for at, least in CONFIG["operating_points"]["jailbreak"].items():
        if abs(before - least) > 1e-3:
            assert (after >= found["operating_points"]["jailbreak"][at]) == (before >= least)


def test_a_configuration_keeps_what_was_not_asked_for() -> None:
    found = with_choices(CONFIG, [choose("harm", FINE, [], [0.001], scale=False)])
    assert found["operating_points"]["jailbreak"] == CONFIG["operating_points"]["jailbreak"]
    assert set(found["operating_points"]["harm"]) == {"1%", "0.1%"}
    assert found["operating_points"]["harm"]["1%"] == 0.5
    assert (found["default_point"], found["calibration"]) == ("1%", CONFIG["calibration"])
    assert CONFIG["operating_points"]["harm"] == {"1%": 0.5}


def test_a_chosen_point_holds_in_every_channel_and_the_others_move_along() -> None:
    own = {"user": {"jailbreak": {"5%": 0.4, "1%": 0.7}, "harm": {"1%": 0.4}}, "system": {"jailbreak": {"5%": 0.5}}}
    stage = {"jailbreak": {"column": 0, "below": 0.69, "least": 0.9}}
    config = CONFIG | {"channel_points": own, "first_stage": stage}
    found = with_choices(config, [choose("jailbreak", FINE, BAD, [0.05], scale=True)])
    moved = with_choices(
        CONFIG | {"operating_points": {"jailbreak": {"1%": 0.7}}}, [choose("jailbreak", FINE, BAD, [0.05], scale=True)]
    )["operating_points"]["jailbreak"]["1%"]
    assert found["channel_points"] == {
        "user": {"jailbreak": {"1%": moved}, "harm": {"1%": 0.4}},
        "system": {"jailbreak": {}},
    }
    assert found["first_stage"]["jailbreak"]["below"] <= moved
    assert config["channel_points"] == own
    assert own["user"]["jailbreak"] == {"5%": 0.4, "1%": 0.7}


def test_a_model_that_had_no_points_gets_the_first_as_its_default() -> None:
    bare = {"format": 2, "outputs": ["safe", "injection"], "activation": "softmax"}
    found = with_choices(bare, [choose("injection", FINE, [], [0.05, 0.01], scale=False)])
    assert found["default_point"] == "5%"
    assert list(found["operating_points"]) == ["injection"]


def test_both_columns_of_a_softmax_are_scaled() -> None:
    pair = {
        "format": 2,
        "outputs": ["safe", "injection"],
        "activation": "softmax",
        "operating_points": {"safe": {"5%": 0.9}, "injection": {"5%": 0.2}},
        "default_point": "5%",
    }
    rng = random.Random(9)
    values = [rng.gauss(0, 3) for _ in range(2000)]
    labels = [rng.random() < sigmoid(2 * value - 1) for value in values]
    parts = [[v for v, attack in zip(values, labels, strict=True) if attack is wanted] for wanted in (False, True)]
    found = with_choices(pair, [choose("injection", parts[0], parts[1], [0.01], scale=True)])
    assert found["calibration"]["safe"]["bias"] == 0.0
    temperature = found["calibration"]["injection"]["temperature"]
    assert temperature == found["calibration"]["safe"]["temperature"] == pytest.approx(0.5, abs=0.1)
    logits = math.log(0.2 / 0.8)  # of injection over safe, at its old point
    bias = found["calibration"]["injection"]["bias"]
    assert found["operating_points"]["injection"]["5%"] == pytest.approx(
        sigmoid((logits - bias) / temperature), abs=1e-4
    )
    logits = -math.log(0.9 / 0.1)  # the same at the old point of safe
    assert found["operating_points"]["safe"]["5%"] == pytest.approx(
        1 - sigmoid((logits - bias) / temperature), abs=1e-4
    )


@given(st.floats(-5, 5), st.floats(0.2, 5), st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_the_limits_of_a_first_stage_follow_the_scale(
    bias: float, temperature: float, first: float, second: float
) -> None:
    clearing = {"column": 0, "below": min(first, second), "least": max(first, second)}
    config = CONFIG | {"first_stage": {"jailbreak": clearing, "harm": clearing}}
    scaling = Scaling(bias, temperature)
    choice = Choice("jailbreak", {}, ScalingFit(scaling, (0.0, 0.0), (0.0, 0.0)), ())
    found = with_choices(config, [choice])["first_stage"]
    assert found["harm"] == clearing
    assert found["jailbreak"]["least"] == pytest.approx(scaling.score(clearing["least"]), abs=1e-6)
    assert found["jailbreak"]["below"] <= min(found["jailbreak"]["least"], clearing["below"])
    assert config["first_stage"]["jailbreak"] == clearing


def test_the_limits_of_depth_0_move_with_its_scores() -> None:
    """What was cleared before is cleared afterwards: the score of the same logit, on the new scale."""
    clearing = {"column": 0, "below": 0.4, "least": 0.6}
    choice = Choice("jailbreak", {}, ScalingFit(Scaling(-1.0, 2.0), (0.0, 0.0), (0.0, 0.0)), ())
    found = with_choices(CONFIG | {"first_stage": {"jailbreak": clearing}, "spans": {}}, [choice])["first_stage"]
    assert found["jailbreak"]["below"] == pytest.approx(Scaling(-1.0, 2.0).score(0.4), abs=1e-6)
    assert found["jailbreak"]["below"] > 0.4


def test_a_softmax_of_many_has_no_scale_of_one() -> None:
    assert can_scale(CONFIG)
    assert can_scale({"outputs": ["a", "b"], "activation": "softmax"})
    assert not can_scale({"outputs": ["a", "b", "c"], "activation": "softmax"})
    assert Scaling().storable
