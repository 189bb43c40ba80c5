"""The client's side: one head, what is counted and sealed, and every ending before and after the head."""

from __future__ import annotations

import hashlib
import json

import pytest

from guardproxy.decisions import Retry, Stop
from guardproxy.errors import DownstreamError, ErrorCode, Shortage
from guardproxy.events import Fault
from guardproxy.exchange.gate.notes import MissingVerdict
from guardproxy.exchange.inputs.setting import Keys
from guardproxy.exchange.inputs.transcript import CancelUpstream, Finish, SendData, SendHead
from guardproxy.exchange.phases.states import Over, State, Transition
from tests.kit.parts import Parts, parts
from tests.kit.play import hashed, mint, policy_set

EMPTY = policy_set()
STOP = Stop("no-words", "not here")


def streaming() -> Parts:
    """Parts of which the client has the head of a stream."""
    made = parts(EMPTY)
    made.ledger.notes.status, made.ledger.notes.streamed = 200, True
    assert made.client.begin(1.0) == [SendHead(200, streamed=True)]
    return made


def finish(end: Transition[Over]) -> Finish:
    state, commands = end
    assert state is State.OVER
    assert isinstance(commands[-1], Finish)
    return commands[-1]


def test_the_head_is_sent_once() -> None:
    client = streaming().client
    assert client.begin(2.0) == []
    assert client.send(b"x", 2.0) == [SendData(b"x")]
    assert client.ledger.notes.measures.times["first_byte"] == 1.0


def test_the_head_of_a_later_answer_is_not_the_clients() -> None:
    made = parts(EMPTY)
    made.client.expect(429, streamed=False)
    made.client.expect(200, streamed=True)
    made.client.begin(1.0)
    made.client.expect(500, streamed=False)
    assert (made.ledger.notes.status, made.ledger.notes.streamed) == (200, True)


def test_what_is_sent_is_counted_and_sealed() -> None:
    keys = Keys(mint, hashed, bytes.hex)
    made = parts(EMPTY, keys=keys)
    made.client.send(b"one ", 1.0)
    end = finish(made.client.answered(b"two", 2.0))
    assert end.data == b"two"
    record = end.record
    assert record.sizes["client"] == 7
    assert record.seals["client"] == hashlib.sha256(b"one two").hexdigest()


def test_nothing_is_sent_for_no_bytes() -> None:
    assert streaming().client.send(b"", 1.0) == []


@pytest.mark.parametrize(("outcome", "cancels"), [("blocked_request", False), ("blocked_response", True)])
def test_a_block_before_the_head_is_an_answer_of_the_proxy(outcome: str, cancels: bool) -> None:
    end = parts(EMPTY).client.block(STOP, 1.0, outcome, cancels=cancels)  # type: ignore[arg-type]
    commands = end[1]
    assert [command for command in commands if isinstance(command, CancelUpstream)] == [CancelUpstream()] * cancels
    head = next(command for command in commands if isinstance(command, SendHead))
    assert (head.status, head.own) == (400, True)
    assert ("x-should-retry", "false") in head.headers
    assert json.loads(finish(end).data)["error"]["message"] == "not here"
    assert finish(end).outcome == outcome


def test_a_block_after_keep_alives_ends_the_stream_in_its_format() -> None:
    end = streaming().client.block(STOP, 1.0, "blocked_response")
    assert end[1] == [CancelUpstream(), finish(end)]
    assert b"content_filter" in finish(end).data


def test_a_stop_keeps_what_may_still_leave() -> None:
    made = streaming()
    for stop, word in ((STOP, b"content_filter"), (Retry("again"), b"invalid_answer")):
        data = finish(made.client.stop([b"kept "], stop, made.answer.decoder, 1.0)).data
        assert data.startswith(b"kept ")
        assert word in data


def test_a_refusal_says_whether_to_try_again() -> None:
    for error, header in (
        (DownstreamError(ErrorCode.UNMAPPED_FIELD, "no", "x"), ("x-should-retry", "false")),
        (DownstreamError(ErrorCode.NO_CAPACITY, "busy"), ("Retry-After", "1")),
        (DownstreamError(ErrorCode.NO_CAPACITY, "busy", retry_s=60), ("Retry-After", "60")),
    ):
        made = parts(EMPTY)
        end = made.client.refuse(error, 1.0)
        head = end[1][0]
        assert isinstance(head, SendHead)
        assert head.headers == (header,)
        assert finish(end).outcome == "refused"
        assert made.ledger.notes.failure is error


@pytest.mark.parametrize(("shortage", "status"), [(Shortage.SHARE, 429), (Shortage.FULL, 503)])
def test_a_check_without_capacity_is_no_verdict(shortage: Shortage, status: int) -> None:
    made = parts(EMPTY)
    _, commands = made.client.no_capacity(MissingVerdict("judge", shortage), 1.0, cancels=True)
    assert commands[0] == CancelUpstream()
    assert isinstance(commands[1], SendHead)
    assert (commands[1].status, commands[1].headers) == (status, (("Retry-After", "1"),))
    assert made.ledger.notes.no_capacity == ("judge", shortage)


def test_a_fault_before_and_after_the_head() -> None:
    fault = Fault(ErrorCode.UPSTREAM_ERROR, "broken")
    _, before = parts(EMPTY).client.fail(fault, 1.0, 502)
    assert isinstance(before[0], SendHead)
    assert before[0].status == 502
    after = streaming().client.fail(fault, 1.0, 502, cancels=True)
    assert after[1] == [CancelUpstream(), finish(after)]
    assert b"broken" in finish(after).data


def test_a_record_that_cannot_be_kept_is_told_in_the_clients_format() -> None:
    assert json.loads(finish(parts(EMPTY).client.gone(1.0)).failed)["error"]["code"] == "audit_unavailable"
    assert finish(streaming().client.gone(1.0)).failed.startswith(b"data: ")
