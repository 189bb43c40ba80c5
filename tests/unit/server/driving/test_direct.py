"""Exchanges that are played without connections: what is settled of an answer at every cut, and how an exchange ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.adapters import AdapterCall, AdapterVerdict, Said, body_of
from guardproxy.audit import Record
from guardproxy.errors import AuditError, DownstreamError, ErrorCode
from guardproxy.exchange import Aborted, Exchange, RequestReceived, SendUpstream
from guardproxy.policy import PolicySet
from guardproxy.server.driving.adapter_port import judged
from guardproxy.server.driving.direct import DirectDriver, closed
from guardproxy.server.driving.offload import Steps
from guardproxy.server.scanning.scanner import Scanner
from tests.kit.play import policy_set, setting

POLICY = """
policy: p
checks:
  number: {use: pattern, patterns: ["ACME-[0-9]{4,8}"]}
  secrets: {use: secrets}
  word: {use: pattern, words: [umbrella-corp]}
  links: {use: links, allow: [example.com]}
rules:
  - {id: no-numbers-out, on: request, when: number, action: redact, restore: true}
  - {id: no-secrets-back, on: response, when: secrets, action: redact, restore: false}
  - {id: no-links, on: response, when: links, action: redact, restore: false}
  - {id: no-such-words, on: response, when: word, action: block}
