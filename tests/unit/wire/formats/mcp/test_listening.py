"""A stream of the server's own messages: the client gets its head at once, a message that is blocked is passed over, and it
ends without a word when it is long enough or its time is over."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from guardproxy.errors import ErrorCode
from guardproxy.exchange import (
    Aborted,
    CancelUpstream,
    DataReceived,
    Exchange,
    Finish,
    RequestReceived,
    ResponseStarted,
    SendData,
    Waited,
)
from guardproxy.exchange.inputs.setting import ExchangeLimits
from guardproxy.wire.formats.mcp.contract import GET, POST
from guardproxy.wire.formats.mcp.framing import KEEP_ALIVE, cutter
from tests.unit.wire.formats.mcp.test_codec import Played, call, event, message

STREAM = ResponseStarted(200, "text/event-stream")


def log(words: str, number: int) -> bytes:
    params = {"level": "info", "data": words}
    return event({"jsonrpc": "2.0", "method": "notifications/message", "params": params}, f"id: s-{number}\n")


def sent(played: Played) -> bytes:
    return b"".join(command.data for command in played.done if isinstance(command, SendData))


def short() -> Played:
    """A stream of 300 bytes at most, which has begun."""
    played = Played(None, route=GET)
    setting = played.exchange.setting
    limits = replace(setting.limits, answer_bytes=300)
    played.exchange = Exchange(structs.replace(setting, limits=limits))
    return played.tell(RequestReceived(b""), STREAM)


def test_the_head_does_not_wait_for_a_message() -> None:
    played = Played(None, route=GET).tell(STREAM)
    assert (played.status, sent(played)) == (200, KEEP_ALIVE)
    assert played.exchange.is_listening
    waiting = Played(call(), route=POST).tell(STREAM)
    assert sent(waiting) == b""
    assert not waiting.exchange.is_listening


def test_it_is_kept_alive() -> None:
    played = Played(None, route=GET).tell(STREAM)
    wait_s = played.exchange.patience_s(0.0)
    assert wait_s == ExchangeLimits().quiet_s
    assert sent(played.tell(Waited(wait_s))) == 2 * KEEP_ALIVE


@pytest.mark.parametrize("status", [404, 405])
def test_a_server_without_such_a_stream_says_so(status: int) -> None:
    played = Played(None, route=GET).tell(ResponseStarted(status, "text/plain"))
    assert played.status == status
    assert not played.exchange.is_listening


def test_a_blocked_message_is_passed_over() -> None:
    """The client learns the id of the message that it does not get. Otherwise it would ask for this message for ever."""
    played = Played(None, route=GET).tell(STREAM)
    frames = [log("one", 1), log("a quokka", 2), log("three", 3)]
    played.tell(DataReceived(b"".join(frames)))
    events = cutter(1 << 20).feed(played.client)
    assert [found.head for found in events if found.head] == [b"id: s-1\n", b"id: s-2\n"]
    assert b"quokka" not in played.client
    assert json.loads(events[-1].data or b"")["method"] == "notifications/message"
    finish: Any = played.done[-1]
    assert finish.outcome == "blocked_response"


def test_a_redacted_message_goes_on() -> None:
    played = Played(None, "redact", route=GET).tell(STREAM, DataReceived(log("a quokka", 1) + log("two", 2)))
    assert b"quokka" not in sent(played)
    assert b"id: s-2" in sent(played)
    assert not played.exchange.is_over


@pytest.mark.parametrize("code", [ErrorCode.TIMEOUT, ErrorCode.SHUTTING_DOWN])
def test_its_end_is_no_error(code: ErrorCode) -> None:
    played = Played(None, route=GET).tell(STREAM, DataReceived(log("one", 1)), Aborted(code, "over"))
    finish: Any = played.done[-1]
    assert (finish.outcome, finish.data) == (code, b"")


def test_a_long_stream_ends_between_two_messages() -> None:
    played = short()
    for number in range(20):
        played.tell(DataReceived(log("some words", number)))
    ended = [command for command in played.done if isinstance(command, (CancelUpstream, Finish))]
    assert [type(command) for command in ended] == [CancelUpstream, Finish]
    assert played.record.outcome == "answered"
    assert 300 < len(played.client) < 500


def test_a_message_that_is_too_large_is_an_error() -> None:
    played = short().tell(DataReceived(log("w" * 400, 1)))
    assert played.record.outcome == ErrorCode.UPSTREAM_EVENT_TOO_LARGE
    last = cutter(1 << 20).feed(played.client)[-1]
    assert json.loads(last.data or b"")["method"] == "notifications/message"


def test_messages_of_a_post_are_not_passed_over() -> None:
    first, second = (
        event(message("notifications/progress", {"message": text}, 1), "id: p\n") for text in ("a", "quokka")
    )
    for frames in ([second], [first, second]):
        played = Played(call()).answer(frames)
        answer = played.client if frames == [second] else cutter(1 << 20).feed(played.client)[-1].data
        assert json.loads(answer or b"")["id"] == 7  # the client has its answer
        assert b"quokka" not in played.client


@given(st.data())
def test_what_the_client_gets_does_not_depend_on_the_chunks(data: st.DataObject) -> None:
    words = st.sampled_from(["one", "a quokka", "Grüße 🙂", "quok", "ka", ""])
    frames = [log(text, number) for number, text in enumerate(data.draw(st.lists(words, max_size=6)))]
    stream = b": ping\n\n" + b"".join(frames) + data.draw(st.sampled_from([b"", b"id: s-9\ndata:\n\n", b"data: {"]))
    action = data.draw(st.sampled_from(["block", "redact"]))
    whole = Played(None, action, route=GET).answer([stream])
    at = sorted(data.draw(st.sets(st.integers(1, len(stream) - 1), max_size=12)))
    pieces = [stream[start:end] for start, end in pairwise([0, *at, len(stream)])]
    cut = Played(None, action, route=GET).answer(pieces)
    assert (cut.client, cut.record.outcome) == (whole.client, whole.record.outcome)
    assert cut.record.decisions == whole.record.decisions
    if action == "redact" or "quokka" not in stream.decode():
        assert cut.client.count(b"id: s-") == stream.count(b"id: s-")
