"""Periods as people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from guardproxy.errors import QueryError
from guardproxy.reading.period import FOREVER_S, Hours, Period, baseline_hours, judged_hours, read_period

DAY = datetime(2026, 1, 31, tzinfo=UTC)
JUDGED = Hours(DAY, DAY + timedelta(days=1))
LOG_HOURS = [DAY - timedelta(days=9, hours=-5), DAY - timedelta(days=2), DAY + timedelta(hours=7)]


def unix(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def test_days_count_as_a_whole_and_times_end_before() -> None:
    assert read_period("2026-01-31", "2026-01-31") == Period(unix("2026-01-31"), unix("2026-02-01"))
    assert read_period("2026-01-31T12:00", "2026-01-31T12:30:05") == Period(
        unix("2026-01-31T12:00"), unix("2026-01-31T12:30:05")
    )
    assert read_period("2026-01-31T12:00+01:00", None) == Period(unix("2026-01-31T11:00"), FOREVER_S)
    assert read_period(None, None) == Period()
    period = read_period("2026-01-31", "2026-01-31")
    assert unix("2026-01-31T00:00") in period
    assert unix("2026-01-31T23:59:59.999") in period
    assert unix("2026-02-01") not in period


@pytest.mark.parametrize(
    ("first", "last", "message"),
    [
        ("yesterday", None, "--from: expected a day like"),
        ("2026-02-30", None, "--from: expected a day like"),
        (None, "2026-13-01", "--to: expected a day like"),
        ("1950-01-01", None, "--from: expected a time between"),
        (None, "9999-12-31", "--to: expected a"),
        ("2026-02-02", "2026-02-01", "ends before it begins"),
        ("2026-02-02T10:00", "2026-02-02T10:00", "ends before it begins"),
    ],
)
def test_other_words_are_refused(first: str | None, last: str | None, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        read_period(first, last)


def test_the_last_day_is_judged_against_the_days_before() -> None:
    judged = judged_hours(LOG_HOURS, None, None)
    assert str(judged) == "2026-01-31"
    assert str(baseline_hours(LOG_HOURS, judged, None, None)) == "2026-01-22 to 2026-01-30"
    week = judged_hours(LOG_HOURS, "2026-01-25", "2026-01-30")
    assert str(baseline_hours(LOG_HOURS, week, None, None)) == "2026-01-22 to 2026-01-24"
    assert str(baseline_hours(LOG_HOURS, week, "2026-01-29", "2026-01-31")) == "2026-01-29 to 2026-01-31"


@pytest.mark.parametrize(
    ("first", "last", "message"),
    [
        ("2026-1-31", None, "--from: expected a day"),
        (None, "tomorrow", "--to: expected a day"),
        ("2026-02-01", None, "ends before it begins"),
        ("2026-01-31T10:30", None, "--from: expected a day like 2026-01-31 or an hour like"),
        (None, "0001-01-01T00:00+02:00", "--to: expected a day"),
        (None, "0001-01-01T00:00", "--to: expected a day"),
        ("0001-01-01", None, "--from: expected a day"),
        ("2026-01-31T12:00:00.5", None, "--from: expected a day like 2026-01-31 or an hour like"),
    ],
)
def test_wrong_days_are_refused(first: str | None, last: str | None, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        judged_hours(LOG_HOURS, first, last)


@pytest.mark.parametrize("day", ["2026-01-30", "20260130", "2026-W05-5", "2026W055"])
def test_a_day_in_every_form_counts_as_a_whole(day: str) -> None:
    assert str(judged_hours(LOG_HOURS, day, day)) == str(judged_hours(LOG_HOURS, None, day)) == "2026-01-30"
    assert read_period(day, day) == Period(unix("2026-01-30"), unix("2026-01-31"))


def test_hours_are_judged_against_the_hours_before() -> None:
    judged = judged_hours(LOG_HOURS, "2026-01-31T07:00", "2026-01-31T10:00+02:00")
    assert str(judged) == "2026-01-31T07:00 to 2026-01-31T08:00"
    assert [hour in judged for hour in (*LOG_HOURS, DAY + timedelta(hours=8))] == [False, False, True, False]
    assert str(baseline_hours(LOG_HOURS, judged, None, None)) == "2026-01-22T00:00 to 2026-01-31T07:00"
    assert str(judged_hours(LOG_HOURS, None, "2026-01-31T12")) == "2026-01-30T12:00 to 2026-01-31T12:00"


def test_a_baseline_needs_exchanges() -> None:
    with pytest.raises(QueryError, match="the log has no exchanges"):
        judged_hours([], None, None)
    with pytest.raises(QueryError, match="no exchanges of 2026-01-30 to compare with"):
        baseline_hours([DAY], JUDGED, None, None)
    with pytest.raises(QueryError, match="no exchanges of 2026-01-23"):
        baseline_hours(LOG_HOURS, JUDGED, "2026-01-23", "2026-01-23")
