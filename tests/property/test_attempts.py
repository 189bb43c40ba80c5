"""Tests retries together with redaction, in answers that the request wants as JSON, for every way of cutting an answer.

A wrong answer is known while it grows. The part of it that is quoted to the model is masked. The answer that the client gets
fits the schema, even where a placeholder replaces a value.
"""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.exchange.inputs.transcript import CancelUpstream
from tests.kit.checks import promise
from tests.kit.play import CHAT, MESSAGES, chat_frames, chat_texts, message_frames, message_texts, pieces, policy_set
from tests.kit.records import replay
from tests.kit.retry import Attempts, ask, streamed

MAIL = "mara@" + "example.com"
CARD = 4111222233334444
SCHEMA = {
    "type": "object",
    "properties": {
        "to": {"type": "string", "format": "email"},
        "note": {"type": "string"},
        "n": {"type": "integer"},
    },
    "required": ["to", "n"],
    "additionalProperties": False,
}
CHECKS = r"""
checks:
  shape: {use: json_schema, schema: from_request}
  mail: {use: pattern, label: MAIL, evasions: "off", patterns: ["[a-z]+@[a-z]+\\.com"]}
  card: {use: pattern, label: CARD, evasions: "off", patterns: ["\\b[0-9]{16}\\b"]}
rules:
"""
REDACT = "  - {id: values, on: response, when: mail or card, action: redact}\n"
OPERATORS = {
    "placeholder": "",
    "mask": ", operators: {DEFAULT: {type: mask, chars_to_mask: 4}}",
    "hash": ", operators: {MAIL: hash, CARD: redact}",
    "replace": ", operators: {DEFAULT: {type: replace, new_value: GONE}}",
}
RULES = {
    "retry": "  - {id: shape, on: response, when: shape, action: retry}\n",
    "early": "  - {id: shape, on: response, when: shape, action: retry, early: true}\n",
    "block": "  - {id: shape, on: response, when: shape, action: block}\n",
    "watch": "  - {id: shape, on: response, when: shape, action: retry, mode: shadow}\n",
}


def policies_of(rule: str, operator: str = "placeholder", own: bool = False) -> Any:
    redact = REDACT.replace("redact}", f"redact{OPERATORS[operator]}}}")
    restore = "  - {id: out, on: request, when: mail, action: redact, restore: true}\n"
    checks = CHECKS.replace("from_request", f"{{inline: {json.dumps(SCHEMA)}}}") if own else CHECKS
    return policy_set(f"policy: p{checks}{RULES[rule]}{redact}{restore}")


def said(**values: Any) -> str:
    return json.dumps(values)


RIGHT = said(to="a@b.example", note="hi", n=1)
VALUES = said(to=MAIL, note=f"or {CARD}", n=CARD)
WRONG = said(to=MAIL, note=f"ask {MAIL} with {CARD}", n="x")


def answer_of(attempts: Attempts) -> str:
    client, route = attempts.play.client, attempts.play.exchange.setting.address.route
    return (message_texts(client).get("block0") if route == MESSAGES else chat_texts(client).get("content0")) or ""


@pytest.mark.parametrize("route", [CHAT, MESSAGES])
@pytest.mark.parametrize("operator", OPERATORS)
def test_a_wrong_answer_is_ended_while_it_grows_and_quoted_masked(route: str, operator: str) -> None:
    policies = policies_of("retry", operator)
    attempts = Attempts(policies, ask(route, stream=True, schema=SCHEMA), route)
    data = streamed(WRONG + " " * 900, route)
    attempts.answer(data, range(0, len(data), 50))
    assert CancelUpstream() in attempts.play.done, "its end was not waited for"
    attempts.say(RIGHT)
    own = attempts.bodies[1]["messages"][-2]["content"]
    assert own.startswith('{"to": "[MAIL_')
    assert own.endswith('"n": "'), "up to the fault"
    assert MAIL not in own
    assert str(CARD) not in own
    assert answer_of(attempts) == RIGHT
    record = attempts.play.record
    assert record["attempts"][0]["cut"]
    assert record["attempts"][0]["errors"] == [{"place": "n", "expected": "a number", "found": "a string"}]
    assert MAIL not in json.dumps(record)
    assert str(CARD) not in json.dumps(record)
    assert replay(record, policies).verdict == "identical"


@pytest.mark.parametrize("route", [CHAT, MESSAGES])
@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("own", [False, True])
def test_the_schema_is_asked_of_what_the_model_said_and_the_client_gets_what_fits_it(
    route: str, operator: str, rule: str, stream: bool, own: bool
) -> None:
    policies = policies_of(rule, operator, own)
    attempts = Attempts(policies, ask(route, stream=stream, schema=None if own else SCHEMA), route).say(VALUES)
    assert len(attempts.sent) == 1, "what stands for a value is nobody's fault"
    if stream:
        told = answer_of(attempts)
    else:
        tree = json.loads(attempts.play.client)
        told = tree["content"][0]["text"] if route == MESSAGES else tree["choices"][0]["message"]["content"]
    assert MAIL not in told
    assert str(CARD) not in told
    jsonschema.validate(json.loads(told), SCHEMA)
    assert json.loads(told)["to"].count("@") == 1
    assert replay(attempts.play.record, policies).verdict == "identical"


