"""The request half of an exchange, as a part: what it reads, refuses, edits and sends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardproxy.decisions import Plan
from guardproxy.errors import DownstreamError, ErrorCode, Shortage
from guardproxy.exchange.inputs.setting import ExchangeLimits, Keys
from guardproxy.exchange.inputs.transcript import (
    Command,
    Finish,
    Refused,
    RequestReceived,
    RunScans,
    Scanned,
    SendUpstream,
)
from guardproxy.exchange.phases.request import RequestPhase
from guardproxy.exchange.phases.states import State, Transition
from guardproxy.findings import Scan
from guardproxy.policy import PolicySet
from guardproxy.wire import Bounds
from tests.kit.form_chat import CODEC as FORM_CHAT
from tests.kit.parts import Parts, parts
from tests.kit.play import CHAT, MESSAGES, Play, hashed, mint, policy_set

POLICY = """\
policy: p
checks:
  word: {use: pattern, words: [falcon]}
  bad: {use: pattern, words: [forbidden]}
rules:
  - {id: words, on: request, when: word, action: redact}
  - {id: stop, on: request, when: bad, action: block}
"""
SCHEMA = """\
policy: p
checks:
  shape: {use: json_schema, schema: from_request}
rules:
  - {id: shape, on: response, when: shape, action: retry, attempts: 1}
