"""Points of one kind of channel, beside those for all channels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.supervisor.recipe.calibrate import SHARES, points_beside, scores
from models.supervisor.recipe.points import LEAST_OF_KIND, choose, counted
from models.supervisor.recipe.second.outputs import Row, make_row
from models.supervisor.recipe.second.sources import FINE


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


def fine_row(source: str, channel: str = "user", harmful: int = 0) -> Row:
    return make_row("Text.", FINE | {"harmful": harmful}, source, channel)


def test_points_rest_on_harmless_texts_of_kinds_with_enough_of_them() -> None:
    """One text of a kind of its own would set all points: it weighs as much as all texts of another kind."""
    many = [fine_row("ordinary/log", "tool_result")] * LEAST_OF_KIND
    few = [fine_row("ordinary/ticket", "tool_result")]
    in_another_channel = [fine_row("ordinary/log")] * (LEAST_OF_KIND - 1)
    harmful = [fine_row("content/posts", harmful=1)] * LEAST_OF_KIND
    doubtful = [fine_row("own/third:held")] * LEAST_OF_KIND
    rows = [*many, *few, *in_another_channel, *harmful, *doubtful]
    assert counted(rows).tolist() == [True] * LEAST_OF_KIND + [False] * (len(rows) - LEAST_OF_KIND)


def test_no_point_is_chosen_where_too_few_harmless_texts_are_known() -> None:
    rows = [fine_row("ordinary/log")] * LEAST_OF_KIND + [fine_row("ordinary/note", "tool_result")] * (LEAST_OF_KIND - 1)
    with pytest.raises(ValueError, match="`tool_result`: no kind of harmless texts has 20"):
        choose(np.zeros((len(rows), 2)), rows, ("jailbreak", "embedded_instruction"))
