"""Filters of exchanges. A filter is a URL: `parse` reads the query of one, `query` writes it again. Pure.

In: the members of a query. Out: a filter, or what is wrong with the query in words; and conditions of SQL with their
values. A value of a filter never becomes a part of the SQL.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self

from guardproxy.errors import QueryError
from guardproxy.reading import read_period

LIMIT_VALUE_CHARS = 200
_PERIOD = re.compile(r"(\d{1,6})([smhdw])", re.ASCII)
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_MICRO = 1_000_000

OUTCOMES: Mapping[str, tuple[str, str]] = {
    "blocked": ("a rule blocked the request or the answer", "outcome IN ('blocked_request', 'blocked_response')"),
    "redacted": ("a rule replaced a part of a text", "edited"),
    "retried": ("the model was asked more than once", "attempts > 1"),
    "refused": (
        "refused without a verdict: a limit, a wrong request, no capacity",
        "status >= 400 AND NOT (outcome IN "
        "('answered', 'passed', 'upstream_5xx', 'blocked_request', 'blocked_response'))",
    ),
    "shadow": ("a rule in shadow mode held", "len(shadow) > 0"),
    "cached": ("the cache had the answer", "cache = 'hit'"),
    "unread": ("a part that no check can read", "uninspected"),
    "changed": ("the line in the log is not what was written", "NOT intact"),
}
"""Groups of outcomes: what each means, and its condition. Any other word is an outcome as records write it."""
FEEDBACK = ("up", "down", "any", "none")


class Condition(NamedTuple):
    """A condition of SQL, and the values of its parameters."""

    sql: str
    values: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a list of exchanges, newest first: the time and the id of an exchange. It holds after the index was made
    again."""

    at: float
    id: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads what `str` wrote. Raises `QueryError`."""
        at, _, name = text.partition("~")
        try:
            seconds = float(at)
        except ValueError:
            seconds = math.nan
        if not math.isfinite(seconds) or not name or len(name) > LIMIT_VALUE_CHARS:
            raise QueryError("the place in the list is not one that a page gives: go back to the start of the list")
        return cls(seconds, name)

    def __str__(self) -> str:
        return f"{self.at!r}~{self.id}"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which exchanges. `None`: any. A member that names something matches it exactly.

    `tenant`: its digest or its name. `rule`: held, also in shadow mode. `policy`: decided something. `model`: asked for, or
    answered. `outcome`: a group (`OUTCOMES`), an outcome or a code of an error. `label`, `check`: of a finding. `since`,
    `until`: Unix time in seconds; the second is not included. `cost_above`: in the unit of prices. `feedback`: one of
    `FEEDBACK`. `near`: at most this far above the threshold of its check. `id_prefix`: the start of the id. `later`: the
    kind of an entry that the log has about it, such as `judged`; `-` before it: has not."""

    rule: str | None = None
    policy: str | None = None
    tenant: str | None = None
    client: str | None = None
    model: str | None = None
    upstream: str | None = None
    route: str | None = None
    outcome: str | None = None
    label: str | None = None
    check: str | None = None
    since: float | None = None
    until: float | None = None
    cost_above: float | None = None
    feedback: str | None = None
    near: float | None = None
    later: str | None = None
    id_prefix: str | None = None

    @classmethod
    def parse(cls, query: Mapping[str, str], now_s: float | None = None) -> Self:
        """Reads the members of a query; other members are of the page and are left alone. `now_s`: what periods such as `24h`
        count back from. Raises `QueryError`, which says what is right."""
        found: dict[str, Any] = {}
        for field in fields(cls):
            if text := query.get(field.name, "").strip():
                found[field.name] = _READERS.get(field.name, _word)(field.name, text, now_s)
        if "since" in found and "until" in found and found["until"] <= found["since"]:
            raise QueryError("until: the period ends before it begins")
        return cls(**found)

    def query(self) -> dict[str, str]:
        """Returns the members of a query that `parse` reads as this filter."""
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {
            name: value if isinstance(value, str) else _time_text(value) if name in ("since", "until") else repr(value)
            for name, value in values
            if value is not None
        }

    def conditions(self, thresholds: Mapping[str, float]) -> list[Condition]:
        """Returns the conditions over the columns of an exchange. `thresholds`: by the name of the check."""
        return [
            made
            for field in fields(self)
            if (value := getattr(self, field.name)) is not None
            for made in [_CONDITIONS[field.name](value, thresholds)]
        ]


