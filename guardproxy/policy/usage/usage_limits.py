"""A limit or budget: its form in files, and the rule that follows from it.

In: the keys of a limit, from a TOML file of limits or the `limits` of a policy. Out: a `LimitRule`. All amounts are whole
numbers: requests, tokens, and money in millionths of its unit; rates are kept in microseconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache, partial
from typing import Literal, get_args

import msgspec

from guardproxy.policy.conditions.matching import Match

Unit = Literal["requests", "tokens", "cost", "parallel"]
Per = Literal["client", "tenant", "model"]
Window = Literal["", "day", "month"]
_Mode = Literal["enforce", "shadow"]
_Over = Literal["wait", "refuse"]
UNITS: tuple[Unit, ...] = get_args(Unit)
WHOSE: tuple[Per, ...] = get_args(Per)
MODES: tuple[_Mode, ...] = get_args(_Mode)
OVER: tuple[_Over, ...] = get_args(_Over)

MICRO = 1_000_000
ANSWER_TOKENS = 1024
LARGEST = 2**51  # in any unit of a level: shared stores count in doubles, which are exact up to 2^53
NAME_FORM = r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}"
RATE_FORM = r"([0-9]{1,12}(?:\.[0-9]{1,6})?)/([0-9]{0,5})([smhd])"
BUDGET_FORM = r"([0-9]{1,12}(?:\.[0-9]{1,6})?)/(day|month)"
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DAY_S = 86_400.0


class LimitFault(ValueError):
    """A limit that cannot be used. `key`: the key at fault; empty if it is the limit as a whole."""

    def __init__(self, message: str, key: str = "") -> None:
        super().__init__(message)
        self.key = key


class StoredLimit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A limit as a file has it. It has one of `rate` (`600/1m`), `budget` (`50.00/day`) and `most` (`parallel`).

    `per`: each client, tenant or model has a limit of its own; without it all share one. `routes`, `models`, `tenants`, `when`:
    the requests that count, as in the `match` of a policy. `answer_tokens`: what an answer is assumed to take if the request
    sets no limit. `over`: whether a request that wants more than the whole limit waits until nothing is taken, or is refused.
    """

    name: str
    unit: Unit
    rate: str = ""
    burst: int | None = None
    budget: str = ""
    most: int | None = None
    per: tuple[Per, ...] = ()
    routes: tuple[str, ...] | None = None
    models: tuple[str, ...] | None = None
    tenants: tuple[str, ...] | None = None
    when: str = ""
    mode: _Mode = "enforce"
    answer_tokens: int = ANSWER_TOKENS
    over: _Over = "wait"


