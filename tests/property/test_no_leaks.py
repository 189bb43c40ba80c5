"""A value that a rule redacts never passes, at any place of a request or an answer.

The secret is put into every string and made a key of every object, one place at a time, in requests, answers and events that
hold every field of their format, and fields that no format has. The tests search for it raw and unescaped, in each string,
and in the joined strings of one place of a stream.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache
from itertools import chain
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.exchange.inputs.transcript import DataReceived, ResponseEnded, ResponseStarted
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.wire.framing.sse import SseCutter
from tests.kit.media import PDF, PNG, SIGNATURE, WAV
from tests.kit.play import CHAT, MESSAGES, Play, cut, pieces, policy_set, sse
from tests.kit.records import members

SECRET = "jane.doe@corp.example"  # no word of a protocol looks like it
CARD = 4111222233334444
POLICY = r"""
policy: test
allow_fields: [chat_template]
checks:
  mail: {use: pattern, label: MAIL, patterns: ["[a-z.]+@[a-z.]+[a-z]"]}
  card: {use: pattern, label: CARD, patterns: ["\\b[0-9]{16}\\b"]}
  bad:  {use: pattern, label: BAD, words: [forbidden]}
rules:
  - {id: mail, when: mail, action: redact}
  - {id: card, when: card, action: redact}
  - {id: bad, when: bad, action: block}
