"""What is measured of an exchange."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.audit.record import RecordedCache
from guardproxy.telemetry.measures import measures_of
from tests.kit.records import plain_answer, plain_attempt, plain_record, plain_text

USAGE = {"input_tokens": 5, "output_tokens": 11}
STREAM: dict[str, Any] = {"usage": USAGE, "timings": {"first_byte": 250.0, "finished": 1250.0}, "tenant_name": "acme"}


def test_the_measures_of_a_stream() -> None:
    measures = measures_of(plain_record(plain_answer(streamed=True), **STREAM))
    assert (measures.model, measures.tenant, measures.decision) == ("small", "acme", "pass")
    assert (measures.input_tokens, measures.output_tokens) == (5, 11)
    assert (measures.duration_s, measures.first_token_s, measures.per_token_s) == (1.25, 0.25, 0.1)


def test_a_cost_is_in_the_unit_of_prices() -> None:
    assert measures_of(plain_record(cost=1_500_000)).cost == 1.5
    assert measures_of(plain_record()).cost is None


def test_an_answer_in_one_piece_has_no_first_token() -> None:
    measures = measures_of(plain_record(plain_answer(), **STREAM))
    assert (measures.duration_s, measures.first_token_s, measures.per_token_s) == (1.25, None, None)


def test_after_a_keep_alive_the_text_came_at_the_end() -> None:
    measures = measures_of(plain_record(plain_answer(streamed=True), **STREAM, signs=1))
    assert (measures.first_token_s, measures.per_token_s) == (1.25, None)


@pytest.mark.parametrize("usage", [{}, {"input_tokens": 5, "output_tokens": 1}, {"output_tokens": "many"}])
def test_too_few_tokens_have_no_mean(usage: dict[str, Any]) -> None:
    assert measures_of(plain_record(plain_answer(streamed=True), **{**STREAM, "usage": usage})).per_token_s is None


def test_a_stream_that_was_stopped_has_no_mean() -> None:
    measures = measures_of(plain_record(plain_answer(streamed=True), **STREAM, outcome="blocked_response"))
    assert (measures.first_token_s, measures.per_token_s, measures.decision) == (0.25, None, "stop")


def test_tokens_of_all_attempts_count() -> None:
    first, last = plain_attempt(plain_answer()), plain_attempt()
    attempts = (type(first)(**{**_members(first), "usage": {"input_tokens": 5, "output_tokens": 2}}), last)
    measures = measures_of(plain_record(**STREAM, attempts=attempts))
    assert (measures.input_tokens, measures.output_tokens, measures.decision) == (10, 13, "retry")


def test_an_answer_from_the_cache_used_no_tokens() -> None:
    hit = RecordedCache(result="hit", match="exact", mode="enforce", policies=("p",))
    measures = measures_of(plain_record(plain_answer(streamed=True), **STREAM, cache=hit))
    assert (measures.input_tokens, measures.output_tokens, measures.first_token_s) == (None, None, None)
    assert measures.duration_s == 1.25


def _members(attempt: Any) -> dict[str, Any]:
    return {name: getattr(attempt, name) for name in attempt.__struct_fields__}


@pytest.mark.parametrize("status", [None, 404, 500])
def test_a_client_cannot_invent_models(status: int | None) -> None:
    assert measures_of(plain_record(plain_answer(status=status))).model == ""


def test_the_strongest_decision() -> None:
    edited = plain_text(edits=((0, 2),))
    assert measures_of(plain_record(None, edited)).decision == "edit"
    assert measures_of(plain_record(plain_answer(edited))).decision == "edit"
    assert measures_of(plain_record(None, edited, outcome="blocked_request")).decision == "stop"
    assert measures_of(plain_record(None, edited, outcome="refused")).decision == ""


def test_an_exchange_that_nobody_read() -> None:
    measures = measures_of(plain_record(route="GET /v1/models", codec="", outcome="passed", timings={}))
    assert (measures.model, measures.decision, measures.duration_s, measures.input_tokens) == ("", "", None, None)