"""
KEY = "AK" + "IA" + "Q3EGTVJ5XW7RMN2B"
ASKED: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "the account is ACME-12345"}]}
PARTS = (
    "plain words ",
    KEY,
    " \U0001f600 ",
    "umbrella-corp",
    "umbrella",
    "\n",
    "[NUMBER]",
    "https://evil.example/x ",
    "ä",
)


@cache
def policies() -> PolicySet:
    return policy_set(POLICY)


@dataclass
class Log:
    """Keeps records. `fails`: whether it cannot."""

    records: list[Any] = field(default_factory=list)
    fails: bool = False

    async def keep(self, record: Record) -> None:
        if self.fails:
            raise AuditError("no room")
        self.records.append(record)

    def take(self, record: Record) -> None:
        self.records.append(record)


class Desk:
    """What plays exchanges of the policy. No dataclass: Hypothesis would print all policies."""

    def __init__(self, log: Log | None = None) -> None:
        self.log = log or Log()
        self.steps = Steps(1)
        self.scanner = Scanner(1, 30.0)
        self.runner = asyncio.Runner()
        self.policies = policies()

    def close(self) -> None:
        self.steps.close()
        self.scanner.close()
        self.runner.close()

    def driver(self) -> DirectDriver:
        recorder: Any = self.log
        return DirectDriver(Exchange(setting(self.policies)), self.scanner, recorder, self.steps)

    def judge(self, call: AdapterCall) -> AdapterVerdict:
        async def play() -> AdapterVerdict:
            driver = self.driver()
            try:
                return await judged(driver, RequestReceived(_body()), call)
            finally:
                await closed(driver)

        return self.runner.run(play())

    def said(self, text: str) -> AdapterVerdict:
        return self.judge(AdapterCall(said=Said((text,))))


def _body() -> bytes:
    return body_of(ASKED)


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.close()


@given(
    chosen=st.lists(st.sampled_from(PARTS), min_size=1, max_size=8),
    shares=st.lists(st.integers(0, 100), min_size=1, max_size=4),
)
def test_what_is_settled_is_never_taken_back(chosen: list[str], shares: list[int], desk: Desk) -> None:
    token = desk.judge(AdapterCall(request=ASKED)).request["messages"][0]["content"].rpartition(" ")[2]
    text = "".join(token if part == "[NUMBER]" else part for part in chosen)
    whole = desk.said(text)
    plain = desk.judge(
        AdapterCall(answer={"choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]})
    )
    assert plain.is_blocked == whole.is_blocked
    if not whole.is_blocked:
        assert whole.said.texts == (plain.answer["choices"][0]["message"]["content"],)
    shown = ""
    for share in sorted(shares):
        cut = share * len(text) // 100
        part = desk.said(text[:cut])
        (now,) = part.open.texts
        assert now.startswith(shown) or shown.startswith(now)
        shown = max(shown, now, key=len)
        if part.is_blocked and not part.at_end:
            assert whole.is_blocked, "only what no continuation can change is certain"
        if not part.is_blocked:
            assert part.said.texts[0].startswith(now)
    if not whole.is_blocked:
        assert whole.said.texts[0].startswith(shown)
    assert KEY not in shown or f"{KEY}{KEY}" in text  # two in one word are none
    assert "evil.example/x" not in shown


def test_each_choice_is_settled_by_itself_and_in_order(desk: Desk) -> None:
    verdict = desk.judge(AdapterCall(said=Said(("all of this is plain text. ", f"the key {KEY}"))))
    assert verdict.open.texts[0].startswith("all of this")
    assert KEY not in verdict.said.texts[1]
    assert verdict.said.texts[1].startswith(verdict.open.texts[1])


def test_warm_caches_change_nothing(desk: Desk) -> None:
    text = f"first {KEY} then umbrella-corporation and more"
    cold = [desk.said(text[:cut]) for cut in range(1, len(text), 7)]
    warm = [desk.said(text[:cut]) for cut in range(1, len(text), 7)]
    again = Desk()
    fresh = [again.said(text[:cut]) for cut in range(1, len(text), 7)]
    again.close()
    shown = [[(each.open, each.said, each.is_blocked) for each in verdicts] for verdicts in (cold, warm, fresh)]
    assert shown[0] == shown[1] == shown[2]


async def test_without_a_record_there_is_no_verdict(desk: Desk) -> None:
    failing = Desk(Log(fails=True))
    driver = failing.driver()
    with pytest.raises(DownstreamError) as raised:
        await judged(driver, RequestReceived(_body()), AdapterCall(request=ASKED))
    assert raised.value.code is ErrorCode.AUDIT_UNAVAILABLE
    assert not driver.is_recorded
    failing.close()


async def test_an_intent_comes_before_the_request_goes_on() -> None:
    desk = Desk()
    driver = desk.driver()
    commands = await driver.take(RequestReceived(_body()))
    assert any(isinstance(command, SendUpstream) for command in commands)
    assert [type(entry).__name__ for entry in desk.log.records] == ["Intent"]
    await driver.take(Aborted(ErrorCode.TIMEOUT, "late"))
    assert driver.is_recorded
    await closed(driver)
    assert len(desk.log.records) == 2
    refusing = Desk(Log(fails=True))
    other = refusing.driver()
    commands = await other.take(RequestReceived(_body()))
    assert not any(isinstance(command, SendUpstream) for command in commands)
    assert other.finished is not None
    assert other.finished.outcome == ErrorCode.AUDIT_UNAVAILABLE
    for each in (desk, refusing):
        each.close()


@pytest.mark.parametrize("long", [False, True])
async def test_a_caller_that_leaves_is_recorded_once(long: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each step, also in the middle of a long one."""
    if long:
        monkeypatch.setattr("guardproxy.server.driving.direct.is_short", lambda event, exchange: False)
        monkeypatch.setattr("guardproxy.server.driving.direct.is_small", lambda exchange: False)
    outcomes = set()
    for steps in (0, 1, 2, 3, 5, 8):
        desk = Desk()
        driver = desk.driver()
        playing = asyncio.ensure_future(
            judged(driver, RequestReceived(_body()), AdapterCall(said=Said(("some words",))))
        )
        for _ in range(steps):
            await asyncio.sleep(0)
        playing.cancel()
        await asyncio.wait([playing])
        ending = asyncio.ensure_future(closed(driver))
        await asyncio.sleep(0)
        ending.cancel()
        await asyncio.wait([ending])
        (record,) = (entry for entry in desk.log.records if isinstance(entry, Record))
        outcomes.add(record.outcome)
        desk.close()
    assert "client_closed" in outcomes
