"""Keep-alives for streams that are held back, and the time limit of all attempts."""

from __future__ import annotations

from guardproxy.decisions import Retry
from guardproxy.exchange.inputs.setting import ExchangeLimits
from guardproxy.exchange.inputs.transcript import SendData, SendHead
from tests.kit.parts import Parts, parts
from tests.kit.play import policy_set

QUIET = ExchangeLimits(quiet_s=10.0)


def held() -> Parts:
    """A stream of which all is held; it began at second 5."""
    made = parts(policy_set(), limits=QUIET)
    notes = made.ledger.notes
    notes.stream = notes.streamed = made.answer.streamed = True
    notes.status = made.answer.status = 200
    notes.measures.times |= {"received": 1.0, "upstream_answered": 5.0}
    made.answer.held.extent = "all"
    return made


def test_a_held_stream_is_kept_alive_as_often_as_its_limit_says() -> None:
    made = held()
    assert made.patience.wait_s(made.answer, 5.0) == 10.0
    assert made.patience.keep_alive(made.answer, 14.9) == []
    first = made.patience.keep_alive(made.answer, 15.0)
    assert [type(command) for command in first] == [SendHead, SendData]
    assert made.patience.wait_s(made.answer, 15.0) == 10.0
    second = made.patience.keep_alive(made.answer, 25.0)
    assert [type(command) for command in second] == [SendData]
    assert made.ledger.notes.measures.signs == 2
    assert not made.client.has_text, "a keep-alive is not part of the answer"


def test_nobody_waits_for_what_flows_or_is_whole() -> None:
    for change in ("extent", "streamed", "stream"):
        made = held()
        if change == "extent":
            made.answer.held.extent = "none"
        elif change == "streamed":
            made.answer.streamed = False
        else:
            made.ledger.notes.stream = False
        assert made.patience.wait_s(made.answer, 5.0) is None
        assert made.patience.keep_alive(made.answer, 100.0) == []


def test_further_attempts_have_one_deadline() -> None:
    made = held()
    made.answer.held.extent = "none"
    assert not made.patience.is_over(1e9)
    made.attempts.retry = Retry("again", total_s=20.0)
    assert made.patience.wait_s(made.answer, 5.0) == 16.0
    assert made.patience.wait_s(made.answer, 30.0) == 0.0
    assert not made.patience.is_over(20.9)
    assert made.patience.is_over(21.0)


def test_there_is_no_deadline_once_the_client_has_text_or_the_fallback_answers() -> None:
    for change in ("text", "fallback"):
        made = held()
        made.answer.held.extent = "none"
        made.attempts.retry = Retry("again", total_s=20.0)
        if change == "text":
            made.client.has_text = True
        else:
            made.attempts.fell_back = True
        assert made.patience.wait_s(made.answer, 5.0) is None
        assert not made.patience.is_over(100.0)


def test_the_sooner_of_both_counts() -> None:
    made = held()
    made.attempts.retry = Retry("again", total_s=6.0)
    assert made.patience.wait_s(made.answer, 5.0) == 2.0
