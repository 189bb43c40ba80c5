"""No capacity is not a verdict: what a client, a record and a replay say of a check that could not be asked in time."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardproxy.errors import Shortage
from guardproxy.exchange.inputs.transcript import (
    DataReceived,
    RequestReceived,
    ResponseEnded,
    ResponseStarted,
    SendHead,
    SendUpstream,
)
from guardproxy.findings import Scan
from tests.kit.play import CHAT, MESSAGES, Play, chat_frames, chat_texts, events, message_frames, policy_set
from tests.kit.records import members, replay

POLICY = """\
policy: p
{more}checks: {{word: {{use: pattern, words: [falcon], evasions: "off"}}}}
rules:
  - {{id: r, when: word, action: {action}}}
"""
ASK: dict[str, Any] = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "a falcon"}]}


def policy(action: str = "block", more: str = "") -> Any:
    return policy_set(POLICY.format(action=action, more=more))


def short(shortage: Shortage = Shortage.FULL) -> Scan:
    return Scan((), 0, 0, "QueueFull", no_capacity=shortage)


def asked(play: Play) -> Play:
    play.tell(received(play))
    return play


def received(play: Play) -> Any:
    body = {**ASK, "max_tokens": 9} if play.route == MESSAGES else ASK
    return RequestReceived(json.dumps(body).encode())


@pytest.mark.parametrize("shortage", list(Shortage))
@pytest.mark.parametrize("route", [CHAT, MESSAGES])
@pytest.mark.parametrize(
    ("action", "more"), [("block", ""), ("flag", "on_error: flag\n"), ("redact", "on_error: flag\n")]
)
def test_a_request_that_could_not_be_checked_is_sent_again_later(
    shortage: Shortage, route: str, action: str, more: str
) -> None:
    play = asked(Play(policy(action, more), route))
    play.answer_scan(short(shortage))
    assert play.upstream is None
    assert play.head.status == (429 if shortage is Shortage.SHARE else 503)
    assert ("Retry-After", "1") in play.head.headers
    assert not any(name == "x-should-retry" for name, _ in play.head.headers)
    error = json.loads(play.client)["error"]
    assert "content_filter" not in play.client.decode()
    if route == MESSAGES:
        assert error["type"] == ("rate_limit_error" if shortage is Shortage.SHARE else "overloaded_error")
    else:
        assert error["code"] == "no_capacity"
    record = members(play.finish.record)
    assert (record["outcome"], record["rules"]) == ("no_capacity", [])
    assert record["no_capacity"] == {"check": "word", "reason": shortage.value}
    assert "falcon" not in json.dumps(record)
    assert replay(record, play.policies).verdict == "identical"


@pytest.mark.parametrize("route", [CHAT, MESSAGES])
def test_in_the_middle_of_a_stream_it_is_a_typed_error(route: str) -> None:
    asking = {**ASK, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    play = Play(policy(more="on_error: flag\n"), route).ask(asking)
    parts = ["nothing to see. ", "and more of it. "]
    frames = chat_frames([{"content": part} for part in parts]) if route == CHAT else message_frames([("text", parts)])
    play.tell(ResponseStarted(200, "text/event-stream"))
    for frame in frames:
        play.tell(DataReceived(frame))
        if play.exchange.is_over:
            break
        if play.pending and b"more of it" in frame:
            window = play.pending.jobs[0].window
            play.answer_scan(Scan((), window.settled, window.start, "timeout", no_capacity=Shortage.LATE))
            break
        play.scan()
    assert play.finish.outcome == "no_capacity"
    assert b"content_filter" not in play.client
    if route == CHAT:
        assert chat_texts(play.client)["error"] == "no_capacity"
    else:
        (error,) = [tree for name, tree in events(play.client) if name == "error"]
        assert error["error"]["type"] == "overloaded_error"
    record = members(play.finish.record)
    assert (record["status"], record["no_capacity"]["reason"]) == (200, "late")
    assert replay(record, play.policies).verdict == "identical"


def test_before_the_first_byte_of_an_answer_it_is_503() -> None:
    play = Play(policy()).ask({**ASK, "messages": [{"role": "user", "content": "hi"}]})
    play.tell(ResponseStarted(200, "application/json"))
    message = {"role": "assistant", "content": "all is well"}
    tree = {"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    play.tell(DataReceived(json.dumps(tree).encode()))
    if play.pending is None:
        play.tell(ResponseEnded())
    play.answer_scan(short(Shortage.GONE))
    assert (play.head.status, play.finish.outcome) == (503, "no_capacity")
    assert replay(play.finish.record, play.policies).verdict == "identical"


def test_a_check_that_only_shadow_rules_name_stops_nothing() -> None:
    """It decides nothing, so its silence may not either; the record says that it failed."""
    play = asked(Play(policy("block, mode: shadow")))
    play.answer_scan(short())
    play.scan()
    assert any(isinstance(command, SendUpstream) for command in play.done)
    assert not any(isinstance(command, SendHead) for command in play.done)


def test_a_check_that_fails_is_still_the_policys_to_decide() -> None:
    play = asked(Play(policy(more="on_error: flag\n")))
    play.answer_scan(Scan((), 0, 0, "OSError"))
    assert any(isinstance(command, SendUpstream) for command in play.done)
    play = asked(Play(policy()))
    play.answer_scan(Scan((), 0, 0, "OSError"))
    assert (play.head.status, play.finish.outcome) == (400, "blocked_request")


def test_under_other_policies_it_cannot_be_told() -> None:
    play = asked(Play(policy()))
    play.answer_scan(short())
    record = {**members(play.finish.record), "policies": "sha256:other"}
    assert replay(record, play.policies).verdict == "not replayable"


def test_a_schema_that_could_not_be_judged_is_no_verdict_on_the_request() -> None:
    shaped = policy_set(
        "policy: p\nchecks: {shape: {use: json_schema, schema: from_request}}\n"
        "rules: [{id: r, on: response, when: shape, action: block}]\n"
    )
    schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    play = Play(shaped)
    play.tell(RequestReceived(json.dumps({**ASK, "response_format": schema}).encode()))
    assert play.pending
    play.answer_scan(*(short() for _ in play.pending.jobs))
    assert play.upstream is None
    assert play.head.status == 503
