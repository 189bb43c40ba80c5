"""The figures of a comparison: shares and cost ratios with their intervals."""

from __future__ import annotations

import random

import pytest

from guardproxy.reading.comparisons import CandidateResults, ratio, share


@pytest.mark.parametrize(("count", "total"), [(0, 10), (10, 10), (3, 10), (0, 0)])
def test_a_share_lies_in_its_interval(count: int, total: int) -> None:
    found = share(count, total)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.high - found.low > 0.2, "ten comparisons say little"


def test_a_ratio_of_costs_has_an_interval_that_holds() -> None:
    chance = random.Random(5)
    inside = 0
    for _ in range(200):
        pairs = [(base := chance.uniform(1, 3), 0.2 * base * chance.uniform(0.5, 1.5)) for _ in range(60)]
        found = ratio(pairs)
        assert found
        inside += found.low <= 0.2 <= found.high
    assert inside > 180


@pytest.mark.parametrize("pairs", [[], [(1.0, 2.0)], [(0.0, 1.0), (0.0, 1.0)]])
def test_there_is_no_ratio_of_too_little(pairs: list[tuple[float, float]]) -> None:
    assert ratio(pairs) is None
    assert CandidateResults("p", "m", costs=pairs).cost_ratio() is None
