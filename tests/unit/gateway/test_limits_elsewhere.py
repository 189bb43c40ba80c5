"""What goes wrong with limits in other gateways, each as a test of ours. The comments name their reports."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from guardproxy.audit import Record
from guardproxy.errors import ErrorCode
from guardproxy.gateway import StoreAnswered
from guardproxy.gateway.prices.prices import token_use
from guardproxy.gateway.store import MemoryStore, Settle, Take
from guardproxy.policy.usage import Price, TokenUse
from guardproxy.wire import installed
from guardproxy.wire.formats.openai_chat.contract import CONTRACT as CHAT
from tests.kit.limits import NOW_S, Desk, done, limit
from tests.kit.records import plain_answer, plain_record, plain_text

BUDGET = limit("a", "tokens", 'budget = "1000/day"')


def levels(desk: Desk, **asked: Any) -> tuple[Any, ...]:
    """What the next request finds in each limit."""
    (told,) = desk.ask(**asked).answers
    return told.answers


def cut(chars: int) -> Record:
    """The record of a stream that ended early, without a count of the upstream."""
    return plain_record(
        plain_answer(plain_text("content[0].text", "x" * chars), streamed=True), sizes={"upstream": 400}
    )


# BerriAI/litellm#27639, PostHog/posthog#45116


@pytest.mark.parametrize("outcome", ["client_closed", "upstream_truncated", "timeout", "blocked_response"])
def test_a_reservation_is_not_kept_after_a_stream_that_ended_early(outcome: str) -> None:
    desk = Desk(BUDGET + limit("p", "parallel", "most = 1"))
    trail = desk.ask()
    record = plain_record(plain_answer(streamed=True), outcome=outcome, sizes={"upstream": 400})
    asyncio.run(desk.duties.settle(trail.head, record))
    desk.ask()
    assert [told.answers for told in desk.trail.answers] == [(0,), (100,)], "the prompt was sent, and it counts"


def test_a_reservation_of_a_process_that_crashed_ends_by_itself() -> None:
    desk = Desk(BUDGET)
    for _ in range(5):
        desk.ask()
    desk.refusal()
    desk.now_s = 1000.0
    assert levels(desk) == (0,)


# BerriAI/litellm#28247, #30460, #33325, #34238


def test_the_same_exchange_is_not_counted_twice_whatever_is_repeated() -> None:
    desk = Desk(BUDGET)
    trail = desk.ask()
    for _ in range(3):
        desk.settle(trail, prompt=20, answer=10)
    assert levels(desk) == (30,)
    store = MemoryStore(lambda: 0.0)
    settle = Settle("k", "x", 9, 4, True, 60.0)
    asyncio.run(store.perform([Take("k", "x", 9, 100, 60.0, 60.0)]))
    answers = [asyncio.run(store.perform([settle])) for _ in range(2)]
    assert answers == [(True,), (False,)], "a call whose answer was lost, and that comes again"


def test_sums_of_many_small_costs_do_not_drift() -> None:
    rates = Price(0.1, 0.3).rates
    desk = Desk(limit("a", "cost", 'budget = "1/day"') + '[price."m"]\ninput = 0.1\noutput = 0.3\n')
    for _ in range(200):
        desk.settle(desk.ask(size=40), cost=rates.cost(TokenUse(10, 10)))
    assert levels(desk) == (200 * 4,)


# BerriAI/litellm#26672, #6288


@pytest.mark.parametrize("model", ["GPT-5", "openai/gpt-5", "gpt-5-2025-08-07", "azure/gpt-5"])
def test_another_spelling_of_a_model_is_no_way_round_its_limit(model: str) -> None:
    desk = Desk(limit("a", "requests", 'rate = "1/1m"', 'models = ["gpt-5"]'))
    desk.ask(model="gpt-5")
    assert desk.refusal(model=model)[0] == "rate_limit_exceeded"


def test_a_model_in_another_field_is_no_way_round_its_limit() -> None:
    desk = Desk(limit("a", "requests", 'rate = "1/1m"', 'models = ["big"]'))
    desk.ask(model="big")
    assert desk.refusal(model="small", fallbacks=["big"])[0] == "rate_limit_exceeded"


def test_many_requests_at_once_do_not_all_see_the_same_room() -> None:
    desk = Desk(BUDGET)
    desk.ask()
    assert [desk.ask().answers for _ in range(4)][-1] == [StoreAnswered("limits", (800,))], "each reserves"
    assert desk.refusal()[0] == "budget_exceeded"


# BerriAI/litellm#18671, #18953


@pytest.mark.parametrize(
    ("route", "usage", "used"),
    [
        ("POST /v1/responses", {"input_tokens": 900, "output_tokens": 80, "total_tokens": 980}, 980),
        ("POST /v1/chat/completions", {"prompt_tokens": 900, "completion_tokens": 80}, 980),
        ("POST /v1/messages", {"input_tokens": 100, "cache_read_input_tokens": 800, "output_tokens": 80}, 980),
        (
            "POST /{version}/models/{model}:generateContent",
            {"promptTokenCount": 900, "candidatesTokenCount": 30, "thoughtsTokenCount": 50, "totalTokenCount": 980},
            980,
        ),
    ],
)
def test_tokens_are_those_of_the_format_that_the_client_speaks(route: str, usage: dict[str, Any], used: int) -> None:
    codec = installed().codec_for(route)
    assert codec
    counted = token_use(plain_record(usage=usage, sizes={"upstream": 400}, route=route), codec.contract)
    assert counted.prompt + counted.answer == used


# wso2/api-platform#2932


def test_a_limit_of_tokens_is_not_charged_one_for_each_request() -> None:
    desk = Desk(BUDGET)
    desk.settle(desk.ask(), prompt=400, answer=300)
    assert levels(desk) == (700,)


# agentgateway/agentgateway#2661


def test_headers_are_on_every_limited_answer_and_not_on_refusals_alone() -> None:
    desk = Desk(limit("a", "requests", 'rate = "2/1m"'))
    for left in ("1", "0"):
        assert desk.duties.headers(desk.ask().head, CHAT)["x-ratelimit-remaining-requests"] == left
    desk.refusal()
    assert desk.duties.headers(desk.trail.head, CHAT)["x-ratelimit-remaining-requests"] == "0"


# Gravitee: tokens are known one request late


def test_one_request_larger_than_the_limit_does_not_pass_beside_others() -> None:
    desk = Desk(limit("a", "tokens", 'budget = "300/day"'))
    desk.ask()
    assert desk.refusal(size=4_000_000)[0] == "budget_exceeded", "it is known before it is sent"


def test_a_stream_without_a_count_is_estimated_and_not_free() -> None:
    desk = Desk(BUDGET)
    trail = desk.ask()
    asyncio.run(desk.duties.settle(trail.head, cut(400)))
    assert levels(desk) == (200,)


# SDKs try again after 429


def test_what_a_policy_blocks_is_no_429_and_a_limit_is() -> None:
    assert ErrorCode.CONTENT_FILTER.status != 429
    assert not ErrorCode.CONTENT_FILTER.is_retryable
    for code in (ErrorCode.RATE_LIMIT_EXCEEDED, ErrorCode.BUDGET_EXCEEDED):
        assert (code.status, code.is_retryable) == (429, True)


def test_the_time_to_wait_is_rounded_up_so_that_waiting_it_is_enough() -> None:
    desk = Desk(limit("a", "requests", 'rate = "7/1m"', "burst = 1"))
    desk.ask()
    code, wait_s = desk.refusal()
    assert (code, wait_s) == ("rate_limit_exceeded", 9)
    desk.now_s = float(wait_s or 0)
    desk.ask()


def test_a_budget_of_a_day_begins_anew_at_midnight_and_not_a_day_after_its_first_request() -> None:
    desk = Desk(BUDGET)
    desk.settle(desk.ask(unix_s=NOW_S), prompt=900, answer=100)
    assert desk.refusal(unix_s=NOW_S) == ("budget_exceeded", 22_400)
    assert levels(desk, unix_s=NOW_S + 22_400) == (0,)


def test_nothing_is_charged_for_what_the_upstream_refused() -> None:
    desk = Desk(BUDGET)
    trail = desk.ask()
    asyncio.run(desk.duties.settle(trail.head, done(response=plain_answer(status=429), usage={})))
    assert levels(desk) == (0,)
