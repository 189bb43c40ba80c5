"""Points of one kind of channel, beside those for all channels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.supervisor.recipe.calibrate import SHARES, points_beside, scores


@given(st.integers(0, 2**32 - 1), st.floats(0.5, 3.0))
def test_a_point_of_one_channel_finds_its_share_beside_the_other_output(seed: int, other_level: float) -> None:
    rng = np.random.default_rng(seed)
    main, other = rng.normal(size=(2, 4000))
    weight = rng.uniform(0.5, 1.5, 4000)
    levels = dict.fromkeys(SHARES, other_level)
    found = points_beside(main, other, weight, levels)
    beyond = weight[other >= other_level].sum() / weight.sum()
    for point, share in SHARES.items():
        both = weight[(other >= other_level) | (main >= found[point])].sum() / weight.sum()
        if beyond > share:
            assert both == pytest.approx(beyond), "the other alone finds too many"
        else:
            assert share - 2 / 4000 < both <= share + 1e-9


def test_a_logit_below_a_point_is_no_score_at_it() -> None:
    found = scores({"1%": 1.0}, {"bias": -2.0, "temperature": 0.8})["1%"]
    assert 0 <= found - 1 / (1 + np.exp(-3.0 / 0.8)) <= 1e-6