"""


@cache
def rules() -> PolicySet:
    return policy_set(POLICY)


CHAT_MESSAGE: dict[str, Any] = {
    "role": "assistant",
    "content": "hello",
    "refusal": "no",
    "reasoning_content": "why",
    "reasoning": "why",
    "annotations": [{"type": "url_citation", "url_citation": {"url": "https://a.example", "title": "t"}}],
    "audio": {"id": "a", "data": "AAAA", "transcript": "said", "expires_at": 1},
    "function_call": {"name": "f", "arguments": '{"a": "b"}'},
    "tool_calls": [
        {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": "b"}'}},
        {"index": 1, "id": "d", "type": "custom", "custom": {"name": "g", "input": "text"}},
    ],
    "new_field": {"deep": ["text", {"deeper": "text"}]},
}


def tokens(*parts: str) -> list[dict[str, Any]]:
    """Log probabilities whose tokens are these parts."""
    return [
        {
            **{"token": part, "bytes": list(part.encode()), "logprob": -0.1},
            "top_logprobs": [{"token": part, "bytes": list(part.encode()), "logprob": -0.1}],
        }
        for part in parts
    ]


LOGPROBS = {"content": tokens("he", "l", "lo"), "refusal": tokens("no")}
CHAT_ANSWER: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "system_fingerprint": "fp",
    "service_tier": "default",
    "provider": "Somebody Inc",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": CHAT_MESSAGE,
            "logprobs": LOGPROBS,
            "content_filter_results": {"hate": {"severity": "safe", "filtered": False}},
        }
    ],
    "usage": {"prompt_tokens": 1, "prompt_tokens_details": {"note": "text"}},
    "prompt_text": "what the template made of it",
}
CHAT_EVENTS: list[tuple[str | None, dict[str, Any]]] = [
    (
        None,
        {
            **{key: value for key, value in CHAT_ANSWER.items() if key != "choices"},
            "obfuscation": "xyz",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": None,
                    "delta": CHAT_MESSAGE,
                    "logprobs": LOGPROBS,
                }
            ],
        },
    ),
    (None, {"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "stop_reason": "text"}]}),
    (None, {"id": "c", "choices": [], "usage": {"prompt_tokens": 1, "note": "text"}, "new": {"field": ["text"]}}),
    (None, {"error": {"message": "text", "type": "server_error", "param": "p", "code": "c"}}),
]
CHAT_ERROR = {"error": {"message": "text", "type": "invalid_request_error", "param": "p", "code": "c"}, "more": "text"}

BLOCKS: list[dict[str, Any]] = [
    {
        "type": "text",
        "text": "hello",
        "citations": [{"type": "char_location", "cited_text": "text", "document_title": "title", "document_index": 0}],
    },
    {"type": "thinking", "thinking": "why", "signature": "AAAA"},
    {"type": "redacted_thinking", "data": "AAAA"},
    {"type": "tool_use", "id": "t", "name": "f", "input": {"a": ["b", {"c": "d"}]}, "caller": {"type": "direct"}},
    {"type": "server_tool_use", "id": "t", "name": "web_search", "input": {"query": "text"}},
    {
        "type": "web_search_tool_result",
        "tool_use_id": "t",
        "content": [
            {"type": "web_search_result", "title": "title", "url": "https://a.example", "encrypted_content": "AAAA"}
        ],
    },
    {"type": "code_execution_tool_result", "tool_use_id": "t", "content": {"type": "r", "stdout": "text", "files": []}},
    {"type": "new_block", "about": {"deep": ["text"]}},
]
MESSAGE: dict[str, Any] = {
    "id": "m",
    "type": "message",
    "role": "assistant",
    "model": "c",
    "content": BLOCKS,
    "stop_reason": "end_turn",
    "stop_sequence": "text",
    "stop_details": {"type": "refusal", "category": None, "explanation": "text"},
    "usage": {"input_tokens": 1, "service_tier": "standard", "server_tool_use": {"note": "text"}},
    "container": {"id": "x", "expires_at": "2026"},
    "context_management": {"applied_edits": [{"type": "text"}]},
}
DELTAS: list[dict[str, Any]] = [
    {"type": "text_delta", "text": "text"},
    {"type": "input_json_delta", "partial_json": '{"a": "b"}'},
    {"type": "thinking_delta", "thinking": "text"},
    {"type": "signature_delta", "signature": "AAAA"},
    {"type": "citations_delta", "citation": {"type": "char_location", "cited_text": "text", "title": "t"}},
    {"type": "new_delta", "news": "text"},
]
MESSAGE_EVENTS: list[tuple[str | None, dict[str, Any]]] = [
    ("message_start", {"type": "message_start", "message": MESSAGE}),
    ("ping", {"type": "ping", "note": "text"}),
    *(
        ("content_block_start", {"type": "content_block_start", "index": number, "content_block": block})
        for number, block in enumerate(BLOCKS)
    ),
    *(
        ("content_block_delta", {"type": "content_block_delta", "index": 20 + number, "delta": delta})
        for number, delta in enumerate(DELTAS)
    ),
    ("content_block_stop", {"type": "content_block_stop", "index": 0, "note": "text"}),
    ("new_event", {"type": "new_event", "about": {"deep": ["text"]}}),
    (
        "message_delta",
        {
            "type": "message_delta",
            "delta": {
                "stop_reason": "end_turn",
                "stop_sequence": "s",
                "stop_details": {"type": "t", "explanation": "e"},
            },
            "usage": {"output_tokens": 1, "note": "text"},
        },
    ),
]
LAST_EVENTS: list[tuple[str | None, dict[str, Any]]] = [
    ("message_stop", {"type": "message_stop", "note": "text"}),
    (
        "error",
        {"type": "error", "error": {"type": "api_error", "message": "text", "details": {"a": "b"}}, "request_id": "r"},
    ),
]
MESSAGES_ERROR = {
    "type": "error",
    "error": {"type": "api_error", "message": "text"},
    "request_id": "r",
    "more": ["text"],
}

CHAT_REQUEST: dict[str, Any] = {
    "model": "m",
    "stream": True,
    "messages": [
        {"role": "system", "content": "text", "name": "n"},
        {"role": "developer", "content": [{"type": "text", "text": "text", "cache_control": {"type": "ephemeral"}}]},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "text"},
                {"type": "image_url", "image_url": {"url": "https://a.example/b.png", "detail": "low"}},
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                {"type": "file", "file": {"file_data": "AAAA", "file_id": "f", "filename": "name.pdf"}},
                {"type": "new_part", "about": {"deep": ["text"]}},
            ],
        },
        {
            "role": "assistant",
            "content": [{"type": "refusal", "refusal": "text"}],
            "refusal": "text",
            "audio": {"id": "a"},
            "reasoning_content": "text",
            "function_call": {"name": "f", "arguments": '{"a": "b"}'},
            "tool_calls": CHAT_MESSAGE["tool_calls"],
        },
        {"role": "tool", "tool_call_id": "c", "content": "text"},
        {"role": "function", "name": "f", "content": "text"},
    ],
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "f",
                "description": "text",
                "parameters": {"type": "object", "properties": {"a": {"enum": ["b"], "description": "text"}}},
            },
        },
        {"type": "custom", "custom": {"name": "g", "format": {"grammar": {"definition": "text"}}}},
    ],
    "functions": [{"name": "f", "description": "text"}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"title": "text"}}},
    "prediction": {"type": "content", "content": [{"type": "text", "text": "text"}]},
    "stop": ["text"],
    "user": "u",
    "metadata": {"a": "text"},
    "safety_identifier": "s",
    "prompt_cache_key": "k",
    "web_search_options": {"user_location": {"approximate": {"city": "text"}}},
    "audio": {"voice": "v", "format": "f"},
    "modalities": ["text"],
    "reasoning_effort": "low",
    "chat_template": "text",
    "documents": [{"title": "text", "text": "text"}],
    "new_field": {"deep": ["text"]},
}
MESSAGES_REQUEST: dict[str, Any] = {
    "model": "c",
    "max_tokens": 5,
    "system": [{"type": "text", "text": "text", "cache_control": {"type": "ephemeral", "ttl": "5m"}}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "text"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                {"type": "image", "source": {"type": "url", "url": "https://a.example/b.png"}},
                {
                    "type": "document",
                    "title": "text",
                    "context": "text",
                    "source": {"type": "content", "content": [{"type": "text", "text": "text"}]},
                    "citations": {"enabled": True},
                },
                {"type": "search_result", "title": "t", "source": "s", "content": [{"type": "text", "text": "text"}]},
                {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "text"}]},
            ],
        },
        {"role": "assistant", "content": BLOCKS},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "text", "is_error": True}]},
    ],
    "tools": [
        {"name": "f", "description": "text", "input_schema": {"type": "object", "properties": {"a": {"enum": ["b"]}}}},
        {"type": "web_search", "name": "s", "allowed_domains": ["a.example"], "user_location": {"city": "text"}},
    ],
    "tool_choice": {"type": "tool", "name": "f"},
    "metadata": {"user_id": "u"},
    "stop_sequences": ["text"],
    "thinking": {"type": "enabled", "budget_tokens": 1},
    "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {"title": "text"}}},
    "mcp_servers": [{"url": "https://a.example"}],
    "new_field": {"deep": ["text"]},
}
TEXT_DOCUMENT = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "text"}}

Where = tuple[str | int, ...]


def places(tree: Any, at: Where = ()) -> Iterator[tuple[Where, str]]:
    """Every string (`value`) and every object (`key`) of a tree."""
    if isinstance(tree, dict):
        yield at, "key"
        for key, child in tree.items():
            yield from places(child, (*at, key))
    elif isinstance(tree, list):
        for number, child in enumerate(tree):
            yield from places(child, (*at, number))
    elif isinstance(tree, str):
        yield at, "value"


def reach(tree: Any, at: Where) -> Any:
    for step in at:
        tree = tree[step]
    return tree


def planted(tree: Any, at: Where, what: str, secret: Any = SECRET) -> Any:
    """A copy of the tree with the secret at one place: in a key or a string; escaped, if the string holds JSON."""
    copy = deepcopy(tree)
    if what == "key":
        reach(copy, at)[secret if isinstance(secret, str) else "note"] = "x" if isinstance(secret, str) else secret
        return copy
    parent = reach(copy, at[:-1])
    if at[-1] in ("arguments", "partial_json"):
        escaped = "".join(f"\\u{ord(char):04x}" for char in secret)
        parent[at[-1]] = f'{{"a": ["x {escaped}"], "{escaped}": 1}}'
    else:
        parent[at[-1]] = f"so {secret}!"
    return copy


def spots(format_name: str, tree: Any) -> list[tuple[Where, str]]:
    return list(places(tree))


def encoded(secret: str) -> Iterator[str]:
    """The secret in base64 for each of the three alignments, without the characters that depend on its neighbours."""
    for before in range(3):
        whole = base64.b64encode(b"x" * before + secret.encode()).decode().rstrip("=")
        yield whole[4 if before else 0 : -2]


def unescaped(text: str) -> Iterator[str]:
    yield text
    if "%" in text:
        yield unquote(text)
    for _ in range(3 if "\\u" in text else 0):
        text = re.sub(r"\\+u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text)
        yield text


def strings(tree: Any, at: Where = ()) -> Iterator[tuple[Where, str]]:
    if isinstance(tree, dict):
        for key, child in tree.items():
            yield (*at, key, "key"), key
            yield from strings(child, (*at, key))
    elif isinstance(tree, list):
        for child in tree:
            yield from strings(child, at)
    elif not isinstance(tree, bool) and isinstance(tree, (str, int, float)):
        yield at, str(tree)


def byte_rows(tree: Any, at: Where = ()) -> Iterator[tuple[Where, str]]:
    """Rows of numbers, decoded as bytes."""
    if isinstance(tree, dict):
        for key, child in tree.items():
            yield from byte_rows(child, (*at, key))
    elif isinstance(tree, list):
        numbers = [one for one in tree if type(one) is int and 0 <= one <= 255]
        yield (*at, "bytes"), bytes(numbers).decode("latin-1")
        for child in tree:
            yield from byte_rows(child, at)


def assert_clean(data: bytes, *secrets: str) -> None:
    """Asserts that the secret does not occur: raw, unescaped, in base64, as bytes, or in the joined strings and bytes of one
    place."""
    for secret in secrets:
        for text in unescaped(data.decode()):
            assert secret not in text
            for form in encoded(secret):
                assert form not in text
    sums: dict[Where, str] = {}
    streamed = data.startswith((b"data:", b"event:"))
    bodies = [event.data for event in SseCutter(10**9).feed(data)] if streamed else [data]
    for body in bodies:
        if body and body != b"[DONE]":
            tree = json.loads(body)
            for at, text in (*strings(tree), *byte_rows(tree)):
                sums[at] = sums.get(at, "") + text
    for text in chain.from_iterable(map(unescaped, sums.values())):
        for secret in secrets:
            assert secret not in text


def assert_seen(play: Play, at: Where, rule: str) -> None:
    """Asserts that the place was inspected: by the rule, or, for token data, which no rule reads, by removal."""
    if "logprobs" in at:
        assert "logprobs" in play.record["response"]["withheld"] or "top_logprobs" in at, at
    else:
        assert rule in play.record["rules"], f"{at} was not looked at"


def ask(route: str) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hello"}]}


def answer(route: str, data: bytes, media: str, status: int = 200) -> Play:
    play = Play(rules(), route).ask(ask(route))
    play.tell(ResponseStarted(status, media))
    play.tell(DataReceived(data))
    play.scan()
    play.tell(ResponseEnded())
    play.scan()
    return play


UNARY = [
    (CHAT, "chat", CHAT_ANSWER, 200),
    (CHAT, "chat", CHAT_ERROR, 400),
    (MESSAGES, "messages", MESSAGE, 200),
    (MESSAGES, "messages", MESSAGES_ERROR, 529),
]
UNARY_SPOTS = [
    pytest.param(route, tree, status, at, what, id=f"{name}-{status}-{'.'.join(map(str, at))}-{what}")
    for route, name, tree, status in UNARY
    for at, what in spots(name, tree)
]


@pytest.mark.parametrize(("route", "tree", "status", "at", "what"), UNARY_SPOTS)
def test_nothing_gets_through_an_answer(route: str, tree: Any, status: int, at: Where, what: str) -> None:
    play = answer(route, json.dumps(planted(tree, at, what)).encode(), "application/json", status)
    assert play.finish.outcome == ("answered" if status < 500 else "upstream_5xx")
    assert_seen(play, at, "mail")
    assert_clean(play.client, SECRET)
    assert SECRET not in play.finish.record.to_json().decode()


@pytest.mark.parametrize(("route", "name", "tree", "status"), UNARY)
def test_no_number_gets_through_an_answer(route: str, name: str, tree: Any, status: int) -> None:
    for at, what in places(tree):
        if what == "key":
            body = json.dumps(planted(tree, at, what, CARD)).encode()
            play = answer(route, body, "application/json", status)
            assert_seen(play, at, "card")
            assert_clean(play.client, str(CARD))
            if "logprobs" not in at:  # those leave with any edit
                assert reach(json.loads(play.client), at)["note"] == 10**15, "the type stays"


def stream_of(route: str, events: list[tuple[str | None, Any]]) -> bytes:
    if route == CHAT:
        return b"".join(sse(tree) for _, tree in events) + b"data: [DONE]\n\n"
    ended = events[-1][1]["type"] in ("message_stop", "error")
    last = [] if ended else [("message_stop", {"type": "message_stop"})]
    return b"".join(sse(tree, event) for event, tree in [*events, *last])


STREAM_SPOTS = [
    pytest.param(route, events, number, at, what, id=f"{name}-{number}-{'.'.join(map(str, at))}-{what}")
    for route, name, events in (
        (CHAT, "chat", CHAT_EVENTS),
        (MESSAGES, "messages", MESSAGE_EVENTS),
        (MESSAGES, "messages", LAST_EVENTS[:1]),
        (MESSAGES, "messages", LAST_EVENTS[1:]),
    )
    for number, (_, tree) in enumerate(events)
    for at, what in spots(name, tree)
]


@pytest.mark.parametrize(("route", "events", "number", "at", "what"), STREAM_SPOTS)
def test_nothing_gets_through_a_stream(
    route: str, events: list[tuple[str | None, Any]], number: int, at: Where, what: str
) -> None:
    """Sends the frame twice, because a constant is repeated in every frame of a stream. The name of the event is wrong, too."""
    name, tree = events[number]
    dirty = (name, planted(tree, at, what))
    again = [dirty] if len(events) == 1 else [dirty, dirty]
    chosen = [*events[:number], *again, *events[number + 1 :]]
    play = answer(route, stream_of(route, chosen), "text/event-stream")
    assert play.finish.outcome == "answered"
    assert_seen(play, at, "mail")
    assert_clean(play.client, SECRET)
    assert SECRET not in play.finish.record.to_json().decode()


@pytest.mark.parametrize(("route", "events"), [(CHAT, CHAT_EVENTS), (MESSAGES, MESSAGE_EVENTS)])
def test_no_number_gets_through_a_stream(route: str, events: list[tuple[str | None, Any]]) -> None:
    for number, (name, tree) in enumerate(events):
        for at, what in places(tree):
            if what == "key":
                dirty = (name, planted(tree, at, what, CARD))
                chosen = [*events[:number], dirty, dirty, *events[number + 1 :]]
                play = answer(route, stream_of(route, chosen), "text/event-stream")
                assert_seen(play, at, "card")
                assert_clean(play.client, str(CARD))


def test_what_a_stop_says_again_is_clean() -> None:
    """The ending of a blocked stream repeats its head, the usage, and the numbers of its choices."""
    for route, events, at in (
        (CHAT, CHAT_EVENTS[:1], ("id",)),
        (CHAT, CHAT_EVENTS[:1], ("model",)),
        (MESSAGES, MESSAGE_EVENTS[:1], ("message", "usage", "service_tier")),
        (MESSAGES, MESSAGE_EVENTS[:1], ("message", "usage", "server_tool_use", "note")),
    ):
        dirty = (events[0][0], planted(events[0][1], at, "value"))
        stop = {
            CHAT: (None, {"id": "c", "choices": [{"index": 0, "delta": {"content": "a forbidden b"}}]}),
            MESSAGES: (
                "content_block_delta",
                {"type": "content_block_delta", "index": "x", "delta": {"type": "text_delta", "text": "a forbidden b"}},
            ),
        }[route]
        play = answer(route, stream_of(route, [dirty, stop]), "text/event-stream")
        assert play.finish.outcome == "blocked_response"
        assert_clean(play.client, SECRET, "forbidden")


def test_what_follows_a_stop_in_its_own_frame_is_gone() -> None:
    """Texts, keys and numbers after the finding in the same frame are removed, also if the finding lies in a number."""
    for delta in (
        {"content": "a forbidden b", "note": CARD, "more": {SECRET: SECRET}},
        {"note": -CARD, "content": "forbidden", "more": CARD},
        {"tool_calls": [{"index": 0, "function": {"arguments": f'{{"a": "forbidden", "b": {CARD}}}'}}], "n": CARD},
    ):
        events: list[tuple[str | None, Any]] = [
            (None, {"id": "c", "choices": [{"index": 0, "delta": {"content": "so "}}]}),
            (None, {"id": "c", "choices": [{"index": 0, "delta": delta}]}),
            (None, {"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}),
        ]
        play = answer(CHAT, stream_of(CHAT, events), "text/event-stream")
        assert play.finish.outcome == "blocked_response"
        assert_clean(play.client, SECRET, str(CARD), "forbidden")


def test_the_numbers_of_the_tokens_go_with_the_text() -> None:
    """Token probabilities, bytes and ids can restore text that an edit removed, so they are removed with it."""
    tree = planted(CHAT_ANSWER, ("choices", 0, "message", "content"), "value")
    tree["choices"][0]["token_ids"] = [17, 18]
    shown = json.loads(answer(CHAT, json.dumps(tree).encode(), "application/json").client)
    assert shown["choices"][0]["logprobs"] is None
    assert "token_ids" not in shown["choices"][0]


@pytest.mark.parametrize("status", [200, 404, 500])
def test_a_body_that_cannot_be_read_is_not_passed_on(status: int) -> None:
    for route in (CHAT, MESSAGES):
        play = answer(route, f"<html>{SECRET}</html>".encode(), "text/html", status)
        assert play.head.status == (502 if status == 200 else status)
        assert_clean(play.client, SECRET)
        assert SECRET not in play.finish.record.to_json().decode()


FLOWING: list[tuple[str, Callable[[str], tuple[str | None, Any]]]] = [
    *(
        (CHAT, lambda part, name=name: (None, {"id": "c", "choices": [{"index": 0, "delta": {name: part}}]}))
        for name in ("content", "refusal", "reasoning_content", "reasoning", "news")
    ),
    (CHAT, lambda part: (None, {"id": "c", "choices": [{"index": 3, "delta": {"audio": {"transcript": part}}}]})),
    (
        CHAT,
        lambda part: (
            None,
            {"id": "c", "choices": [{"index": 0, "delta": {"function_call": {"arguments": part}}}]},
        ),
    ),
    *(
        (
            MESSAGES,
            lambda part, kind=kind, name=name: (
                "content_block_delta",
                {"type": "content_block_delta", "index": 1, "delta": {"type": kind, name: part}},
            ),
        )
        for kind, name in (
            ("text_delta", "text"),
            ("thinking_delta", "thinking"),
            ("input_json_delta", "partial_json"),
            ("news_delta", "news"),
        )
    ),
]


@pytest.mark.parametrize("at", range(len(FLOWING)))
@given(cuts=st.lists(st.integers(1, 40), max_size=5), bytes_at=st.lists(st.integers(1, 3000), max_size=5))
def test_nothing_gets_through_in_parts(at: int, cuts: list[int], bytes_at: list[int]) -> None:
    route, make = FLOWING[at]
    data = stream_of(route, [make(part) for part in pieces(f'"to {SECRET} now"', cuts)])
    play = Play(rules(), route).ask(ask(route)).stream(cut(data, bytes_at))
    assert play.finish.outcome == "answered"
    assert play.record["rules"] == ["mail"]
    assert_clean(play.client, SECRET)


PIECES = [SECRET[at : at + 4] for at in range(0, len(SECRET), 4)]
ROW = list(SECRET.encode())
TOKEN_DATA: dict[str, tuple[tuple[str, ...], Any]] = {
    "tokens": (("choices",), {"logprobs": {"content": tokens(*PIECES)}}),
    "tokens of a refusal": (("choices",), {"logprobs": {"content": None, "refusal": tokens(*PIECES)}}),
    "bytes": (("choices",), {"logprobs": {"content": [{"token": "hello", "bytes": ROW, "logprob": 0.0}]}}),
    "alternatives": (
        ("choices",),
        {
            "logprobs": {
                "content": [
                    {**tokens(part)[0], "top_logprobs": tokens(other)}
                    for part, other in zip(["he", "l", "lo"] * 2, PIECES, strict=True)
                ][:3]
            }
        },
    ),
    "more beside a token": (("choices",), {"logprobs": {"content": [{**tokens("hello")[0], "decoded": PIECES}]}}),
    "another name": (("choices",), {"logprobs": {"content": tokens("hello"), "more": tokens(*PIECES)}}),
    "an old shape": (
        ("choices",),
        {"logprobs": {"tokens": PIECES, "token_logprobs": [0.0], "top_logprobs": [{one: 0.0} for one in PIECES]}},
    ),
    "ids": (("choices",), {"token_ids": ROW}),
    "ids of the prompt": (
        (),
        {"prompt_token_ids": ROW, "prompt_logprobs": [None, *({"17": {"decoded_token": one}} for one in PIECES)]},
    ),
    "probabilities": (
        (),
        {"completion_probabilities": [{"content": one, "probs": [{"tok_str": one}]} for one in PIECES]},
    ),
    "verbose": (
        (),
        {"__verbose": {"tokens": PIECES, "prompt": f"so {SECRET}", "generation_settings": {"stop": [SECRET]}}},
    ),
    "rows": ((), {"new_field": {"deep": [ROW, {"row": ROW}]}}),
}


@pytest.mark.parametrize("name", TOKEN_DATA)
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("content", ["hello", "", SECRET])
def test_no_token_data_gets_through(name: str, streamed: bool, content: str) -> None:
    """The secret is cut into tokens, which no scan of single strings would find; also beside a text that holds it."""
    at, more = TOKEN_DATA[name]
    choice: dict[str, Any] = {"index": 0, "finish_reason": None if streamed else "stop"}
    choice |= {"delta" if streamed else "message": {"content": content}}
    tree: dict[str, Any] = {"id": "c", "choices": [choice]}
    (choice if at else tree).update(deepcopy(more))
    if streamed:
        # One token a frame, as streams are, and all of them in one frame.
        frames = [tree]
        if "logprobs" in more and "content" in more["logprobs"]:
            frames = [deepcopy(tree) for _ in more["logprobs"]["content"] or [0]]
            for number, one in enumerate(frames):
                its = one["choices"][0]["logprobs"]
                its["content"] = (its["content"] or [])[number : number + 1]
        last = {"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        play = answer(CHAT, stream_of(CHAT, [(None, one) for one in (tree, *frames, last)]), "text/event-stream")
    else:
        play = answer(CHAT, json.dumps(tree).encode(), "application/json")
    assert play.finish.outcome == "answered"
    assert play.record["response"]["withheld"] or content == SECRET, "an edit takes out what says the same"
    assert_clean(play.client, SECRET)
    assert SECRET not in play.finish.record.to_json().decode()


def test_without_a_rule_that_edits_token_data_stays_to_the_byte() -> None:
    """A rule that only watches changes nothing, and the record names the token data as not inspected."""
    watching = policy_set(POLICY.replace("action: redact", "action: flag").replace("action: block", "action: flag"))
    tree = {**CHAT_ANSWER, "prompt_token_ids": [1, 2, 3, 4]}
    body = json.dumps(tree).encode()
    play = Play(watching, CHAT).ask(ask(CHAT)).stream([body], media="application/json")
    assert play.client == body
    assert play.record["response"]["withheld"] == []
    assert {"choices[0].logprobs", "prompt_token_ids"} <= set(play.record["response"]["uninspected"])
    data = stream_of(CHAT, CHAT_EVENTS)
    play = Play(watching, CHAT).ask(ask(CHAT)).stream([data])
    assert play.client == data


def test_log_probabilities_that_say_the_text_stay() -> None:
    lean = {
        "choices": [
            {
                "index": 0,
                "message": {"content": "hello"},
                "logprobs": {"content": tokens("he", "llo")},
                "finish_reason": "stop",
            }
        ]
    }
    for one in lean["choices"][0]["logprobs"]["content"]:  # type: ignore[index]
        one["top_logprobs"] = []
    body = json.dumps(lean).encode()
    play = answer(CHAT, body, "application/json")
    assert play.client == body
    assert play.record["response"]["withheld"] == []


OPERATORS = [
    "redact",
    "hash",
    "{type: replace, new_value: X}",
    "mask",
    "{type: mask, chars_to_mask: 3}",
    "{type: hash, hash_type: sha512}",
]


@pytest.mark.parametrize("operator", OPERATORS)
def test_no_operator_lets_anything_through_anywhere(operator: str) -> None:
    policy = POLICY.replace("action: redact", f"action: redact, operators: {{DEFAULT: {operator}}}")
    policies = policy_set(policy)
    for route, name, tree, status in UNARY:
        for at, what in spots(name, tree):
            body = json.dumps(planted(tree, at, what)).encode()
            play = Play(policies, route).ask(ask(route))
            play.tell(ResponseStarted(status, "application/json"))
            play.tell(DataReceived(body))
            play.tell(ResponseEnded())
            play.scan()
            assert play.finish.outcome == ("answered" if status < 500 else "upstream_5xx")
            assert_clean(play.client, SECRET)
            assert SECRET not in play.finish.record.to_json().decode(), at
    for route, name, tree in ((CHAT, "chat", CHAT_REQUEST), (MESSAGES, "messages", MESSAGES_REQUEST)):
        for at, what in spots(name, tree):
            play = Play(policies, route).ask(planted(tree, at, what))
            assert_clean(json.dumps(play.upstream).encode(), SECRET)
            record = play.exchange.record("sent upstream").to_json().decode()
            assert SECRET not in record
            assert SECRET[3:] not in record, "what a mask leaves is not kept either"


@pytest.mark.parametrize("route", [CHAT, MESSAGES])
def test_a_name_as_a_key_is_seen(route: str) -> None:
    """A key of plain letters is scanned like any other text, in every object of a request and an answer."""
    policy = POLICY.replace("[a-z.]+@[a-z.]+[a-z]", r"\\bmara\\b")
    policies = policy_set(policy)
    request, whole = (CHAT_REQUEST, CHAT_ANSWER) if route == CHAT else (MESSAGES_REQUEST, MESSAGE)
    for at, what in places(request):
        if what == "key":
            copy = deepcopy(request)
            reach(copy, at)["mara"] = 1
            assert "mara" not in json.dumps(Play(policies, route).ask(copy).upstream), at
    for at, what in places(whole):
        if what == "key" and "logprobs" not in at:
            copy = deepcopy(whole)
            reach(copy, at)["mara"] = 1
            play = Play(policies, route).ask(ask(route)).stream([json.dumps(copy).encode()], media="application/json")
            assert "mara" not in play.client.decode(), at
            assert "mara" not in play.finish.record.to_json().decode(), at


REQUEST_SPOTS = [
    pytest.param(route, tree, at, what, id=f"{name}-{'.'.join(map(str, at))}-{what}")
    for route, name, tree in ((CHAT, "chat", CHAT_REQUEST), (MESSAGES, "messages", MESSAGES_REQUEST))
    for at, what in spots(name, tree)
]


@pytest.mark.parametrize(("route", "tree", "at", "what"), REQUEST_SPOTS)
def test_nothing_gets_through_a_request(route: str, tree: Any, at: Where, what: str) -> None:
    play = Play(rules(), route).ask(planted(tree, at, what))
    sent = play.upstream
    assert sent is not None
    assert_clean(json.dumps(sent).encode(), SECRET)
    record = members(play.exchange.record("sent upstream"))
    assert record["rules"] == ["mail"], "the place was not looked at"
    assert SECRET not in json.dumps(record)


@pytest.mark.parametrize(("route", "tree"), [(CHAT, CHAT_REQUEST), (MESSAGES, MESSAGES_REQUEST)])
def test_no_number_gets_through_a_request(route: str, tree: Any) -> None:
    for at, what in places(tree):
        if what == "key":
            play = Play(rules(), route).ask(planted(tree, at, what, CARD))
            assert members(play.exchange.record("sent upstream"))["rules"] == ["card"], at
            assert_clean(json.dumps(play.upstream).encode(), str(CARD))


def test_a_document_of_text_is_text() -> None:
    tree = planted(MESSAGES_REQUEST, ("messages", 0, "content", 0, "text"), "value")
    tree["messages"][0]["content"].append(planted(TEXT_DOCUMENT, ("source", "data"), "value"))
    sent = Play(rules(), MESSAGES).ask(tree).upstream
    assert_clean(json.dumps(sent).encode(), SECRET)
    assert "MAIL_" in sent["messages"][0]["content"][-1]["source"]["data"]


@pytest.mark.parametrize(
    ("route", "tree", "at"),
    [
        (CHAT, CHAT_REQUEST, ("messages", 2, "content", 2, "input_audio", "data")),
        (CHAT, CHAT_REQUEST, ("messages", 2, "content", 3, "file", "file_data")),
        (MESSAGES, MESSAGES_REQUEST, ("messages", 0, "content", 1, "source", "data")),
        (MESSAGES, MESSAGES_REQUEST, ("messages", 1, "content", 1, "signature")),
        (MESSAGES, MESSAGES_REQUEST, ("messages", 1, "content", 2, "data")),
        (MESSAGES, MESSAGES_REQUEST, ("messages", 1, "content", 5, "content", 0, "encrypted_content")),
    ],
)
def test_opaque_places_hold_content_that_the_record_lists(route: str, tree: Any, at: Where) -> None:
    """Content of the claimed kind passes unchanged and is not recorded. All other content is scanned as text."""
    content = {"input_audio": WAV, "file": PDF, "source": PNG}.get(str(at[-2]), SIGNATURE)
    whole = deepcopy(tree)
    reach(whole, at[:-1])[at[-1]] = content
    play = Play(rules(), route).ask(whole)
    assert reach(play.upstream, at) == content
    record = members(play.exchange.record("sent upstream"))
    assert content not in json.dumps(record)
    dotted = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in at)[1:]
    assert dotted in record["request"]["uninspected"]
    for hidden in (f"so {SECRET}!", {"a": SECRET}, [SECRET], {SECRET: 1}):
        other = deepcopy(tree)
        reach(other, at[:-1])[at[-1]] = hidden
        assert_clean(json.dumps(Play(rules(), route).ask(other).upstream).encode(), SECRET)
