"""Plans: where a request goes, in the body and in the command, recorded and replayed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardproxy.audit.record import RecordedPlan
from guardproxy.decisions import Plan
from guardproxy.exchange import Exchange, Input, each, play
from guardproxy.exchange.inputs.transcript import (
    DataReceived,
    RequestReceived,
    ResponseEnded,
    ResponseStarted,
    SendUpstream,
)
from guardproxy.policy import PolicySet
from tests.kit.form_chat import CODEC as FORM_CHAT
from tests.kit.play import CHAT, MESSAGES, Play, chat_frames, policy_set, setting
from tests.kit.records import replay
from tests.kit.retry import PERSON as SCHEMA
from tests.kit.retry import POLICY, RIGHT, Attempts, ask, whole

WATCH = """\
policy: p
checks:
  word: {use: pattern, words: [falcon]}
rules:
  - {id: words, when: word, action: redact, restore: true}
"""
BODY: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "a falcon"}]}


def planned(*plans: Plan, route: str = CHAT, body: Any = None) -> Play:
    return Play(policy_set(WATCH), route).ask(body or BODY, *plans)


def sent(play: Play) -> SendUpstream:
    (command,) = [command for command in play.done if isinstance(command, SendUpstream)]
    return command


@pytest.mark.parametrize("route", [CHAT, MESSAGES])
def test_a_plan_names_upstream_model_and_parameters(route: str) -> None:
    play = planned(Plan("eu", "small", {"temperature": 0}, "cheaper"), route=route)
    assert sent(play).target == "eu"
    assert play.upstream["model"] == "small"
    assert play.upstream["temperature"] == 0
    assert play.upstream["max_tokens"] == 9
    assert "falcon" not in sent(play).body.decode(), "edits are in the planned body"


def test_without_a_plan_the_body_goes_on_byte_for_byte() -> None:
    body = {**BODY, "messages": [{"role": "user", "content": "nothing"}]}
    assert sent(planned(body=body)).body == json.dumps(body).encode()
    command = sent(planned(Plan(upstream="eu"), body=body))
    assert (command.body, command.target) == (json.dumps(body).encode(), "eu")


def test_the_highest_priority_decides() -> None:
    play = planned(Plan(model="low", priority=1), Plan(model="high", priority=2), Plan("eu"))
    assert (play.upstream["model"], sent(play).target) == ("high", "eu")


def test_the_plan_is_in_the_record_and_replays_identically() -> None:
    play = planned(Plan("eu", "small", {"temperature": 0}, "cheaper", 4))
    record = play.stream(chat_frames([{"content": "a falcon"}])).finish.record
    assert record.plan == RecordedPlan(upstream="eu", model="small", parameters={"temperature": 0}, reason="cheaper")
    assert record.model == "m", "what the client asked for"
    assert replay(record, policy_set(WATCH)).verdict == "identical"


def test_a_record_without_a_plan_says_nothing_of_it() -> None:
    assert planned().stream(chat_frames([{"content": "x"}])).finish.record.plan is None


def test_a_further_attempt_goes_where_the_first_went() -> None:
    policies = policy_set(POLICY + "  - {id: shape, on: response, when: shape, action: retry, attempts: 1}\n")
    attempts = Attempts(policies, ask(), plan=Plan("eu", "small"))
    attempts.say("Sure!").say(RIGHT)
    assert [command.target for command in attempts.sent] == ["eu", "eu"]
    assert [body["model"] for body in attempts.bodies] == ["small", "small"]
    assert replay(attempts.play.record, policies).verdict == "identical"


def test_a_fallback_is_a_plan_that_keeps_what_it_does_not_name() -> None:
    rule = "action: retry, attempts: 1, then: fallback, fallback: {model: large}"
    policies = policy_set(POLICY + f"  - {{id: shape, on: response, when: shape, {rule}}}\n")
    attempts = Attempts(policies, ask(), plan=Plan("eu", "small", {"temperature": 0}, priority=7))
    attempts.say("Sure!").say("No!")
    assert [command.target for command in attempts.sent] == ["eu", "eu", "eu"]
    assert [body["model"] for body in attempts.bodies] == ["small", "small", "large"]
    assert [body["temperature"] for body in attempts.bodies] == [0, 0, 0]


def form_chat(policies: PolicySet, *plans: Plan) -> list[SendUpstream]:
    """The requests that a chat as a form leads to. The model says `No!` to each."""
    exchange = Exchange(setting(policies, "POST /models/{model}/chat", path="/models/m/chat", codec=FORM_CHAT))
    body = FORM_CHAT.write_body({key: value for key, value in ask(schema=SCHEMA).items() if key != "model"})
    answer: list[Input] = [ResponseStarted(200, "application/json"), DataReceived(whole("No!")), ResponseEnded()]
    inputs: list[Input] = [RequestReceived(body, plans=plans), *answer * 3]
    done = play(exchange, inputs, each(lambda job: job.check.scan([job.window])[0]))
    return [command for command in done if isinstance(command, SendUpstream)]


def test_a_model_in_the_path_changes_the_path() -> None:
    (command, *_) = form_chat(policy_set(WATCH), Plan(model="small", parameters={"temperature": 0}))
    assert command.path == "/models/small/chat"
    assert FORM_CHAT.read_body(command.body)["temperature"] == 0
    (unplanned, *_) = form_chat(policy_set(WATCH))
    assert unplanned.path == ""


def test_a_fallback_in_the_path_follows_the_attempts_of_the_plan() -> None:
    rule = "action: retry, attempts: 1, then: fallback, fallback: {model: large}"
    policies = policy_set(POLICY + f"  - {{id: shape, on: response, when: shape, {rule}}}\n")
    plan = Plan(model="small")
    assert [command.path for command in form_chat(policies, plan)] == [
        *["/models/small/chat"] * 2,
        "/models/large/chat",
    ]
    assert [command.path for command in form_chat(policies)] == ["", "", "/models/large/chat"]
    again = FORM_CHAT.read_body(form_chat(policies)[1].body)
    assert again["messages"][1] == {"role": "assistant", "content": "No!"}, "a further attempt is a form as well"


def test_edits_of_a_body_that_is_a_form_are_written_as_a_form() -> None:
    body = {"messages": [{"role": "user", "content": "a falcon"}]}
    exchange = Exchange(setting(policy_set(WATCH), "POST /models/{model}/chat", path="/models/m/chat", codec=FORM_CHAT))
    done = play(
        exchange,
        [RequestReceived(FORM_CHAT.write_body(body))],
        each(lambda job: job.check.scan([job.window])[0]),
    )
    (command,) = [command for command in done if isinstance(command, SendUpstream)]
    assert "falcon" not in str(FORM_CHAT.read_body(command.body))
    assert FORM_CHAT.read_body(command.body)["messages"][0]["content"].startswith("a [")
