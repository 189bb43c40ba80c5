"""Receipts: a dictionary of structured fields that an independent parser reads, the same however a stream is cut."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import http_sf
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from guardproxy.errors import ErrorCode
from guardproxy.exchange.exchange import Exchange
from guardproxy.exchange.inputs.transcript import Aborted, Input, Refused, RequestReceived, SendHead, UpstreamFailed
from guardproxy.exchange.record.receipt import HEADER, unread
from guardproxy.findings import Scan
from tests.kit.checks import promise
from tests.kit.media import IMAGE_URL
from tests.kit.play import (
    CHAT,
    KEYS,
    MESSAGES,
    Play,
    chat_frames,
    chat_texts,
    cut,
    message_frames,
    message_texts,
    policy_set,
)

MAIL = "mara" + "@" + "example.com"  # made up
RULES = policy_set(
    """
policy: p
checks:
  mail: {use: pii, entities: [EMAIL_ADDRESS]}
  bad: {use: pattern, words: [falcon]}
  odd: {use: pattern, words: [heron]}
  again: {use: pattern, words: [stork]}
rules:
  - {id: mails, on: user, when: mail, action: redact}
  - {id: bads, on: [user, assistant], when: bad, action: block}
  - {id: seen, on: user, when: odd, action: flag}
  - {id: watched, on: [user, assistant], when: odd, action: block, mode: shadow}
  - {id: better, on: response, when: again, action: retry, attempts: 1}
