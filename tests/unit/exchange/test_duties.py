"""What the duties of the gateway did, as the record has it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from guardproxy.audit.record import RecordedDuty, RecordedRefusal
from guardproxy.decisions import Plan
from guardproxy.errors import ErrorCode
from guardproxy.exchange.inputs.setting import ExchangeLimits
from guardproxy.exchange.inputs.transcript import Refused, RequestReceived
from guardproxy.exchange.record.recording import recorded_answers, recorded_refusals
from guardproxy.gateway import Prices, Refusal, StoreAnswered
from guardproxy.policy.usage import Price
from tests.kit.gemini import GEMINI
from tests.kit.play import CHAT, Play, chat_frames, policy_set, sse
from tests.kit.records import through_log

SHADOW = Refusal("limits", "rate_limit_exceeded", "few", "p", enforced=False)
WRITTEN = RecordedRefusal(duty="limits", name="few", policy="p", code="rate_limit_exceeded", mode="shadow")


def test_answers_and_refusals_are_written_in_order() -> None:
    assert recorded_answers((StoreAnswered("limits", (5, None)),)) == (RecordedDuty(duty="limits", answers=(5, None)),)
    assert recorded_refusals((SHADOW, Refusal("limits", "budget_exceeded", "money"))) == (
        WRITTEN,
        RecordedRefusal(duty="limits", name="money", code="budget_exceeded", mode="enforce"),
    )
    assert (recorded_answers(()), recorded_refusals(())) == ((), ())


WATCH = "policy: p\nrules: [{id: watch, on: request, when: check_error, action: flag}]\n"
ASKED = {"model": "small", "messages": [{"role": "user", "content": "hi"}]}
USAGE = {"prompt_tokens": 100, "completion_tokens": 10, "prompt_tokens_details": {"cached_tokens": 40}}
FRAME = {"choices": [], "usage": USAGE}
PRICES = Prices({"small": Price(10, 100, cached=1), "large": Price(20, 200, cached=2)})


def play(prices: Prices | None, *plans: Plan) -> Play:
    limits = replace(ExchangeLimits(), prices=prices)
    *frames, done = chat_frames([{"content": "hello"}])
    return Play(policy_set(WATCH), limits=limits).ask(ASKED, *plans).stream([*frames, sse(FRAME), done])


def test_the_record_holds_the_cost_of_what_the_upstream_counted() -> None:
    assert play(PRICES).record["cost"] == 600 + 40 + 1000
    assert "cost" not in play(None).record
    assert "cost" not in play(Prices({"other": Price(1, 1)})).record


def test_a_planned_model_has_its_own_price_and_the_highest_counts() -> None:
    assert play(PRICES, Plan(model="large")).record["cost"] == 2 * (600 + 40 + 1000)


def test_the_record_holds_what_duties_refused_and_would_have_refused() -> None:
    done = Play(policy_set(WATCH))
    done.tell(RequestReceived(json.dumps(ASKED).encode(), refusals=(SHADOW,)))
    assert done.exchange.record("answered").refusals == (WRITTEN,)
    refused = Play(policy_set(WATCH))
    refused.tell(Refused(ErrorCode.RATE_LIMIT_EXCEEDED, "no", refusals=(SHADOW,)))
    assert through_log(refused.exchange.record("refused")).refusals == (WRITTEN,)


@pytest.mark.parametrize(("route", "place"), [(CHAT, ""), (GEMINI, "details")])
def test_a_refusal_says_when_to_come_back_where_its_client_looks(route: str, place: str) -> None:
    done = Play(policy_set(WATCH), route)
    done.tell(Refused(ErrorCode.RATE_LIMIT_EXCEEDED, "no", retry_s=7))
    assert ("Retry-After", "7") in done.head.headers
    assert (b'"retryDelay":"7s"' in done.client) == bool(place)


@pytest.mark.parametrize("count", [2**63 - 1, 10**30])
def test_a_count_that_an_upstream_makes_up_is_still_recorded(count: int) -> None:
    usage = {"prompt_tokens": count, "completion_tokens": 0}
    *frames, end = chat_frames([{"content": "hello"}])
    limits = replace(ExchangeLimits(), prices=PRICES)
    done = (
        Play(policy_set(WATCH), limits=limits).ask(ASKED).stream([*frames, sse({"choices": [], "usage": usage}), end])
    )
    assert through_log(done.finish.record).to_json().count(b'"cost":') > 0
    assert done.record["cost"] <= 2**53


@pytest.mark.parametrize(("more", "cost"), [("", 2 * 100 + 3 * 10), ("mode: shadow\n", 1640)])
def test_prices_of_a_policy_are_those_of_the_record(more: str, cost: int) -> None:
    prices = f"{WATCH}{more}prices: {{small: {{input: 2, output: 3}}}}\n"
    *frames, end = chat_frames([{"content": "hello"}])
    done = Play(policy_set(prices), limits=replace(ExchangeLimits(), prices=PRICES)).ask(ASKED)
    assert done.stream([*frames, sse(FRAME), end]).record["cost"] == cost
    alone = Play(policy_set(prices)).ask(ASKED).stream([*frames, sse(FRAME), end]).record
    assert alone.get("cost") == (None if more else cost)
