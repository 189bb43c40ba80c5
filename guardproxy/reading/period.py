"""Periods of time for exports and reports, in UTC.

In: days or times as text. Out: a period in Unix time. Kept: nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from guardproxy.errors import QueryError

FOREVER_S = 253_370_764_800.0  # the year 9999


@dataclass(frozen=True, slots=True)
class Period:
    """A period in Unix time, in seconds: from `start_s` up to but without `end_s`."""

    start_s: float = 0.0
    end_s: float = FOREVER_S

    def __contains__(self, at: float) -> bool:
        return self.start_s <= at < self.end_s


def read_period(first: str | None, last: str | None) -> Period:
    """Returns the period from `first` to `last`. A day such as `2026-01-31` counts as a whole; a time such as
    `2026-01-31T12:00` is in UTC unless it names an offset, and the period ends before it. Raises `QueryError`."""
    period = Period(
        0.0 if first is None else _read(first, "--from", timedelta(0)),
        FOREVER_S if last is None else _read(last, "--to", timedelta(days=1)),
    )
    if period.end_s <= period.start_s:
        raise QueryError("the period ends before it begins")
    return period


@dataclass(frozen=True, slots=True)
class Days:
    """Whole days in UTC, from `first` to `last`, both included."""

    first: date
    last: date

    def __contains__(self, day: date) -> bool:
        return self.first <= day <= self.last

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first} to {self.last}"


def judged_days(days: Sequence[date], first: str | None, last: str | None) -> Days:
    """Returns the days to judge: without arguments the last day. `days`: the days of the log, in order. Raises
    `QueryError`."""
    if not days:
        raise QueryError("the log has no exchanges")
    end = days[-1] if last is None else _day(last, "--to")
    return _days(end if first is None else _day(first, "--from"), end)


def baseline_days(days: Sequence[date], judged: Days, first: str | None, last: str | None) -> Days:
    """Returns the days of the baseline: without arguments all days before `judged`. Raises `QueryError`."""
    end = judged.first - timedelta(days=1) if last is None else _day(last, "--baseline-to")
    start = min(days[0], end) if first is None else _day(first, "--baseline-from")
    baseline = _days(start, end)
    if not any(day in baseline for day in days):
        raise QueryError(f"the log has no exchanges of {baseline} to compare with; choose other days or use --baseline")
    return baseline


def _days(first: date, last: date) -> Days:
    if last < first:
        raise QueryError("the period ends before it begins")
    return Days(first, last)


def _day(text: str, name: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise QueryError(f"{name}: expected a day like 2026-01-31") from None


def _read(text: str, name: str, day: timedelta) -> float:
    """Returns Unix time. `day`: what is added to a day."""
    try:
        if len(text) == len("2026-01-31"):
            at = date.fromisoformat(text)
            moment = datetime(at.year, at.month, at.day, tzinfo=UTC) + day
        else:
            moment = datetime.fromisoformat(text)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        seconds = moment.timestamp()
    except (ValueError, OverflowError):
        raise QueryError(f"{name}: expected a day like 2026-01-31 or a time like 2026-01-31T12:00") from None
    if not 0 <= seconds <= FOREVER_S:
        raise QueryError(f"{name}: expected a time between the years 1970 and 9999")
    return seconds
