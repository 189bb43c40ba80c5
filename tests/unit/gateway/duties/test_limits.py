"""The duty that limits: what is reserved, refused, settled and told, and that the answers of the store decide it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from guardproxy.audit import Record
from guardproxy.audit.record import RecordedCache
from guardproxy.errors import DownstreamError
from guardproxy.events import Frame
from guardproxy.gateway import Duties, Head, StoreAnswered, Trail, UsageLimits, about_of, conversation_of, rerun
from guardproxy.gateway.duties.limits import LIMIT_OPEN
from guardproxy.gateway.prices.prices import token_use
from guardproxy.gateway.store import Answer, Call, MemoryStore
from guardproxy.wire import Request, RequestStatement, installed
from guardproxy.wire.contract import Remaining
from guardproxy.wire.formats.anthropic_messages.contract import CONTRACT as MESSAGES
from guardproxy.wire.formats.openai_chat.contract import CONTRACT as CHAT
from tests.kit.limits import MAX_TOKENS, NOW_S, ROUTE, Desk, done, limit
from tests.kit.play import policy_set
from tests.kit.records import plain_answer, plain_attempt, plain_record, plain_text

LIMITED = """
policy: limited
mode: shadow
match: {}
checks: {word: {use: pattern, words: [w]}}
rules: [{id: r, when: word, action: flag}]
limits: [{name: c, unit: requests, rate: 5/1m}]
"""
PRICE = '[price."m"]\ninput = 2.5\noutput = 10\n'


def test_a_rate_refuses_with_the_time_to_wait() -> None:
    desk = Desk(limit("a", "requests", 'rate = "2/1m"'))
    assert len(desk.ask().answers) == 1
    desk.ask()
    assert desk.refusal() == ("rate_limit_exceeded", 30)
    desk.now_s = 29.9
    assert desk.refusal() == ("rate_limit_exceeded", 1)
    desk.now_s = 30.0
    desk.ask()
    assert desk.noticed == [("a", "enforce"), ("a", "enforce")]


@pytest.mark.parametrize(
    ("per", "other", "is_shared"),
    [
        ("[]", {"tenant": "t2", "tenant_name": "beta"}, True),
        ('["client"]', {"tenant": "t2"}, False),
        ('["client"]', {"tenant_name": "beta"}, True),
        ('["tenant"]', {"tenant": "t2"}, True),
        ('["tenant"]', {"tenant_name": "beta"}, False),
        ('["model"]', {"model": "M"}, True),
        ('["model"]', {"model": "n"}, False),
        ('["model"]', {"model": " models/M"}, True),
        ('["model"]', {"model": "openai/%4d"}, True),
        ('["model"]', {"model": "n", "fallbacks": ["x/m"]}, True),
        ('["tenant"]', {"model": "n", "fallbacks": ["o"]}, True),
        ('["client", "model"]', {"tenant": "t2"}, False),
    ],
)
def test_each_client_tenant_or_model_has_its_own(per: str, other: dict[str, Any], is_shared: bool) -> None:
    desk = Desk(limit("a", "requests", 'rate = "1/1m"', f"per = {per}"))
    desk.ask()
    if is_shared:
        desk.refusal(**other)
    else:
        desk.ask(**other)


def test_a_request_that_no_limit_counts_asks_the_store_nothing() -> None:
    desk = Desk(
        limit("a", "requests", 'rate = "1/1m"', 'tenants = ["beta"]')
        + limit("b", "tokens", 'rate = "1/1m"', 'models = ["z"]')
    )
    assert desk.ask().answers == []
    assert desk.duty.headers(desk.trail.head, CHAT) == {}
    assert desk.duty.settle(desk.trail.head, done()) is None


def test_tokens_are_reserved_and_what_was_not_used_is_given_back() -> None:
    desk = Desk(limit("a", "tokens", 'budget = "250/day"'))
    first = desk.ask()  # 400 bytes are 100 tokens, and 100 may be answered
    assert desk.refusal() == ("budget_exceeded", 22_400)
    desk.settle(first, prompt=20, answer=10)
    second = desk.ask()
    assert second.answers == [StoreAnswered("limits", (30,))]
    desk.settle(second, prompt=100, answer=900)
    assert desk.refusal()[0] == "budget_exceeded", "what was used beyond the reservation counts"
    desk.settle(first, prompt=20, answer=10)
    assert desk.ask(unix_s=NOW_S + 22_400).answers == [StoreAnswered("limits", (0,))], "a new day"


def test_a_request_without_a_limit_of_its_own_reserves_what_the_file_says() -> None:
    desk = Desk(limit("a", "tokens", 'budget = "9000/day"', "answer_tokens = 7"))
    request = Request("m", False, Frame(b"1234", tree={"model": "m"}), list)
    trail = Trail(Head("y", route=ROUTE, unix_s=NOW_S))

    async def plan() -> None:
        await desk.duties.plan(trail, request)

    asyncio.run(plan())
    assert desk.ask().answers == [StoreAnswered("limits", (8,))]


def test_costs_follow_prices_in_millionths() -> None:
    prices = '[price."m"]\ninput = 2.5\noutput = 10\n'
    desk = Desk(limit("a", "cost", 'budget = "0.00200/day"') + prices)
    first = desk.ask()  # 100 x 2.5 + 100 x 10 millionths
    assert desk.refusal() == ("budget_exceeded", 22_400)
    desk.settle(first, cost=200)
    assert desk.ask().answers == [StoreAnswered("limits", (200,))]
    assert desk.refusal(model="unknown") == ("out_of_scope", None)
    shadow = Desk(limit("a", "cost", 'budget = "0.002/day"', 'mode = "shadow"') + prices)
    assert shadow.ask(model="unknown").answers == []
    priced = shadow.ask()
    shadow.settle(priced)
    assert shadow.ask().answers == [StoreAnswered("limits", (1250,))], "a cost that nobody knows is what was reserved"


@pytest.mark.parametrize(("record", "level"), [({}, 1250), ({"prompt": 0, "answer": 0}, 0), ({"cost": 7}, 7)])
def test_an_answer_of_a_model_without_a_price_is_not_free(record: dict[str, Any], level: int) -> None:
    """A policy or a duty may choose another model than the client, after the cost was reserved."""
    desk = Desk(limit("a", "cost", 'budget = "9/day"') + PRICE)
    desk.settle(desk.ask(), **record)
    assert desk.ask().answers == [StoreAnswered("limits", (level,))]


@pytest.mark.parametrize(
    ("fallbacks", "answered", "level"),
    [
        (["large"], "large-2025-01-01", 7500),
        (["large"], "", 7500),
        (["large"], "m-2025-01-01", 7),
        (["large"], "openai/m", 7),
        (["m"], "other", 7),
        (None, "other", 7),
    ],
)
def test_an_answer_of_a_fallback_that_the_client_names_costs_the_highest_price(
    fallbacks: list[str] | None, answered: str, level: int
) -> None:
    """The record has the cost at the price of the first model."""
    desk = Desk(limit("a", "cost", 'budget = "9/day"') + PRICE + '[price."large"]\ninput = 90\noutput = 100\n')
    trail = desk.ask(fallbacks=fallbacks)
    response = structs.replace(plain_answer(), model=answered)
    desk.settle(trail, model="m", cost=7, response=response)
    assert desk.ask().answers == [StoreAnswered("limits", (level,))]
    trail = desk.ask(fallbacks=fallbacks)
    desk.settle(trail, model="m", cost=0, response=response, sizes={}, usage={})
    assert desk.ask().answers[0].answers[0] == level + 1250, "an answer that was not asked for costs nothing"


def test_simultaneous_requests_are_given_back_at_the_end_or_when_a_process_died() -> None:
    desk = Desk(limit("a", "parallel", "most = 2"))
    first = desk.ask()
    desk.ask()
    assert desk.refusal() == ("rate_limit_exceeded", 1)
    refused = desk.trail
    desk.settle(refused)
    assert desk.refusal()[0] == "rate_limit_exceeded", "a refused request gives nothing back"
    desk.settle(first)
    desk.settle(first)
    desk.ask()
    desk.refusal()
    desk.now_s = 1000
    desk.ask()


def test_a_request_that_one_limit_refuses_costs_no_other() -> None:
    desk = Desk(limit("a", "tokens", 'budget = "1000/day"') + limit("b", "tokens", 'budget = "300/day"'))
    desk.ask()
    desk.refusal()
    assert desk.ask(size=0).answers == [StoreAnswered("limits", (200, 200))]
    both = Desk(limit("a", "requests", 'rate = "1/1m"') + limit("b", "requests", 'rate = "1/1h"'))
    both.ask()
    assert both.refusal() == ("rate_limit_exceeded", 3600), "the longest wait counts"


def test_a_limit_in_shadow_mode_refuses_nothing_and_is_noticed() -> None:
    desk = Desk(limit("a", "requests", 'rate = "1/1m"', 'mode = "shadow"') + limit("b", "requests", 'rate = "3/1m"'))
    for _ in range(3):
        desk.ask()
    desk.refusal()
    assert desk.noticed == [("a", "shadow"), ("a", "shadow"), ("a", "shadow"), ("b", "enforce")]
    assert desk.duty.headers(desk.trail.head, CHAT)["x-ratelimit-limit-requests"] == "3"


def test_a_limit_of_zero_stops_everything() -> None:
    for lines, unit in ((['rate = "0/1m"'], "requests"), (['budget = "0/day"'], "tokens"), (["most = 0"], "parallel")):
        desk = Desk(limit("a", unit, *lines))
        desk.refusal()


def test_a_request_larger_than_the_limit_waits_until_nothing_is_taken() -> None:
    desk = Desk(limit("a", "tokens", 'rate = "100/1m"'))
    desk.ask()
    assert desk.refusal() == ("rate_limit_exceeded", 60)
    desk.settle(Trail(Head("x1")), prompt=1000, answer=1000)
    assert desk.refusal() == ("rate_limit_exceeded", 20 * 60)


@pytest.mark.parametrize(
    ("lines", "unit"),
    [(['rate = "300/1m"'], "tokens"), (['budget = "300/day"'], "tokens"), (['budget = "0.002/day"'], "cost")],
)
def test_a_request_larger_than_a_limit_is_refused_for_good_where_the_limit_says_so(lines: list[str], unit: str) -> None:
    desk = Desk(limit("a", unit, *lines, 'over = "refuse"') + limit("s", "tokens", 'budget = "9000/day"') + PRICE)
    desk.ask()
    with pytest.raises(
        DownstreamError, match=r"the limit `a` of \w+: the request may use [\d.,]+, and the limit is"
    ) as refused:
        desk.ask(size=4000)
    assert (refused.value.status, refused.value.code, refused.value.retry_s) == (413, "larger_than_limit", None)
    (told,) = desk.duty.refusals(desk.trail.head)
    assert (told.name, told.code, told.enforced) == ("a", "larger_than_limit", True)
    assert desk.noticed == [("a", "enforce")]
    assert desk.duty.settle(desk.trail.head, done()) is None, "nothing was taken, of no limit"


def test_in_shadow_mode_a_request_larger_than_a_limit_is_noticed() -> None:
    desk = Desk(limit("a", "tokens", 'budget = "150/day"', 'over = "refuse"', 'mode = "shadow"'))
    (told,) = desk.duty.refusals(desk.ask().head)
    assert (told.code, told.enforced) == ("larger_than_limit", False)


@pytest.mark.parametrize("unread", ["many", [100], {"a": 1}])
def test_a_length_that_cannot_be_read_is_larger_than_any_limit(unread: object) -> None:
    desk = Desk(limit("a", "tokens", 'budget = "1000000000/month"', 'over = "refuse"'))
    with pytest.raises(DownstreamError, match="the request may use any number"):
        desk.ask(max_tokens=unread)


@pytest.mark.parametrize(
    ("route", "tree", "answers"),
    [
        ("POST /v1/chat/completions", {"max_tokens": 100, "n": 8}, 800),
        ("POST /v1/completions", {"max_tokens": 100, "n": 2, "best_of": 5}, 500),
        ("POST /v1/completions", {"max_tokens": 100, "best_of": 5, "prompt": ["a", "b"]}, 1000),
        ("POST /v1/completions", {"prompt": [[1, 2], [3]]}, 14),
        (
            "POST /{version}/models/{model}:generateContent",
            {"generationConfig": {"candidateCount": 4, "maxOutputTokens": 100}},
            400,
        ),
        (
            "POST /{version}/models/{model}:streamGenerateContent",
            {"generation_config": {"candidate_count": 4, "max_output_tokens": 100}},
            400,
        ),
        ("POST /v1/messages", {"max_tokens": 100}, 100),
        ("POST /v1/responses", {}, 7),
        ("POST /api/chat", {"options": {"num_predict": 100}}, 100),
        ("POST /api/generate", {"options": {"num_predict": -1}}, 7),
        ("POST /api/generate", {"options": {"num_predict": -1}, "max_tokens": 1}, 7),
        ("POST /v1/chat/completions", {"max_new_tokens": 1, "n": 2}, 14),
        ("POST /v1/chat/completions", {"max_new_tokens": 30}, 30),
    ],
)
def test_all_answers_of_a_request_are_reserved(route: str, tree: dict[str, Any], answers: int) -> None:
    desk = Desk(limit("a", "tokens", 'budget = "9000/day"', "answer_tokens = 7"))

    async def plan(name: str) -> list[StoreAnswered]:
        trail = Trail(Head(name, route=route, unix_s=NOW_S))
        await desk.duties.plan(trail, Request("m", False, Frame(b"1234", tree={"model": "m", **tree}), list))
        return trail.answers

    asyncio.run(plan("y"))
    assert asyncio.run(plan("z")) == [StoreAnswered("limits", (1 + answers,))]


def test_headers_tell_what_is_left_on_every_answer() -> None:
    desk = Desk(limit("a", "requests", 'rate = "2/1m"') + limit("b", "tokens", 'budget = "1000/day"'))
    first = desk.ask()
    assert desk.duties.headers(first.head, CHAT) == {
        "x-ratelimit-limit-requests": "2",
        "x-ratelimit-remaining-requests": "1",
        "x-ratelimit-reset-requests": "30s",
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "800",
        "x-ratelimit-reset-tokens": "6h13m20s",
    }
    assert desk.duties.headers(first.head, CHAT) == {}
    desk.ask()
    desk.refusal()
    told = desk.duties.headers(desk.trail.head, MESSAGES)
    assert told["anthropic-ratelimit-requests-remaining"] == "0"
    assert told["anthropic-ratelimit-requests-reset"] == "2030-03-17T17:47:40Z"
    together = Desk(limit("a", "requests", 'budget = "9/day"') + limit("c", "parallel", "most = 9"))
    assert together.duty.headers(together.ask().head, CHAT)["x-ratelimit-remaining-requests"] == "8"


def test_the_limit_of_a_unit_with_the_smallest_share_left_is_told() -> None:
    left = [
        Remaining("requests", 60, 59, 1.0),
        Remaining("requests", 10, 1, 360.0),
        Remaining("tokens", 0, 0, 0.0),
        Remaining("parallel", 3, 0, 0.0),
        Remaining("cost", 3, 0, 0.0),
    ]
    desk = Desk(limit("a", "requests", 'rate = "2/1m"'))
    head = desk.ask().head
    desk.duty._open[head.id].left = left
    assert desk.duty.headers(head, CHAT) == {
        "x-ratelimit-limit-requests": "10",
        "x-ratelimit-remaining-requests": "1",
        "x-ratelimit-reset-requests": "6m0s",
        "x-ratelimit-limit-tokens": "0",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "0ms",
    }


def test_the_answers_of_the_store_decide() -> None:
    desk = Desk(limit("a", "requests", 'rate = "2/1m"'))
    head = Head("x", route=ROUTE, unix_s=NOW_S)
    assert rerun([desk.duty], head, [StoreAnswered("limits", (30_000_000,))]) == head
    with pytest.raises(DownstreamError, match="the limit `a` of requests: too much in a short time"):
        rerun([desk.duty], head, [StoreAnswered("limits", (30_000_001,))])


def test_a_route_that_is_not_read_counts_as_a_request_only() -> None:
    desk = Desk(limit("a", "requests", 'rate = "1/1m"') + limit("b", "tokens", 'budget = "0/day"'))
    desk.ask(route="GET /v1/models")
    desk.refusal(route="GET /v1/models")


def test_a_server_of_tools_counts_requests_and_no_tokens() -> None:
    desk = Desk(
        PRICE
        + limit("b", "tokens", 'budget = "0/day"')
        + limit("c", "cost", 'budget = "0/day"')
        + limit("send", "requests", 'rate = "1/1m"', 'when = \'"send" in request.tools && request.server == "mail"\'')
    )

    async def plan(tool: str, server: str = "mail") -> None:
        tree = {"method": "tools/call", "params": {"name": tool}}
        head = Head(f"{tool} {server}", route="POST /mcp/{server}", unix_s=NOW_S)
        await desk.duties.plan(Trail(head), Request("", False, Frame(b"", tree=tree), list, server=server))

    for called in (("send",), ("look",), ("send", "other"), ("look",)):
        asyncio.run(plan(*called))
    with pytest.raises(DownstreamError, match="the limit `send`"):
        asyncio.run(plan("send"))


def test_conditions_read_headers_and_every_model() -> None:
    desk = Desk(limit("a", "requests", 'rate = "1/1m"', 'when = \'request.headers["x-team"] == "red"\''))
    desk.ask(headers={"x-team": "blue"})
    desk.ask(headers={"x-team": "red"})
    desk.refusal(headers={"x-team": "red"})
    desk.refusal(headers={}), "a header that is missing counts"
    models = Desk(limit("a", "requests", 'rate = "1/1m"', 'models = ["big"]'))
    request = Request("small", False, Frame(b"", tree={"model": "big"}), list)

    async def plan(name: str) -> None:
        await models.duties.plan(Trail(Head(name, route=ROUTE, unix_s=NOW_S)), request)

    asyncio.run(plan("y"))
    with pytest.raises(DownstreamError):
        asyncio.run(plan("z"))


def test_a_limit_counts_the_calls_of_a_tool_of_a_server() -> None:
    desk = Desk(limit("refunds", "requests", 'rate = "1/1h"', """when = 'request.tools.exists(t, t == "refund")'"""))
    route = "POST /mcp/{server}"

    def calls(name: str, method: str = "tools/call") -> Any:
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"name": name}}
        request = Request("", False, Frame(b"", tree=message), list)
        return desk.duty.counted(Head("x", route=route, unix_s=NOW_S), request)

    assert [rule.name for rule, _ in calls("refund")] == ["refunds"]
    assert [rule.name for rule, _ in calls("shop__REFUND")] == ["refunds"], "in every spelling"
    assert calls("search") == []
    assert calls("refund", "prompts/get") == []


def test_memory_is_bounded_where_nobody_settles(monkeypatch: pytest.MonkeyPatch) -> None:
    assert LIMIT_OPEN > 10_000
    monkeypatch.setattr("guardproxy.gateway.duties.limits.LIMIT_OPEN", 3)
    desk = Desk(limit("a", "requests", 'rate = "9000/1m"'))
    for _ in range(9):
        desk.ask()
    assert len(desk.duty._open) == 3


def test_a_reservation_is_settled_where_there_is_something_to_settle() -> None:
    desk = Desk(limit("a", "requests", 'rate = "9/1m"'))
    assert desk.duty.settle(desk.ask().head, done()) is None, "a request that counts as one is settled already"
    held = Desk(limit("a", "requests", 'budget = "9/day"'))
    held.settle(held.ask())
    held.now_s = 2000
    assert held.ask().answers == [StoreAnswered("limits", (1,))], "what was settled outlives the reservation"


class Slow:
    """A store whose calls take a turn of the loop before and after its work."""

    def __init__(self) -> None:
        self.store = MemoryStore(lambda: 0.0)

    async def perform(self, calls: Sequence[Call]) -> tuple[Answer, ...]:
        await asyncio.sleep(0)
        answers = await self.store.perform(calls)
        await asyncio.sleep(0)
        return answers


@pytest.mark.parametrize("turns", range(9))
def test_a_client_that_leaves_before_its_request_was_read_gives_back_what_it_took(turns: int) -> None:
    """Whenever it leaves, also while the store works."""
    sums = (limit("p", "parallel", "most = 1"), limit("t", "tokens", 'budget = "1000/day"'))
    rates = (limit("r", "requests", 'rate = "9/1h"'), limit("u", "tokens", 'rate = "9000/1h"'))
    desk = Desk("".join((*sums, *rates)))
    slow = Slow()
    desk.duties = Duties([desk.duty], slow)

    async def run() -> None:
        trail = Trail(Head("left", route=ROUTE, unix_s=NOW_S))
        request = Request("m", False, Frame(b" " * 400, tree={"max_tokens": MAX_TOKENS}), list)

        async def admit() -> None:
            await desk.duties.admit(trail)
            await desk.duties.plan(trail, request)
            await asyncio.Event().wait()

        leaving = asyncio.create_task(admit())
        for _ in range(turns):
            await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.wait([leaving])
        await desk.duties.abandon(trail.head)
        await desk.duties.abandon(trail.head)

    asyncio.run(run())
    assert desk.duty._open == {}
    early, late = desk.ask().answers
    (parallel, requests), (budget, rate) = early.answers, late.answers
    assert (parallel, budget) == (0, 0)
    assert requests in (0, 400_000_000), "a request was made"
    assert rate == 0 or turns == 4, "what a rate had when the client left, before the answer came, falls by itself"


@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 200)), max_size=12))
def test_a_budget_ends_as_the_sum_of_what_was_used(exchanges: list[tuple[int, int]]) -> None:
    desk = Desk(limit("a", "tokens", 'budget = "100000/month"'))
    trails = [(desk.ask(size=size), used) for size, used in exchanges]
    for trail, used in (*trails, *reversed(trails)):
        desk.settle(trail, prompt=used, answer=1)
    assert desk.ask().answers == [StoreAnswered("limits", (sum(used + 1 for _, used in exchanges),))]


# What was used.

CODEC = installed().codec_for(ROUTE)
HIT = RecordedCache(result="hit", match="exact", mode="enforce", policies=("p",), source="id")
CUT = plain_answer(plain_text("content[0].text", "x" * 41), streamed=True)


@pytest.mark.parametrize(
    ("record", "used"),
    [
        (done(), (50, 30)),
        (done(usage={}), (100, 0)),
        (plain_record(CUT, sizes={"upstream": 402}), (101, 11)),
        (plain_record(CUT, sizes={"upstream": 402}, usage={"input_tokens": 7}), (7, 11)),
        (plain_record(CUT, sizes={"upstream": 402}, usage={"input_tokens": True, "output_tokens": -1}), (101, 11)),
        (plain_record(sizes={"request": 9}), (0, 0)),
        (plain_record(plain_answer(status=429), sizes={"upstream": 402}), (0, 0)),
        (plain_record(plain_answer(status=None), sizes={"upstream": 402}), (101, 0)),
        (done(attempts=(plain_attempt(plain_answer()), plain_attempt())), (6, 4)),
        (done(cache=HIT), (0, 0)),
        (done(cache=HIT, attempts=(plain_attempt(plain_answer()), plain_attempt())), (3, 2)),
    ],
)
def test_what_was_used_is_counted_or_estimated(record: Record, used: tuple[int, int]) -> None:
    assert CODEC is not None
    assert token_use(record, CODEC.contract)[:2] == used


def test_what_a_format_that_is_gone_used_is_estimated() -> None:
    assert token_use(done(), None) == (100, 0, 0, 0)
    desk = Desk(limit("a", "tokens", 'budget = "1000/day"'))
    desk.settle(desk.ask(), route="POST /gone")
    assert desk.ask().answers == [StoreAnswered("limits", (100,))]


MESSAGES_ROUTE = "POST /v1/messages"


def request(model: str, tree: Any) -> Request:
    return Request(model, True, Frame(b"{}", tree=tree), list)


def test_every_model_that_a_request_names_is_a_fact() -> None:
    about = about_of(
        MESSAGES_ROUTE, "acme", request("path", {"model": "body"}), RequestStatement(models=("third",)), {"x": "y"}
    )
    assert about.named_models == ("path", "third", "body")
    assert (about.route, about.tenant, about.stream, about.headers) == (MESSAGES_ROUTE, "acme", True, {"x": "y"})
    same = about_of(MESSAGES_ROUTE, "", request("m", {"model": "m"}), RequestStatement(), None)
    assert (same.named_models, same.headers) == (("m",), None)
    trees: list[Any] = [[], {"model": 7}]
    for tree in trees:
        assert about_of(MESSAGES_ROUTE, "", request("m", tree), RequestStatement(), {}).named_models == ("m",)


def test_a_conversation_has_the_name_that_it_is_given_or_that_of_its_first_words() -> None:
    codec = installed().codec_for(MESSAGES_ROUTE)
    assert codec
    first, other = (
        request("m", {"messages": [{"role": "user", "content": text}]}) for text in ("hello", "something else")
    )
    names = {
        conversation_of(codec, asked, tenant, named, lambda data: data.hex())
        for asked, tenant, named in (
            (first, "t", ""),
            (first, "t", ""),
            (other, "t", ""),
            (first, "u", ""),
            (first, "t", "n"),
            (other, "t", "n"),
        )
    }
    assert len(names) == 4


def test_a_look_takes_nothing_and_says_what_is_left() -> None:
    text = limit("a", "requests", 'rate = "2/1m"', 'per = ["client", "model"]') + limit("b", "parallel", "most = 3")
    store = MemoryStore(lambda: 0.0)
    desk = Desk(text, store=store)
    bound = UsageLimits.in_force(desk.limits, policy_set(LIMITED))
    rates = {rule.name: (rule, matches) for rule, matches in bound}
    assert {name: len(matches) for name, (_, matches) in rates.items()} == {"a": 1, "b": 1, "c": 2}
    assert (rates["c"][0].policy, rates["c"][0].is_shadow) == ("limited", True)
    rule = rates["a"][0]

    def left() -> int:
        look = UsageLimits.look(rule, NOW_S, "t1", "acme", "m")
        (level,) = asyncio.run(store.perform((look,)))
        assert isinstance(level, int)
        return UsageLimits.left(rule, level, NOW_S).remaining

    assert [left() for _ in range(3)] == [2, 2, 2]
    desk.ask()
    assert left() == 1
    together = UsageLimits.look(rates["b"][0], NOW_S, "t1", "", "")
    assert together.key != UsageLimits.look(rule, NOW_S, "t1", "", "").key
