"""Prices of models, and the cost of an exchange.

In: the operator's prices, those of policies, and a maintained table; then models, and the record of an exchange. Out: rates,
and the record with its cost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec.structs import replace

from guardproxy.audit import Record
from guardproxy.conditions import model_key, model_readings
from guardproxy.policy import BoundRules
from guardproxy.policy.sections import PRICES
from guardproxy.policy.usage import MICRO, Price, PriceList, Rates, TokenUse
from guardproxy.wire import Contract

BYTES_A_TOKEN = 4


class PriceTable(Protocol):
    """A table of prices that others maintain."""

    def rates(self, model: str, unix_s: float, prompt_tokens: int) -> Rates | None:
        """Returns the rates of a model at a time, for a request of this size; `None` if the table does not have it. `model`:
        a name in normal form."""
        ...


class Prices:
    """The prices of models. `own`: those of the operator, by glob. They win over `table`, the maintained table, if it is
    used."""

    def __init__(self, own: Mapping[str, Price] | None = None, table: PriceTable | None = None) -> None:
        self._own = PriceList(tuple((glob, price.rates) for glob, price in (own or {}).items()))
        self._table = table

    def __bool__(self) -> bool:
        return bool(self._own.prices) or self._table is not None

    def __len__(self) -> int:
        """Returns the number of the operator's prices."""
        return len(self._own.prices)

    def rates(
        self,
        models: tuple[str, ...],
        unix_s: float = 0.0,
        prompt_tokens: int = 0,
        of_policies: Sequence[PriceList] = (),
    ) -> Rates | None:
        """Returns the highest rates of these models; `None` if one of them has no price. `of_policies`: prices that win over
        the others; of several, the highest."""
        highest: list[Rates] = []
        for model in models:
            rates = [found for prices in of_policies if (found := prices.rates(model)) is not None]
            if not rates and (found := self._own.rates(model) or self._maintained(model, unix_s, prompt_tokens)):
                rates = [found]
            if not rates:
                return None
            highest += rates
        return Rates(*map(max, *highest)) if len(highest) > 1 else highest[0] if highest else None

    def _maintained(self, model: str, unix_s: float, prompt_tokens: int) -> Rates | None:
        if self._table is None:
            return None
        names = model_readings(model) or (model_key(model),)
        found = (self._table.rates(name, unix_s, prompt_tokens) for name in names)
        return next((rates for rates in found if rates is not None), None)


NO_PRICES = Prices()


def prices_of(bound: BoundRules | None) -> tuple[PriceList, ...]:
    """Returns the prices of the policies that apply and are enforced."""
    sections = PRICES.bound(bound.sections) if bound else ()
    return tuple(section.value for section in sections if section.enforced)


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
        cached, written = contract.cached(record.usage)
        return TokenUse(counted[0], counted[1], cached, written)
    chars = sum(text.chars for text in record.response.texts)
    return TokenUse(
        -(-record.sizes["upstream"] // BYTES_A_TOKEN) if counted[0] is None else counted[0],
        -(-chars // BYTES_A_TOKEN) if counted[1] is None else counted[1],
    )


def priced(
    record: Record,
    contract: Contract,
    prices: Prices,
    models: tuple[str, ...],
    of_policies: Sequence[PriceList] = (),
) -> Record:
    """Returns the record with the cost of the exchange in millionths, if each of its models has a price, and with the money
    that was saved, if the rule that saved it states no price. `models`: those that may have answered. `of_policies`: see
    `Prices.rates`."""
    use = token_use(record, contract)
    rates = prices.rates(models, record.at, use.prompt, of_policies)
    cost = 0 if not use.prompt and not use.answer else None if rates is None else rates.cost(use)
    saved = record.saved
    if saved and not saved.money and rates:
        saved = replace(saved, money=round(saved.tokens * rates.answer / MICRO**2, 9))
    return replace(record, cost=cost, saved=saved)
