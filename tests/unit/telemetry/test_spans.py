"""The spans of an exchange: their tree, times and attributes."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.audit.record import RecordedCache, RecordedError
from guardproxy.telemetry.spans import spans_of
from guardproxy.telemetry.trace import begin_trace
from guardproxy.wire import FEEDBACK, FEEDBACK_ROUTE
from tests.kit.records import plain_answer, plain_attempt, plain_decision, plain_record, plain_text

URL = "https://api.example:8443/v1/messages"
AT_NS = 1_750_000_000_250_000_000
MS = 1_000_000
TRACE = begin_trace("x0")
TIMES = {"request_scanned": 2.0, "upstream_answered": 12.0, "first_byte": 13.0, "finished": 20.0}


def test_an_exchange_is_a_server_span_around_a_client_span() -> None:
    exchange, call = spans_of(plain_record(plain_answer(streamed=True), timings=TIMES), TRACE, URL, guardrails=False)
    assert (exchange.name, exchange.kind, exchange.id, exchange.parent) == (
        "POST /v1/messages",
        "server",
        TRACE.exchange,
        "",
    )
    assert (exchange.start_ns, exchange.end_ns) == (AT_NS, AT_NS + 20 * MS)
    assert exchange.attributes["http.route"] == "/v1/messages"
    assert exchange.attributes["guardproxy.exchange.id"] == "x0"
    assert (call.name, call.kind, call.id, call.parent) == ("chat small", "client", TRACE.call, TRACE.exchange)
    assert (call.start_ns, call.end_ns, call.error) == (AT_NS + 2 * MS, AT_NS + 20 * MS, "")
    assert call.attributes["server.address"] == "api.example"
    assert call.attributes["server.port"] == 8443
    assert call.attributes["gen_ai.response.time_to_first_chunk"] == 0.01


def test_an_answer_from_the_cache_has_no_call() -> None:
    hit = RecordedCache(result="hit", match="exact", mode="enforce", policies=("p",))
    (exchange,) = spans_of(plain_record(cache=hit), TRACE, "", guardrails=False)
    assert exchange.attributes["guardproxy.cache"] == "hit"


def test_without_an_upstream_there_is_one_span() -> None:
    refused = plain_record(outcome="refused", status=400, error=RecordedError(code="invalid_json"), route="unknown")
    (span,) = spans_of(refused, TRACE, "", guardrails=True)
    assert (span.name, span.error, span.attributes["error.type"]) == ("request", "", "invalid_json")
    assert "http.route" not in span.attributes


def test_a_route_that_is_passed_through_has_no_call_of_a_model() -> None:
    passed = plain_record(route="GET /v1/models", codec="", outcome="passed")
    assert [span.kind for span in spans_of(passed, TRACE, URL, guardrails=True)] == ["server"]


@pytest.mark.parametrize(
    ("status", "error", "outcome", "expected"),
    [
        (None, RecordedError(code="upstream_timeout"), "upstream_timeout", "upstream_timeout"),
        (None, None, "client_closed", "client_closed"),
        (429, None, "answered", "429"),
    ],
)
def test_a_call_that_failed_says_why(status: int | None, error: Any, outcome: str, expected: str) -> None:
    record = plain_record(plain_answer(status=status), error=error, outcome=outcome, status=504 if error else 200)
    exchange, call = spans_of(record, TRACE, "http://model", guardrails=False)
    assert (call.error, call.attributes["error.type"]) == (expected, expected)
    assert exchange.error == (error.code if error else "")
    assert call.attributes["server.port"] == 80


def test_discarded_answers_are_events() -> None:
    record = plain_record(attempts=(plain_attempt(plain_answer()), plain_attempt()))
    _, call = spans_of(record, TRACE, URL, guardrails=False)
    assert [(event.name, event.attributes["guardproxy.decision"]) for event in call.events] == [
        ("guardproxy.attempt", "retry"),
        ("guardproxy.attempt", "retry"),
    ]


def test_rules_have_spans_with_a_finding_for_each_that_held() -> None:
    text = plain_text(checks=("pii",), edits=((1, 4),))
    decisions = (
        plain_decision(),
        plain_decision(rule="s", action="block", mode="shadow"),
        plain_decision(rule="b", action="block", direction="response"),
    )
    record = plain_record(
        plain_answer(plain_text(checks=("pii",))), text, timings=TIMES, decisions=decisions, conversation="c1"
    )
    *_, asked, answered = spans_of(record, TRACE, URL, guardrails=True)
    assert {asked.name, answered.name} == {"run_guardrail guardproxy"}
    assert (asked.end_ns, answered.start_ns) == (AT_NS + 2 * MS, AT_NS + 12 * MS)
    assert asked.attributes["gen_ai.security.verdict.type"] == "modify"
    assert asked.attributes["gen_ai.security.content.modified"] is True
    assert answered.attributes["gen_ai.security.verdict.type"] == "deny"
    assert [event.attributes["gen_ai.security.policy.rule.id"] for event in asked.events] == ["r", "s"]
    assert [event.attributes["gen_ai.security.action.type"] for event in asked.events] == ["redact", "none"]
    (finding,) = answered.events
    assert finding.attributes["gen_ai.security.target.type"] == "llm_output"
    assert asked.id != answered.id


def test_rules_that_found_nothing_allow() -> None:
    record = plain_record(None, plain_text(checks=("pii",)), timings=TIMES)
    *_, asked = spans_of(record, TRACE, URL, guardrails=True)
    assert asked.attributes["gen_ai.security.verdict.type"] == "allow"
    assert not asked.events


def test_feedback_is_no_call_of_a_model() -> None:
    record = plain_record(codec=FEEDBACK.name, route=FEEDBACK_ROUTE)
    assert [span.kind for span in spans_of(record, TRACE, URL, guardrails=False)] == ["server"]