"""
)
NOBODY = policy_set("policy: p\nrules:\n  - {id: nothing, when: check_error, action: flag}\n")


def read(value: str) -> dict[str, Any]:
    """A receipt as plain values: lists of kinds with their parameters, words, numbers, flags."""
    found: Any = http_sf.parse(value.encode(), tltype="dictionary")
    return {
        name: ([str(kind) for kind, _ in one], parameters)
        if isinstance(one, list)
        else one
        if one is True
        else str(one)
        for name, (one, parameters) in found.items()
    }


def asked(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], **more}


def answer(text: str) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return json.dumps({"choices": [choice]}).encode()


def play(policies: Any = RULES, route: str = CHAT) -> Play:
    return Play(policies, route, receipts=True)


def whole(text: str, back: str, policies: Any = RULES) -> dict[str, Any]:
    """The receipt of a whole answer."""
    done = play(policies).ask(asked(text))
    if done.upstream is not None:
        done.stream([answer(back)], media="application/json")
    return read(done.head.receipt)


def test_a_plain_answer_says_what_was_read() -> None:
    assert whole("hello", "good day") == {
        "id": "id",
        "policies": "sha256:test",
        "outcome": "answered",
        "decision": "pass",
        "request": (["user"], {"texts": 1, "chars": 5}),
        "response": (["assistant"], {"texts": 1, "chars": 8}),
    }


def test_what_was_done_and_what_was_only_watched() -> None:
    found = whole(f"a heron writes to {MAIL}", "a heron")
    assert found["decision"] == "redact"
    assert found["shadow"] is True
    assert found["request"] == (["user"], {"texts": 1, "chars": 34, "edits": 1})
    assert "partial" not in found


@pytest.mark.parametrize(
    ("text", "back", "outcome", "decision"),
    [
        ("heron", "good day", "answered", "flag"),
        ("falcon", "", "blocked_request", "block"),
        ("hello", "a falcon", "blocked_response", "block"),
    ],
)
def test_how_it_ended(text: str, back: str, outcome: str, decision: str) -> None:
    found = whole(text, back)
    assert (found["outcome"], found["decision"]) == (outcome, decision)
    assert ("response" in found) == (outcome != "blocked_request")


def test_no_rule_is_named() -> None:
    done = play().ask(asked("falcon"))
    assert not [rule for rule in ("mails", "bads", "seen", "watched") if rule in done.head.receipt]


def test_what_nobody_read_is_said() -> None:
    assert whole("hello", "good day", NOBODY) == {
        "id": "id",
        "policies": "sha256:test",
        "outcome": "answered",
        "decision": "pass",
        "request-unread": (["*"], {}),
        "response-unread": (["*"], {}),
    }


def test_a_route_that_nobody_reads_has_one_too() -> None:
    assert read(unread("id", "sha256:test")) == {
        "id": "id",
        "policies": "sha256:test",
        "request-unread": (["*"], {}),
        "response-unread": (["*"], {}),
    }


def test_texts_without_a_check_and_what_none_can_read() -> None:
    image = {"type": "image_url", "image_url": {"url": IMAGE_URL}}
    messages = [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, image]},
    ]
    done = play().ask({"model": "m", "messages": messages}).stream([answer("b")], media="application/json")
    found = read(done.head.receipt)
    assert found["request"] == (["user"], {"texts": 1, "chars": 1})
    assert found["request-unread"] == (["system"], {"texts": 1, "uninspected": 1})


def test_unknown_fields_count_as_such() -> None:
    everything = policy_set(
        "policy: p\nchecks: {bad: {use: pattern, words: [falcon]}}\nrules: [{id: bads, when: bad, action: block}]\n"
    )
    done = play(everything).ask(asked("a", novelty="b")).stream([answer("c")], media="application/json")
    kinds, counts = read(done.head.receipt)["request"]
    assert kinds == ["user", "unmapped"]
    assert (counts["texts"], counts["unmapped"]) == (3, 1), "the text, the new field's name and what stands in it"


def test_a_check_that_failed_is_said() -> None:
    flagged = policy_set(
        "policy: p\non_error: flag\nchecks: {bad: {use: pattern, words: [falcon]}}\n"
        "rules: [{id: bads, on: request, when: bad, action: block}]\n"
    )
    done = play(flagged)
    done.tell(RequestReceived(json.dumps(asked("hello")).encode()))
    done.answer_scan(Scan((), 0, 0, "timeout"))
    done.stream([answer("b")], media="application/json")
    found = read(done.head.receipt)
    assert found["request"][1]["failed"] == 1
    assert found["decision"] == "flag"


def test_further_attempts_are_counted() -> None:
    done = play().ask(asked("hello")).stream([answer("a stork")], media="application/json")
    done.stream([answer("a duck")], media="application/json")
    found = read(done.head.receipt)
    assert (found["attempts"], found["decision"], found["outcome"]) == ("2", "retry", "answered")


@pytest.mark.parametrize(
    ("event", "outcome"),
    [
        (Refused(ErrorCode.UNSUPPORTED_MEDIA_TYPE, "no"), "refused"),
        (RequestReceived(b"{"), "refused"),
        (Aborted(ErrorCode.TIMEOUT, "the exchange took too long"), "timeout"),
    ],
)
def test_what_was_not_read_is_refused(event: Input, outcome: str) -> None:
    done = play()
    done.tell(event)
    assert read(done.head.receipt) == {"id": "id", "policies": "sha256:test", "outcome": outcome}


def test_an_upstream_that_fails_is_an_outcome() -> None:
    done = play().ask(asked("hello"))
    done.tell(UpstreamFailed(ErrorCode.UPSTREAM_TIMEOUT, "late", 504))
    found = read(done.head.receipt)
    assert (found["outcome"], found["decision"]) == ("upstream_timeout", "pass")
    assert "response" not in found


def test_off_is_off() -> None:
    done = Play(RULES).ask(asked("hello", stream=True)).stream(chat_frames([{"content": "a"}]))
    assert done.head.receipt == ""
    assert HEADER.encode() not in done.client


def comments(data: bytes) -> list[str]:
    return [line.removeprefix(f": {HEADER}: ") for line in data.decode().split("\n") if line.startswith(f": {HEADER}")]


STREAMS = {
    CHAT: (chat_frames([{"content": "a "}, {"content": "heron "}, {"content": "flies"}]), chat_texts, b"data: [DONE]"),
    MESSAGES: (message_frames([("text", ("a ", "heron ", "flies"))]), message_texts, b"event: message_stop"),
}


@pytest.mark.parametrize("route", STREAMS)
def test_a_stream_says_the_rest_at_its_end(route: str) -> None:
    frames, texts, last = STREAMS[route]
    done = play(route=route).ask(asked("hello", stream=True, max_tokens=9)).stream(frames)
    head = read(done.head.receipt)
    assert head["partial"] is True
    assert not {"outcome", "response", "shadow"} & set(head)
    (said,) = comments(done.client)
    end = read(said)
    assert (end["outcome"], end["shadow"]) == ("answered", True)
    assert end["response"] == (["assistant"], {"texts": 1, "chars": 13})
    assert "partial" not in end
    assert done.client.index(HEADER.encode()) < done.client.index(last), "before what ends the stream"
    plain = Play(policies=RULES, route=route).ask(asked("hello", stream=True, max_tokens=9)).stream(frames)
    assert texts(done.client) == texts(plain.client)
    assert done.client.replace(f": {HEADER}: {said}\n\n".encode(), b"") == plain.client


@pytest.mark.parametrize("route", STREAMS)
def test_a_stream_that_fails_says_so_at_its_end(route: str) -> None:
    frames, _, _ = STREAMS[route]
    done = play(STREAMED, route).ask(asked("hello", stream=True, max_tokens=9)).stream(frames[:-3])
    (said,) = comments(done.client)
    assert read(said)["outcome"] == "upstream_truncated"


def test_a_stream_without_its_last_event_has_a_receipt_too() -> None:
    done = play().ask(asked("hello", stream=True)).stream(chat_frames([{"content": "a"}])[:-1])
    (said,) = comments(done.client)
    assert read(said)["outcome"] == "answered"


@promise
@given(
    st.sampled_from(sorted(STREAMS)),
    st.sampled_from(["all is well", "a heron flies", "the falcon flies on", f"{MAIL} a stork"]),
    st.lists(st.integers(1, 2500), max_size=8),
    st.lists(st.booleans(), max_size=8),
)
def test_receipts_do_not_depend_on_chunks(route: str, text: str, cuts: list[int], waits: list[bool]) -> None:
    parts = [f"{word} " for word in text.split()]
    frames = chat_frames([{"content": part} for part in parts])
    if route == MESSAGES:
        frames = message_frames([("text", parts)])
    data = b"".join(frames)
    found = []
    for chunks in ([data], cut(data, cuts)):
        done = play(STREAMED, route).ask(asked("hello", stream=True, max_tokens=9)).stream(chunks, waits)
        heads = [one.receipt for one in done.done if isinstance(one, SendHead)]
        found.append((heads, comments(done.client)))
    assert found[0] == found[1]
    assert len(found[0][1]) <= 1


STREAMED = policy_set(
    """
policy: p
checks:
  mail: {use: pii, entities: [EMAIL_ADDRESS]}
  bad: {use: pattern, words: [falcon]}
  odd: {use: pattern, words: [heron]}
rules:
  - {id: mails, on: response, when: mail, action: redact}
  - {id: bads, on: response, when: bad, action: block}
  - {id: watched, on: response, when: odd, action: block, mode: shadow}
"""
)


def test_the_seal_of_what_the_client_got_covers_the_comment() -> None:
    sealed = []

    def seal(data: bytes) -> str:
        sealed.append(data)
        return data.hex()

    class Sealing(Play):
        def __post_init__(self) -> None:
            super().__post_init__()
            self.exchange = Exchange(structs.replace(self.exchange.setting, keys=replace(KEYS, seal=seal)))

    import hashlib

    done = Sealing(STREAMED, receipts=True).ask(asked("a", stream=True)).stream(chat_frames([{"content": "b"}]))
    assert comments(done.client)
    assert done.record["seals"]["client"] == hashlib.sha256(done.client).hexdigest()
    assert sealed
