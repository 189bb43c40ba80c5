"""The operator's file of limits and prices.

In: the text of a TOML file. Out: a `LimitSet`. Kept: the limits that count a kind of request, by its facts.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from guardproxy.errors import ConfigError
from guardproxy.gateway.prices.prices import NO_PRICES, Prices, PriceTable
from guardproxy.policy import About, compile_cel
from guardproxy.policy.usage import MICRO, MOST_CHARS, LimitFault, LimitRule, Price, StoredLimit, keep, limit_rule
from guardproxy.policy.values import Match

MOST_KINDS = 1024  # clients choose the names of models


class _StoredLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    limit: tuple[StoredLimit, ...] = ()
    price: dict[str, Price] = {}


class LimitSet:
    """The limits of a file, and the prices of models. `early`: those that need only the head of a request; `late`: the others.
    `asks`: the names of the headers that conditions read. `asks_much`: whether a condition reads more than names."""

    def __init__(self, rules: Iterable[LimitRule] = (), prices: Prices = NO_PRICES) -> None:
        rules = tuple(rules)
        self.early = tuple(rule for rule in rules if rule.is_early)
        self.late = tuple(rule for rule in rules if not rule.is_early)
        self.prices = prices
        self.asks = frozenset(name for rule in self.late for name in rule.match.asks)
        self.asks_much = any(rule.match.when for rule in self.late)
        self._early: dict[tuple[str, str], tuple[LimitRule, ...]] = {}
        self._late: dict[tuple[Any, ...], tuple[LimitRule, ...]] = {}

    def early_for(self, route: str, tenant: str) -> tuple[LimitRule, ...]:
        """Returns the limits that count a request by its head."""
        key = (route, tenant)
        if (rules := self._early.get(key)) is None:
            about = About(route, tenant=tenant)
            rules = tuple(rule for rule in self.early if rule.match.holds(about))
            keep(self._early, key, rules, MOST_KINDS)
        return rules

    def late_for(self, about: About) -> tuple[LimitRule, ...]:
        """Returns the other limits that count a request. Names decide, unless a condition reads more."""
        key = (about.route, about.tenant, about.named_models, "model" in about.unclear)
        rules = None if self.asks_much else self._late.get(key)
        if rules is None:
            rules = tuple(rule for rule in self.late if rule.match.holds(about))
            if not self.asks_much and sum(map(len, about.named_models)) <= MOST_CHARS:
                keep(self._late, key, rules, MOST_KINDS)
        return rules


def read_limits(text: bytes, where: str, table: PriceTable | None = None) -> LimitSet:
    """Reads a file of limits. `where`: its path, for messages. `table`: prices of models that the file does not name. Raises
    `ConfigError`."""
    try:
        stored = msgspec.convert(tomllib.loads(text.decode()), _StoredLimits)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError, RecursionError) as error:
        raise ConfigError(f"{where}: {error}") from None
    for glob, price in stored.price.items():
        if not price.is_right():
            raise ConfigError(f"{where}: the price of `{glob}` must be at least 0 and below {MICRO}")
    rules = tuple(_rules(stored.limit, where))
    prices = Prices(stored.price, table)
    if any(rule.unit == "cost" for rule in rules) and not prices:
        raise ConfigError(
            f'{where}: a limit counts costs, and no model has a price; write [price."gpt-*"], or use --prices genai-prices'
        )
    return LimitSet(rules, prices)


def _rules(limits: Iterable[StoredLimit], where: str) -> Iterator[LimitRule]:
    names: set[str] = set()
    for limit in limits:
        place = f"{where}: the limit `{limit.name}`"
        for name in ("routes", "models", "tenants"):
            if (globs := getattr(limit, name)) is not None and not all((globs, *globs)):
                raise ConfigError(f"{place}: an empty `{name}` matches nothing; leave `{name}` out to match everything")
        match = Match(limit.routes, limit.models, limit.tenants, when=_when(limit.when, place))
        try:
            yield limit_rule(limit, match)
        except LimitFault as fault:
            raise ConfigError(f"{place}: {fault}") from None
        if limit.name in names:
            raise ConfigError(f"{place} is listed twice")
        names.add(limit.name)


def limit_schema() -> dict[str, Any]:
    """Returns the JSON Schema of the file, for editors."""
    return msgspec.json.schema(_StoredLimits)


def _when(text: str, place: str) -> Any:
    if not text:
        return None
    try:
        return compile_cel(text)
    except ExceptionGroup as group:
        messages = "; ".join(str(error) for error in group.exceptions)
        raise ConfigError(f"{place}: `when`: {messages}") from None