def _word(name: str, text: str, _now_s: float | None) -> str:
    if len(text) > LIMIT_VALUE_CHARS:
        raise QueryError(f"{name}: expected at most {LIMIT_VALUE_CHARS} characters")
    # As the columns have it (`columns._name`): DuckDB ends a text at a zero byte.
    return text.replace("\0", "\ufffd")


def _feedback(name: str, text: str, _now_s: float | None) -> str:
    if text not in FEEDBACK:
        raise QueryError(f"{name}: expected {', '.join(FEEDBACK[:-1])} or {FEEDBACK[-1]}")
    return text


def _amount(name: str, text: str, _now_s: float | None) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or number < 0:
        raise QueryError(f"{name}: expected a number from 0, such as 0.05")
    return number


def _moment(name: str, text: str, now_s: float | None) -> float:
    if now_s is not None and (match := _PERIOD.fullmatch(text)):
        return max(0.0, now_s - int(match[1]) * _UNIT_S[match[2]])
    try:
        period = read_period(text, None) if name == "since" else read_period(None, text)
    except QueryError:
        raise QueryError(
            f"{name}: expected a day like 2026-01-31, a time like 2026-01-31T12:00 (UTC) or a period like 24h or 7d"
        ) from None
    return period.start_s if name == "since" else period.end_s


def _time_text(at: float) -> str:
    """Returns a time that `_moment` reads as the same number. Times have whole microseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


_READERS: Mapping[str, Callable[[str, str, float | None], Any]] = {
    "since": _moment,
    "until": _moment,
    "cost_above": _amount,
    "near": _amount,
    "feedback": _feedback,
}


def _is(*columns: str) -> Callable[[Any, Mapping[str, float]], Condition]:
    sql = " OR ".join(f"{column} = ?" for column in columns)
    return lambda value, _: Condition(f"({sql})", (value,) * len(columns))


def _has(*columns: str) -> Callable[[Any, Mapping[str, float]], Condition]:
    sql = " OR ".join(f"list_contains({column}, ?)" for column in columns)
    return lambda value, _: Condition(f"({sql})", (value,) * len(columns))


def _outcome(value: str, _: Mapping[str, float]) -> Condition:
    if value in OUTCOMES:
        return Condition(f"({OUTCOMES[value][1]})")
    return Condition("(outcome = ? OR error = ?)", (value, value))


def _near(value: float, thresholds: Mapping[str, float]) -> Condition:
    if not thresholds:
        return Condition("false")
    known = ", ".join("(?, ?)" for _ in thresholds)
    values: list[object] = [part for check, least in thresholds.items() for part in (check, least)]
    sql = (
        f"number IN (SELECT finding.number FROM findings AS finding JOIN (VALUES {known}) AS known(name, least) "
        'ON finding."check" = known.name WHERE finding.score - known.least BETWEEN 0 AND ?)'
    )
    return Condition(sql, (*values, value))


def _given(value: str, _: Mapping[str, float]) -> Condition:
    about = "(id, tenant) {} (SELECT exchange, tenant FROM later WHERE kind = 'feedback'{})"
    if value == "none":
        return Condition(about.format("NOT IN", ""))
    if value == "any":
        return Condition(about.format("IN", ""))
    return Condition(about.format("IN", " AND value = ?"), (value,))


def _later(value: str, _: Mapping[str, float]) -> Condition:
    kind = value.removeprefix("-")
    sql = "NOT IN" if value.startswith("-") else "IN"
    return Condition(f"id {sql} (SELECT exchange FROM later WHERE kind = ? AND kind <> 'feedback')", (kind,))


_CONDITIONS: Mapping[str, Callable[[Any, Mapping[str, float]], Condition]] = {
    "rule": _has("rules", "shadow"),
    "policy": _has("policies"),
    "tenant": _is("tenant", "tenant_name"),
    "client": _is("client"),
    "model": _is("model", "served_model"),
    "upstream": _is("upstream"),
    "route": _is("route"),
    "outcome": _outcome,
    "label": _has("labels"),
    "check": lambda value, _: Condition('number IN (SELECT number FROM findings WHERE "check" = ?)', (value,)),
    "since": lambda value, _: Condition("at_s >= ?", (value,)),
    "until": lambda value, _: Condition("at_s < ?", (value,)),
    "cost_above": lambda value, _: Condition("cost > ?", (value * _MICRO,)),
    "feedback": _given,
    "near": _near,
    "later": _later,
    "id_prefix": lambda value, _: Condition("starts_with(id, ?)", (value,)),
}


def where(conditions: Sequence[Condition]) -> Condition:
    """Returns all conditions as one."""
    if not conditions:
        return Condition("true")
    return Condition(
        " AND ".join(made.sql for made in conditions), tuple(v for made in conditions for v in made.values)
    )
