"""Answers that are discarded: what is sent again, what the client sees, what is held, how it ends."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.errors import ErrorCode
from guardproxy.exchange.inputs.setting import ExchangeLimits
from guardproxy.exchange.inputs.transcript import (
    CancelUpstream,
    DataReceived,
    ResponseEnded,
    ResponseStarted,
    RunScans,
    SendData,
    SendHead,
    SendUpstream,
    UpstreamFailed,
    Waited,
)
from tests.kit.checks import promise
from tests.kit.play import (
    CHAT,
    MESSAGES,
    Play,
    chat_frames,
    chat_texts,
    events,
    message_frames,
    message_texts,
    pieces,
    policy_set,
)
from tests.kit.records import replay
from tests.kit.retry import PERSON, POLICY, RIGHT, RULE, Attempts, ask, streamed, ticking, whole

WRONG = ["Sure!", '{"name": "Mara", "age": "old"}', '{"name": "Mara", "height": 1}', '{"name": "Mara"}', '{"name": "Ma']
RETRY = policy_set(POLICY + RULE)


def with_rule(rule: str, more: str = "") -> Any:
    text = POLICY + f"  - {{id: shape, on: response, when: shape, {rule}}}\n"
    return policy_set(text.replace("rules:", more + "rules:", 1))


def text_of(attempts: Attempts) -> str:
    """What the client was told."""
    client, route = attempts.play.client, attempts.play.exchange.setting.address.route
    if attempts.stream:
        return (message_texts(client).get("block0") if route == MESSAGES else chat_texts(client).get("content0")) or ""
    tree = json.loads(client)
    return str(tree["content"][0]["text"] if route == MESSAGES else tree["choices"][0]["message"]["content"])


@pytest.mark.parametrize("route", [CHAT, MESSAGES])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_answer_is_discarded_and_the_right_one_is_sent(route: str, stream: bool, wrong: str) -> None:
    attempts = Attempts(RETRY, ask(route, stream=stream), route).say(wrong)
    assert not [one for one in attempts.play.done if isinstance(one, (SendHead, SendData))], "nothing was sent"
    assert attempts.say(RIGHT).over
    assert text_of(attempts) == RIGHT
    assert len(attempts.sent) == 2
    assert attempts.sent[1].attempt == 1
    record = attempts.play.record
    assert record["outcome"] == "answered"
    assert [one["decision"] for one in record["attempts"]] == ["retry", "answered"]
    assert replay(record, RETRY).verdict == "identical"


@pytest.mark.parametrize("stream", [False, True])
def test_a_right_answer_is_as_it_came(stream: bool) -> None:
    attempts = Attempts(RETRY, ask(stream=stream)).say(RIGHT)
    assert attempts.play.client == (streamed(RIGHT) if stream else whole(RIGHT))
    assert "attempts" not in attempts.play.record


@pytest.mark.parametrize("stream", [False, True])
def test_in_the_end_it_is_blocked(stream: bool) -> None:
    attempts = Attempts(RETRY, ask(stream=stream))
    for _ in range(3):
        attempts.say(WRONG[1])
    assert attempts.play.head.status == 400
    assert json.loads(attempts.play.client)["error"]["code"] == "content_filter"
    record = attempts.play.record
    assert record["outcome"] == "blocked_response"
    assert [one["decision"] for one in record["attempts"]] == ["retry", "retry", "blocked_response"]
    assert replay(record, RETRY).verdict == "identical"


def test_upstream_is_told_to_stop_as_soon_as_the_answer_is_wrong() -> None:
    attempts = Attempts(RETRY, ask(stream=True))
    data = streamed('{"name": 5, "age": 41}' + " " * 900)
    attempts.answer(data, range(0, len(data), 50))
    assert CancelUpstream() in attempts.play.done
    attempts.say(RIGHT)
    record = attempts.play.record
    first, last = record["attempts"]
    assert first["cut"]
    assert not last["cut"]
    assert first["output_tokens"] < last["output_tokens"]
    assert record["saved"]["tokens"] == 0, "a right answer says nothing about the length of a wrong one"
    assert first["errors"] == [{"place": "name", "expected": "a string", "found": "a number"}]


def test_what_was_saved_has_a_price() -> None:
    attempts = Attempts(with_rule("action: retry, price: 1000000"), ask(stream=True))
    data = streamed('{"name": 5, "age": 41}' + " " * 900)
    attempts.answer(data, range(0, len(data), 50))
    attempts.say('{"name": "a name that is long enough to be longer"}').say(RIGHT)
    record = attempts.play.record
    short, longer, _ = record["attempts"]
    saved = record["saved"]
    assert saved["money"] == saved["tokens"] == longer["output_tokens"] - short["output_tokens"] > 0


def test_the_model_is_told_what_is_wrong_in_the_words_of_the_policy() -> None:
    rule = 'action: retry, template: "Once more. {errors}"'
    attempts = Attempts(with_rule(rule), ask(stream=True)).say(WRONG[1])
    own, told = attempts.bodies[1]["messages"][1:]
    assert own == {"role": "assistant", "content": '{"name": "Mara", "age": "'}
    assert told["content"] == "Once more. - at `age`: expected a number, found a string"


MAIL = "mara@" + "example.com"
MAILS = "  mail: {use: pii, entities: [EMAIL_ADDRESS]}\n"


@pytest.mark.parametrize("stream", [False, True])
def test_any_check_can_ask_again_and_what_it_found_is_not_repeated(stream: bool) -> None:
    policies = policy_set(
        POLICY.replace("rules:", MAILS + "rules:") + "  - {id: mail, on: response, when: mail, action: retry}\n"
    )
    attempts = Attempts(policies, ask(stream=stream, schema=None))
    attempts.say(f"Write to {MAIL} please.").say("I may not say.")
    assert text_of(attempts) == "I may not say."
    own, told = attempts.bodies[1]["messages"][1:]
    assert own["content"].startswith("Write to [EMAIL_ADDRESS_")
    assert own["content"].endswith("]" if stream else "] please.")
    assert "it contains this: email address" in told["content"]
    assert MAIL not in attempts.play.finish.record.to_json().decode()
    assert replay(attempts.play.record, policies).verdict == "identical"


def test_the_strongest_decision_wins() -> None:
    rules = "  - {id: one, on: response, when: shape, action: retry}\n  - {id: two, on: response, when: shape, action: block}\n"
    for text in (POLICY + rules, POLICY + "".join(reversed(rules.splitlines(keepends=True)))):
        attempts = Attempts(policy_set(text), ask()).say(WRONG[0])
        assert attempts.play.head.status == 400
        assert len(attempts.sent) == 1


def test_a_shadow_rule_asks_nobody() -> None:
    attempts = Attempts(with_rule("action: retry, mode: shadow"), ask(stream=True)).say(WRONG[0])
    assert text_of(attempts) == WRONG[0]
    assert attempts.play.record["shadow"] == ["shape"]


def test_findings_of_a_discarded_answer_do_not_count_for_the_next() -> None:
    both = policy_set(
        POLICY.replace("rules:", "  a: {use: pattern, words: [apple]}\n  b: {use: pattern, words: [pear]}\nrules:")
        + "  - {id: shape, on: response, when: shape, action: retry}\n"
        + "  - {id: fruit, on: response, when: a and b, action: block}\n"
    )
    attempts = Attempts(both, ask()).say('{"name": "apple", "age": ""}').say('{"name": "pear", "age": 1}')
    assert text_of(attempts) == '{"name": "pear", "age": 1}'


# Budgets.


@pytest.mark.parametrize("stream", [False, True])
def test_the_time_is_a_budget(stream: bool) -> None:
    policies = with_rule("action: retry, attempts: 9, total_s: 2")
    attempts = Attempts(policies, ask(stream=stream), clock=ticking(0.3))
    while not attempts.over:
        attempts.say(WRONG[0])
    assert 1 <= len(attempts.sent) <= 3
    assert attempts.play.record["outcome"] == "blocked_response"
    assert replay(attempts.play.finish.record, policies).verdict == "identical"


def test_the_tokens_are_a_budget() -> None:
    policies = with_rule("action: retry, attempts: 9, total_tokens: 9")
    attempts = Attempts(policies, ask())
    while not attempts.over:
        attempts.say(WRONG[0])
    assert len(attempts.sent) == 2, "5 tokens an answer"
    assert replay(attempts.play.record, policies).verdict == "identical"
    cut_off = Attempts(policies, ask(stream=True)).say(WRONG[0])
    assert cut_off.over, "what was cut off is estimated, the question included"


def test_a_further_attempt_that_takes_too_long_is_ended() -> None:
    policies = with_rule("action: retry, total_s: 5")
    attempts = Attempts(policies, ask(stream=True)).say(WRONG[0])
    exchange = attempts.play.exchange
    assert exchange.patience_s(1.0) == 4.0
    assert attempts.play.tell(Waited(4.0)) == []
    attempts.play.tell(Waited(5.0))
    assert attempts.play.head.status == 400
    assert attempts.play.record["attempts"][-1]["decision"] == "late"
    assert replay(attempts.play.finish.record, policies).verdict == "identical"


def test_late_in_the_middle_of_an_answer() -> None:
    policies = with_rule("action: retry, total_s: 5")
    attempts = Attempts(policies, ask(stream=True), limits=ExchangeLimits(quiet_s=3.0)).say(WRONG[0])
    play = attempts.play
    play.tell(ResponseStarted(200, "text/event-stream", 1.0))
    play.tell(DataReceived(streamed(RIGHT)[:300], 1.0))
    play.scan()
    play.tell(Waited(3.0))
    play.tell(Waited(5.0))
    assert play.record["outcome"] == "blocked_response"
    assert chat_texts(play.client) == {"finish0": "content_filter", "done": "!"}
    assert replay(play.finish.record, policies).verdict == "identical"


# What comes then.


@pytest.mark.parametrize("stream", [False, True])
def test_a_flagged_answer_passes_whole(stream: bool) -> None:
    policies = with_rule("action: retry, attempts: 1, then: pass_flagged")
    attempts = Attempts(policies, ask(stream=stream)).say(WRONG[1]).say(WRONG[2])
    assert text_of(attempts) == WRONG[2]
    assert attempts.play.record["rules"] == ["shape"]
    assert replay(attempts.play.record, policies).verdict == "identical"


FALLBACK = "action: retry, attempts: 1, then: fallback, fallback: {model: big, upstream: backup}"


@pytest.mark.parametrize("stream", [False, True])
def test_another_model_is_asked_what_the_first_was(stream: bool) -> None:
    policies = with_rule(FALLBACK)
    attempts = Attempts(policies, ask(stream=stream)).say(WRONG[1]).say(WRONG[1]).say(RIGHT)
    assert text_of(attempts) == RIGHT
    assert [one.target for one in attempts.sent] == ["", "", "backup"]
    assert attempts.bodies[2] == {**attempts.bodies[0], "model": "big"}
    assert [one["decision"] for one in attempts.play.record["attempts"]] == ["retry", "fallback", "answered"]
    assert replay(attempts.play.record, policies).verdict == "identical"
    again = Attempts(policies, ask(stream=stream)).say(WRONG[1]).say(WRONG[1]).say(WRONG[1])
    assert again.play.head.status == 400


def test_an_upstream_without_another_model_gets_the_same_body() -> None:
    policies = with_rule("action: retry, attempts: 1, then: fallback, fallback: {upstream: backup}")
    attempts = Attempts(policies, ask()).say(WRONG[1]).say(WRONG[1])
    assert attempts.sent[2].body == attempts.sent[0].body


def test_a_further_attempt_that_fails_falls_back_or_fails() -> None:
    policies = with_rule(FALLBACK)
    error = json.dumps({"error": {"message": "no"}}).encode()
    for how in ("status", "connection", "stream", "late"):
        attempts = Attempts(policies, ask(stream=True), clock=ticking(0.1)).say(WRONG[1])
        if how == "status":
            attempts.answer(error, status=500)
        elif how == "connection":
            attempts.play.tell(UpstreamFailed(ErrorCode.UPSTREAM_UNREACHABLE, "no"))
        elif how == "late":
            attempts.play.tell(Waited(500.0))
        else:
            attempts.answer(b"data: {\n\n")
        assert attempts.sent[-1].target == "backup", how
        assert attempts.play.exchange.patience_s(0.0) is not None or how == "status"
        attempts.say(RIGHT)
        assert text_of(attempts) == RIGHT
        assert replay(attempts.play.finish.record, policies).verdict == "identical", how
    attempts = Attempts(RETRY, ask(stream=True)).say(WRONG[1]).answer(error, status=500)
    assert attempts.play.head.status == 500
    attempts = Attempts(RETRY, ask(stream=True)).say(WRONG[1])
    attempts.play.tell(UpstreamFailed(ErrorCode.UPSTREAM_UNREACHABLE, "no"))
    assert attempts.play.head.status == 502


def test_an_error_is_no_answer_to_correct() -> None:
    policies = policy_set(
        POLICY.replace("rules:", MAILS + "rules:") + "  - {id: mail, on: response, when: mail, action: retry}\n"
    )
    error = json.dumps({"error": {"message": f"ask {MAIL}"}}).encode()
    attempts = Attempts(policies, ask()).answer(error, status=500)
    assert attempts.play.head.status == 400
    assert len(attempts.sent) == 1


# What is held.


def test_a_block_for_the_shape_holds_the_answer_too() -> None:
    policies = with_rule("action: block")
    attempts = Attempts(policies, ask(stream=True)).say('{"name": "Mara"}')
    assert attempts.play.head.status == 400
    early = Attempts(with_rule("action: block, early: true"), ask(stream=True)).say('{"name": "Mara"}')
    assert chat_texts(early.play.client) == {"content0": '{"name": "Mara"', "finish0": "content_filter", "done": "!"}


def test_an_answer_that_nothing_is_asked_of_streams_as_ever() -> None:
    attempts = Attempts(RETRY, ask(stream=True, schema=None))
    attempts.answer(streamed("Hello there")[:400])
    assert [one for one in attempts.play.done if isinstance(one, SendData)]


@pytest.mark.parametrize("text", ['{"name": 5}', '{"name": "Mara", "age": "x"}', '{"name": "Mara", "age": 1, '])
def test_early_streams_what_is_right_and_ends_with_an_error(text: str) -> None:
    policies = with_rule("action: retry, early: true")
    attempts = Attempts(policies, ask(stream=True)).say(text)
    texts = chat_texts(attempts.play.client)
    assert text.startswith(texts["content0"])
    assert texts["error"] == "invalid_answer"
    assert len(attempts.sent) == 1
    assert replay(attempts.play.record, policies).verdict == "identical"


def test_early_corrects_a_fault_at_the_very_beginning() -> None:
    policies = with_rule("action: retry, early: true")
    for stream in (False, True):
        attempts = Attempts(policies, ask(stream=stream)).say("Sure!").say(RIGHT)
        assert text_of(attempts) == RIGHT
        assert replay(attempts.play.record, policies).verdict == "identical"
    attempts = Attempts(policies, ask(MESSAGES, stream=True), MESSAGES).say('{"name": "Mara", "age": 1')
    texts = message_texts(attempts.play.client)
    assert texts["block0"] == '{"name": "Mara", "age": '
    assert "error" in texts


def test_held_text_has_a_limit() -> None:
    attempts = Attempts(RETRY, ask(stream=True), limits=ExchangeLimits(held_chars=20)).say(RIGHT)
    assert attempts.play.record["outcome"] == "hold_limit"
    assert attempts.play.head.status == 502


@pytest.mark.parametrize("route", [CHAT, MESSAGES])
def test_signs_of_life_while_an_answer_is_held(route: str) -> None:
    attempts = Attempts(RETRY, ask(route, stream=True), route, limits=ExchangeLimits(quiet_s=2.0))
    play, exchange = attempts.play, attempts.play.exchange
    assert exchange.patience_s(0.0) is None, "until the upstream answers, nothing is different"
    play.tell(ResponseStarted(200, "text/event-stream", 1.0))
    play.tell(DataReceived(streamed("{", route)[:250], 1.5))
    assert exchange.patience_s(2.0) == 1.0
    assert play.tell(Waited(2.5)) == []
    head, sign = play.tell(Waited(3.0))
    assert isinstance(head, SendHead)
    assert isinstance(sign, SendData)
    assert [name for name, _ in events(sign.data)] == ([] if route == CHAT else ["ping"])
    assert len(play.tell(Waited(5.0))) == 1
    attempts = Attempts(RETRY, ask(route, stream=True), route, limits=ExchangeLimits(quiet_s=2.0)).say("no")
    play = attempts.play
    assert play.exchange.patience_s(0.0) == 2.0, "the client waits for the next attempt as well"
    assert len(play.tell(Waited(2.0))) == 2
    for _ in range(2):
        attempts.say("no")
    assert play.record["outcome"] == "blocked_response"
    assert play.record["status"] == 200
    texts = message_texts(play.client) if route == MESSAGES else chat_texts(play.client)
    assert texts.get("stop", texts.get("finish0")) in ("refusal", "content_filter")
    assert replay(play.finish.record, RETRY).verdict == "identical"


def test_after_a_sign_of_life_failures_are_events_and_the_answer_must_be_a_stream() -> None:
    for data, status in ((whole(RIGHT), 200), (b'{"error": {"message": "no"}}', 500)):
        attempts = Attempts(RETRY, ask(stream=True), limits=ExchangeLimits(quiet_s=2.0)).say("no")
        attempts.play.tell(Waited(2.0))
        attempts.stream = status == 500
        attempts.answer(data, status=status)
        assert chat_texts(attempts.play.client)["error"] in ("upstream_content_type", "upstream_error")


def test_a_whole_answer_has_no_signs_of_life() -> None:
    attempts = Attempts(RETRY, ask(), limits=ExchangeLimits(quiet_s=2.0)).say("no")
    assert attempts.play.exchange.patience_s(1.0) == 119.0
    assert attempts.play.tell(Waited(10.0)) == []


# Answers that say nothing.

OWN = policy_set(POLICY.replace("from_request", "{inline: " + json.dumps(PERSON) + "}") + RULE)


@pytest.mark.parametrize("route", [CHAT, MESSAGES])
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_without_a_word_is_wrong_too(route: str, stream: bool) -> None:
    attempts = Attempts(RETRY, ask(route, stream=stream), route).say("").say(RIGHT)
    assert len(attempts.sent) == 2
    assert text_of(attempts) == RIGHT
    assert attempts.play.record["attempts"][0]["errors"][0]["found"] == "a text that ends early"
    assert replay(attempts.play.record, RETRY).verdict == "identical"


def test_a_stream_without_its_last_frame_says_nothing_either() -> None:
    attempts = Attempts(RETRY, ask(stream=True))
    attempts.answer(streamed("").removesuffix(b"data: [DONE]\n\n"))
    assert len(attempts.sent) == 2


def test_a_count_of_tokens_is_no_answer() -> None:
    route = "POST /v1/messages/count_tokens"
    for policies in (RETRY, OWN):
        attempts = Attempts(policies, ask(MESSAGES), route).answer(b'{"input_tokens": 3}')
        assert attempts.play.client == b'{"input_tokens": 3}'


@pytest.mark.parametrize("said", ["", "Sure!"])
def test_a_schema_of_the_policy_is_asked_of_every_answer(said: str) -> None:
    attempts = Attempts(OWN, ask(stream=True, schema=None)).say(said).say(RIGHT)
    assert len(attempts.sent) == 2
    assert text_of(attempts) == RIGHT
    assert replay(attempts.play.record, OWN).verdict == "identical"


def test_a_refusal_is_an_answer() -> None:
    refusal = {"choices": [{"index": 0, "message": {"role": "assistant", "refusal": "No."}, "finish_reason": "stop"}]}
    attempts = Attempts(RETRY, ask()).answer(json.dumps(refusal).encode())
    assert attempts.play.record["outcome"] == "answered"
    assert len(attempts.sent) == 1


# Repair.

MENDS = policy_set(
    POLICY.replace("schema: from_request", "schema: from_request, repair: true").replace("rules:", MAILS + "rules:")
    + RULE
    + "  - {id: mail, on: response, when: mail, action: redact}\n"
)


@pytest.mark.parametrize("route", [CHAT, MESSAGES])
@pytest.mark.parametrize("stream", [False, True])
def test_a_repaired_answer_is_checked_anew_and_recorded(route: str, stream: bool) -> None:
    attempts = Attempts(MENDS, ask(route, stream=stream), route)
    attempts.say(f"Here:\n```json\n{{'name': '{MAIL}', \"age\": 41,}}\n```")
    assert len(attempts.sent) == 1
    told = json.loads(text_of(attempts))
    assert told["age"] == 41
    assert told["name"].startswith("[EMAIL_ADDRESS_")
    record = attempts.play.record
    assert [one["decision"] for one in record["attempts"]] == ["repair", "answered"]
    assert MAIL not in json.dumps(record)
    assert replay(record, MENDS).verdict == "identical"


@pytest.mark.parametrize("stream", [False, True])
def test_what_cannot_be_repaired_is_asked_again(stream: bool) -> None:
    attempts = Attempts(MENDS, ask(stream=stream)).say("no json").say('{"name": "x", "age": 1')
    assert json.loads(text_of(attempts)) == {"name": "x", "age": 1}
    assert [one["decision"] for one in attempts.play.record["attempts"]] == ["retry", "repair", "answered"]
    assert replay(attempts.play.record, MENDS).verdict == "identical"


def test_a_block_repairs_first_too() -> None:
    policies = policy_set(
        POLICY.replace("from_request}", "from_request, repair: true}")
        + "  - {id: shape, on: response, when: shape, action: block}\n"
    )
    attempts = Attempts(policies, ask()).say(RIGHT + " Enjoy!")
    assert json.loads(text_of(attempts)) == json.loads(RIGHT)


# Tool calls.

TOOLS = [{"type": "function", "function": {"name": "send", "parameters": PERSON}}]


def called(name: str, arguments: str, size: int = 4) -> bytes:
    """A stream with one call."""
    head = {"index": 0, "id": "c", "type": "function", "function": {"name": name, "arguments": ""}}
    parts = pieces(arguments, range(size, len(arguments), size))
    deltas: list[dict[str, Any]] = [{"tool_calls": [head]}]
    deltas += ({"tool_calls": [{"index": 0, "function": {"arguments": part}}]} for part in parts)
    return b"".join(chat_frames(deltas, "tool_calls"))


@pytest.mark.parametrize(
    ("name", "arguments", "wrong"),
    [
        ("fetch", RIGHT, "the name of a tool: one of"),
        ("send", '{"name": 1}', "at `name`: expected a string, found a number"),
        ("send", '{"name": "a", "age": 1, "x": 2}', 'expected no keys but "age", "name"'),
        ("send", '{"name": "a"', "a complete JSON value"),
    ],
)
def test_a_wrong_call_is_corrected_before_its_end(name: str, arguments: str, wrong: str) -> None:
    attempts = Attempts(RETRY, ask(stream=True, schema=None, tools=TOOLS))
    data = called(name, arguments + " " * 400 if arguments.endswith("}") else arguments)
    attempts.answer(data, range(0, len(data), 60))
    answer, told = attempts.bodies[1]["messages"][1:]
    assert wrong in told["content"]
    if arguments.endswith("}"):
        assert attempts.play.done[-2] == CancelUpstream()
    assert answer.get("tool_calls") or answer["content"].startswith("I called the tool `send`")
    attempts.answer(called("send", RIGHT))
    assert chat_texts(attempts.play.client)["tool"] == RIGHT
    assert replay(attempts.play.record, RETRY).verdict == "identical"


def test_a_call_that_is_only_flagged_arrives() -> None:
    policies = policy_set(
        POLICY.replace("rules:", MAILS + "rules:")
        + "  - {id: shape, on: response, when: shape, action: flag}\n"
        + "  - {id: mail, on: response, when: mail, action: redact}\n"
    )
    data = called("send", f'{{"name": 1, "to": "{MAIL}"}}')
    for cuts in (range(0, len(data), 40), range(0)):
        attempts = Attempts(policies, ask(stream=True, schema=None, tools=TOOLS)).answer(data, cuts)
        told = json.loads(chat_texts(attempts.play.client)["tool"])
        assert told["name"] == 1
        assert told["to"].startswith("[EMAIL_ADDRESS_")
        assert attempts.play.record["rules"] == ["mail", "shape"]
        assert replay(attempts.play.record, policies).verdict == "identical"


def test_arguments_that_are_an_object_are_judged_as_one_text() -> None:
    tools = [{"name": "send", "input_schema": PERSON}]
    block = {"type": "tool_use", "id": "t", "name": "send", "input": {"name": "a", "age": "b"}}
    body = {"type": "message", "role": "assistant", "content": [block], "stop_reason": "tool_use"}
    attempts = Attempts(RETRY, ask(MESSAGES, schema=None, tools=tools), MESSAGES).answer(json.dumps(body).encode())
    answer, told = attempts.bodies[1]["messages"][1:]
    assert answer["content"][0]["input"] == block["input"]
    assert "at `age`: expected a whole number" in told["content"][0]["content"]
    body["content"] = [{**block, "input": json.loads(RIGHT)}]
    attempts.answer(json.dumps(body).encode())
    assert json.loads(attempts.play.client) == body
    assert replay(attempts.play.record, RETRY).verdict == "identical"
    changed = policy_set(POLICY.replace("from_request}", 'from_request, draft: "7"}') + RULE)
    assert replay(attempts.play.record, changed).verdict == "cannot be told"


# Schemas that cannot be used.


def test_a_schema_that_cannot_be_used_is_refused_before_anything_is_sent() -> None:
    attempts = Attempts(RETRY, ask(schema={"$ref": "#"}))
    assert not attempts.sent
    assert attempts.play.head.status == 400
    error = json.loads(attempts.play.client)["error"]
    assert error["code"] == "schema_refused"
    assert "the schema of the answer: the schema refers to itself" in error["message"]


def test_of_several_choices_the_wrong_one_is_quoted() -> None:
    choices = [
        {"index": index, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        for index, text in enumerate([RIGHT, WRONG[1]])
    ]
    attempts = Attempts(RETRY, ask(n=2)).answer(json.dumps({"choices": choices}).encode())
    assert attempts.bodies[1]["messages"][1]["content"] == WRONG[1]
    assert attempts.play.exchange.answers[0] is not attempts.play.exchange.sides["response"]
    assert Attempts(RETRY, ask()).play.exchange.attempt == 0


def test_calls_after_the_wrong_one_are_not_quoted() -> None:
    calls = [
        {"index": index, "id": "c", "type": "function", "function": {"name": name, "arguments": "{}"}}
        for index, name in enumerate(["fetch", "send"])
    ]
    data = b"".join(chat_frames([{"tool_calls": [call]} for call in calls], "tool_calls"))
    attempts = Attempts(RETRY, ask(stream=True, schema=None, tools=TOOLS)).answer(data)
    answer = attempts.bodies[1]["messages"][1]
    assert [call["function"]["name"] for call in answer["tool_calls"]] == ["f"]


def test_what_the_model_thought_is_not_quoted() -> None:
    message = {"role": "assistant", "reasoning_content": "Hm.", "content": WRONG[1]}
    answer = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    attempts = Attempts(RETRY, ask()).answer(json.dumps(answer).encode())
    assert attempts.bodies[1]["messages"][1] == {"role": "assistant", "content": WRONG[1]}


# The promise.


POLICIES = {
    "retry": RETRY,
    "mend": MENDS,
    "early": with_rule("action: retry, early: true"),
    "fallback": with_rule(FALLBACK),
}


@promise
@given(
    st.sampled_from([CHAT, MESSAGES]),
    st.lists(st.sampled_from([*WRONG, RIGHT, "", f'{{"name": "{MAIL}", "age": 1,}}']), min_size=1, max_size=4),
    st.lists(st.integers(0, 2500), max_size=6),
    st.lists(st.booleans(), max_size=6),
    st.sampled_from(["retry", "mend", "early", "fallback"]),
)
def test_the_attempts_do_not_depend_on_chunks(
    route: str, said: list[str], cuts: list[int], waits: list[bool], chosen: str
) -> None:
    policies = POLICIES[chosen]

    def play(*, chunked: bool) -> Attempts:
        attempts = Attempts(policies, ask(route, stream=True), route)
        for text in said:
            if not attempts.over:
                attempts.say(text, cuts if chunked else (), waits=waits if chunked else ())
        return attempts

    one, other = play(chunked=False), play(chunked=True)
    assert other.play.client == one.play.client
    assert [command.body for command in other.sent] == [command.body for command in one.sent]
    if one.over:
        first, second = one.play.record, other.play.record
        for name in ("outcome", "decisions", "rules", "saved"):
            assert second.get(name) == first.get(name)
        told = [
            [(one["decision"], one["errors"], one["tokens"], one["response"]["runs"] if "response" in one else 0)
             for one in record.get("attempts", [])]
            for record in (first, second)
        ]  # fmt: skip
        assert told[0] == told[1]
        assert replay(second, policies).verdict == "identical"


def test_only_commands_that_make_sense_are_given() -> None:
    attempts = Attempts(RETRY, ask(stream=True)).say(WRONG[0]).say(RIGHT)
    kinds = [type(command) for command in attempts.play.done if not isinstance(command, RunScans)]
    assert kinds[:3] == [SendUpstream, CancelUpstream, SendUpstream]
    assert attempts.play.tell(Waited(1.0)) == []


def used(name: str, arguments: str) -> bytes:
    """A stream of claude with one call, after a word."""
    parts = pieces(arguments, range(4, len(arguments), 4))
    frames = message_frames([("text", ["I ", "will."]), ("tool", parts)], "tool_use")
    return b"".join(frames).replace(b'"name": "send"', b'"name": "%s"' % name.encode())


CALLS = policy_set(
    POLICY.replace("rules:", MAILS + "rules:") + RULE + "  - {id: mail, on: response, when: mail, action: redact}\n"
)


@promise
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["send", "fetch", "sen"]),
            st.sampled_from(
                [RIGHT, '{"name": 1}', '{"name": "a", "x": 1}', f'{{"name": "{MAIL}", "age": 1}}', "{", "no"]
            ),
        ),
        min_size=1,
        max_size=4,
    ),
    st.lists(st.integers(0, 2500), max_size=6),
    st.lists(st.booleans(), max_size=6),
    st.sampled_from([CHAT, MESSAGES]),
)
def test_nor_do_calls(said: list[tuple[str, str]], cuts: list[int], waits: list[bool], route: str) -> None:
    tools: Any = TOOLS if route == CHAT else [{"name": "send", "input_schema": PERSON}]

    def play(*, chunked: bool) -> Attempts:
        attempts = Attempts(CALLS, ask(route, stream=True, schema=None, tools=tools), route)
        for name, arguments in said:
            if not attempts.over:
                data = called(name, arguments) if route == CHAT else used(name, arguments)
                attempts.answer(data, cuts if chunked else (), waits=waits if chunked else ())
        return attempts

    one, other = play(chunked=False), play(chunked=True)
    assert other.play.client == one.play.client
    assert [command.body for command in other.sent] == [command.body for command in one.sent]
    if one.over:
        assert other.play.record["decisions"] == one.play.record["decisions"]
        assert replay(other.play.record, CALLS).verdict == "identical"
        assert MAIL not in other.play.finish.record.to_json().decode()


@pytest.mark.parametrize("receipts", [False, True])
@pytest.mark.parametrize(("status", "outcome"), [(503, "upstream_5xx"), (429, "answered"), (200, "answered")])
def test_an_upstreams_own_error_has_an_outcome_of_its_own(status: int, outcome: str, receipts: bool) -> None:
    error = json.dumps({"error": {"message": "overloaded", "type": "server_error"}}).encode()
    play = Play(RETRY, receipts=receipts).ask({"model": "m", "messages": [{"role": "user", "content": "hi"}]})
    play.tell(ResponseStarted(status, "application/json"))
    play.tell(DataReceived(whole("hello") if status == 200 else error))
    play.scan()
    play.tell(ResponseEnded())
    play.scan()
    assert (play.finish.outcome, play.record["outcome"], play.record["status"]) == (outcome, outcome, status)
    assert (f"outcome={outcome}" in (play.head.receipt or "")) == receipts
    assert replay(play.record, RETRY).verdict == "identical"
    assert replay({**play.record, "outcome": "answered"}, RETRY).verdict == "identical", "as earlier releases said"
