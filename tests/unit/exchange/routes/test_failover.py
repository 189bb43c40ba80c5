"""The next destination after a failure: what leads to it, up to which byte, and what the client and the record see.

LiteLLM#6957, #6532, #5512 and #19077 are reports of another gateway that falls back after bytes of a stream went out, or not
at all.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.errors import ErrorCode
from guardproxy.exchange import (
    Input,
    RequestReceived,
    ResponseEnded,
    ResponseStarted,
    SendUpstream,
    UpstreamFailed,
    Waited,
)
from guardproxy.exchange.inputs.transcript import DataReceived, Finish, SendData, SendHead
from guardproxy.exchange.routes.failover import BLOCKED, FAILED, causes
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.policy.file.load import build_checks, parse
from guardproxy.replay import rerun
from tests.kit.play import CHAT, MESSAGES, Play, chat_frames, chat_texts, cut, message_frames, policy_set, sse
from tests.kit.records import replay
from tests.kit.retry import POLICY as SHAPE
from tests.kit.retry import RIGHT, RULE, Attempts, ask, whole
from tests.kit.supervisor import FakeScorer

READ = """\
policy: p
checks:
  word: {use: pattern, words: [falcon]}
rules:
  - {id: words, when: word, action: redact, restore: true}
"""
UNREAD = "policy: p\nrules: [{id: watch, when: check_error, action: flag}]\n"
ROUTE = """\
route:
  upstreams:
    - {upstream: a}
    - {upstream: b, priority: 1}
    - {upstream: c, model: other, priority: 2}
  fallback: {on: [error, timeout, 429, block], attempts: 2}
