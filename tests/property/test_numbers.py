"""Numbers that no rule touches stay as they were spelled, byte for byte, when a request or an answer is edited."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.decisions import Plan
from guardproxy.exchange.inputs.transcript import DataReceived, ResponseEnded, ResponseStarted, SendUpstream
from guardproxy.wire.contract.writing import Prompt, Reply
from guardproxy.wire.decoding.json_codec import JsonCodec
from guardproxy.wire.json import read, write
from guardproxy.wire.registry import codecs
from tests.kit.play import CHAT, Play, policy_set

TOKENS = st.from_regex(
    r"-?(?:0|[1-9][0-9]{0,24})(?:\.[0-9]{1,25})?(?:[eE][-+]?[0-9]{1,2})?", fullmatch=True
) | st.sampled_from(
    ["0.1000000000000000055511", "-0", "-0.0", "1e5", "1E+2", "5e-324", "1.10", "1e16", "18446744073709551616", "1e-7"]
)
WORD = "checks: {word: {use: pattern, words: [umbrella]}}\n"
EDIT = policy_set(f"policy: edit\n{WORD}rules: [{{id: out, when: word, action: redact}}]\n")
STRIP = policy_set(
    f"policy: strip\nstrip: [x_gone]\n{WORD}rules: [{{id: out, on: response, when: word, action: block}}]\n"
)
PLAIN = policy_set(f"policy: plain\n{WORD}rules: [{{id: out, on: response, when: word, action: block}}]\n")
PROMPT = policy_set("policy: prompt\nprompt: {prepend: Be brief.}\n")
RETRY = policy_set(f"policy: again\n{WORD}rules: [{{id: no, on: response, when: word, action: retry, attempts: 1}}]\n")
FORMATS = [codec for codec in codecs() if isinstance(codec, JsonCodec)]
ROUTES = [codec.author.ROUTE for codec in FORMATS]
_SPELLED = re.compile(rb'"x_n":\s*([^,}\]\s]+)')


def with_number(data: bytes, token: str) -> bytes:
    """JSON, or a frame with JSON, whose first object has this number."""
    return data.replace(b"{", b'{"x_n":' + token.encode() + b",", 1)


def spelled(data: bytes) -> set[str]:
    return {match.decode() for match in _SPELLED.findall(data)}


def request_of(route: str, text: str, token: str) -> bytes:
    codec = next(codec for codec in FORMATS if route == codec.author.ROUTE)
    body = {"x_gone": 1, "x_deep": [{"x_n": 1}], **codec.author.request(Prompt("m", text))}
    return with_number(json.dumps(body).replace('"x_n": 1', f'"x_n": {token}').encode(), token)


def sent(play: Play) -> list[bytes]:
    return [command.body for command in play.done if isinstance(command, SendUpstream)]


@given(TOKENS)
def test_a_number_is_written_as_it_was_read(token: str) -> None:
    data = b"[" + token.encode() + b',{"a":' + token.encode() + b"}]"
    assert write(read(data)) == data
    assert json.loads(write(read(data, keeps_spelling=False))) == json.loads(data)


@pytest.mark.parametrize("route", ROUTES)
@given(token=TOKENS)
def test_numbers_of_an_edited_request(route: str, token: str) -> None:
    for policies, plans in ((EDIT, ()), (STRIP, ()), (PLAIN, (Plan(model="other"),)), (PROMPT, ())):
        body = request_of(route, "my umbrella", token)
        (upstream,) = sent(Play(policies, route).ask(body, *plans))
        assert spelled(upstream) == {token}
        assert upstream.count(b'"x_n"') == 2
        assert policies is PROMPT or upstream != body


@given(token=TOKENS)
def test_numbers_of_a_request_that_is_sent_again(token: str) -> None:
    play = Play(RETRY, CHAT).ask(request_of(CHAT, "hi", token))
    answer = {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "an umbrella"}, "finish_reason": "stop"}]
    }
    play.stream([json.dumps(answer).encode()], media="application/json")
    assert [spelled(body) for body in sent(play)] == [{token}, {token}]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("streamed", [False, True])
@given(token=TOKENS)
def test_numbers_of_an_edited_answer(route: str, streamed: bool, token: str) -> None:
    codec = next(codec for codec in FORMATS if route == codec.author.ROUTE)
    if not codec.contract.is_answered(route):
        return
    prompt, reply = Prompt("m", "hi", stream=streamed), Reply("take an umbrella with you")
    play = Play(EDIT, route).ask(codec.author.request(prompt))
    if streamed:
        frames = [frame for frame in codec.author.frames(prompt, reply, "1", lambda text: [text]) if b"{" in frame]
        play.stream([with_number(frame, token) for frame in frames])
    else:
        data = with_number(json.dumps(codec.author.answer(prompt, reply, "1")).encode(), token)
        for event in (ResponseStarted(200, "application/json"), DataReceived(data), ResponseEnded()):
            play.tell(event)
            play.scan()
    assert spelled(play.client) <= {token}
    if b"take an" in play.client:
        assert b"umbrella" not in play.client
        assert spelled(play.client) == {token}


def test_a_record_holds_the_values_of_numbers() -> None:
    """A record has no digits that no check has read."""
    play = Play(EDIT, CHAT).ask(request_of(CHAT, "my umbrella", "1.0000000000000000000041111111"))
    record: Any = play.exchange.record("")
    assert "4111" not in str(record)
