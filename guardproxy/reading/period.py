"""Periods of time for exports and reports, in UTC.

In: days or times as text. Out: a period in Unix time.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from guardproxy.errors import QueryError

_DAY = timedelta(days=1)
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
class Hours:
    """Whole hours in UTC, from `start` up to but without `end`."""

    start: datetime
    end: datetime

    def __contains__(self, hour: datetime) -> bool:
        return self.start <= hour < self.end

    def __str__(self) -> str:
        if self.start.hour or self.end.hour:
            return f"{self.start:%Y-%m-%dT%H:%M} to {self.end:%Y-%m-%dT%H:%M}"
        first, last = self.start.date(), (self.end - _DAY).date()
        return str(first) if first == last else f"{first} to {last}"


def judged_hours(hours: Sequence[datetime], first: str | None, last: str | None) -> Hours:
    """Returns the hours to judge: without arguments the last day. `hours`: the hours of the log, in order. Raises
    `QueryError`."""
    if not hours:
        raise QueryError("the log has no exchanges")
    end = _day_of(hours[-1]) + _DAY if last is None else _hour(last, "--to", _DAY)
    return _hours(end - _DAY if first is None else _hour(first, "--from"), end)


def baseline_hours(hours: Sequence[datetime], judged: Hours, first: str | None, last: str | None) -> Hours:
    """Returns the hours of the baseline: without arguments all hours before `judged`. Raises `QueryError`."""
    end = judged.start if last is None else _hour(last, "--baseline-to", _DAY)
    start = min(_day_of(hours[0]), end - _DAY) if first is None else _hour(first, "--baseline-from")
    baseline = _hours(start, end)
    if not any(hour in baseline for hour in hours):
        raise QueryError(f"the log has no exchanges of {baseline} to compare with; choose other days or use --baseline")
    return baseline


def _hours(start: datetime, end: datetime) -> Hours:
    if end <= start:
        raise QueryError("the period ends before it begins")
    return Hours(start, end)


def _day_of(hour: datetime) -> datetime:
    return hour.replace(hour=0)


def _hour(text: str, name: str, day: timedelta = timedelta(0)) -> datetime:
    """Returns the hour that an option names. `day`: what is added to a day."""
    with suppress(QueryError):
        moment = datetime.fromtimestamp(_read(text, name, day), UTC)
        if not (moment.minute or moment.second or moment.microsecond):
            return moment
    raise QueryError(f"{name}: expected a day like 2026-01-31 or an hour like 2026-01-31T12:00")


def _read(text: str, name: str, day: timedelta) -> float:
    """Returns Unix time. `day`: what is added to a day."""
    try:
        seconds = (_start_of_day(text, day) or _moment(text)).timestamp()
    except (ValueError, OverflowError):
        raise QueryError(f"{name}: expected a day like 2026-01-31 or a time like 2026-01-31T12:00") from None
    if not 0 <= seconds <= FOREVER_S:
        raise QueryError(f"{name}: expected a time between the years 1970 and 9999")
    return seconds


def _start_of_day(text: str, day: timedelta) -> datetime | None:
    """Returns the start of a day, in each form of ISO 8601, with `day` added to it. `None`: the text is no day."""
    try:
        at = date.fromisoformat(text)
    except ValueError:
        return None
    return datetime(at.year, at.month, at.day, tzinfo=UTC) + day


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
