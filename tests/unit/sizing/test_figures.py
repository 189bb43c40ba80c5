"""How figures follow from what was counted."""

from __future__ import annotations

import pytest

from guardproxy.sizing.figures import Added, per_core, percentile, streams_per_core


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1.0), (0.5, 3.0), (0.99, 4.0), (1.0, 4.0)])
def test_a_percentile_is_one_of_the_values(share: float, expected: float) -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], share) == expected


def test_what_is_added_is_compared_with_the_median_of_the_bare_path() -> None:
    assert Added.of([0.001, 0.002, 0.1], [0.004, 0.005, 0.02]) == Added(3.0, 18.0)
    assert Added.of([0.002], [0.001]) == Added(0.0, 0.0), "a noisy machine adds nothing that is negative"


def test_a_core_serves_what_its_time_allows() -> None:
    assert per_core(300, 2.0) == 150.0
    assert streams_per_core(10_000, 2.0) == 100.0
    assert per_core(300, 0.0) == streams_per_core(300, 0.0) == 0.0
