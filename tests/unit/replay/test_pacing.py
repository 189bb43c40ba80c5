"""A stream that is played again piece by piece: it releases what it released, and what is held is told with its check."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from guardproxy.audit import Record
from guardproxy.findings import QUICK, Scan, Window
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.replay.pacing import HoldStep, pace_of
from guardproxy.replay.replays import Rerun, rerun
from guardproxy.wire.contract.codec import Codec
from guardproxy.wire.contract.turns import Call
from guardproxy.wire.contract.writing import Prompt, Reply
from guardproxy.wire.registry import codecs
from tests.kit.play import Play, chat_frames, policy_set
from tests.kit.records import record_of

POLICIES = policy_set(
    """
policy: p
checks:
  pii: {use: pii, entities: [EMAIL_ADDRESS]}
  words: {use: words, words: [secret plan]}
rules:
  - {id: ask, on: request, when: pii, action: redact}
  - {id: hide, on: response, when: pii, action: redact}
  - {id: stop, on: response, when: words, action: block}
"""
)
WAITING = policy_set(
    """
policy: p
checks:
  words: {use: words, words: [sorry]}
rules:
  - {id: ask, on: request, when: words, action: flag}
  - {id: again, on: response, when: words, action: retry, attempts: 1, then: pass_flagged}
"""
)


def recorded(text: str, policies: PolicySet = POLICIES, *more: str, size: int = 3) -> Record:
    """The record of an exchange with this answer, in pieces. `more`: the answers after it."""
    play = Play(policies)
    play.ask({"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]})
    for answer in (text, *more):
        play.stream(chat_frames([{"content": answer[at : at + size]} for at in range(0, len(answer), size)]))
    return record_of(play.record)


def paced(record: Record, policies: PolicySet = POLICIES, pieces: int = 96) -> tuple[Rerun, list[HoldStep]]:
    pace = pace_of(record, policies, pieces)
    again = rerun(record, policies, pace)
    assert isinstance(again, Rerun)
    return again, pace.steps


def test_the_pieces_decide_as_the_whole_does() -> None:
    record = recorded("Write to anna@example.com and then go home.")
    again, steps = paced(record)
    whole = rerun(record, POLICIES)
    assert isinstance(whole, Rerun)
    assert again.record.response == whole.record.response
    assert again.record.decisions == record.decisions
    assert steps[-1].released == steps[-1].arrived == len(record.response.texts[0].text or "")


@given(st.text("ab @.cdom secret plan", max_size=60), st.integers(1, 20))
def test_nothing_leaves_earlier_in_pieces_and_the_record_is_the_same(text: str, pieces: int) -> None:
    record = recorded(text)
    again, steps = paced(record, pieces=pieces)
    whole = rerun(record, POLICIES)
    assert isinstance(whole, Rerun)
    assert again.record.response.texts == whole.record.response.texts
    assert again.record.outcome == whole.record.outcome
    for step in steps:
        assert 0 <= step.released <= step.arrived
    for before, after in pairwise(steps):
        assert before.released <= after.released


def test_what_is_held_names_the_check_that_is_not_sure() -> None:
    record = recorded("It is a secret place.")
    _, steps = paced(record)
    held = [step for step in steps if step.arrived == len("It is a secret ")]
    assert held[0].released <= len("It is a ")
    assert held[0].holders == ("words",)


def test_a_record_of_an_old_release_names_no_first_frame() -> None:
    record = recorded("All is well.")
    old = structs.replace(record, response=structs.replace(record.response, runs=((0, 12),), opening=0))
    again, steps = paced(old)
    assert again.record.outcome == "answered"
    assert steps[-1].released == 12


def test_a_recorded_value_is_held_from_its_first_character_to_its_last() -> None:
    record = recorded("Mail anna@example.com now.")
    (finding,) = record.response.texts[0].findings
    _, steps = paced(record)
    inside = [step for step in steps if finding.start < step.arrived < finding.end]
    assert inside
    assert {step.released for step in inside} == {finding.start}


def test_a_blocked_stream_never_releases_the_rest() -> None:
    record = recorded("All is well. The secret plan is this, and more.")
    assert record.outcome == "blocked_response"
    _, steps = paced(record)
    assert max(step.released for step in steps) <= len("All is well. The ")


def test_a_rule_that_may_ask_again_holds_the_whole_answer() -> None:
    record = recorded("I am sorry.", WAITING, "Here you are.")
    assert len(record.attempts) == 2
    _, steps = paced(record, WAITING)
    assert {step.attempt for step in steps} == {0, 1}
    assert all(step.released == 0 for step in steps if step.attempt == 0)
    assert any(step.is_whole for step in steps)
    assert steps[-1].released == steps[-1].arrived


def test_a_held_answer_that_is_blocked_in_the_end_never_leaves() -> None:
    blocking = policy_set(
        """
