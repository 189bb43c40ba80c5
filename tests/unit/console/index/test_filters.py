"""A filter is a URL, both ways, and a value of it never becomes SQL."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.console.index.filters import FEEDBACK, OUTCOMES, Condition, Cursor, Filter, where
from guardproxy.errors import QueryError

WORDS = st.text(min_size=1, max_size=20).map(str.strip).filter(lambda text: text and "\0" not in text)
MICROSECONDS = st.integers(0, 4_000_000_000_000_000).map(lambda micro: micro / 1_000_000)
AMOUNTS = st.floats(0, 1e9, allow_nan=False)
VALUES: dict[str, Any] = {
    "since": MICROSECONDS,
    "until": MICROSECONDS.map(lambda at: at + 5_000_000_000),
    "cost_above": AMOUNTS,
    "near": AMOUNTS,
    "feedback": st.sampled_from(FEEDBACK),
}
FILTERS = st.fixed_dictionaries(
    {}, optional={field.name: VALUES.get(field.name, WORDS) for field in fields(Filter)}
).map(lambda members: Filter(**members))


@given(FILTERS)
def test_a_filter_is_a_url_both_ways(chosen: Filter) -> None:
    assert Filter.parse(chosen.query()) == chosen
    assert Filter.parse(chosen.query()).query() == chosen.query()


@given(FILTERS)
def test_values_are_parameters_of_the_conditions(chosen: Filter) -> None:
    made = where(chosen.conditions({"attack": 0.5}))
    assert made.sql.count("?") == len(made.values)
    plain = {field.name: getattr(chosen, field.name) for field in fields(Filter)}
    for name, value in plain.items():
        is_word = isinstance(value, str) and name not in ("feedback", "outcome", "later")
        assert not is_word or len(value) < 4 or value in made.values


def test_other_members_of_a_query_are_left_alone() -> None:
    assert Filter.parse({"limit": "20", "before": "1~x", "tenant": " acme ", "rule": ""}) == Filter(tenant="acme")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"since": "yesterday"}, "since: expected a day like 2026-01-31"),
        ({"until": "24h"}, "until: expected a day"),
        ({"since": "2026-01-02", "until": "2026-01-01"}, "until: the period ends before it begins"),
        ({"cost_above": "much"}, "cost_above: expected a number from 0"),
        ({"near": "-1"}, "near: expected a number from 0"),
        ({"near": "nan"}, "near: expected a number from 0"),
        ({"feedback": "good"}, "feedback: expected up, down, any or none"),
        ({"tenant": "x" * 201}, "tenant: expected at most 200 characters"),
    ],
)
def test_what_is_wrong_is_said_with_what_is_right(query: dict[str, str], words: str) -> None:
    with pytest.raises(QueryError, match="^" + words.replace("(", r"\(")):
        Filter.parse(query)


def test_periods_count_back_from_now() -> None:
    assert Filter.parse({"since": "2h"}, 10_000.0) == Filter(since=2800.0)
    assert Filter.parse({"since": "9w"}, 10_000.0) == Filter(since=0.0)
    assert Filter.parse({"since": "2026-01-31", "until": "2026-01-31"}) == Filter(
        since=1_769_817_600.0, until=1_769_904_000.0
    )


def test_no_filter_is_every_exchange() -> None:
    assert where(Filter().conditions({})) == Condition("true")


def test_groups_of_outcomes_say_what_they_mean() -> None:
    for name, (meaning, sql) in OUTCOMES.items():
        assert meaning
        assert Filter(outcome=name).conditions({})[0].sql == f"({sql})"
    assert Filter(outcome="upstream_5xx").conditions({})[0].values == ("upstream_5xx",) * 2


def test_without_thresholds_nothing_is_near_one() -> None:
    assert Filter(near=0.1).conditions({}) == [Condition("false")]


@given(st.floats(allow_nan=False, allow_infinity=False), WORDS)
def test_a_place_in_a_list_is_a_part_of_a_url(at: float, name: str) -> None:
    assert Cursor.parse(str(Cursor(at, name))) == Cursor(at, name)


@pytest.mark.parametrize("text", ["", "1", "x~y", "nan~y", "inf~y", "1~", "1~" + "x" * 201])
def test_a_place_that_no_page_gave_is_refused(text: str) -> None:
    with pytest.raises(QueryError, match="go back to the start of the list"):
        Cursor.parse(text)
