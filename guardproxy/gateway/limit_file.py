"""The file of limits: its form, and the rules that follow from it.

In: the text of a TOML file. Out: a `LimitSet`. All amounts are whole numbers: requests, tokens, and money in millionths of its
unit; rates are kept in microseconds. Kept: nothing.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, Literal

import msgspec

from guardproxy.errors import ConfigError
from guardproxy.policy import Match, compile_cel, model_readings

Unit = Literal["requests", "tokens", "cost", "parallel"]
Per = Literal["client", "tenant", "model"]
Window = Literal["", "day", "month"]

MICRO = 1_000_000
ANSWER_TOKENS = 1024
LARGEST = 2**51  # in any unit of a level: shared stores count in doubles, which are exact up to 2^53
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)
_RATE = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)/(\d{0,5})([smhd])", re.ASCII)
_BUDGET = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)/(day|month)", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DAY_S = 86_400.0


class StoredLimit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A limit as the file has it. It has one of `rate` (`600/1m`), `budget` (`50.00/day`) and `most` (`parallel`).

    `per`: each client, tenant or model has a limit of its own; without it all share one. `routes`, `models`, `tenants`, `when`:
    the requests that count, as in the `match` of a policy. `answer_tokens`: what an answer is assumed to take if the request
    sets no limit.
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
    mode: Literal["enforce", "shadow"] = "enforce"
    answer_tokens: int = ANSWER_TOKENS


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The prices of a million tokens of requests (`input`) and of answers (`output`)."""

    input: float
    output: float

    def cost(self, prompt_tokens: int, answer_tokens: int) -> int:
        """Returns the cost of tokens in millionths, rounded up."""
        prices = (round(Decimal(str(price)) * MICRO) for price in (self.input, self.output))
        total = sum(price * tokens for price, tokens in zip(prices, (prompt_tokens, answer_tokens), strict=True))
        return -(-total // MICRO)


class _StoredLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    limit: tuple[StoredLimit, ...] = ()
    price: dict[str, Price] = {}


@dataclass(frozen=True, slots=True)
class LimitRule:
    """A limit. `most`: the highest level; for a rate in microseconds. `period_us`, `amount`: of a rate; 0 for a sum.
    `window`: of a budget."""

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

    @property
    def is_early(self) -> bool:
        """Whether the limit needs only the head of a request."""
        asks_body = "model" in self.per or self.match.models is not None or self.match.when is not None
        return self.unit in ("requests", "parallel") and not asks_body

    @property
    def limit(self) -> int:
        """Returns the limit in its unit."""
        return self.in_units(self.most)

    def taken(self, units: int) -> int:
        """Returns what units add to the level. More than the limit counts as the limit: such a request waits until the level is
        0, and what it used is counted at its end."""
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


@dataclass(frozen=True, slots=True)
class LimitSet:
    """The limits of a file, and the prices of models. `early`: those that need only the head of a request; `late`: the
    others."""

    early: tuple[LimitRule, ...] = ()
    late: tuple[LimitRule, ...] = ()
    prices: Mapping[str, Price] = field(default_factory=dict)

    def price(self, models: tuple[str, ...]) -> Price | None:
        """Returns the highest price of these models; `None` if one of them has no price. The first glob that fits a model
        counts, as written or in normal form."""
        found = [self._price(model) for model in models]
        known = [price for price in found if price is not None]
        if not known or len(known) < len(found):
            return None
        return Price(max(price.input for price in known), max(price.output for price in known))

    def _price(self, model: str) -> Price | None:
        spellings = (model, *(model_readings(model) or ()))
        fits = (price for glob, price in self.prices.items() if any(fnmatchcase(name, glob) for name in spellings))
        return next(fits, None)


def read_limits(text: bytes, where: str) -> LimitSet:
    """Reads a file of limits. `where`: its path, for messages. Raises `ConfigError`."""
    try:
        tree = tomllib.loads(text.decode())
        stored = msgspec.convert(tree, _StoredLimits)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{where}: {error}") from None
    names: set[str] = set()
    rules: list[LimitRule] = []
    for limit in stored.limit:
        place = f"{where}: the limit `{limit.name}`"
        if not _NAME.fullmatch(limit.name):
            raise ConfigError(f"{place}: a name has 1 to 64 of A-Z, a-z, 0-9, `_` and `-`")
        if limit.name in names:
            raise ConfigError(f"{place} stands in the file twice")
        names.add(limit.name)
        rules.append(_rule(limit, place))
        if max(rules[-1].most, rules[-1].period_us) > LARGEST:
            raise ConfigError(f"{place} is too large to be counted exactly")
    for glob, price in stored.price.items():
        if not all(0 <= value < MICRO for value in (price.input, price.output)):  # also false for NaN
            raise ConfigError(f"{where}: the price of `{glob}` must be at least 0 and below {MICRO}")
    if any(rule.unit == "cost" for rule in rules) and not stored.price:
        raise ConfigError(f'{where}: a limit counts costs, and no model has a price; write [price."gpt-*"]')
    early = tuple(rule for rule in rules if rule.is_early)
    return LimitSet(early, tuple(rule for rule in rules if not rule.is_early), stored.price)


def limit_schema() -> dict[str, Any]:
    """Returns the JSON Schema of the file, for editors."""
    return msgspec.json.schema(_StoredLimits)


def _rule(limit: StoredLimit, place: str) -> LimitRule:
    """Returns the rule of a limit. Raises `ConfigError`."""
    ways = {"rate": limit.rate, "budget": limit.budget, "most": limit.most}
    given = [name for name, value in ways.items() if value not in ("", None)]
    wanted = "most" if limit.unit == "parallel" else "rate or budget"
    if len(given) != 1 or (given == ["most"]) != (limit.unit == "parallel"):
        raise ConfigError(f"{place} counts {limit.unit}, so it needs one of {wanted}, and nothing else")
    if limit.burst is not None and not limit.rate:
        raise ConfigError(f"{place}: `burst` belongs to a rate")
    if (
        limit.answer_tokens < 0
        or (limit.burst is not None and limit.burst < 1)
        or (limit.most is not None and limit.most < 0)
    ):
        raise ConfigError(f"{place}: a number is too small")
    if len(set(limit.per)) < len(limit.per):
        raise ConfigError(f"{place}: `per` names something twice")
    for name in ("routes", "models", "tenants"):
        if (globs := getattr(limit, name)) is not None and not all((globs, *globs)):
            raise ConfigError(f"{place}: an empty `{name}` matches nothing; leave `{name}` out to match everything")
    match = Match(limit.routes, limit.models, limit.tenants, when=_when(limit.when, place))
    common: dict[str, Any] = {
        "per": limit.per,
        "is_shadow": limit.mode == "shadow",
        "answer_tokens": limit.answer_tokens,
    }
    if limit.most is not None:
        return LimitRule(limit.name, limit.unit, limit.most, match, **common)
    if limit.budget:
        budget = _BUDGET.fullmatch(limit.budget)
        if budget is None:
            raise ConfigError(f"{place}: `budget` must be an amount and a window, like 50.00/day or 1000000/month")
        return LimitRule(
            limit.name, limit.unit, _amount(budget[1], limit.unit, place), match, window=_window(budget[2]), **common
        )
    rate = _RATE.fullmatch(limit.rate)
    if rate is None or (rate[2] and not int(rate[2])):
        raise ConfigError(f"{place}: `rate` must be an amount and a period, like 600/1m or 100000/1h")
    amount = _amount(rate[1], limit.unit, place)
    period_us = int(rate[2] or 1) * _SECONDS[rate[3]] * MICRO
    burst = amount if limit.burst is None else _amount(str(limit.burst), limit.unit, place)
    most = -(-burst * period_us // amount) if amount else 0
    return LimitRule(limit.name, limit.unit, most, match, period_us=period_us, amount=max(1, amount), **common)


@lru_cache(maxsize=16)
def _window_of(window: Window, day: int) -> tuple[str, float]:
    """Returns the name of the window that holds a day, and its end. `day`: the number of days since 1970."""
    start = datetime.fromtimestamp(day * _DAY_S, UTC)
    if window == "day":
        return f"{start:%Y-%m-%d}", (day + 1) * _DAY_S
    return f"{start:%Y-%m}", (start.replace(day=1) + timedelta(days=32)).replace(day=1).timestamp()


def _window(word: str) -> Window:
    return "day" if word == "day" else "month"


def _amount(text: str, unit: Unit, place: str) -> int:
    """Returns an amount in whole units, of money in millionths. Raises `ConfigError`."""
    amount = Decimal(text) * (MICRO if unit == "cost" else 1)
    if amount != int(amount):
        raise ConfigError(f"{place}: {unit} are counted in whole numbers")
    return int(amount)


def _when(text: str, place: str) -> Any:
    if not text:
        return None
    try:
        return compile_cel(text)
    except ExceptionGroup as group:
        messages = "; ".join(str(error) for error in group.exceptions)
        raise ConfigError(f"{place}: `when`: {messages}") from None
