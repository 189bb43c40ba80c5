"""Checks of a request that was sent: what waits for them, what a block does, and that nothing but the order changes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.errors import ErrorCode, Shortage
from guardproxy.exchange.inputs.transcript import (
    Aborted,
    CancelUpstream,
    DownstreamGone,
    Finish,
    RequestReceived,
    ResponseStarted,
    RunScans,
    SendUpstream,
)
from guardproxy.exchange.phases.states import State
from guardproxy.findings import Scan
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.policy.file.load import build_checks, parse
from tests.kit.play import CHAT, Play, chat_frames, chat_texts, mint
from tests.kit.supervisor import FakeScorer, words

CHECKS = """\
policy: p
checks:
  mail: {use: pattern, label: MAIL, patterns: ["[a-z]+@[a-z]+\\\\.io"]}
  attack: {use: supervisor, label: injection}
  harm: {use: supervisor, label: harm}
rules:
  - {id: mail, on: request, when: mail, action: redact, restore: true}
"""
BLOCK = "  - {id: no-attacks, on: [user, tool_arguments], when: attack, action: block, severity: low%s}\n"
FLAG = "  - {id: watch, on: user, when: harm, action: flag%s}\n"
PARALLEL = ", parallel: true"


def policies(*rules: str) -> PolicySet:
    parsed = (parse(CHECKS + "".join(rules), "p.yaml"),)
    return PolicySet(parsed, build_checks(parsed, Resources(scorer=lambda name: FakeScorer(words))), "sha256:p")


def body(*texts: str, **more: Any) -> bytes:
    return json.dumps(
        {"model": "m", "messages": [{"role": "user", "content": text} for text in texts], **more}
    ).encode()


def begun(content: bytes, *rules: str) -> Play:
    """An exchange whose request has been read, and whose scans are answered up to the one beside the upstream."""
    play = Play(policies(*rules), CHAT)
    play.tell(RequestReceived(content))
    while state_of(play) is State.SCANNING:
        assert play.pending is not None
        play.tell(play.perform(play.pending))
    return play


def state_of(play: Play) -> State:
    return play.exchange.state


def checks_of(command: RunScans) -> set[str]:
    return {job.check.name for job in command.jobs}


def test_the_request_leaves_redacted_while_the_model_still_reads_it() -> None:
    play = begun(body("mail jo@ab.io"), BLOCK % PARALLEL)
    assert state_of(play) is State.CHECKING
    first, sent, beside = play.done
    assert isinstance(first, RunScans)
    assert isinstance(sent, SendUpstream)
    assert isinstance(beside, RunScans)
    digests = {name: check.name for (_, name), check in play.policies.checks.items()}
    assert (checks_of(first), checks_of(beside)) == ({digests["mail"]}, {digests["attack"]})
    assert sent.parallel
    assert json.loads(sent.body)["messages"][0]["content"] == f"mail {mint('MAIL', 'jo@ab.io')}"
    assert [job.window.text for job in beside.jobs] == ["mail jo@ab.io"]
    play.scan()
    assert state_of(play) is State.WAITING
    play.stream(chat_frames([{"content": f"To {mint('MAIL', 'jo@ab.io')}."}]))
    assert chat_texts(play.client)["content0"] == "To jo@ab.io."
    assert play.record["outcome"] == "answered"


def test_an_attack_cancels_the_upstream_and_nothing_of_an_answer_is_seen() -> None:
    play = begun(body("an attack"), BLOCK % PARALLEL)
    play.scan()
    cancel, _, finish = play.done[-3:]
    assert isinstance(cancel, CancelUpstream)
    assert isinstance(finish, Finish)
    assert (finish.outcome, play.head.status) == ("blocked_request", 400)
    record = play.record
    assert [row["rule"] for row in record["decisions"]] == ["no-attacks"]
    text = record["request"]["texts"][-1]
    assert [finding["label"] for finding in text["findings"]]
    assert "attack" in text["checks"][-1]
    assert record["seals"]["upstream"]
    assert play.tell(ResponseStarted(200, "application/json")) == []


def test_an_answer_is_not_read_before_the_verdict() -> None:
    play = begun(body("hello"), BLOCK % PARALLEL)
    assert play.tell(ResponseStarted(200, "application/json")) == []
    assert state_of(play) is State.CHECKING


@pytest.mark.parametrize(
    ("more", "word", "state"),
    [
        ({}, "true", State.CHECKING),
        ({"web_search_options": None, "tools": []}, "true", State.CHECKING),
        ({"web_search_options": {}}, "true", State.WAITING),
        ({"web_search_options": {"user_location": None}}, "true", State.WAITING),
        ({"web_search_options": {"user_location": None}}, "always", State.CHECKING),
        ({}, "false", State.WAITING),
    ],
)
def test_a_provider_that_may_act_gets_no_request_that_is_not_judged(more: Any, word: str, state: State) -> None:
    play = begun(body("hello", **more), BLOCK % f", parallel: {word}")
    assert state_of(play) is state


def test_a_check_that_another_rule_waits_for_is_waited_for() -> None:
    also = "  - {id: sure, on: user, when: attack and mail, action: block}\n"
    assert state_of(begun(body("hello"), BLOCK % PARALLEL, also)) is State.WAITING


def test_a_check_whose_findings_the_record_masks_is_waited_for() -> None:
    rule = "  - {id: no-mail, on: user, when: mail, action: block, parallel: true}\n"
    assert state_of(begun(body("hello"), rule)) is State.WAITING


def test_a_rule_may_need_a_finding_of_before_and_one_of_beside() -> None:
    both = "  - {id: both, on: user, when: attack and mail, action: block, parallel: true}\n"
    play = begun(body("attack jo@ab.io"), both)
    assert state_of(play) is State.CHECKING
    play.scan()
    assert play.finish.outcome == "blocked_request"


def test_a_check_without_capacity_is_no_verdict() -> None:
    play = begun(body("hello"), BLOCK % PARALLEL)
    play.answer_scan(Scan((), 0, 0, "late", no_capacity=Shortage.LATE))
    assert (play.finish.outcome, play.head.status) == (ErrorCode.NO_CAPACITY, 503)
    assert any(isinstance(command, CancelUpstream) for command in play.done)


def test_a_check_that_fails_blocks() -> None:
    play = begun(body("hello"), BLOCK % PARALLEL)
    play.answer_scan(Scan((), 0, 0, "ValueError"))
    assert (play.finish.outcome, play.record["rules"]) == ("blocked_request", ["on_error"])


@pytest.mark.parametrize("event", [DownstreamGone(), Aborted(ErrorCode.TIMEOUT, "late")])
def test_what_ends_an_exchange_ends_it_while_it_is_judged(event: Any) -> None:
    play = begun(body("hello"), BLOCK % PARALLEL)
    play.tell(event)
    assert play.exchange.is_over


def test_arguments_of_a_tool_are_judged_as_they_are_read() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"q": "an at\\u0074ack"}'}}
    messages = [{"role": "assistant", "tool_calls": [call]}]
    play = begun(json.dumps({"model": "m", "messages": messages}).encode(), BLOCK % PARALLEL)
    play.scan()
    assert play.finish.outcome == "blocked_request"


TEXTS = st.sampled_from(["hello", "an attack", "jo@ab.io", "doubtful jo@ab.io", "attack by jo@ab.io", ""])


@given(st.lists(TEXTS, min_size=1, max_size=4), st.booleans(), st.booleans())
def test_nothing_but_the_order_changes(texts: list[str], one: bool, other: bool) -> None:
    """The same request under the same rules, judged before it is sent and beside: the same outcome, findings, rules and answer.
    A request that is blocked before it is sent is not judged by the checks that would run beside."""
    rules = BLOCK % (PARALLEL * one), FLAG % (PARALLEL * other)
    plays = [Play(policies(*chosen), CHAT).ask(body(*texts)) for chosen in ((BLOCK % "", FLAG % ""), rules)]
    for play in plays:
        if not play.exchange.is_over:
            play.stream(chat_frames([{"content": f"To {mint('MAIL', 'jo@ab.io')}"}]))
    before, beside = plays
    assert before.client == beside.client
    assert before.finish.outcome == beside.finish.outcome
    kept = [about(play.record["request"]["texts"]) for play in plays]
    if before.finish.outcome == "blocked_request" and not one:
        assert {"no-attacks"} <= set(beside.record["rules"]) <= set(before.record["rules"])
        return
    assert before.record["rules"] == beside.record["rules"]
    assert kept[0] == kept[1]
    if before.finish.outcome == "answered":
        assert before.upstream == beside.upstream


def about(texts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The texts of a record without the order of their checks, and without how much of them was sent."""
    return [{**text, "checks": sorted(text["checks"]), "released": 0} for text in texts]


def test_an_attack_over_two_parts_is_judged_too() -> None:
    parts = [{"type": "text", "text": text} for text in ("an att", "ack, an attack")]
    content = json.dumps({"model": "m", "messages": [{"role": "user", "content": parts}]}).encode()
    play = begun(content, BLOCK % PARALLEL, FLAG % PARALLEL)
    assert play.pending is not None
    assert [job.joins for job in play.pending.jobs] == [False, False, False, False, True, True]
    assert play.pending.jobs[-1].window.text == "an attack, an attack"
    play.scan()
    assert play.finish.outcome == "blocked_request"
    found = [text["findings"] for text in play.record["request"]["texts"]]
    assert all(found), "each part has its share"
    assert len({str(finding) for finding in found[1]}) == len(found[1]), "a finding of both readings is one"