"""
BODY = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "a falcon"}]}
STREAMED = BODY | {"stream": True}
JSON, SSE = "application/json", "text/event-stream"
ERROR = json.dumps({"error": {"message": "no", "type": "server_error", "code": None}}).encode()
AZURE = json.dumps(
    {"error": {"message": "filtered", "type": None, "code": "content_filter", "param": "prompt"}}
).encode()
STOPPED = whole("").replace(b'"stop"', b'"content_filter"')


class Trip(Play):
    """An exchange with a route, and what its upstreams say."""

    def __init__(self, body: Any = None, policy: str = READ, route: str = ROUTE, where: str = CHAT) -> None:
        super().__init__(policy_set(policy + route), where)
        self.ask(body or BODY)

    def hear(self, *inputs: Input) -> Trip:
        """Inputs of the upstream, each with the scans that follow. Those of an answer that was discarded do not come."""
        before = len(self.sent)
        for event in inputs:
            if len(self.sent) > before:
                break
            self.tell(event)
            self.scan()
        return self

    def answer(self, data: bytes, status: int = 200, media: str = JSON) -> Trip:
        return self.hear(ResponseStarted(status, media), DataReceived(data), ResponseEnded())

    def stream(self, chunks: Any, *last: Input) -> Trip:  # type: ignore[override]
        return self.hear(ResponseStarted(200, SSE), *map(DataReceived, chunks), *(last or (ResponseEnded(),)))

    @property
    def sent(self) -> list[SendUpstream]:
        return [command for command in self.done if isinstance(command, SendUpstream)]

    @property
    def asked(self) -> list[str]:
        return [command.target for command in self.sent]

    @property
    def attempts(self) -> list[tuple[str, str]]:
        """What was asked, and what became of the answer."""
        return [(attempt.get("upstream", ""), attempt["decision"]) for attempt in self.record.get("attempts", [])]

    def replays(self) -> bool:
        return replay(self.finish.record, self.policies).verdict == "identical"


FAILURES: dict[str, list[Input]] = {
    "dies before its head": [UpstreamFailed(ErrorCode.UPSTREAM_FAILED, "closed")],
    "cannot be reached": [UpstreamFailed(ErrorCode.UPSTREAM_UNREACHABLE, "refused")],
    "has an open breaker": [UpstreamFailed(ErrorCode.UPSTREAM_UNAVAILABLE, "open", 503)],
    "hangs": [UpstreamFailed(ErrorCode.UPSTREAM_TIMEOUT, "late", 504)],
    "refuses the key of the proxy": [UpstreamFailed(ErrorCode.UPSTREAM_KEY_REFUSED, "401")],
    "answers 429": [ResponseStarted(429, JSON)],
    "answers 500": [ResponseStarted(500, JSON)],
    "answers 529": [ResponseStarted(529, JSON)],
    "answers with a page": [ResponseStarted(200, "text/html")],
    "answers half a body": [
        ResponseStarted(200, JSON),
        DataReceived(whole("hello")[:20]),
        UpstreamFailed(ErrorCode.UPSTREAM_TRUNCATED, "cut"),
    ],
    "answers with no JSON": [ResponseStarted(200, JSON), DataReceived(b"<html>"), ResponseEnded()],
    "filters the answer": [ResponseStarted(200, JSON), DataReceived(STOPPED), ResponseEnded()],
    "filters the request": [ResponseStarted(400, JSON), DataReceived(AZURE), ResponseEnded()],
    "ends a stream before a text": [
        ResponseStarted(200, SSE),
        DataReceived(chat_frames([{"role": "assistant", "content": ""}])[0]),
        UpstreamFailed(ErrorCode.UPSTREAM_TRUNCATED, "cut"),
    ],
    "begins a stream with an error": [
        ResponseStarted(200, SSE),
        DataReceived(chat_frames([{"role": "assistant", "content": ""}])[0]),
        DataReceived(sse({"error": {"message": "overloaded", "type": "server_error", "code": None}})),
    ],
    "filters a stream": [ResponseStarted(200, SSE), DataReceived(b"".join(chat_frames([], "content_filter")))],
}
UNSEEN = frozenset(
    ("ends a stream before a text", "begins a stream with an error", "filters a stream", "filters the request")
)
"""Failures that show only in what a rule reads: without one, the frames of a stream leave as they come."""


@pytest.mark.parametrize(
    ("failure", "policy"),
    [*((failure, READ) for failure in FAILURES), *((failure, UNREAD) for failure in FAILURES if failure not in UNSEEN)],
)
def test_an_upstream_that_fails_is_followed_by_the_next(failure: str, policy: str) -> None:
    inputs = FAILURES[failure]
    streams = any(isinstance(event, ResponseStarted) and event.media_type == SSE for event in inputs)
    trip = Trip(STREAMED if streams else BODY, policy).hear(*inputs)
    assert trip.asked == ["a", "b"]
    assert not any(isinstance(command, (SendHead, SendData, Finish)) for command in trip.done), "the client saw nothing"
    if streams:
        trip.stream(chat_frames([{"content": "hello"}]))
        assert chat_texts(trip.client)["content0"] == "hello"
    else:
        trip.answer(whole("hello"))
        assert json.loads(trip.client)["choices"][0]["message"]["content"] == "hello"
    assert trip.head.status == 200
    assert [upstream for upstream, _ in trip.attempts] == ["a", "b"]
    assert trip.record["outcome"] == "answered"
    if policy == READ:
        assert trip.replays()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_a_fault_of_the_request_asks_no_other_upstream(status: int) -> None:
    """A wrong model is answered with 404: others would answer the same."""
    trip = Trip().answer(ERROR, status)
    assert (trip.asked, trip.head.status, trip.attempts) == (["a"], status, [])


@pytest.mark.parametrize(
    ("on", "failure", "follows"),
    [
        ("[404]", None, False),
        ("[503]", "answers 500", False),
        ("[500]", "answers 500", True),
        ("[429]", "answers 529", True),
        ("[error]", "answers 429", False),
        ("[error]", "filters the answer", False),
        ("[error]", "filters the request", False),
        ("[timeout]", "hangs", True),
        ("[timeout]", "cannot be reached", False),
        ("[error]", "hangs", False),
    ],
)
def test_only_what_the_policy_names_leads_to_the_next(on: str, failure: str | None, follows: bool) -> None:
    if failure is None:
        with pytest.raises(Exception, match="status 404 is about the request"):
            Trip(route=ROUTE.replace("[error, timeout, 429, block]", on))
        return
    trip = Trip(route=ROUTE.replace("[error, timeout, 429, block]", on)).hear(*FAILURES[failure])
    assert len(trip.asked) == 1 + follows


def test_the_answer_to_the_last_destination_is_what_the_client_gets() -> None:
    trip = Trip().hear(*FAILURES["hangs"]).hear(*FAILURES["answers 500"]).answer(ERROR, 429)
    assert (trip.asked, trip.head.status) == (["a", "b", "c"], 429)
    assert json.loads(trip.sent[2].body)["model"] == "other"
    assert [json.loads(command.body)["model"] for command in trip.sent[:2]] == ["m", "m"]
    assert trip.attempts == [("a", "upstream_timeout"), ("b", "failed"), ("c", "answered")]
    assert trip.record["response"]["status"] == 429
    assert trip.replays()


def test_an_upstream_that_fails_last_is_reported_as_it_failed() -> None:
    trip = Trip().hear(*FAILURES["answers 500"]).hear(*FAILURES["answers 429"]).hear(*FAILURES["hangs"])
    assert (trip.head.status, trip.record["outcome"], trip.record["response"]["status"]) == (
        504,
        "upstream_timeout",
        None,
    )
    assert trip.replays()


@pytest.mark.parametrize("attempts", [0, 1])
def test_attempts_bound_the_further_destinations(attempts: int) -> None:
    trip = Trip(route=ROUTE.replace("attempts: 2", f"attempts: {attempts}"))
    for _ in range(1 + attempts):
        trip.answer(ERROR, 500)
    assert (len(trip.asked), trip.head.status) == (1 + attempts, 500)


def test_edits_stay_and_placeholders_are_restored_whoever_answers() -> None:
    trip = Trip().hear(*FAILURES["answers 500"])
    first, second = (command.body for command in trip.sent)
    assert (b"falcon" in first, first) == (False, second)
    placeholder = json.loads(second)["messages"][0]["content"].removeprefix("a ")
    trip.answer(whole(f"the {placeholder}"))
    assert json.loads(trip.client)["choices"][0]["message"]["content"] == "the falcon"
    assert trip.replays()


@given(st.lists(st.integers(1, 700), max_size=6))
@settings(max_examples=30)
def test_after_a_text_left_a_stream_never_moves(cuts: list[int]) -> None:
    """LiteLLM#6957, #6532: a stream that breaks off ends with a typed error, and no second answer is glued to it."""
    data = b"".join(chat_frames([{"content": "hello "}, {"content": "there, "}])[:-2])
    trip = Trip(STREAMED).stream(cut(data, cuts), UpstreamFailed(ErrorCode.UPSTREAM_TRUNCATED, "cut"))
    texts = chat_texts(trip.client)
    assert (trip.asked, texts["error"]) == (["a"], "upstream_truncated")
    assert texts["content0"].startswith("hello ")
    assert trip.replays()