"""
POLICIES = policy_set(POLICY)
KEYS = Keys(mint, hashed, lambda data: f"sealed {len(data)}")


def phase(policies: PolicySet = POLICIES, route: str = CHAT, **more: Any) -> tuple[RequestPhase, Parts]:
    made = parts(policies, route, is_bound=False, keys=KEYS, **more)
    return RequestPhase(made.ledger.setting, made.guard, made.ledger, made.client, made.attempts), made


def chat(content: Any = "hello", **more: Any) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": content}], **more}).encode()


def scans(command: Command) -> Scanned:
    assert isinstance(command, RunScans)
    return Scanned(tuple(job.check.scan([job.window])[0] for job in command.jobs), 1.0)


def sent(transition: Transition[State]) -> SendUpstream:
    state, (command,) = transition
    assert state is State.WAITING
    assert isinstance(command, SendUpstream)
    return command


def refusal(transition: Transition[State]) -> tuple[str, Any]:
    """The outcome and the code of an answer of the proxy."""
    state, commands = transition
    assert state is State.OVER
    assert isinstance(commands[-1], Finish)
    return commands[-1].outcome, json.loads(commands[-1].data)["error"]["code"]


def test_a_request_without_findings_goes_on_byte_for_byte() -> None:
    request, made = phase()
    body = chat(stream=True, x_odd=1)
    _, (scan,) = request.received(RequestReceived(body, 0.5, 100.0, "de"))
    assert sent(request.scanned(scans(scan))) == SendUpstream(body)
    notes = made.ledger.notes
    assert (notes.model, notes.stream, notes.language) == ("m", True, "de")
    assert notes.measures.sizes == {"request": len(body), "upstream": len(body)}
    assert notes.measures.seals["upstream"] == notes.measures.seals["request"] == f"sealed {len(body)}"
    assert notes.measures.times == {"received": 0.5, "request_scanned": 1.0}
    assert notes.conversation.startswith("sealed ")
    assert made.attempts.body == body


def test_edits_are_counted_and_sealed_anew() -> None:
    request, made = phase()
    _, (scan,) = request.received(RequestReceived(chat("a falcon and a falcon")))
    command = sent(request.scanned(scans(scan)))
    assert command.edits == 2
    assert b"falcon" not in command.body
    seals = made.ledger.notes.measures.seals
    assert seals["upstream"] == f"sealed {len(command.body)}" != seals["request"]
    assert made.ledger.entry is not None


def test_the_strongest_rule_blocks_before_anything_is_sent() -> None:
    request, _ = phase()
    _, (scan,) = request.received(RequestReceived(chat("a falcon, forbidden")))
    assert refusal(request.scanned(scans(scan))) == ("blocked_request", "content_filter")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "invalid_json"),
        (b"[]", "invalid_type"),
        (b'{"messages": []}', "invalid_value"),
        (chat(["a"] * 9), "too_many_texts"),
        (chat(tools=[{}] * 3), "too_many_tools"),
    ],
)
def test_a_body_that_is_no_request_is_refused(body: bytes, code: str) -> None:
    request, made = phase(limits=ExchangeLimits(bounds=Bounds(texts=12, tools=2)))
    assert refusal(request.received(RequestReceived(body))) == ("refused", code)
    assert isinstance(made.ledger.notes.failure, DownstreamError)


def test_a_refusal_of_the_driver_is_noted_with_its_time() -> None:
    request, made = phase()
    end = request.refused(Refused(ErrorCode.RATE_LIMIT_EXCEEDED, "later", None, 2.0, 100.0, retry_s=3))
    assert refusal(end) == ("refused", "rate_limit_exceeded")
    assert made.ledger.notes.measures.times == {"received": 2.0, "first_byte": 2.0, "finished": 2.0}


def test_without_capacity_nothing_is_decided() -> None:
    request, made = phase()
    _, (scan,) = request.received(RequestReceived(chat()))
    assert isinstance(scan, RunScans)
    failed = tuple(Scan((), job.window.settled, 0, no_capacity=Shortage.FULL) for job in scan.jobs)
    assert refusal(request.scanned(Scanned(failed, 1.0))) == ("no_capacity", "no_capacity")
    assert made.ledger.notes.no_capacity == (scan.jobs[0].check.name, Shortage.FULL)


def test_a_direction_that_no_rule_reads_is_not_scanned() -> None:
    request, made = phase(policy_set(POLICY.replace("on: request", "on: response")))
    assert sent(request.received(RequestReceived(chat("a falcon")))).body == chat("a falcon")
    assert made.ledger.request.read is False


def test_schemas_are_proved_before_the_request_is_sent() -> None:
    request, _ = phase(policy_set(SCHEMA))
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    state, (proof,) = request.received(RequestReceived(chat(response_format=form)))
    assert state is State.PROVING
    assert sent(request.proved(scans(proof))).attempt == 0
    hostile = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"$ref": "https://example.com/x"}}}
    request, _ = phase(policy_set(SCHEMA))
    _, (proof,) = request.received(RequestReceived(chat(response_format=hostile)))
    assert refusal(request.proved(scans(proof))) == ("refused", "schema_refused")


def test_a_plan_changes_target_body_and_path() -> None:
    request, made = phase(policy_set(POLICY), "POST /models/{model}/chat", path="/models/m/chat", codec=FORM_CHAT)
    body = FORM_CHAT.write_body({"messages": [{"role": "user", "content": "a falcon"}]})
    plan = Plan("eu", "small", {"temperature": 0})
    _, (scan,) = request.received(RequestReceived(body, plans=(plan,)))
    command = sent(request.scanned(scans(scan)))
    assert (command.target, command.path) == ("eu", "/models/small/chat")
    tree = FORM_CHAT.read_body(command.body)
    assert (tree["temperature"], "falcon" in str(tree)) == (0, False)
    assert made.attempts.tree == tree
    assert made.attempts.sent_path == "/models/m/chat"


@pytest.mark.parametrize(
    ("route", "body"),
    [
        (MESSAGES, {"tools": [{"type": "advisor_20260301", "name": "advisor", "model": "opus-9"}]}),
        (MESSAGES, {"fallbacks": [{"model": "opus-9"}]}),
        (CHAT, {"moderation": {"model": "opus-9"}}),
        (CHAT, {"plugins": [{"id": "fusion", "models": ["x", "vendor/opus-9"]}]}),
        (CHAT, {"context_window_fallbacks": [{"m": ["opus-9"]}]}),
    ],
)
def test_a_policy_for_a_model_applies_wherever_the_model_is_named(route: str, body: dict[str, Any]) -> None:
    policies = policy_set(
        "policy: p\nmatch: {models: [opus-9]}\nchecks: {bad: {use: pattern, words: [forbidden]}}\n"
        "rules: [{id: bads, when: bad, action: block}]\n"
    )
    asked = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "forbidden"}]}
    assert Play(policies, route).ask(asked).upstream is not None
    assert Play(policies, route).ask({**asked, **body}).finish.outcome == "blocked_request"


@pytest.mark.parametrize(
    ("model", "kept"),
    [("gpt-5", "gpt-5"), ("", ""), ("4111 1111 1111 1111", ""), ("sk-0123456789abcdef", ""), ("a\nb", "")],
)
def test_a_refusal_names_the_model_if_that_is_a_word(model: str, kept: str) -> None:
    play = Play(policy_set())
    play.tell(Refused(ErrorCode.OUT_OF_SCOPE, "no", "model", model=model))
    assert play.record["model"] == kept
