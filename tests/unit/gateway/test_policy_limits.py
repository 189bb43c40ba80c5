"""Limits of policies: which requests they count, what happens in shadow mode, and that records decide the same again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from guardproxy.decisions import Plan
from guardproxy.errors import DownstreamError, StoreError
from guardproxy.events import Frame
from guardproxy.gateway import Duties, Duty, Head, LimitSet, Refusal, Trail, UsageLimits, read_limits, rerun
from guardproxy.gateway.clients import KnownClient
from guardproxy.gateway.duties.limits import _whose
from guardproxy.gateway.store import Answer, Call, MemoryStore
from guardproxy.policy import PolicySet
from guardproxy.wire import Request
from guardproxy.wire.formats.openai_chat.contract import CONTRACT as CHAT
from tests.kit.play import policy_set
from tests.kit.records import plain_record

ROUTE = "POST /v1/messages"
TWO = "{name: few, unit: requests, rate: 2/1m}"


@dataclass
class Desk:
    """The duty with the limits of policies and of a file."""

    policies: PolicySet
    file: LimitSet = field(default_factory=LimitSet)
    noticed: list[tuple[str, str]] = field(default_factory=list)
    number: int = 0

    def __post_init__(self) -> None:
        notice = lambda name, mode: self.noticed.append((name, mode))  # noqa: E731
        self.duty = UsageLimits(lambda: self.file, 1000, notice, lambda: self.policies, lambda data: data.hex())
        self.duties = Duties([self.duty], MemoryStore(lambda: 0.0))

    def request(self, model: str = "m", **members: Any) -> Request:
        tree = {"model": model, "messages": [{"role": "user", "content": "hi"}], **members}
        return Request(model, False, Frame(b" " * 400, tree=tree), list)

    def ask(self, model: str = "m", body: Mapping[str, Any] | None = None, **head: Any) -> Trail:
        """A request that was admitted. Raises its refusal."""
        self.number += 1
        self.trail = Trail(Head(f"x{self.number}", **{"route": ROUTE, "tenant": "t1", **head}))

        async def run() -> None:
            await self.duties.admit(self.trail)
            if self.duties.is_planning(self.trail.head):
                await self.duties.plan(self.trail, self.request(model, **(body or {})))

        asyncio.run(run())
        return self.trail

    def refusal(self, **asked: Any) -> str:
        with pytest.raises(DownstreamError) as refused:
            self.ask(**asked)
        return str(refused.value)


def desk(*texts: str, file: str = "") -> Desk:
    return Desk(policy_set(*texts), read_limits(file.encode(), "l"))


def test_a_limit_of_a_policy_counts_the_requests_to_which_the_policy_applies() -> None:
    it = desk(f"policy: p\nmatch: {{models: [big]}}\nlimits: [{TWO}]\n")
    for _ in range(5):
        it.ask("small")
    it.ask("big")
    it.ask("big")
    assert it.refusal(model="big") == "a limit of requests: too much in a short time"
    assert it.duties.refusals(it.trail.head) == (Refusal("limits", "rate_limit_exceeded", "few", "p"),)
    assert it.noticed == [("p/few", "enforce")]


def test_without_limits_of_policies_the_body_is_not_asked_for() -> None:
    it = desk("policy: p\nset: {store: false}\n")
    assert not it.duties.is_planning(Head("x", route=ROUTE))
    assert desk(f"policy: p\nlimits: [{TWO}]\n").duties.is_planning(Head("x", route=ROUTE))


def test_a_limit_of_the_file_and_one_of_a_policy_with_its_name_count_apart() -> None:
    one = '[[limit]]\nname = "few"\nunit = "requests"\nrate = "3/1m"\nmodels = ["*"]\n'
    it = desk(f"policy: p\nlimits: [{TWO}]\n", f"policy: q\nlimits: [{TWO.replace('2/1m', '9/1m')}]\n", file=one)
    it.ask()
    (told,) = it.ask().answers
    assert told.answers == (20_000_000, 30_000_000, 60_000_000 // 9 + 1)
    it.refusal()
    assert it.noticed[-1] == ("p/few", "enforce")


@pytest.mark.parametrize("more", ["mode: shadow\n", "enforce: 0 %\n"])
def test_a_policy_in_shadow_mode_refuses_nothing_and_the_record_says_what_it_would_do(more: str) -> None:
    it = desk(f"policy: p\n{more}limits: [{TWO}]\n")
    for _ in range(2):
        assert it.duties.refusals(it.ask().head) == ()
    head = it.ask().head
    assert it.duties.refusals(head) == (Refusal("limits", "rate_limit_exceeded", "few", "p", enforced=False),)
    assert it.duties.headers(head, CHAT) == {}, "a client is not told of a limit that is not enforced"
    assert it.noticed == [("p/few", "shadow")]


def test_a_share_of_conversations_is_limited_and_it_is_the_share_of_the_exchange() -> None:
    it = desk(f"policy: p\nenforce: 50 %\nlimits: [{TWO.replace('2/1m', '0/1m')}]\n")
    modes = set()
    for number in range(20):
        try:
            it.ask(conversation=f"c{number}")
        except DownstreamError:
            modes.add("enforce")
        else:
            modes.add("shadow")
    assert modes == {"enforce", "shadow"}


def test_a_limit_of_a_policy_may_read_the_body_and_headers() -> None:
    it = desk(
        "policy: p\nlimits:\n"
        "  - {name: long, unit: requests, rate: 1/1m, when: request.max_tokens > 100}\n"
        '  - {name: red, unit: requests, rate: 1/1m, when: \'request.headers["x-team"] == "red"\'}\n'
    )
    blue: dict[str, Any] = {"headers": {"x-team": "blue"}}
    for _ in range(3):
        it.ask(body={"max_tokens": 5}, **blue)
    it.ask(body={"max_tokens": 500}, **blue)
    it.refusal(body={"max_tokens": 500}, **blue)
    assert it.noticed[-1] == ("p/long", "enforce")
    it.ask(body={"max_tokens": 5}, headers={"x-team": "red"})
    it.refusal(body={"max_tokens": 5}, headers={"x-team": "red"})
    assert it.noticed[-1] == ("p/red", "enforce")


def test_a_policy_that_a_key_demands_limits_its_client() -> None:
    it = desk(f"policy: p\nmatch: {{models: [big]}}\nlimits: [{TWO}]\n")
    demanding = KnownClient("c", policies=("p",))
    for _ in range(2):
        it.ask("small", client=demanding)
    it.refusal(model="small", client=demanding)
    assert it.noticed[-1] == ("p/few", "enforce")


def test_tokens_of_a_policys_limit_are_settled_after_its_policy_is_gone() -> None:
    it = desk("policy: p\nlimits: [{name: t, unit: tokens, budget: 1000/day}]\n")
    first = it.ask(body={"max_tokens": 100})
    before, it.policies = it.policies, policy_set("policy: q\nset: {store: false}\n")
    record = plain_record(usage={"input_tokens": 3, "output_tokens": 4}, sizes={"upstream": 400})
    asyncio.run(it.duties.settle(first.head, record))
    it.policies = before
    (told,) = it.ask(body={"max_tokens": 100}).answers
    assert told.answers == (7,)


def test_recorded_answers_of_the_store_decide_by_the_body_again() -> None:
    it = desk(f"policy: p\nlimits: [{TWO}]\n", file='[[limit]]\nname = "e"\nunit = "requests"\nrate = "9/1m"\n')
    for _ in range(2):
        it.ask()
    again = Head("x9", route=ROUTE, tenant="t1")
    assert rerun([it.duty], again, it.trail.answers, it.request()) == again
    it.refusal()
    with pytest.raises(DownstreamError, match="a limit of requests"):
        rerun([it.duty], again, it.trail.answers, it.request())
    assert rerun([it.duty], again, it.trail.answers) == again, "without the body, the head decides"
    with pytest.raises(ValueError, match="no further answer"):
        rerun([it.duty], again, it.trail.answers[:1], it.request())


def test_limits_of_combinations_of_policies_are_kept_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guardproxy.gateway.duties.limits.MOST_BOUND", 2)
    it = desk(*[f"policy: p{number}\nmatch: {{models: [m{number}]}}\nlimits: [{TWO}]\n" for number in range(5)])
    for number in range(5):
        it.ask(f"m{number}")
    assert len(it.duty._bound) <= 2


def test_kinds_of_requests_are_kept_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guardproxy.gateway.duties.limit_file.MOST_KINDS", 2)
    it = desk(file='[[limit]]\nname = "a"\nunit = "requests"\nrate = "9/1m"\nmodels = ["m*"]\n')
    for number in range(5):
        assert len(it.ask(f"m{number}").answers) == 1
    assert it.ask("other").answers == []


class Broken:
    """A store that cannot be reached from its second list of calls on."""

    def __init__(self) -> None:
        self.memory, self.asked = MemoryStore(lambda: 0.0), 0

    async def perform(self, calls: Sequence[Call]) -> tuple[Answer, ...]:
        self.asked += 1
        if self.asked > 1:
            raise StoreError("away")
        return await self.memory.perform(calls)


def test_what_a_store_that_is_away_did_not_take_is_not_given_back() -> None:
    it = desk(
        "policy: p\nlimits: [{name: t, unit: tokens, budget: 9000/day}]\n",
        file='[[limit]]\nname = "p"\nunit = "parallel"\nmost = 3\n',
    )
    it.duties = Duties([it.duty], Broken())
    assert "the store of the duty `limits` cannot be reached" in it.refusal()
    (steps,) = [it.duty.abandon(it.trail.head)]
    assert steps
    assert [call.key for call in next(steps)] == ["limits:p::"]


def test_a_duty_that_plans_without_the_store_is_run_again_too() -> None:
    class Planning(Duty):
        name = "planning"

        def plan(self, head: Head, request: Request) -> Plan:
            return Plan(model="n")

    it = desk()
    head = Head("x", route=ROUTE)
    assert rerun([Planning()], head, [], it.request()) == head
    assert Planning().refusals(head) == ()


@pytest.mark.parametrize(("chars", "kept"), [(2_000, 0), (10_000, 1)])
def test_long_names_that_clients_make_up_are_not_kept(chars: int, kept: int) -> None:
    """Those that are too long for any model count as one, so that one is kept for all of them."""
    file = (
        '[[limit]]\nname = "a"\nunit = "cost"\nbudget = "9/day"\nper = ["model"]\n[price."*"]\ninput = 1\noutput = 1\n'
    )
    it = desk(file=file)
    _whose.cache_clear()
    for number in range(3):
        assert it.ask(str(number) * chars).answers
    assert (it.file._late, it.file.prices._own._known) == ({}, {})
    assert _whose.cache_info().currsize == kept
    (told,) = it.ask("1" * chars).answers
    assert told.answers != (0,), "they are counted all the same"


@pytest.mark.parametrize(
    ("model", "body", "name", "place"),
    [
        ("n", {}, ": `n`", "model"),
        ("m", {"tools": [{"type": "image_generation", "model": "images"}]}, ": `images`", None),
        ("m", {"moderation": {"model": "judge"}}, ": `judge`", None),
        ("n" * 300, {}, "", "model"),
        ("", {}, "", "model"),
    ],
)
def test_a_refusal_for_want_of_a_price_names_the_model(
    model: str, body: Mapping[str, Any], name: str, place: str | None
) -> None:
    """A request may name several, such as that of a tool, whose cost nobody knows."""
    it = desk("policy: p\nlimits: [{name: money, unit: cost, budget: 9/day}]\nprices: {m: {input: 2, output: 3}}\n")
    with pytest.raises(DownstreamError) as refused:
        it.ask(model, body, route="POST /v1/responses")
    assert (refused.value.code, refused.value.field) == ("out_of_scope", place)
    assert str(refused.value).endswith(f"the model has no price{name}")
    free = "prices: {m: {input: 2, output: 3}, '*': {input: 0, output: 0}}\n"
    it = desk(f"policy: p\nlimits: [{{name: money, unit: cost, budget: 9/day}}]\n{free}")
    assert it.ask(model or "m", body, route="POST /v1/responses").answers


def test_a_limit_of_costs_follows_the_prices_of_policies() -> None:
    money = "limits: [{name: money, unit: cost, budget: 0.001/day}]\n"
    it = desk(f"policy: p\n{money}prices: {{m: {{input: 2, output: 3}}}}\n")
    it.ask(body={"max_tokens": 100})
    (told,) = it.ask(body={"max_tokens": 100}).answers
    assert told.answers == (2 * 100 + 3 * 100,)
    assert "the model has no price" in it.refusal(model="n")
    assert "the model has no price" in desk(f"policy: p\n{money}").refusal()