@given(st.lists(st.integers(1, 700), max_size=6), st.booleans())
@settings(max_examples=30)
def test_what_leads_to_the_next_does_not_depend_on_chunks(cuts: list[int], has_text: bool) -> None:
    frames = chat_frames([{"content": "hello"}] if has_text else [], "content_filter")
    trip = Trip(STREAMED).stream(cut(b"".join(frames), cuts))
    assert trip.asked == (["a"] if has_text else ["a", "b"])


def test_an_error_event_of_messages_leads_to_the_next() -> None:
    """An overloaded upstream answers 200, opens a message, and then says that it is overloaded."""
    opening = message_frames([("text", ["x"])])[:2]
    error = sse({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, "error")
    trip = Trip(STREAMED, where=MESSAGES).stream([*opening, error])
    assert trip.asked == ["a", "b"]
    trip.stream(message_frames([("text", ["hello"])]))
    assert b"hello" in trip.client
    assert trip.replays()


def test_a_client_that_waits_for_a_silent_stream_gets_signs_and_still_the_next_answer() -> None:
    trip = Trip(STREAMED).hear(
        ResponseStarted(200, SSE), DataReceived(chat_frames([{"role": "assistant", "content": ""}])[0])
    )
    assert trip.exchange.patience_s(0.0) == trip.limits.quiet_s
    trip.hear(Waited(trip.limits.quiet_s))
    assert trip.client.startswith(b":")
    trip.hear(UpstreamFailed(ErrorCode.UPSTREAM_TRUNCATED, "cut", at_s=11.0))
    assert trip.asked == ["a", "b"]
    trip.stream(chat_frames([{"content": "hello"}]))
    assert chat_texts(trip.client)["content0"] == "hello"


def test_a_further_attempt_of_a_rule_goes_on_where_the_answer_came_from() -> None:
    """A retry, an upstream that fails meanwhile, and the destination that gets the same feedback."""
    route = ROUTE.replace("upstream: c, model: other", "upstream: c, model: m2")
    attempts = Attempts(policy_set(SHAPE + RULE + route), ask())
    attempts.answer(ERROR, status=500).say("Sure!").answer(ERROR, status=503).say(RIGHT)
    assert [command.target for command in attempts.sent] == ["a", "b", "b", "c"]
    assert [body["model"] for body in attempts.bodies] == ["m", "m", "m", "m2"]
    assert attempts.bodies[3]["messages"] == attempts.bodies[2]["messages"], "the feedback is not lost"
    assert len(attempts.bodies[2]["messages"]) > len(attempts.bodies[1]["messages"])
    decisions = [attempt["decision"] for attempt in attempts.play.record["attempts"]]
    assert decisions == ["failed", "retry", "failed", "answered"]
    assert replay(attempts.play.finish.record, attempts.play.policies).verdict == "identical"


def test_what_a_rule_asks_for_names_the_model_of_its_destination() -> None:
    """The destination that answered has another model than the first. Neither a retry there nor a fallback that names an
    upstream alone goes on with the model of the one that failed."""
    rule = RULE.replace("attempts: 2", "attempts: 1, then: fallback, fallback: {upstream: big}")
    route = "route: {upstreams: [{upstream: a, model: m1}, {upstream: b, model: m2, priority: 1}]}\n"
    attempts = Attempts(policy_set(SHAPE + rule + route), ask())
    attempts.answer(ERROR, status=500).say("Sure!").say("No!").say(RIGHT)
    assert [command.target for command in attempts.sent] == ["a", "b", "b", "big"]
    assert [body["model"] for body in attempts.bodies] == ["m1", "m2", "m2", "m2"]
    assert [attempt["model"] for attempt in attempts.play.record["attempts"]] == ["m1", "m2", "m2", "m2"]
    assert replay(attempts.play.finish.record, attempts.play.policies).verdict == "identical"


def test_after_the_fallback_of_a_rule_no_route_is_followed() -> None:
    rule = RULE.replace("attempts: 2", "attempts: 1, then: fallback, fallback: {upstream: big}")
    attempts = Attempts(policy_set(SHAPE + rule + ROUTE), ask())
    attempts.say("Sure!").say("No!").answer(ERROR, status=500)
    assert [command.target for command in attempts.sent] == ["a", "a", "big"]
    assert attempts.over


@pytest.mark.parametrize(
    ("reason", "status", "expected"),
    [
        (FAILED, 429, {"429"}),
        (FAILED, 529, {"529", "429", "error"}),
        (FAILED, 504, {"504", "error", "timeout"}),
        (FAILED, 408, {"408", "timeout"}),
        (FAILED, None, set()),
        (BLOCKED, 200, {"block"}),
        (ErrorCode.UPSTREAM_TIMEOUT, None, {"timeout"}),
        (ErrorCode.NO_CAPACITY, None, set()),
        (ErrorCode.HOLD_LIMIT, 200, set()),
        ("late", 200, set()),
    ],
)
def test_which_causes_a_failure_has(reason: str, status: int | None, expected: set[str]) -> None:
    assert set(causes(reason, status)) == expected


PARALLEL = """\
policy: p
checks:
  attack: {use: supervisor, label: injection}
rules:
  - {id: beside, on: request, when: attack, action: block, parallel: true}
"""


@pytest.mark.parametrize("policy", [READ, PARALLEL], ids=["scanning", "checking"])
def test_a_request_that_is_not_judged_yet_goes_nowhere_else(policy: str) -> None:
    parsed = (parse(policy + ROUTE, "p.yaml"),)
    checks = build_checks(parsed, Resources(scorer=lambda name: FakeScorer(lambda text, output: 1.0)))
    play = Play(PolicySet(parsed, checks, ""))
    play.tell(RequestReceived(json.dumps(BODY).encode()))
    assert play.pending, "its checks have not answered"
    play.tell(UpstreamFailed(ErrorCode.UPSTREAM_FAILED, "closed"))
    assert [command for command in play.done if isinstance(command, SendUpstream) and command.target != "a"] == []
    assert any(isinstance(command, Finish) for command in play.done)


def test_a_request_that_was_judged_beside_the_upstream_goes_on() -> None:
    parsed = (parse(PARALLEL + ROUTE, "p.yaml"),)
    checks = build_checks(parsed, Resources(scorer=lambda name: FakeScorer(lambda text, output: 0.0)))
    play = Play(PolicySet(parsed, checks, "")).ask(BODY)
    play.tell(UpstreamFailed(ErrorCode.UPSTREAM_FAILED, "closed"))
    bodies = [command.body for command in play.done if isinstance(command, SendUpstream)]
    assert len(bodies) == 2
    assert bodies[0] == bodies[1]


def test_the_record_says_why_each_upstream_failed_and_replays() -> None:
    trip, given = Trip(), iter(("certificate", "tls_timeout", "refused", "dns"))
    causes = []
    while not trip.exchange.is_over:
        causes.append(next(given))
        trip.tell(UpstreamFailed(ErrorCode.UPSTREAM_UNREACHABLE, "no", cause=causes[-1]))
    assert len(causes) > 1
    recorded = [attempt.get("cause") for attempt in trip.record["attempts"]]
    assert recorded == [*causes[:-1], None], "that of the last is in the error"
    assert trip.record["error"]["cause"] == causes[-1]
    assert trip.replays()
    again = rerun(trip.finish.record, trip.policies)
    assert not isinstance(again, str)
    assert again.record.error == trip.finish.record.error
    assert [attempt.cause for attempt in again.record.attempts] == [*causes[:-1], ""]
