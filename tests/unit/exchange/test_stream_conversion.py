"""A stored answer in the other form: what can be written anew says the same, and everything else is no answer."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from guardproxy.events import Text
from guardproxy.exchange import caching, reformed
from guardproxy.policy.sections import CacheSection
from guardproxy.wire import Call, Codec, Prompt, Reply, codecs

NAMES = (
    "openai_chat",
    "anthropic_messages",
    "openai_responses",
    "openai_completions",
    "gemini_generate",
    "ollama_chat",
)
CODECS = {codec.name: codec for codec in codecs()}
PLAIN, LINES = CODECS["openai_chat"], {True: "text/event-stream", False: "application/json"}


def query(codec: Codec, *, is_streamed: bool, **more: Any) -> caching.CacheQuery:
    tree = {**codec.author.request(Prompt("m", "a question")), **more}
    return caching.CacheQuery(
        key="k",
        match="exact",
        section=CacheSection("exact"),
        policies=("p",),
        is_enforced=True,
        is_streamed=is_streamed,
        codec=codec,
        tree=tree,
    )


def stored(codec: Codec, reply: Reply, *, is_streamed: bool, **more: Any) -> caching.StoredAnswer:
    prompt = replace(Prompt("m", "a question", stream=is_streamed), **more)
    if is_streamed:
        body = b"".join(codec.author.frames(prompt, reply, "abc", lambda text: [text[:2], text[2:]]))
    else:
        body = json.dumps(codec.author.answer(prompt, reply, "abc")).encode()
    media = codec.contract.media
    kind = media.streamed if is_streamed else media.whole
    return caching.StoredAnswer(source="abc", streamed=is_streamed, media_type=kind, body=body, at_s=1.0)


def texts(codec: Codec, answer: caching.StoredAnswer) -> str:
    decoder = codec.decoder(streamed=answer.streamed, failed=False, limit_bytes=1 << 20)
    events = [*decoder.feed(answer.body), *decoder.end()]
    parts = [event for event in events if isinstance(event, Text) and event.channel.kind == "assistant"]
    return "".join(event.text for event in parts if not event.again)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=20, deadline=None)
@given(text=st.text(min_size=1, max_size=40), is_streamed=st.booleans())
def test_the_other_form_says_the_same(name: str, text: str, is_streamed: bool) -> None:
    codec = CODECS[name]
    old = stored(codec, Reply(text, counted=7), is_streamed=is_streamed, prompt_words=3)
    new = reformed(query(codec, is_streamed=not is_streamed), old)
    assert reformed(query(codec, is_streamed=is_streamed), old) is old
    if new is not None:  # such as a text that an escape of the format does not keep
        assert (new.streamed, new.source, new.at_s) == (not is_streamed, "abc", 1.0)
        assert texts(codec, new) == texts(codec, old) == text
    assert new is not None or not text.isascii()


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize("name", ["openai_responses", "openai_chat", "openai_completions"])
def test_the_other_form_has_the_id_by_which_a_client_goes_on(name: str, is_streamed: bool) -> None:
    codec = CODECS[name]
    old = stored(codec, Reply("hello"), is_streamed=is_streamed)
    own = structs.replace(old, source="an-exchange")
    new = reformed(query(codec, is_streamed=not is_streamed), own)
    assert new is not None
    assert b"an-exchange" not in new.body
    ids = {re.search(rb'"id": ?"((?:resp|chatcmpl|cmpl)[^"]*)"', body)[1] for body in (old.body, new.body)}  # type: ignore[index]
    assert len(ids) == 1


@pytest.mark.parametrize("name", ["", "abc", None, 5])
def test_an_answer_without_a_usual_id_is_named_by_its_exchange(name: Any) -> None:
    tree = PLAIN.author.answer(Prompt("m", "a question"), Reply("hello"), "abc")
    old = structs.replace(
        stored(PLAIN, Reply("hello"), is_streamed=False), source="e1", body=json.dumps({**tree, "id": name}).encode()
    )
    new = reformed(query(PLAIN, is_streamed=True), old)
    assert new is not None
    assert b'"id":"chatcmpl-e1"' in new.body.replace(b" ", b"")


def test_tokens_are_those_of_the_upstream_or_an_estimate() -> None:
    counted = reformed(query(PLAIN, is_streamed=False), stored(PLAIN, Reply("hi", counted=7), is_streamed=True))
    assert counted is not None
    assert json.loads(counted.body)["usage"]["completion_tokens"] == 7
    uncounted = stored(PLAIN, Reply("hello there"), is_streamed=True, with_usage=False)
    written = reformed(query(PLAIN, is_streamed=False), uncounted)
    assert written is not None
    usage = json.loads(written.body)["usage"]
    assert (usage["completion_tokens"], usage["prompt_tokens"]) == (2, 16)


def test_large_counts_are_no_text() -> None:
    """A row of numbers counts as a text, as it may spell one."""
    old = stored(PLAIN, Reply("hi", counted=4223), is_streamed=True, prompt_words=22)
    new = reformed(query(PLAIN, is_streamed=False), old)
    assert new is not None
    assert json.loads(new.body)["usage"]["total_tokens"] == 4245


@pytest.mark.parametrize(
    "reply",
    [
        Reply("", calls=(Call("look", "{}"),)),
        Reply("a text", reasoning="a thought"),
        Reply("", refusal="no"),
        Reply("half", cut=True),
        Reply(""),
    ],
)
@pytest.mark.parametrize("is_streamed", [False, True])
def test_what_is_not_one_whole_text_has_one_form(reply: Reply, is_streamed: bool) -> None:
    old = stored(PLAIN, reply, is_streamed=is_streamed)
    assert reformed(query(PLAIN, is_streamed=not is_streamed), old) is None


@pytest.mark.parametrize("more", [{"n": 2}, {"logprobs": True}, {"messages": []}])
def test_a_request_that_asks_for_more_than_a_text_has_one_form(more: dict[str, Any]) -> None:
    old = stored(PLAIN, Reply("hello"), is_streamed=False)
    assert reformed(query(PLAIN, is_streamed=True, **more), old) is None


def test_what_cannot_be_read_has_one_form() -> None:
    old = stored(PLAIN, Reply("hello"), is_streamed=True)
    broken = caching.StoredAnswer(source="a", streamed=True, media_type=LINES[True], body=old.body[:-20], at_s=1.0)
    assert reformed(query(PLAIN, is_streamed=False), broken) is None
    images = CODECS["ollama_generate"]
    assert reformed(query(images, is_streamed=True), stored(images, Reply("hello"), is_streamed=False)) is None


def test_a_stream_in_another_framing_is_no_answer() -> None:
    gemini = CODECS["gemini_generate"]
    arrays = gemini.for_request("/v1beta/models/m:streamGenerateContent", "")
    events = stored(gemini, Reply("hello"), is_streamed=True)
    assert reformed(query(arrays, is_streamed=True), events) is None
    assert reformed(query(gemini, is_streamed=True), stored(arrays, Reply("hello"), is_streamed=True)) is None
