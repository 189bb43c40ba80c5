"""Verdicts become settings: of one output with its scale, of several without, and never half of them."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from guardproxy.errors import ConfigError
from guardproxy.lab.calibration import sigmoid
from guardproxy.lab.calibrator import calibrate
from guardproxy.lab.judging import Judgement
from guardproxy.lab.rows import LabelledRow

RNG = random.Random(3)
CONFIG: dict[str, Any] = {
    "outputs": ["jailbreak", "embedded"],
    "operating_points": {"jailbreak": {"5%": 0.4, "1%": 0.7}, "embedded": {"1%": 0.6}},
    "default_point": "1%",
}
FINE = [LabelledRow("text", False, "mine", f"mine.jsonl:{n}") for n in range(1000)]


def verdicts(*outputs: str, attacks: int = 0) -> list[Judgement]:
    middles = [-4] * len(FINE) + [4] * attacks
    return [Judgement({output: sigmoid(RNG.gauss(middle, 2)) for output in outputs}, False) for middle in middles]


def test_one_output_gets_points_and_a_scale() -> None:
    given = verdicts("jailbreak", attacks=200)
    found = calibrate(CONFIG, FINE, given, [0.01, 0.001], rescale=True)
    assert found.complete
    assert found.chosen[0].fitted is not None
    assert found.checked_config()["calibration"]["jailbreak"]["temperature"] > 0
    assert set(found.checked_config()["operating_points"]["jailbreak"]) == {"5%", "1%", "0.1%"}
    assert (found.kept, found.together, found.notes) == (("5%",), {}, ())
    worst = max(range(1000), key=lambda at: given[at].score)
    assert found.highest[0] == FINE[worst].place
    assert len(found.highest) == 5


def test_for_a_policy_the_thresholds_are_on_the_scale_of_today() -> None:
    given = verdicts("jailbreak", attacks=200)
    old, new = (calibrate(CONFIG, FINE, given, [0.01], rescale).chosen[0] for rescale in (False, True))
    assert old.fitted == new.fitted
    assert old.points["1%"].harmless == new.points["1%"].harmless
    assert old.points["1%"].attacks == new.points["1%"].attacks
    scores = sorted((round(one.score, 6) for one in given[:1000]), reverse=True)
    assert scores[10] < old.points["1%"].threshold.value <= scores[9]


def test_several_outputs_find_more_together() -> None:
    found = calibrate(CONFIG, FINE, verdicts("jailbreak", "embedded", attacks=9), [0.05, 0.01], rescale=False)
    assert all(one.fitted is None for one in found.chosen)
    assert 0.05 < found.together["5%"].value <= 0.1
    assert found.notes == ("bias and temperature are fitted to one output at a time: choose the output with --label",)
    assert set(json.loads(json.dumps(found.as_json()))) == {"outputs", "together", "highest", "kept", "notes"}


def test_half_of_the_settings_are_not_written() -> None:
    found = calibrate(CONFIG, FINE[:500], verdicts("jailbreak")[:500], [0.01, 0.001], rescale=True)
    assert not found.complete
    assert found.notes == ("jailbreak: 500 harmless texts are too few for 0.1 %: give 1,000 or more",)
    with pytest.raises(ConfigError, match="nothing is written"):
        found.checked_config()


def test_an_output_without_the_default_point_is_not_written() -> None:
    bare = CONFIG | {"operating_points": {"embedded": {"1%": 0.6}}}
    with pytest.raises(ConfigError, match="`jailbreak` needs the model's default point as well: add --fpr 1%"):
        calibrate(bare, FINE, verdicts("jailbreak"), [0.05], rescale=True).checked_config()
    fresh = {key: value for key, value in CONFIG.items() if key == "outputs"}
    assert calibrate(fresh, FINE, verdicts("jailbreak"), [0.05], rescale=True).checked_config()["default_point"] == "5%"
