"""The prices that the package `genai-prices` maintains, in US dollars (the extra `prices`).

In: the name of a model, a time and the size of a request. Out: rates. The package holds its table: nothing is fetched, and a
newer release of the package brings newer prices. Kept: the entries of models that were asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING

from guardproxy.errors import ConfigError
from guardproxy.policy.usage import MOST_MODELS, Rates, whole

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, Provider, TieredPrices


class MaintainedPrices:
    """The table. `providers`: of the package; their order decides which of them a name belongs to."""

    def __init__(self, providers: Sequence[Provider]) -> None:
        self._providers = list(providers)
        self._entry = lru_cache(MOST_MODELS)(self._find)

    def rates(self, model: str, unix_s: float, prompt_tokens: int) -> Rates | None:
        """See `PriceTable.rates`. A model that is not paid by the token has no price here."""
        if (entry := self._entry(model)) is None:
            return None
        prices = entry.get_prices(datetime.fromtimestamp(unix_s, UTC))
        prompt, answer, cached, written = (
            _rate(value, prompt_tokens)
            for value in (
                prices.input_mtok,
                prices.output_mtok,
                prices.cache_read_mtok,
                prices.cache_write_mtok,
            )
        )
        if prompt is None:
            return None
        return Rates(
            prompt,
            answer or 0,
            cached=prompt if cached is None else cached,
            written=prompt if written is None else written,
        )

    def _find(self, model: str) -> ModelInfo | None:
        """Returns the entry of the first provider that has the model."""
        found = (
            provider.find_model(model, all_providers=self._providers)
            for provider in self._providers
            if provider.model_match is not None and provider.model_match.is_match(model)
        )
        return next((entry for entry in found if entry is not None), None)


def maintained_prices() -> MaintainedPrices:
    """Returns the table. Raises `ConfigError` if the package is missing."""
    try:
        from genai_prices.data import providers  # noqa: PLC0415
    except ImportError:
        raise ConfigError("the prices need the package genai-prices: pip install 'guardproxy[prices]'") from None
    return MaintainedPrices(providers)


def _rate(value: Decimal | TieredPrices | None, prompt_tokens: int) -> int | None:
    """Returns a price in millionths. Above the start of a tier, its price holds for all tokens."""
    if value is None or isinstance(value, Decimal):
        return None if value is None else whole(value)
    price = value.base
    for tier in value.tiers:
        if prompt_tokens > tier.start:
            price = tier.price
    return whole(price)