policy: p
checks:
  words: {use: words, words: [sorry]}
rules:
  - {id: ask, on: request, when: words, action: flag}
  - {id: again, on: response, when: words, action: retry, attempts: 1, then: block}
"""
    )
    record = recorded("So it is, I am sorry.", blocking, "So it is, I am sorry.")
    assert record.outcome == "blocked_response"
    _, steps = paced(record, blocking)
    assert {step.released for step in steps} == {0}


def test_an_answer_that_came_whole_has_no_steps() -> None:
    play = Play(POLICIES)
    play.ask({"model": "m", "messages": [{"role": "user", "content": "hi"}]})
    message = {"role": "assistant", "content": "ok"}
    body = {"id": "c", "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    play.stream([json.dumps(body).encode()], media="application/json")
    again, steps = paced(record_of(play.record))
    assert steps == []
    assert again.record.outcome == "answered"


REPLIES = {
    "text": Reply("It is a secret place, and anna@example.com is there."),
    "call": Reply("I ask.", "Is it a secret place?", calls=(Call("find", '{"who": "anna@example.com", "n": [1, 2]}'),)),
}


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
@pytest.mark.parametrize("codec", codecs(), ids=lambda codec: codec.name)
def test_a_stream_of_every_format_decides_in_pieces_as_it_does_at_once(codec: Codec, reply: Reply) -> None:
    author = codec.author
    prompt = Prompt("m", "write to anna@example.com", stream=True)
    frames = list(author.frames(prompt, reply, "1", lambda text: [text[:9], text[9:]]))
    play = Play(POLICIES, author.ROUTE).ask(author.request(prompt))
    if not frames or play.exchange.is_over:
        return  # the format has no streams
    play.stream(frames)
    record = record_of(play.record)
    whole = rerun(record, POLICIES)
    assert isinstance(whole, Rerun)
    again, steps = paced(record)
    assert again.record.response.texts == whole.record.response.texts
    assert again.record.decisions == whole.record.decisions
    assert again.record.outcome == whole.record.outcome == "answered"
    assert any(step.released < step.arrived for step in steps)
    ends = {step.path: step for step in steps}
    assert all(step.released == step.arrived for step in ends.values())


class Fragile:
    """A check that cannot read what a replay shows it."""

    name, digest, traits = "words", "same", QUICK

    def __init__(self, asks: bool = False) -> None:
        self.traits = replace(QUICK, needs_masked=asks)

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        raise RuntimeError("no")


@pytest.mark.parametrize("asks", [False, True])
def test_a_check_that_fails_or_asks_elsewhere_is_sure_of_nothing_new(asks: bool) -> None:
    record = recorded("All is well.")
    check = Fragile(asks)
    broken = PolicySet(
        POLICIES.policies,
        {**POLICIES.checks, ("p", "words"): check},
        POLICIES.digest,
    )
    record = structs.replace(record, checks={**record.checks, "words": "same"})
    pace = pace_of(record, broken)
    assert isinstance(rerun(record, broken, pace), Rerun)
    assert pace.steps
