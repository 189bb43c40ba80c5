"""Prices of tokens, in whole numbers.

In: prices of models, from the operator's file or the `prices` of a policy. Out: rates and costs: a rate is the price of a
million tokens in millionths of the unit of money, a cost is in millionths. Kept: the rates of models that were asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import NamedTuple, TypeVar

import msgspec

from guardproxy.conditions.canonical_names import model_key, model_readings
from guardproxy.policy.usage.usage_limits import LARGEST, MICRO

Key = TypeVar("Key")
Value = TypeVar("Value")

MOST_MODELS = 1024  # clients choose the names of models
MOST_CHARS = 256  # in a name that is kept


class TokenUse(NamedTuple):
    """The tokens of an exchange, all attempts together. `prompt`: all tokens of the requests. `cached`, `written`: those of
    them that the provider read from its cache, and that it wrote there."""

    prompt: int
    answer: int
    cached: int = 0
    written: int = 0


class Rates(NamedTuple):
    """The prices of a million tokens, in millionths: of requests, of answers, of tokens that come from the provider's cache,
    and of those that go there."""

    prompt: int
    answer: int
    cached: int
    written: int

    def cost(self, use: TokenUse) -> int:
        """Returns the cost of tokens in millionths, rounded up; at most what can be counted exactly."""
        plain = max(0, use.prompt - use.cached - use.written)
        total = self.prompt * plain + self.answer * use.answer + self.cached * use.cached + self.written * use.written
        return min(LARGEST, -(-total // MICRO))


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The prices of a million tokens of requests (`input`) and of answers (`output`). `cached`, `written`: of tokens of a
    request that the provider reads from its cache, or writes there; without them, as other tokens of requests."""

    input: float
    output: float
    cached: float | None = None
    written: float | None = None

    def is_right(self) -> bool:
        """Whether each price is at least 0, and small enough to be counted exactly."""
        given = [price for price in (self.input, self.output, self.cached, self.written) if price is not None]
        return all(0 <= price < MICRO for price in given)  # also false for NaN

    @property
    def rates(self) -> Rates:
        """Returns the prices as whole numbers."""
        prompt = whole(self.input)
        cached, written = (prompt if price is None else whole(price) for price in (self.cached, self.written))
        return Rates(prompt, whole(self.output), cached, written)


def whole(price: float | Decimal) -> int:
    """Returns a price in millionths."""
    return round(Decimal(str(price)) * MICRO)


@dataclass(frozen=True)
class PriceList:
    """Prices by glob, in their order."""

    prices: tuple[tuple[str, Rates], ...] = ()
    _known: dict[str, Rates | None] = field(default_factory=dict, compare=False, repr=False)

    def rates(self, model: str) -> Rates | None:
        """Returns the rates of a model; `None` if it has no price. The first glob that fits it counts, as written or in normal
        form."""
        if model in self._known:
            return self._known[model]
        spellings = (model, *(model_readings(model) or ()), model_key(model))
        fits = (rates for glob, rates in self.prices if any(fnmatchcase(name, glob) for name in spellings))
        found = next(fits, None)
        if len(model) <= MOST_CHARS:
            keep(self._known, model, found, MOST_MODELS)
        return found


def keep(known: dict[Key, Value], key: Key, value: Value, most: int) -> None:
    """Keeps a value that can be computed again. When there are too many, all are dropped."""
    if len(known) >= most:
        known.clear()
    known[key] = value
