"""Prices of models: the operator's own, a maintained table, and the cost of an exchange."""

from __future__ import annotations

import builtins
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import genai_prices
import pytest
from genai_prices.data import providers
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from guardproxy.audit.record import RecordedSaving
from guardproxy.errors import ConfigError
from guardproxy.gateway import Prices, maintained_prices, priced, read_limits
from guardproxy.gateway.prices.price_table import MaintainedPrices
from guardproxy.gateway.prices.prices import token_use
from guardproxy.policy.usage import Price, PriceList, Rates, TokenUse
from guardproxy.wire import installed
from tests.kit.records import plain_attempt, plain_record

NOW_S = 1_790_000_000.0
MINI = Rates(250_000, 2_000_000, 25_000, 250_000)


def test_the_first_glob_counts_and_of_several_models_the_highest() -> None:
    text = '[price."gpt-5-mini*"]\ninput = 1\noutput = 9\n[price."gpt-*"]\ninput = 3\noutput = 4\n'
    prices = read_limits(text.encode(), "l").prices
    assert len(prices) == 2
    assert prices.rates(("gpt-5-mini",)) == Price(1, 9).rates
    assert prices.rates(("openai/GPT-5-Mini-2025-08-07",)) == Price(1, 9).rates
    assert prices.rates(("gpt%2D5%2Dmini ",)) == Price(1, 9).rates
    assert prices.rates(("gpt-5-mini", "gpt-5")) == Price(3, 9).rates
    for models in (("gpt-5", "claude"), ("\u0000",), ()):
        assert prices.rates(models) is None
    assert Prices().rates(("a",)) is None
    assert not Prices()


def test_the_maintained_table_fills_what_the_file_leaves_out() -> None:
    table = maintained_prices()
    prices = read_limits(b'[price."claude-*"]\ninput = 1\noutput = 1\n', "l", table).prices
    assert prices.rates(("claude-opus-4-1",), NOW_S) == Price(1, 1).rates
    assert prices.rates(("gpt-5-mini",), NOW_S) == MINI
    assert prices.rates(("openai/GPT-5-Mini-2025-08-07",), NOW_S) == MINI
    assert prices.rates(("openai%2FGPT%2D5-Mini",), NOW_S) == MINI
    assert prices.rates(("nobody-knows-it",), NOW_S) is None
    assert prices.rates(("whisper-1",), NOW_S) is None, "it is paid by the minute"
    assert read_limits(b'[[limit]]\nname = "a"\nunit = "cost"\nbudget = "1/day"\n', "l", table).late


def test_a_price_of_the_table_follows_the_time_and_the_size_of_the_request() -> None:
    table = maintained_prices()
    small, large = (table.rates("gemini-2.5-pro", NOW_S, size) for size in (200_000, 200_001))
    assert (small, large) == (Price(1.25, 10, 0.125).rates, Price(2.5, 15, 0.25).rates)
    before, after = (table.rates("o3", datetime(2025, 6, day, tzinfo=UTC).timestamp(), 0) for day in (1, 20))
    assert before
    assert after
    assert before.prompt > after.prompt


ENTRIES = [
    (provider, entry)
    for provider in providers
    for entry in provider.models
    if provider.id in ("anthropic", "openai", "google", "deepseek", "mistral")
]


@settings(max_examples=60)
@given(st.sampled_from(ENTRIES), st.integers(0, 300_000), st.integers(0, 9_999), st.integers(0, 100))
def test_a_cost_is_what_the_package_itself_counts(chosen: Any, prompt: int, answer: int, shared: int) -> None:
    provider, entry = chosen
    table, moment = MaintainedPrices([provider]), datetime.fromtimestamp(NOW_S, UTC)
    found, rates = table._find(entry.id), table.rates(entry.id, NOW_S, prompt)
    assume(found is entry)
    assume(rates is not None)
    assume(entry.get_prices(moment).requests_kcount is None)
    cached = min(prompt, shared)
    usage = genai_prices.Usage(input_tokens=prompt, output_tokens=answer, cache_read_tokens=cached)
    counted = entry.calc_price(usage, provider, genai_request_timestamp=moment).total_price
    assert rates
    assert abs(Decimal(rates.cost(TokenUse(prompt, answer, cached))) - counted * 1_000_000) <= 1


def test_without_the_package_the_table_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any) -> Any:
        if name.startswith("genai_prices"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ConfigError, match=r"guardproxy\[prices\]"):
        maintained_prices()


CODEC = installed().codec_for("POST /v1/messages")


@pytest.mark.parametrize(
    ("usage", "used"),
    [
        ({"input_tokens": 5, "output_tokens": 7}, (5, 7, 0, 0)),
        (
            {
                "input_tokens": 5,
                "cache_read_input_tokens": 100,
                "cache_creation_input_tokens": 20,
                "output_tokens": 7,
            },
            (125, 7, 100, 20),
        ),
        ({"input_tokens": 5, "cache_read_input_tokens": "many", "output_tokens": 7}, (5, 7, 0, 0)),
    ],
)
def test_tokens_that_come_from_a_cache_are_counted(usage: dict[str, Any], used: tuple[int, ...]) -> None:
    assert CODEC is not None
    record = plain_record(usage=usage, sizes={"upstream": 400})
    assert token_use(record, CODEC.contract) == used


def test_the_cost_of_several_attempts_is_one_number() -> None:
    assert CODEC is not None
    prices = Prices({"m": Price(10, 100, cached=1)})
    usage = {"input_tokens": 4, "cache_read_input_tokens": 6}
    first = replace(plain_attempt(), tokens=12, output_tokens=2, usage=usage)
    attempts = first, replace(plain_attempt(), tokens=13, output_tokens=3, counted=False)
    record = plain_record(usage={"cache_read_input_tokens": 9}, sizes={"upstream": 400}, attempts=attempts)
    assert token_use(record, CODEC.contract) == (20, 5, 6, 0)
    assert priced(record, CODEC.contract, prices, ("m",)).cost == 140 + 6 + 500
    assert priced(record, CODEC.contract, prices, ("n",)).cost is None
    nothing = plain_record(sizes={"request": 9})
    assert priced(nothing, CODEC.contract, prices, ("n",)).cost == 0, "what was not sent costs nothing"


def test_the_money_that_was_saved_follows_the_same_prices() -> None:
    assert CODEC is not None
    prices = Prices({"m": Price(10, 100)})
    plain = RecordedSaving(tokens=50, seconds=1.0, money=0.0)
    record = plain_record(sizes={"request": 9}, saved=plain)
    assert priced(record, CODEC.contract, prices, ("m",)).saved == replace(plain, money=0.005)
    assert priced(record, CODEC.contract, prices, ("n",)).saved == plain
    stated = plain_record(sizes={"request": 9}, saved=replace(plain, money=7.0))
    assert priced(stated, CODEC.contract, prices, ("m",)).saved == replace(plain, money=7.0)


def test_prices_of_policies_win_and_of_several_the_highest_counts() -> None:
    prices = Prices({"m": Price(1, 1), "n": Price(1, 1)}, maintained_prices())
    lists = [PriceList((("m", Price(*pair).rates),)) for pair in ((5, 2), (3, 4))]
    assert prices.rates(("m",), NOW_S, 0, lists) == Price(5, 4, 5, 5).rates
    assert prices.rates(("n",), NOW_S, 0, lists) == Price(1, 1).rates
    assert prices.rates(("gpt-5-mini",), NOW_S, 0, lists) == MINI
    assert prices.rates(("m", "n"), NOW_S, 0, lists[1:]) == Price(3, 4).rates