@dataclass(frozen=True, slots=True)
class LimitRule:
    """A limit. `most`: the highest level; for a rate in microseconds. `refuses_larger`: whether a request that wants more than
    the whole limit is refused, also if nothing is taken. `period_us`, `amount`: of a rate; 0 for a sum.
    `window`: of a budget. `policy`: the name of the policy that has the limit; empty for a limit of the operator's file.
    `label`: its name in messages, metrics and the store; a name has no `/`, so that labels differ. `limit`: in its unit."""

    name: str
    unit: Unit
    most: int
    match: Match
    per: tuple[Per, ...] = ()
    period_us: int = 0
    amount: int = 0
    window: Window = ""
    is_shadow: bool = False
    answer_tokens: int = ANSWER_TOKENS
    refuses_larger: bool = False
    policy: str = ""
    label: str = field(init=False)
    limit: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", f"{self.policy}/{self.name}" if self.policy else self.name)
        object.__setattr__(self, "limit", self.in_units(self.most))

    @property
    def is_early(self) -> bool:
        """Whether the limit needs only the head of a request."""
        asks_body = "model" in self.per or self.match.models is not None or self.match.when is not None
        return self.unit in ("requests", "parallel") and not asks_body

    def taken(self, units: int) -> int:
        """Returns what units add to the level. More than the limit counts as the limit: such a request waits until the level is
        0, unless it is refused, and what it used is counted at its end."""
        return min(self.most, self.used(units)) if self.most else 1  # what a limit of 0 refuses

    def used(self, units: int) -> int:
        """Returns what units add to the level, also past the limit."""
        return -(-units * self.period_us // self.amount) if self.period_us else units

    def in_units(self, level: int) -> int:
        """Returns a part of the level in whole units."""
        return level * self.amount // self.period_us if self.period_us else level

    def window_at(self, unix_s: float) -> tuple[str, float]:
        """Returns the name of the window of a budget at a time, in UTC, and the seconds until it ends. A limit without windows
        has the name `` and lasts a day."""
        if not self.window:
            return "", _DAY_S
        name, end_s = _window_of(self.window, int(unix_s // _DAY_S))
        return name, end_s - unix_s


def limit_rule(limit: StoredLimit, match: Match) -> LimitRule:
    """Returns the rule of a limit. `match`: the requests that count. Raises `LimitFault`."""
    if not re.fullmatch(NAME_FORM, limit.name):
        raise LimitFault("a name has 1 to 64 of A-Z, a-z, 0-9, `_` and `-`", "name")
    ways = {"rate": limit.rate, "budget": limit.budget, "most": limit.most}
    given = [name for name, value in ways.items() if value not in ("", None)]
    wanted = "most" if limit.unit == "parallel" else "rate or budget"
    if len(given) != 1 or (given == ["most"]) != (limit.unit == "parallel"):
        raise LimitFault(f"it counts {limit.unit}, so it needs one of {wanted}, and nothing else")
    if limit.burst is not None and not limit.rate:
        raise LimitFault("`burst` belongs to a rate", "burst")
    least = {"burst": 1, "most": 0, "answer_tokens": 0}
    for key, value in least.items():
        if (number := getattr(limit, key)) is not None and number < value:
            raise LimitFault(f"`{key}` must be at least {value}", key)
    if len(set(limit.per)) < len(limit.per):
        raise LimitFault("`per` names something twice", "per")
    rule = _counted(limit, match)
    if max(rule.most, rule.period_us) > LARGEST:
        raise LimitFault("it is too large to be counted exactly", given[0])
    return rule


def _counted(limit: StoredLimit, match: Match) -> LimitRule:
    rule = partial(
        LimitRule,
        limit.name,
        limit.unit,
        match=match,
        per=limit.per,
        is_shadow=limit.mode == "shadow",
        answer_tokens=limit.answer_tokens,
        refuses_larger=limit.over == "refuse",
    )
    if limit.most is not None:
        return rule(most=limit.most)
    if limit.budget:
        budget = re.fullmatch(BUDGET_FORM, limit.budget)
        if budget is None:
            raise LimitFault("`budget` must be an amount and a window, like 50.00/day or 1000000/month", "budget")
        return rule(most=_amount(budget[1], limit.unit, "budget"), window=_window(budget[2]))
    rate = re.fullmatch(RATE_FORM, limit.rate)
    if rate is None or (rate[2] and not int(rate[2])):
        raise LimitFault("`rate` must be an amount and a period, like 600/1m or 100000/1h", "rate")
    amount = _amount(rate[1], limit.unit, "rate")
    period_us = int(rate[2] or 1) * _SECONDS[rate[3]] * MICRO
    burst = amount if limit.burst is None else _amount(str(limit.burst), limit.unit, "burst")
    most = -(-burst * period_us // amount) if amount else 0
    return rule(most=most, period_us=period_us, amount=max(1, amount))


@lru_cache(maxsize=16)
def _window_of(window: Window, day: int) -> tuple[str, float]:
    """Returns the name of the window that holds a day, and its end. `day`: the number of days since 1970."""
    start = datetime.fromtimestamp(day * _DAY_S, UTC)
    if window == "day":
        return f"{start:%Y-%m-%d}", (day + 1) * _DAY_S
    return f"{start:%Y-%m}", (start.replace(day=1) + timedelta(days=32)).replace(day=1).timestamp()


def _window(word: str) -> Window:
    return "day" if word == "day" else "month"


def _amount(text: str, unit: Unit, key: str) -> int:
    """Returns an amount in whole units, of money in millionths. Raises `LimitFault`."""
    amount = Decimal(text) * (MICRO if unit == "cost" else 1)
    if amount != int(amount):
        raise LimitFault(f"{unit} are counted in whole numbers", key)
    return int(amount)


def limit_words(rule: LimitRule) -> str:
    """Returns a line about a limit: what it counts, for whom, and how much."""
    whose = " and ".join(rule.per) if rule.per else "all together"
    period = (
        f" a {rule.window}"
        if rule.window
        else f" at once, then {_rate(rule)}"
        if rule.period_us
        else " at the same time"
    )
    larger = ", refuses larger requests" if rule.refuses_larger else ""
    mode = ", in shadow mode" if rule.is_shadow else ""
    amount = amount_words(rule.limit, rule.unit)
    return f"{rule.label}: {amount} {rule.unit}{period}, {'per ' if rule.per else ''}{whose}{larger}{mode}"


def amount_words(units: int, unit: Unit) -> str:
    """Returns an amount for people. `units`: as limits count them, of money in millionths."""
    return number_words(Decimal(units) / MICRO if unit == "cost" else units)


def number_words(number: int | float | Decimal) -> str:
    """Returns a number for people, with at most six digits after the point and none that say nothing."""
    whole, _, part = f"{number:,.6f}".partition(".")
    return f"{whole}.{part.rstrip('0')}".rstrip(".")


def _rate(rule: LimitRule) -> str:
    return f"{amount_words(rule.amount, rule.unit)} in {rule.period_us // MICRO:,} s"
