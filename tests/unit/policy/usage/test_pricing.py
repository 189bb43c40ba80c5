"""Prices of tokens: exact costs, and the price of a model."""

from __future__ import annotations

from guardproxy.policy.usage import MOST_MODELS, Price, PriceList, TokenUse


def cost(price: Price, *use: int) -> int:
    return price.rates.cost(TokenUse(*use))


def test_costs_are_exact_and_rounded_up() -> None:
    assert cost(Price(0.15, 0.6), 1_000_000, 1_000_000) == 750_000
    assert cost(Price(2.5, 10), 1, 0) == 3
    assert cost(Price(0.1, 0.2), 3, 0) == 1
    assert cost(Price(0, 0), 10**9, 10**9) == 0


def test_tokens_from_the_cache_have_a_price_of_their_own() -> None:
    price = Price(10, 0, cached=1, written=12.5)
    assert cost(price, 100, 0, 60, 20) == 20 * 10 + 60 + 250
    assert cost(Price(10, 0), 100, 0, 60, 20) == 1000, "without a price of their own they cost as others"
    assert cost(price, 0, 0, 60, 0) == 60, "an upstream may count more from the cache than there is"


def test_names_of_models_that_clients_make_up_are_not_all_kept() -> None:
    prices = PriceList((("m*", Price(1, 1).rates),))
    for number in range(MOST_MODELS + 5):
        assert prices.rates(f"m{number}") == Price(1, 1).rates
    assert len(prices._known) <= MOST_MODELS
    assert prices.rates("m" * 9999) == Price(1, 1).rates
    assert max(map(len, prices._known)) < 9999
    assert prices == PriceList((("m*", Price(1, 1).rates),)), "what is kept makes no other list"
