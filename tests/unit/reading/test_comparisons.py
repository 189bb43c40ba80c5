"""The figures of a comparison: shares and cost ratios with their intervals."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from guardproxy.audit import Comparison, Judged
from guardproxy.reading import Period
from guardproxy.reading.comparisons import CandidateResults, candidate_results, ratio, share
from tests.kit.judged import exchange, judged
from tests.kit.logs import write_log


def compared(
    about: str, *said: Any, model: str = "small", cost: int | None = None, failure: str | None = None
) -> Judged:
    comparison = Comparison(upstream="cheap", model=model, ms=1.0, said=said, cost=cost, failure=failure)
    return msgspec.structs.replace(judged(about, 4), compared=comparison)


def test_comparisons_are_counted_by_candidate_with_the_costs_of_both(tmp_path: Path) -> None:
    write_log(
        tmp_path, "a", *(exchange(f"x{number}", "hi", cost=2_000_000) for number in range(4)), exchange("x9", "hi")
    )
    entries = [
        compared("x0", "candidate", "candidate", cost=500_000),
        compared("x1", "answer", "candidate", cost=700_000),
        compared("x2", "answer", "answer"),
        compared("x3", failure="timeout"),
        compared("x3"),
        compared("x9", "equal", "equal", cost=1),
        compared("x0", "answer", "answer", model="other"),
        judged("x1", 5),
    ]
    write_log(tmp_path, "b", *entries)
    other, small = candidate_results(tmp_path, Period(), Counter())
    assert (other.model, other.better) == ("other", {"answer": 1})
    assert (small.total, small.better) == (4, {"candidate": 1, "equal": 2, "answer": 1})
    assert (small.turned, small.failures) == (1, {"timeout": 1, "unknown": 1})
    assert small.costs == [(2.0, 0.5), (2.0, 0.7)]
    assert small.share("candidate", "equal").value == 0.75
    assert small.cost_ratio() is not None
    assert candidate_results(tmp_path, Period(start_s=2e9), Counter()) == []


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
