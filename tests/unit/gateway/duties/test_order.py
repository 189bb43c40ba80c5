"""Duties in their order: who is asked, what is recorded, what a refusal and a store that is away do, and the same again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from guardproxy.audit.record.document import Record
from guardproxy.decisions import Plan
from guardproxy.errors import ConfigError, DownstreamError, ErrorCode, PluginError, StoreError
from guardproxy.events import Frame
from guardproxy.gateway import Duties, Duty, Head, Steps, StoreAnswered, Trail, load_duties, rerun
from guardproxy.gateway.store import Add, Answer, Call, Get, MemoryStore
from guardproxy.wire import Request
from guardproxy.wire.formats.openai_chat.contract import CONTRACT as CHAT
from tests.kit.plugins import Install
from tests.kit.records import plain_record

HEAD = Head("1", route="POST /v1/messages", tenant="acme")


class Counted(Duty):
    """Admits a tenant twice; the second list of calls depends on the first answer."""

    name = "counted"

    def admit(self, head: Head) -> Steps[Head]:
        (count,) = yield (Add(f"count:{head.tenant}", 1, 60),)
        assert isinstance(count, int)
        if count > 2:
            blocked, _ = yield (Get("blocked"), Add("refused", 1, 60))
            raise DownstreamError(ErrorCode.RATE_LIMIT_EXCEEDED, f"{count} requests, blocked: {blocked}", retry_s=7)
        return head.changed(tenant_name=f"number {count}")

    def settle(self, head: Head, record: Record) -> Steps[None]:
        yield (Add(f"settled:{head.tenant}:{record.outcome}", 1, 60),)

    def abandon(self, head: Head) -> Steps[None]:
        yield (Add(f"abandoned:{head.tenant}", 1, 60),)


class Silent(Duty):
    """Sees heads, asks nothing."""

    name = "silent"

    def __init__(self) -> None:
        self.seen: list[str] = []

    def admit(self, head: Head) -> Head:
        self.seen.append(head.tenant_name)
        return head


class Idle(Duty):
    name = "idle"


class Away:
    async def perform(self, calls: Sequence[Call]) -> tuple[Answer, ...]:
        raise StoreError("away")


def test_each_sees_what_those_before_it_learned_and_a_refusal_ends_the_row() -> None:
    silent = Silent()
    duties = Duties([Counted(), Idle(), silent], MemoryStore())
    trails = [Trail(HEAD) for _ in range(3)]

    async def admit() -> None:
        await duties.admit(trails[0])
        await duties.admit(trails[1])
        with pytest.raises(DownstreamError, match="3 requests, blocked: None") as refused:
            await duties.admit(trails[2])
        assert (refused.value.status, refused.value.retry_s) == (429, 7)

    asyncio.run(admit())
    assert silent.seen == ["number 1", "number 2"]
    assert trails[0].head.tenant_name == "number 1"
    assert trails[2].head == HEAD
    assert trails[1].answers == [StoreAnswered("counted", (2,))]
    assert trails[2].answers == [StoreAnswered("counted", (3,)), StoreAnswered("counted", (None, 1))]


def test_the_same_answers_decide_the_same() -> None:
    duties = [Counted(), Idle(), Silent()]
    assert rerun(duties, HEAD, [StoreAnswered("counted", (2,))]).tenant_name == "number 2"
    with pytest.raises(DownstreamError, match="9 requests, blocked: yes"):
        rerun(duties, HEAD, [StoreAnswered("counted", (9,)), StoreAnswered("counted", ("yes", 1))])
    with pytest.raises(ValueError, match="no further answer of the store to the duty `counted`"):
        rerun(duties, HEAD, [StoreAnswered("counted", (9,))])


def test_a_store_that_is_away_is_no_capacity_and_no_verdict() -> None:
    trail = Trail(HEAD)
    with pytest.raises(DownstreamError, match="the store of the duty `counted` cannot be reached") as refused:
        asyncio.run(Duties([Counted()], Away()).admit(trail))
    assert (refused.value.status, refused.value.code) == (503, "store_unavailable")
    assert trail.answers == []


def test_abandoning_asks_only_those_that_took_something() -> None:
    store = MemoryStore()
    asyncio.run(Duties([Idle(), Silent(), Counted()], store).abandon(HEAD))
    assert asyncio.run(store.perform((Get("abandoned:acme"),))) == (1,)
    assert Idle().abandon(HEAD) is None
    with pytest.raises(DownstreamError, match="the store of the duty `counted` cannot be reached"):
        asyncio.run(Duties([Counted()], Away()).abandon(HEAD))


def test_settling_asks_only_those_that_settle() -> None:
    store = MemoryStore()
    duties = Duties([Silent(), Counted()], store)
    assert duties.is_settling
    asyncio.run(duties.settle(HEAD, plain_record()))
    assert asyncio.run(store.perform((Get("settled:acme:answered"),))) == (1,)
    assert not Duties([Silent(), Idle()], store).is_settling


def test_duties_of_other_packages(install: Install) -> None:
    install("guardproxy.duties", "counted", Counted)
    install("guardproxy.duties", "nameless", Duty)
    install("guardproxy.duties", "failing", lambda: 1 / 0)
    (counted,) = load_duties(["counted"])
    assert isinstance(counted, Counted)
    with pytest.raises(
        ConfigError,
        match=r"--duty quota: no installed package provides this duty \(known: counted, failing, nameless\)",
    ):
        load_duties(["quota"])
    with pytest.raises(PluginError, match=r"`nameless` \(guardproxy.duties\) of acme 1.0 is not a duty"):
        load_duties(["nameless"])
    with pytest.raises(PluginError, match=r"`failing` \(guardproxy.duties\) of acme 1.0 failed: ZeroDivisionError"):
        load_duties(["failing"])


class Cheap(Duty):
    """Sends a tenant's first request of a minute to a named upstream; asks the store for the others."""

    name = "cheap"

    def plan(self, head: Head, request: Request) -> Steps[Plan | None]:
        (count,) = yield (Add(f"cheap:{head.tenant}", 1, 60),)
        return Plan(upstream="cheap", model=f"small-{request.model}", reason="the first") if count == 1 else None