def test_arguments_that_are_an_object_are_quoted_masked() -> None:
    policies = policies_of("retry")
    block = {"type": "tool_use", "id": "t", "name": "send", "input": {"to": MAIL, "note": f"{CARD}", "n": "x"}}
    body = {"type": "message", "role": "assistant", "content": [block], "stop_reason": "tool_use"}
    tools = [{"name": "send", "input_schema": SCHEMA}]
    attempts = Attempts(policies, ask(MESSAGES, schema=None, tools=tools), MESSAGES).answer(json.dumps(body).encode())
    quoted = attempts.bodies[1]["messages"][-2]["content"][0]["input"]
    assert quoted["to"].startswith("[MAIL_")
    assert quoted["note"].startswith("[CARD_")
    assert quoted["n"] == "x"
    assert not {MAIL, str(CARD)} & set(quoted.values())


def test_early_lets_go_what_only_the_schema_asks_of() -> None:
    policies = policy_set(f"policy: p{CHECKS}{RULES['early']}")
    attempts = Attempts(policies, ask(stream=True, schema=SCHEMA)).say(WRONG)
    texts = chat_texts(attempts.play.client)
    assert texts["content0"] == WRONG[: WRONG.index('"x"')]
    assert texts["error"] == "invalid_answer"


def test_known_values_are_masked_in_json_that_no_check_has_decoded() -> None:
    """The rule on the request only watches, so only the schema reads the answer."""
    policies = policy_set(
        f"policy: p{CHECKS}{RULES['watch']}  - {{id: w, on: request, when: mail or card, action: flag}}\n"
    )
    body = ask(stream=True, schema=SCHEMA)
    body["messages"][0]["content"] = f"I am {MAIL}, {CARD}"
    attempts = Attempts(policies, body).say(said(to=MAIL, n=CARD).replace("@", "\\u0040"))
    assert json.loads(answer_of(attempts)) == {"to": MAIL, "n": CARD}
    text = attempts.play.record["response"]["texts"][0]
    assert "\\u0040" not in text["text"]
    assert text["encoded"]
    assert str(CARD) not in attempts.play.finish.record.to_json().decode()
    assert replay(attempts.play.record, policies).verdict == "identical"


def called(arguments: str) -> bytes:
    head = {"index": 0, "id": "c", "type": "function", "function": {"name": "send", "arguments": ""}}
    parts = pieces(arguments, range(4, len(arguments), 4))
    deltas: list[dict[str, Any]] = [{"tool_calls": [head]}]
    deltas += ({"tool_calls": [{"index": 0, "function": {"arguments": part}}]} for part in parts)
    return b"".join(chat_frames(deltas, "tool_calls"))


def used(arguments: str) -> bytes:
    return b"".join(message_frames([("tool", pieces(arguments, range(4, len(arguments), 4)))], "tool_use"))


TEXTS = [
    WRONG,
    VALUES,
    RIGHT,
    f'{{"to": "{MAIL}"',
    f'{{"to": "{MAIL}", "x": 1}}',
    f"Sure: {MAIL}!",
    f'{{"n": {CARD}.5}}',
    "",
]


@promise
@given(
    st.sampled_from([CHAT, MESSAGES]),
    st.booleans(),
    st.sampled_from(sorted(RULES)),
    st.sampled_from(sorted(OPERATORS)),
    st.lists(st.sampled_from(TEXTS), min_size=1, max_size=4),
    st.lists(st.integers(0, 4000), max_size=6),
    st.lists(st.booleans(), max_size=6),
)
def test_nothing_depends_on_the_cuts_and_no_value_gets_out(
    route: str, calls: bool, rule: str, operator: str, answers: list[str], cuts: list[int], waits: list[bool]
) -> None:
    policies = policies_of(rule, operator)
    function = {"name": "send", "parameters": SCHEMA}
    tools: Any = (
        [{"type": "function", "function": function}] if route == CHAT else [{"name": "send", "input_schema": SCHEMA}]
    )
    asked = {"schema": None, "tools": tools} if calls else {"schema": SCHEMA}
    made = (called if route == CHAT else used) if calls else (lambda text: streamed(text, route))

    def play(*, chunked: bool) -> Attempts:
        attempts = Attempts(policies, ask(route, stream=True, **asked), route)
        for text in answers:
            if not attempts.over:
                attempts.answer(made(text), cuts if chunked else (), waits=waits if chunked else ())
        return attempts

    one, other = play(chunked=False), play(chunked=True)
    assert other.play.client == one.play.client
    assert [command.body for command in other.sent] == [command.body for command in one.sent]
    for attempts in (one, other):
        out = attempts.play.client.decode() + "".join(map(json.dumps, attempts.bodies))
        if attempts.over:
            out += attempts.play.finish.record.to_json().decode()
            assert replay(attempts.play.record, policies).verdict == "identical"
        assert MAIL not in out
        assert str(CARD) not in out
    if one.over:
        assert other.play.record["decisions"] == one.play.record["decisions"]
