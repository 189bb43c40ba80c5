"""Prices of tokens, and the cost of an exchange.

In: the table of prices in the file of limits, and a maintained table; then models, and the record of an exchange. Out: rates
and costs in whole numbers: a rate is the price of a million tokens in millionths of the unit of money, a cost is in millionths.
Kept: the rates of models that were asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import NamedTuple, Protocol, TypeVar

import msgspec
from msgspec.structs import replace

from guardproxy.audit import Record
from guardproxy.policy import LARGEST, MICRO, model_readings
from guardproxy.wire import Contract

Key = TypeVar("Key")
Value = TypeVar("Value")

BYTES_A_TOKEN = 4
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


class PriceTable(Protocol):
    """A table of prices that others maintain."""

    def rates(self, model: str, unix_s: float, prompt_tokens: int) -> Rates | None:
        """Returns the rates of a model at a time, for a request of this size; `None` if the table does not have it. `model`:
        a name in normal form."""
        ...


class Prices:
    """The prices of models. `own`: those of the operator, by glob; they win. `table`: the maintained table, if it is used."""

    def __init__(self, own: Mapping[str, Price] | None = None, table: PriceTable | None = None) -> None:
        self._own = {glob: price.rates for glob, price in (own or {}).items()}
        self._table = table
        self._known: dict[str, Rates | None] = {}

    def __bool__(self) -> bool:
        return bool(self._own) or self._table is not None

    def __len__(self) -> int:
        """Returns the number of the operator's prices."""
        return len(self._own)

    def rates(self, models: tuple[str, ...], unix_s: float = 0.0, prompt_tokens: int = 0) -> Rates | None:
        """Returns the highest rates of these models; `None` if one of them has no price."""
        highest: Rates | None = None
        for model in models:
            rates = self._rates(model, unix_s, prompt_tokens)
            if rates is None:
                return None
            highest = rates if highest is None else Rates(*map(max, highest, rates))
        return highest

    def _rates(self, model: str, unix_s: float, prompt_tokens: int) -> Rates | None:
        """Returns the rates of a model. The first glob that fits it counts, as written or in normal form."""
        if model in self._known:
            own = self._known[model]
        else:
            spellings = (model, *(model_readings(model) or ()))
            fits = (rates for glob, rates in self._own.items() if any(fnmatchcase(name, glob) for name in spellings))
            own = next(fits, None)
            if len(model) <= MOST_CHARS:
                keep(self._known, model, own, MOST_MODELS)
        if own is not None or self._table is None:
            return own
        readings = model_readings(model) or ()
        found = (self._table.rates(name, unix_s, prompt_tokens) for name in readings)
        return next((rates for rates in found if rates is not None), None)


NO_PRICES = Prices()


def keep(known: dict[Key, Value], key: Key, value: Value, most: int) -> None:
    """Keeps a value that can be computed again. When there are too many, all are dropped."""
    if len(known) >= most:
        known.clear()
    known[key] = value


def token_use(record: Record, contract: Contract | None) -> TokenUse:
    """Returns the tokens of an exchange, as the upstream counted them. If it did not count them, as in a stream that was cut,
    they are estimated by their sizes. An answer from the cache used none."""
    if attempts := record.attempts[int(record.is_from_cache) :]:
        answer = sum(attempt.output_tokens for attempt in attempts)
        prompt = sum(attempt.tokens for attempt in attempts) - answer
        counts = [attempt.usage or {} for attempt in attempts[:-1] if attempt.counted]
        counts += [record.usage] if attempts[-1].counted else []
        pairs = [contract.cached(usage) for usage in counts] if contract else []
        return TokenUse(prompt, answer, sum(cached for cached, _ in pairs), sum(written for _, written in pairs))
    if record.is_from_cache or "upstream" not in record.sizes or (record.response.status or 0) >= 400:
        return TokenUse(0, 0)  # it was not sent, or it was refused
    counted = contract.tokens(record.usage) if contract else (None, None)
    if counted[0] is not None and counted[1] is not None and contract:
        return TokenUse(counted[0], counted[1], *contract.cached(record.usage))
    chars = sum(text.chars for text in record.response.texts)
    estimated = (-(-size // BYTES_A_TOKEN) for size in (record.sizes["upstream"], chars))
    return TokenUse(*(estimate if value is None else value for value, estimate in zip(counted, estimated, strict=True)))


def priced(record: Record, contract: Contract, prices: Prices, models: tuple[str, ...]) -> Record:
    """Returns the record with the cost of the exchange in millionths, if each of its models has a price, and with the money
    that was saved, if the rule that saved it states no price. `models`: those that may have answered."""
    use = token_use(record, contract)
    rates = prices.rates(models, record.at, use.prompt)
    cost = 0 if not use.prompt and not use.answer else None if rates is None else rates.cost(use)
    saved = record.saved
    if saved and not saved.money and rates:
        saved = replace(saved, money=round(saved.tokens * rates.answer / MICRO**2, 9))
    return replace(record, cost=cost, saved=saved)