def test_plans_are_those_of_the_duties_that_have_one() -> None:
    duties = Duties([Silent(), Cheap()], MemoryStore())
    request = Request("m", False, Frame(b""), list)
    trail = Trail(HEAD)

    async def plan() -> tuple[tuple[Plan, ...], tuple[Plan, ...]]:
        return await duties.plan(trail, request), await duties.plan(trail, request)

    assert duties.is_planning(HEAD)
    assert not Duties([Silent(), Idle()], MemoryStore()).is_planning(HEAD)
    assert asyncio.run(plan()) == ((Plan("cheap", "small-m", reason="the first"),), ())
    assert trail.answers == [StoreAnswered("cheap", (1,)), StoreAnswered("cheap", (2,))]


def test_a_duty_that_overrides_nothing_changes_nothing() -> None:
    duties = Duties([Idle()], MemoryStore())
    assert Idle().admit(HEAD) == HEAD
    assert Idle().plan(HEAD, Request("m", False, Frame(b""), list)) is None
    assert Idle().settle(HEAD, plain_record()) is None
    assert Idle().headers(HEAD, CHAT) == {}
    assert duties.headers(HEAD, CHAT) == {}
    assert not duties.is_settling


class Choosy(Cheap):
    """Needs the body of some requests only."""

    def plans(self, head: Head) -> bool:
        return head.tenant == "other"


def test_a_body_is_decoded_only_for_duties_that_need_it() -> None:
    duties, request = Duties([Choosy(), Cheap()], MemoryStore()), Request("m", False, Frame(b""), list)
    assert not Duties([Choosy()], MemoryStore()).is_planning(HEAD)
    assert Duties([Choosy()], MemoryStore()).is_planning(HEAD.changed(tenant="other"))
    trail = Trail(HEAD)
    assert len(asyncio.run(duties.plan(trail, request))) == 1
    assert len(trail.answers) == 1


class Prompt(Duty):
    """Needs no answer of the store."""

    name = "prompt"

    def __init__(self, plan: Plan | None) -> None:
        self.own, self.settled = plan, 0

    def plan(self, head: Head, request: Request) -> Plan | None:
        return self.own

    def settle(self, head: Head, record: Record) -> None:
        self.settled += 1


def test_a_duty_that_asks_the_store_nothing_says_at_once_what_it_says() -> None:
    plan = Plan(upstream="backup", reason="always")
    planning, silent = Prompt(plan), Prompt(None)
    duties = Duties([planning, silent], MemoryStore())
    trail = Trail(HEAD)
    assert asyncio.run(duties.plan(trail, Request("m", False, Frame(b""), list))) == (plan,)
    asyncio.run(duties.settle(HEAD, plain_record()))
    assert (planning.settled, silent.settled, trail.answers) == (1, 1, [])


class Hopeful(Duty):
    """Admits requests also without the store."""

    name = "hopeful"

    def admit(self, head: Head) -> Steps[Head]:
        try:
            yield (Get("blocked"),)
        except StoreError:
            return head
        return head


def test_no_duty_goes_on_without_the_store_that_it_asks() -> None:
    with pytest.raises(DownstreamError) as refused:
        asyncio.run(Duties([Hopeful()], Away()).admit(Trail(HEAD)))
    assert refused.value.code == ErrorCode.STORE_UNAVAILABLE
