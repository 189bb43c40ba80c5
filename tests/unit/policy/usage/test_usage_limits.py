"""A limit as a rule: how its amounts are counted, and what cannot be counted."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.policy.usage import MICRO, LimitFault, LimitRule, StoredLimit, limit_rule, limit_words
from guardproxy.policy.values import Match


@pytest.mark.parametrize(
    ("window", "unix_s", "name", "left_s"),
    [
        ("", 0.0, "", 86_400.0),
        ("day", 0.0, "1970-01-01", 86_400.0),
        ("day", 86_399.5, "1970-01-01", 0.5),
        ("month", 0.0, "1970-01", 31 * 86_400.0),
        ("month", 1_709_164_800.0, "2024-02", 86_400.0),  # 29 February
        ("month", 1_735_603_200.0, "2024-12", 86_400.0),
    ],
)
def test_budgets_follow_the_calendar_in_utc(window: Any, unix_s: float, name: str, left_s: float) -> None:
    found = LimitRule("a", "tokens", 1, Match(), window=window)
    assert found.window_at(unix_s) == (name, left_s)


@given(st.integers(1, 10**9), st.integers(1, 10**6), st.integers(0, 10**10))
def test_a_rate_counts_in_microseconds_and_loses_less_than_one(amount: int, period_s: int, units: int) -> None:
    found = limit_rule(StoredLimit("a", "tokens", rate=f"{amount}/1s"), Match())
    rate = LimitRule("a", "tokens", period_s * MICRO, Match(), period_us=period_s * MICRO, amount=amount)
    assert 0 <= rate.used(units) * amount - units * rate.period_us < amount
    assert rate.in_units(rate.used(units)) >= units
    assert rate.taken(units) == min(rate.most, rate.used(units))
    assert found.limit == amount


def test_a_limit_of_a_policy_has_a_label_of_its_own() -> None:
    found = LimitRule("a", "parallel", 3, Match(), policy="p@acme")
    assert found.label == "p@acme/a"
    assert limit_words(found) == "p@acme/a: 3 parallel at the same time, all together"
    assert LimitRule("a", "parallel", 3, Match()).label == "a"


@pytest.mark.parametrize(
    ("members", "key", "message"),
    [
        ({"name": "a/b"}, "name", "a name has 1 to 64"),
        ({"rate": ""}, "", "it counts tokens, so it needs one of rate or budget, and nothing else"),
        ({"burst": 0}, "burst", "`burst` must be at least 1"),
        ({"rate": "1/0m"}, "rate", "`rate` must be an amount and a period"),
        ({"rate": "", "budget": "1/week"}, "budget", "`budget` must be an amount and a window"),
        ({"rate": "1/1d", "burst": 10**9}, "rate", "it is too large to be counted exactly"),
        ({"rate": "1.5/1m"}, "rate", "tokens are counted in whole numbers"),
    ],
)
def test_a_limit_that_cannot_be_counted_names_the_key_at_fault(members: dict[str, Any], key: str, message: str) -> None:
    with pytest.raises(LimitFault, match=message) as refused:
        limit_rule(StoredLimit(**{"name": "a", "unit": "tokens", "rate": "1/1m", **members}), Match())
    assert refused.value.key == key
