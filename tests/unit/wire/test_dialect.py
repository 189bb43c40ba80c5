"""Asking a model in every format: what is written, where it goes, and what is read of the answer."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.events import Text
from guardproxy.wire.contract.codec import Codec
from guardproxy.wire.contract.writing import Prompt, Reply
from guardproxy.wire.dialect import Dialect, ModelReply, _dialect
from guardproxy.wire.json import write
from guardproxy.wire.registry import codecs, installed

SCHEMA = {"type": "object", "properties": {"answer": {"type": "string"}}}
NAMES = Dialect.names()


def dialect(name: str, model: str = "judge-1") -> Dialect:
    found = Dialect.of(name, model)
    assert found is not None
    return found


def test_every_format_whose_model_answers_with_a_text_can_ask() -> None:
    able = [
        codec.name
        for codec in codecs()
        if codec.contract.serves_models and "assistant" in codec.contract.carries["response"]
    ]
    assert list(NAMES) == able
    assert len(able) >= 7
    assert Dialect.of("no such format", "m") is None
    assert [codec.name for codec in codecs() if Dialect.of(codec.name, "m") is None] == [
        codec.name for codec in codecs() if codec.name not in able
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_question_is_a_request_that_the_format_reads(name: str) -> None:
    asked = dialect(name)
    body = asked.body("judge by this", "a text\nof two lines", SCHEMA)
    found = installed().served(f"POST {asked.path}")
    assert found is not None
    assert found.codec.name == name
    request = asked.codec.read_request(asked.path, "", body)
    texts = [event.text for event in request.events() if isinstance(event, Text)]
    assert (request.model, request.stream) == ("judge-1", False)
    assert all(any(words in text for text in texts) for words in ("judge by this", "a text\nof two lines"))


@pytest.mark.parametrize("name", NAMES)
def test_the_answer_is_the_text_of_the_first_choice(name: str) -> None:
    asked = dialect(name)
    author, said = asked.codec.author, '{"code": "c", "answer": "yes"}'
    prompt = Prompt("judge-1", "a text", prompt_words=2)
    plain = asked.read(write(author.answer(prompt, Reply(said, reasoning="I think no"), "abc")))
    assert plain.text == said
    assert plain.tokens is not None
    assert asked.read(write(author.answer(Prompt("judge-1", "", count=2), Reply(said), "abc"))).text == said


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b"\xff\xfe", b"<html>", b'{"choices": [', b"[" * 100_000])
def test_what_is_no_answer_has_no_text(name: str, body: bytes) -> None:
    assert dialect(name).read(body) == ModelReply(None)


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_without_a_text_has_none(name: str) -> None:
    asked = dialect(name)
    assert asked.read(write(asked.codec.author.error(500, "no"))).text is None


def test_the_first_format_is_meant_where_none_is_named() -> None:
    found = Dialect.of("", "m")
    assert found is not None
    assert found.codec.name == NAMES[0]


def test_no_format_cuts_an_answer_early() -> None:
    """Servers of one format cut an answer after 16 tokens if a request says nothing, which is less than an answer needs."""
    limits = [json.loads(dialect(name).body("s", "t")).get("max_tokens") for name in NAMES]
    assert {limit for limit in limits if limit is not None} == {1024}


class Deaf:
    """A format that does not read its own requests."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codec, name)

    def read_request(self, path: str, query: str, body: bytes) -> Any:
        raise DownstreamError(ErrorCode.INVALID_JSON)


def test_a_format_that_does_not_read_its_own_question_asks_nobody() -> None:
    assert _dialect(cast(Codec, Deaf(dialect(NAMES[0]).codec)), "m") is None


def test_a_path_names_the_model_where_the_format_has_it_there() -> None:
    paths = {name: dialect(name).path for name in NAMES}
    assert [path for path in paths.values() if "judge-1" in path and "stream" in path] == []
    assert sum("judge-1" in path or b"judge-1" in dialect(name).body("", "") for name, path in paths.items()) == len(
        NAMES
    )
    assert all(json.loads(dialect(name).body("s", "t")) for name in NAMES)
