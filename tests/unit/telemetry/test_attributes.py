"""Attributes have the names of the conventions, and no text of a request or an answer."""

from __future__ import annotations

import pytest

from guardproxy.telemetry.attributes import gen_ai_attributes, model_name, operation_of
from tests.kit.records import plain_answer, plain_record


def test_the_attributes_of_a_record() -> None:
    record = plain_record(
        plain_answer(model="small-2"), usage={"input_tokens": 5, "output_tokens": 7}, stream=True, conversation="c1"
    )
    assert gen_ai_attributes(record) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.usage.input_tokens": 5,
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.request.model": "small",
        "gen_ai.request.stream": True,
        "gen_ai.response.model": "small-2",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.conversation.id": "c1",
    }


def test_an_exchange_that_nobody_read_has_no_attributes() -> None:
    record = plain_record(plain_answer(model="", finish=()), route="GET /v1/models", codec="", model="")
    assert set(gen_ai_attributes(record).values()) == {None}


@pytest.mark.parametrize(
    ("route", "codec", "operation"),
    [
        ("POST /v1/chat/completions", "openai_chat", "chat"),
        ("POST /v1/completions", "openai_completions", "text_completion"),
        ("POST /v1/embeddings", "openai_inputs", "embeddings"),
        ("POST /v1/moderations", "openai_inputs", "embeddings"),
        ("POST /api/embed", "ollama_embed", "embeddings"),
        ("POST /v1beta/models/{model}:generateContent", "gemini_generate", "generate_content"),
    ],
)
def test_the_operation_follows_from_the_format(route: str, codec: str, operation: str) -> None:
    assert operation_of(plain_record(route=route, codec=codec)) == operation


@pytest.mark.parametrize("name", ["gpt-5", "anthropic/claude-4.5@20260101", "org/model:free", "a" * 128])
def test_a_name_of_a_model_is_kept(name: str) -> None:
    assert model_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "mara@example.com",
        "models/mara@example.com",
        "sk-" + "a1B2" * 5,
        "4111-1111-1111-1111",
        "gpt-5@a@b",
        "212-555-0143",
    ],
)
def test_a_value_that_a_client_writes_in_the_place_of_a_model_is_left_out(name: str) -> None:
    assert model_name(name) == ""


def test_a_text_in_the_place_of_a_reason_is_left_out() -> None:
    record = plain_record(plain_answer(finish=("stop", "mara@example.com", "a b", "x" * 41, "MAX_TOKENS")))
    assert gen_ai_attributes(record)["gen_ai.response.finish_reasons"] == ("stop", "MAX_TOKENS")


@pytest.mark.parametrize("name", ["", "my card is 4111", "a" * 129, "-x", "ünï", "a\nb", "[MAIL_abcdefghijkl]"])
def test_a_text_in_the_place_of_a_model_is_left_out(name: str) -> None:
    assert model_name(name) == ""
